"""Nodes of the comparison stage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure
from plotly.graph_objects import Figure

from genre_pipeline.cells import Cell
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import NotLoggedError
from genre_pipeline.evaluation.leaderboard import describe_leader, leaderboard, leading_result, metric_table
from genre_pipeline.evaluation.metrics import TrackAverage
from genre_pipeline.evaluation.mistakes import find_mistakes
from genre_pipeline.evaluation.paired import compare_pairs, track_outcomes
from genre_pipeline.evaluation.promotion import Decision, decide
from genre_pipeline.evaluation.ranking import rank_table
from genre_pipeline.evaluation.track_answers import answer_tracks, find_closest
from genre_pipeline.experiment import EvaluationBlock
from genre_pipeline.reporting.cost_figure import cost_comparison
from genre_pipeline.reporting.document import render_html, render_markdown
from genre_pipeline.reporting.figures import (
    accuracy_comparison,
    confusion_matrices,
    learning_curves,
    reliability_diagrams,
    risk_coverage,
)
from genre_pipeline.reporting.final_model import final_model_card
from genre_pipeline.reporting.gap_figure import gap_comparison
from genre_pipeline.reporting.mistakes import draw_mistakes
from genre_pipeline.reporting.ranking_figure import critical_difference_diagram
from genre_pipeline.reporting.report import build_markdown, build_report
from genre_pipeline.reporting.reproduction_figure import paper_comparison
from genre_pipeline.reporting.sections import ReportData
from genre_pipeline.reporting.stills import draw_still
from genre_pipeline.results.cell import CellResult, cell_of
from genre_pipeline.results.mistakes import CellMistakes
from genre_pipeline.results.run_changes import CellChange
from genre_pipeline.results.tables import PAIR_COLUMNS, make_table
from genre_pipeline.splits.identities import artist_keys
from genre_pipeline.stages import LOGGED, Reads, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, FailedRepeat
from genre_pipeline.training.checkpoints import joint_fingerprint

logger = logging.getLogger(__name__)


@stage(version=2)
def pair_cells(
    audit: Annotated[dict[str, Any], Reads("unit")],
    tracks: Annotated[pd.DataFrame, Reads("track_id", "artist")],
    evaluation: EvaluationBlock,
    results: Sequence[CellResult],
    predictions: Sequence[pd.DataFrame],
) -> pd.DataFrame:
    """Compare every two cells of one protocol of a dataset, track by track.

    Args:
        audit: The split's report.
        tracks: The dataset's tracks, for their artists.
        evaluation: How numbers are summarised.
        results: The result of each cell.
        predictions: The predictions of each, in the same order.

    Returns:
        One row per pair.
    """
    return compare_pairs(
        results,
        predictions,
        artists=artist_keys(tracks.set_index("track_id")),
        divided=audit["unit"],
        confidence=evaluation.confidence,
        average=evaluation.track_average,
    )


@stage(version=3)
def join_pairs(*tables: pd.DataFrame) -> pd.DataFrame:
    """Put the pairs of all protocols and datasets into one table.

    Args:
        *tables: The pairs of each.

    Returns:
        One row a pair.
    """
    return pd.concat(tables, ignore_index=True)


@stage(version=2)
def list_mistakes(
    predictions: pd.DataFrame,
    result: CellResult,
    segments: Annotated[pd.DataFrame, Reads("segment_id", "start_s", "duration_s")],
    # The audio is drawn: its hash counts.
    tracks: Annotated[
        pd.DataFrame,
        Reads("track_id", "path", "start_sample", "n_samples", "sample_rate", "audio_hash", "artist", "title"),
    ],
    split: Annotated[pd.DataFrame, Reads("repeat", "track_id", "genre", "split")],
    features: FeatureStore,
    dataset: DatasetBlock,
    track_average: TrackAverage,
    *,
    cell: Cell,
) -> CellMistakes:
    """Find what a cell's models said of each test track, and the mistakes they made with the highest probability.

    Args:
        predictions: The cell's predictions.
        result: The cell's result, for its genres.
        segments: The segment table.
        tracks: The track table.
        split: The cell's split table.
        features: The feature store, for the training tracks that are closest to each test track.
        dataset: The dataset's parameters.
        track_average: What of a track's segments is averaged.
        cell: The cell.

    Returns:
        The mistakes, with pictures, and all tracks.
    """
    genres, root = result["genres"], dataset.root
    asked: dict[str, Any] = {
        "genres": genres,
        "segments": segments,
        "tracks": tracks,
        "root": root,
        "average": track_average,
    }
    found = draw_mistakes(find_mistakes(cell, predictions, **asked), tracks)
    answers = find_closest(answer_tracks(predictions, **asked), split=split, store=features)
    return {**found, "tracks": answers}


@stage(version=4)
def collect_protocol(
    audit: dict[str, Any],
    results: Sequence[CellResult],
    changes: Sequence[CellChange],
) -> dict[str, Any]:
    """Gather the results under one protocol of a dataset.

    Args:
        audit: The split's report.
        results: The result of each cell under the protocol.
        changes: What became of each since the run before.

    Returns:
        ``audit``, ``results`` and ``changes``.
    """
    return {"audit": audit, "results": results, "changes": changes}


@stage(version=2)
def choose_model(
    summary: Annotated[dict[str, Any], Reads("quality", "protocols")],
    pairs: Sequence[pd.DataFrame],
    checkpoints: Sequence[list[Checkpoint | FailedRepeat]],
    *,
    cells: Sequence[Cell],
    experiment: str,
) -> tuple[dict[str, Any], str, str]:
    """Choose the model for use: the leading cell's, the mean of the models of its repeats.

    Args:
        summary: What was found on the dataset.
        pairs: What the comparison of every two cells found, of each protocol.
        checkpoints: The trained models of each cell, or why there are none.
        cells: The cells, in the order of ``checkpoints``.
        experiment: The experiment's name.

    Returns:
        What is to know of the leading cell (:func:`~genre_pipeline.evaluation.leaderboard.describe_leader`) with
        ``fingerprints`` (of its checkpoints, by repeat), and its card as HTML and as Markdown. All are empty where no
        cell could be trained.
    """
    results = _results([summary])
    result = leading_result(results)
    if result is None:
        return {}, "", ""
    trained = [each for each in checkpoints[cells.index(cell_of(result))] if isinstance(each, Checkpoint)]
    leader = {
        **describe_leader(result, [each["audit"] for each in summary["protocols"]]),
        "fingerprints": {str(each.card.repeat): each.fingerprint for each in trained},
    }
    known = pd.concat([make_table([], PAIR_COLUMNS), *(each for each in pairs if len(each))], ignore_index=True)
    card = final_model_card(result, summary["quality"], leaderboard(results), known, experiment=experiment)
    return leader, render_html(card), render_markdown(card)


@stage(version=3)
def register_model(
    leader: dict[str, Any],
    card: str,
    predictions: Sequence[pd.DataFrame],
    tracks: Annotated[pd.DataFrame, Reads("track_id", "artist")],
    evaluation: EvaluationBlock,
    margin: float | None,
    register: Annotated[Callable[..., dict[str, Any]] | None, LOGGED] = None,
    *,
    cells: Sequence[Cell],
    name: str,
) -> dict[str, Any]:
    """Register the model for use, and make it the champion if it is not worse than the present one.

    Args:
        leader: What :func:`choose_model` returned. The evaluation of its cell has logged the models.
        card: The card, in Markdown.
        predictions: The predictions of each cell.
        tracks: The dataset's tracks, for their artists.
        evaluation: How numbers are summarised.
        margin: What loss of accuracy must be excluded before a model becomes the champion; ``None`` requires only the
            tests.
        register: Does so in the session's registry, which numbers the version; ``None`` where nothing is tracked.
        cells: The cells, in the order of ``predictions``.
        name: The registered model's name.

    Returns:
        ``cell`` (its name), and what :func:`~genre_pipeline.tracking.model_registry.register_model` returned: nothing
        more where nothing is tracked, or its run is not there.
    """
    if not leader:
        return {}
    if register is None:
        return {"cell": leader["cell"]}
    artists = artist_keys(tracks.set_index("track_id"))
    outcomes = track_outcomes(
        predictions[[cell.name for cell in cells].index(leader["cell"])],
        genres=leader["genres"],
        artists=artists,
        average=evaluation.track_average,
    )

    def compare_with(champion: pd.DataFrame) -> Decision:
        return decide(
            *(each.set_index(["repeat", "track_id"])["right"] for each in (outcomes, champion)),
            artists=artists,
            design=leader["design"],
            test_ratio=leader["test_ratio"],
            confidence=evaluation.confidence,
            margin=margin,
        )

    mark = joint_fingerprint(leader["fingerprints"].values())
    try:
        found = register(
            name,
            fingerprint=mark,
            outcomes=outcomes,
            genres=leader["genres"],
            decide=compare_with,
            card=card,
            leaky=leader["leaky"],
        )
    except NotLoggedError as error:
        # Such as a server that is another one than when the cell was evaluated.
        logger.warning("%s is not registered. %s", leader["cell"], error)
        return {"cell": leader["cell"]}
    return {"cell": leader["cell"], **found}


@stage(version=3)
def collect_dataset(
    quality: dict[str, Any], protocols: Sequence[dict[str, Any]], extractions: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Gather the results on one dataset.

    Args:
        quality: The ingest stage's report.
        protocols: What each protocol found.
        extractions: The report of each feature's extraction.

    Returns:
        ``quality``, ``protocols`` and ``extractions``.
    """
    return {"quality": quality, "protocols": protocols, "extractions": extractions}


