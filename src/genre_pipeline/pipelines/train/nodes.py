"""Nodes of the training stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import RepeatFailedError
from genre_pipeline.experiment import ComputeBlock
from genre_pipeline.features import FeatureBlock
from genre_pipeline.logs import CellLog, RunLog, WriteLog, write_nothing
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.reporting.wording import duration, percent, unknown_tag
from genre_pipeline.splits import ProtocolBlock
from genre_pipeline.stages import LOGGED, SETTINGS, Reads, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, EpochRecord, FailedRepeat, ModelBlock, train_repeat
from genre_pipeline.training.cell_data import CellData, CellSegments
from genre_pipeline.training.epochs import history_records
from genre_pipeline.training.repeats import find_checkpoint, label_of, repeat_fingerprint, repeat_folder
from genre_pipeline.training.workers import Job, Outcome

logger = logging.getLogger(__name__)

_CURVES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "learning_rate",
    "gradient_norm",
)


@stage(version=3, uses=(train_repeat, CellData))
def train_cell(
    split: pd.DataFrame,
    audit: Annotated[dict[str, Any], Reads("split_hash", "leaky", "artists_unknown", "subset")],
    segments: CellSegments,
    features: FeatureStore,
    dataset: Annotated[DatasetBlock, LOGGED],
    protocol: Annotated[ProtocolBlock, LOGGED],
    feature: Annotated[FeatureBlock, SETTINGS],
    model: ModelBlock,
    seed: int,
    compute: ComputeBlock,
    folder: Annotated[Path, LOGGED],
    write_log: Annotated[WriteLog, LOGGED] = write_nothing,
    *,
    cell: Cell,
) -> list[Checkpoint | FailedRepeat]:
    """Train every repeat of a cell that is not trained yet. A failure is reported, and the others continue.

    Args:
        split: The split table.
        audit: The split's report.
        segments: The segment table.
        features: The feature store.
        dataset: The dataset's parameters.
        protocol: The protocol's parameters.
        feature: The feature's parameters.
        model: The model's parameters.
        seed: Seed of the first repeat.
        compute: How much of the machine, or of which cluster, is used.
        folder: Where checkpoints are written, and those of earlier sessions are found.
        write_log: Writes what is logged while the cell is trained.
        cell: The cell.

    Returns:
        The checkpoint of each repeat, or why there is none.
    """
    # Repeats that are trained already read no segment: a damaged store is found all the same.
    features.verify()
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    # Now, so that the run of an interrupted training has them too.
    tags = {**split_tags(audit), "leaky": data.leaky or model.selects_by_test}
    params = {
        "dataset": dataset.dump(),
        "protocol": protocol.dump(),
        "feature": feature.dump(),
        "model": model.used(),
        "seed": seed,
    }
    write_log(CellLog(cell=cell, tags=tags, params=params))
    sides = ("train", "validation", "test") if model.selects_by_test else ("train", "validation")
    outcomes: dict[int, Checkpoint | FailedRepeat] = {}

    def write_repeat(repeat: int, log: RunLog) -> None:
        write_log(CellLog(cell=cell, repeats={repeat: log}))

    def end(repeat: int, outcome: Outcome) -> None:
        if isinstance(outcome, RepeatFailedError):
            logger.error("%s The other repeats go on.", outcome)
            failed = {**tags, "seed": seed + repeat, "failure": str(outcome)}
            write_repeat(repeat, RunLog(tags=failed, ends="FAILED"))
            outcomes[repeat] = FailedRepeat(repeat, seed + repeat, str(outcome))
            return
        if outcome.reused:
            # Of an earlier session: this one's run gets its curves too.
            write_repeat(repeat, epochs_log(*history_records(outcome.history)))
        outcomes[repeat] = outcome
        if not outcome.reused:
            n_ended, n_repeats = len(outcomes), len(data.repeats)
            logger.info("%s, repeat %d (%d of %d): %s", cell.name, repeat, n_ended, n_repeats, _course(outcome))

    jobs = []
    for repeat in data.repeats:
        known: dict[str, Any] = {
            "genres": data.genres,
            "feature": feature,
            "model": model,
            "seed": seed + repeat,
            "inputs": data.fingerprint(repeat, *sides, grouped=isinstance(model.spec, EstimatorSpec)),
        }
        place = repeat_folder(folder, repeat)
        label = label_of(cell, repeat)
        existing = find_checkpoint(place, repeat_fingerprint(**known), label)
        if existing is not None:
            end(repeat, existing)
            continue
        sources: dict[str, Any] = {side: data.segment_source(repeat, side) for side in sides}
        train = partial(train_repeat, cell=cell, repeat=repeat, folder=place, leaky=data.leaky, **known, **sources)
        jobs.append(Job(repeat, label, train))
    compute.trainers(model.training).train(
        jobs, on_epoch=lambda repeat, record: write_repeat(repeat, epochs_log(record)), on_end=end
    )
    return [outcomes[repeat] for repeat in data.repeats]


def _course(checkpoint: Checkpoint) -> str:
    """Describe a training that has ended, for people."""
    records = history_records(checkpoint.history)
    chosen = next(each for each in records if each.epoch == checkpoint.card.selected_epoch)
    epochs = f", epoch {chosen.epoch} of {len(records)}" if len(records) > 1 else ""
    right = f"{percent(chosen.validation_accuracy)} % of the validation segments right{epochs}"
    return f"{right}; {duration(sum(each.seconds for each in records))}"


def score_marks(cell: Cell, audit: Mapping[str, Any], features: FeatureStore) -> dict[str, Any]:
    """Return the columns that name a cell in a table of scores, and what its numbers hold for."""
    return {
        **{key: getattr(cell, key) for key in ("dataset", "protocol", "feature", "model")},
        **{key: audit.get(key) for key in ("split_hash", "leaky", "artists_unknown", "subset")},
        "feature_hash": features.spec_hash,
    }


def split_tags(audit: dict[str, Any]) -> dict[str, object]:
    """Return the tags about the split that every run with metrics carries.

    Args:
        audit: The split's report.
    """
    return {**{key: audit[key] for key in ("split_hash", "leaky", "subset")}, **unknown_tag(audit)}


def epochs_log(*records: EpochRecord) -> RunLog:
    """Return the points of the curves of some epochs.

    Args:
        *records: What the epochs brought.
    """
    return RunLog(epochs={record.epoch: {key: getattr(record, key) for key in _CURVES} for record in records})
