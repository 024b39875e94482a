"""Nodes of the tuning stage."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from plotly.graph_objects import Figure
from typing_extensions import override

from genre_pipeline.cells import Cell
from genre_pipeline.features import FeatureBlock
from genre_pipeline.logs import CellLog, RunLog, WriteLog, write_nothing
from genre_pipeline.pipelines.train.nodes import epochs_log
from genre_pipeline.stages import LOGGED, SETTINGS, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import EpochRecord, train_repeat
from genre_pipeline.training.cell_data import CellData, CellSegments
from genre_pipeline.tuning import Development, Observer, Search, Trial, TuningBlock, hold_out_test, parse_space, tune
from genre_pipeline.tuning.findings import best_parameters, draw_history, draw_importance, trials_table

logger = logging.getLogger(__name__)

_STUDY = "study"


@stage(version=2, uses=(CellData,))
def hold_out(
    split: pd.DataFrame, segments: CellSegments, features: FeatureStore, tuning: TuningBlock, *, cell: Cell
) -> Development:
    """Gather the training and validation data; the test split is not passed on.

    Args:
        split: The split table.
        segments: The segment table.
        features: The feature store.
        tuning: How parameters are searched, for the repeat.
        cell: The cell.

    Returns:
        The training and the validation segments.
    """
    features.verify()
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    return hold_out_test(data, tuning.repeat)


@stage(version=2, uses=(train_repeat,))
def tune_model(
    development: Development,
    feature: Annotated[FeatureBlock, SETTINGS],
    model: dict[str, Any],
    training: dict[str, Any],
    tuning: TuningBlock,
    seed: int,
    folder: Annotated[Path, LOGGED],
    write_log: Annotated[WriteLog, LOGGED] = write_nothing,
    *,
    cell: Cell,
) -> tuple[pd.DataFrame, str, Figure, Figure, CellLog]:
    """Search for the model's parameters, and log every trial.

    Args:
        development: The training and the validation segments.
        feature: The feature's parameters.
        model: The model's parameters.
        training: Training parameters that models share.
        tuning: How parameters are searched.
        seed: Seed of the first repeat.
        folder: The cell's folder: the search is kept in it, and resumed from it.
        write_log: Writes what is logged of a trial while the search goes on.
        cell: The cell.

    Returns:
        The trials, the best parameters as YAML, the figures of the search and of the parameters' importance, and what
        is logged of them.
    """
    search = Search(
        development=development,
        space=parse_space(cell.model, tuning.spaces[cell.model], model, training),
        block=tuning,
        model=model,
        defaults=training,
        feature=feature,
        seed=seed + development.repeat,
    )
    tags = {"metric": tuning.metric, "tested_elsewhere": development.n_tested_elsewhere}
    params = {"tuning": {**tuning.settings(), "repeat": development.repeat}, "space": search.space.dump()}
    write_log(CellLog(cell=cell, level=_STUDY, tags=tags, params=params))
    tuned = tune(search, folder / "tuning", _LoggedTrials(cell, write_log))
    table, text = trials_table(tuned), best_parameters(search, tuned)
    history, importance = draw_history(search, tuned), draw_importance(search, tuned)
    log = CellLog(
        cell=cell,
        level=_STUDY,
        metrics={f"best_{tuning.metric}": tuned.best.value},
        params={"best": dict(tuned.best.values)},
        files={
            "best_parameters.yml": text,
            "trials.csv": table.to_csv(index=False),
            "tuning_history.html": history,
            "parameter_importance.html": importance,
        },
        ends="FINISHED",
    )
    logger.info("%s: the best parameters so far:\n%s", cell.name, text)
    return table, text, history, importance, log


class _LoggedTrials(Observer):
    """Logs epochs and trials as repeats of the study."""

    def __init__(self, cell: Cell, write_log: WriteLog) -> None:
        self._cell = cell
        self._write_log = write_log

    @override
    def epoch(self, trial: int, record: EpochRecord) -> None:
        self._write(trial, epochs_log(record))

    @override
    def ended(self, trial: Trial) -> None:
        tags = {"state": trial.state}
        params = dict(trial.values)
        if trial.state == "failed":
            self._write(trial.number, RunLog(tags={**tags, "failure": trial.reason}, params=params, ends="FAILED"))
        else:
            metrics = {"value": trial.value, "n_epochs": trial.n_epochs}
            self._write(trial.number, RunLog(tags=tags, params=params, metrics=metrics, ends="FINISHED"))

    def _write(self, trial: int, log: RunLog) -> None:
        self._write_log(CellLog(cell=self._cell, level=_STUDY, repeats={trial: log}))