@stage(version=3)
def rank_cells(*summaries: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set the cells side by side.

    Args:
        *summaries: What was found on each dataset.

    Returns:
        The leaderboard, twice, for two formats.
    """
    frame = leaderboard(_results(summaries), _changes(summaries))
    return frame, frame


@stage(version=2)
def tabulate_metrics(*summaries: dict[str, Any]) -> pd.DataFrame:
    """List every metric of every cell, labelled with its unit, split and statistic.

    Args:
        *summaries: What was found on each dataset.

    Returns:
        One row per cell, split, unit and metric.
    """
    return metric_table(_results(summaries))


@stage(version=4)
def compare_settings(confidence: float, *summaries: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compare across datasets, across protocols, and with the papers.

    Args:
        confidence: Coverage of the results' intervals.
        *summaries: What was found on each dataset.

    Returns:
        Ranks over datasets (empty where there are too few), what protocols are worth, and papers against measured.
    """
    data = _report_data(confidence, summaries)
    return rank_table(data.ranking), data.gaps, data.reproduction


@stage(version=6)
def draw_comparison(confidence: float, *summaries: dict[str, Any]) -> tuple[Figure, ...]:
    """Draw the cells side by side.

    Args:
        confidence: Coverage of the results' intervals.
        *summaries: What was found on each dataset.

    Returns:
        Accuracies with their intervals, learning curves, confusion matrices, reliability diagrams, risk-coverage
        curves, ranks over datasets, quality against cost, papers against measured, what protocols are worth.
    """
    data = _report_data(confidence, summaries)
    return (
        accuracy_comparison(data.results),
        learning_curves(data.results),
        confusion_matrices(data.results),
        reliability_diagrams(data.results),
        risk_coverage(data.results),
        critical_difference_diagram(data.ranking),
        cost_comparison(data.results),
        paper_comparison(data.reproduction),
        gap_comparison(data.gaps, looks=data.looks),
    )


@stage(version=2)
def draw_stills(*figures: Figure) -> list[MatplotlibFigure]:
    """Draw the comparison's figures as still pictures.

    Args:
        *figures: The figures.

    Returns:
        Each of them twice, for two formats.
    """
    return [still for figure in figures for still in [draw_still(figure)] * 2]


@stage(version=10)
def write_report(
    title: str,
    confidence: float,
    pairs: pd.DataFrame,
    robustness: pd.DataFrame | None,
    unseen_genres: pd.DataFrame | None,
    few_labels: pd.DataFrame | None,
    explanations: list[dict[str, Any]] | None,
    folder: Annotated[Path, LOGGED],
    session: Annotated[dict[str, Any], LOGGED],
    registrations: Sequence[dict[str, Any]],
    pages: Annotated[dict[str, str] | None, LOGGED],
    summaries: Sequence[dict[str, Any]],
    mistakes: Sequence[CellMistakes],
) -> tuple[str, str]:
    """Write the report of the experiment.

    Args:
        title: The experiment's title.
        confidence: Coverage of the results' intervals.
        pairs: What the comparison of every two cells found.
        robustness: What changes of the test audio cost, if the ``robustness`` pipeline was run.
        unseen_genres: How sure models are of genres that they never saw, if the ``unseen_genres`` pipeline was run.
        few_labels: How accurate models of few labelled artists are, if the ``few_labels`` pipeline was run.
        explanations: What was seen in single tracks, if the ``explain`` pipeline was run.
        folder: Where the report will lie.
        session: The session's facts, for how to get the same report.
        registrations: How the model for use of each dataset was registered, if they are.
        pages: Addresses of the runs of cells in MLflow, by the cell's name, where they can be opened.
        summaries: What was found on each dataset.
        mistakes: The mistakes of each cell.

    Returns:
        The HTML report, and its short form in Markdown.
    """
    data = _report_data(
        confidence,
        summaries,
        pairs=pairs,
        changes=_changes(summaries),
        registrations=registrations,
        robustness=robustness,
        unseen_genres=unseen_genres,
        few_labels=few_labels,
        explanations=explanations or (),
        mistakes=mistakes,
        folder=folder,
        pages=pages or {},
        title=title,
        command=session["command"],
        created=session["created"],
        versions=session["versions"],
    )
    return build_report(data), build_markdown(data)


def _report_data(confidence: float, summaries: Sequence[dict[str, Any]], **more: Any) -> ReportData:
    return ReportData(
        results=_results(summaries),
        datasets=[each["quality"] for each in summaries],
        splits=[protocol["audit"] for each in summaries for protocol in each["protocols"]],
        confidence=confidence,
        **more,
    )


def _results(summaries: Sequence[dict[str, Any]]) -> list[CellResult]:
    return [result for each in summaries for protocol in each["protocols"] for result in protocol["results"]]


def _changes(summaries: Sequence[dict[str, Any]]) -> list[CellChange]:
    return [change for each in summaries for protocol in each["protocols"] for change in protocol["changes"]]
