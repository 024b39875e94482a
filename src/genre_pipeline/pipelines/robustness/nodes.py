"""Nodes of the robustness stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure
from plotly.graph_objects import Figure

from genre_pipeline.cells import Cell
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.robustness import scoring
from genre_pipeline.evaluation.robustness.predicting import TrainedCell, predict_changed
from genre_pipeline.experiment import (
    ComputeBlock,
    EvaluationBlock,
    parse_feature,
    parse_intervention,
)
from genre_pipeline.interventions import Intervention, InterventionBlock
from genre_pipeline.logs import CellLog
from genre_pipeline.pipelines.train.nodes import split_tags
from genre_pipeline.reporting.robustness_figure import robustness_figure, robustness_picture
from genre_pipeline.results.cell import CellResult
from genre_pipeline.splits.identities import artist_keys
from genre_pipeline.stages import LOGGED, Reads, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, FailedRepeat
from genre_pipeline.training.cell_data import CellData

# A cell's coordinates within its dataset, the first columns of the tables of predictions.
_COORDINATES = ["protocol", "feature", "model"]


@stage(version=1, uses=(CellData,))
def change_and_ask(
    tracks: Annotated[
        pd.DataFrame, Reads("track_id", "path", "audio_hash", "start_sample", "n_samples", "sample_rate", "quarantined")
    ],
    dataset: DatasetBlock,
    intervention: InterventionBlock,
    compute: ComputeBlock,
    scratch: Annotated[Path, LOGGED],
    splits: Sequence[pd.DataFrame],
    segments: Annotated[
        Sequence[pd.DataFrame],
        Reads("segment_id", "track_id", "start_frame", "n_frames", "start_s", "duration_s"),
    ],
    features: Sequence[FeatureStore],
    checkpoints: Sequence[list[Checkpoint | FailedRepeat]],
    folders: Annotated[Sequence[Path], LOGGED],
    blocks: Sequence[dict[str, Any]],
    *,
    cells: Sequence[Cell],
    intervention_name: str,
) -> pd.DataFrame:
    """Change the audio of a dataset's test tracks in one way, and predict it with the trained models of its cells.

    Args:
        tracks: The track table.
        dataset: The dataset's parameters.
        intervention: The intervention's parameters.
        compute: How much of the machine is used.
        scratch: Folder for the features of changed audio, which are not kept.
        splits: The split table of each cell.
        segments: Its segment table.
        features: Its feature store.
        checkpoints: Its trained models.
        folders: Its folder, in which the predictions of changed tracks are kept.
        blocks: The parameters of its feature.
        cells: The cells, all of that dataset.
        intervention_name: The intervention's name.

    Returns:
        The predictions of changed tracks, one row per segment, the cell's protocol, feature and model before them.
    """
    trained = [
        TrainedCell(
            cell=cell,
            block=parse_feature(cell.feature, block),
            checkpoints=[each for each in outcomes if isinstance(each, Checkpoint)],
            data=CellData.join(cell.name, split=split, segments=table, store=store),
            folder=folder / "robustness" / intervention_name,
        )
        for cell, split, table, store, outcomes, folder, block in zip(
            cells, splits, segments, features, checkpoints, folders, blocks, strict=True
        )
    ]
    answers = predict_changed(
        trained,
        Intervention.of(intervention),
        tracks=tracks,
        root=dataset.root,
        scratch=scratch,
        workers=compute.extraction,
    )
    return pd.concat([_with_coordinates(table, cell) for cell, table in answers.items()], ignore_index=True)


@stage(version=1)
def score_robustness(
    result: Annotated[
        CellResult,
        Reads(
            "cell",
            "genres",
            "design",
            "subset",
            "leaky",
            "artists_unknown",
            "n_tracks",
            "n_repeats",
            "failures",
            "selection",
            "split_hash",
            "feature_hash",
            "git_commit",
        ),
    ],
    predictions: pd.DataFrame,
    tracks: Annotated[pd.DataFrame, Reads("track_id", "artist")],
    audit: Annotated[dict[str, Any], Reads("split_hash", "leaky", "artists_unknown", "subset")],
    evaluation: EvaluationBlock,
    interventions: Sequence[dict[str, Any]],
    answers: Sequence[pd.DataFrame],
    *,
    cell: Cell,
    names: Sequence[str],
) -> tuple[pd.DataFrame, CellLog]:
    """Score a cell's predictions of changed tracks.

    Args:
        result: The cell's result.
        predictions: The cell's predictions of the tracks as they are.
        tracks: The dataset's tracks, for their artists.
        audit: The split's report.
        evaluation: How numbers are summarised.
        interventions: The parameters of each intervention.
        answers: The predictions under each, of all cells of the dataset.
        cell: The cell.
        names: The interventions' names.

    Returns:
        One row per intervention, and what is logged of them.
    """
    coordinates = pd.Series({key: getattr(cell, key) for key in _COORDINATES})
    table = scoring.score_robustness(
        result,
        predictions,
        {
            name: table[(table[_COORDINATES] == coordinates).all(axis=1)]
            for name, table in zip(names, answers, strict=True)
        },
        {name: parse_intervention(name, values) for name, values in zip(names, interventions, strict=True)},
        artists=artist_keys(tracks.set_index("track_id")),
        confidence=evaluation.confidence,
        average=evaluation.track_average,
    )
    columns = ("accuracy", "accuracy_before", "difference", "ci_low", "ci_high", "same_answer")
    log = CellLog(
        cell=cell,
        level="robustness",
        tags={**split_tags(audit), "leaky": result["leaky"], "unit": "track", "statistic": "accuracy"},
        metrics={
            f"robustness/{row['intervention']}_{column}": row[column]
            for row in table.to_dict(orient="records")
            for column in columns
        },
        ends="FINISHED",
    )
    return table, log


@stage(version=2)
def join_scores(*tables: pd.DataFrame) -> tuple[pd.DataFrame, Figure, MatplotlibFigure]:
    """Put the scores of all cells into one table, and draw them.

    Args:
        *tables: The scores of each cell.

    Returns:
        The table, a Plotly figure of it, and a still picture.

    Raises:
        ConfigError: If no cell is chosen.
    """
    if not tables:
        raise ConfigError(
            "robustness.cells: the patterns match no cell of the experiment that has a feature computed from audio and "
            "a protocol that keeps tracks whole. Choose others, or add the model to experiment.models."
        )
    table = pd.concat(tables, ignore_index=True)
    return table, robustness_figure(table), robustness_picture(table)


def _with_coordinates(table: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    coordinates = table[[]].assign(**{key: getattr(cell, key) for key in _COORDINATES})
    return pd.concat([coordinates, table], axis=1)
