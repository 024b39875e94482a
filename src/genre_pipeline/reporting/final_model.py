"""The card of the model for use: what it was trained on, how good it is, what it cannot do, and how to use it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from genre_pipeline.evaluation.abstention import choose_threshold
from genre_pipeline.evaluation.leaderboard import genre_means
from genre_pipeline.reporting.document import (
    Block,
    Bullets,
    Code,
    Document,
    Facts,
    Notice,
    Paragraph,
    Section,
    Table,
    Value,
    numeric,
    texts,
)
from genre_pipeline.reporting.leaderboard import conclude
from genre_pipeline.reporting.wording import (
    LEAKY,
    LEAKY_NOTE,
    UNKNOWN_NOTE,
    interval,
    percent,
    pretrained_text,
    share_of_tests,
    split_marks,
)
from genre_pipeline.results.cell import (
    CellResult,
    cell_of,
    dataset_name,
    number,
    statistic,
    summary_row,
    threshold_rows,
)

# Error rates for which thresholds are shown [?].
ERRORS = (0.1, 0.2, 0.3)
_METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "top_2_accuracy": "Right genre among the first two",
    "ece": "Expected calibration error",
}


def final_model_card(
    result: CellResult, quality: Mapping[str, Any], board: pd.DataFrame, pairs: pd.DataFrame, *, experiment: str
) -> Document:
    """Describe the model for use.

    Args:
        result: The result of its cell, which leads on the dataset.
        quality: The dataset's quality report.
        board: The leaderboard of the dataset.
        pairs: The paired comparisons of its cells.
        experiment: The experiment's name.

    Returns:
        The card.
    """
    cell = cell_of(result)
    row = summary_row(result, unit="track", metric="accuracy")
    return Document(
        title=f"A classifier of {len(result['genres'])} genres, trained on {quality['title']}",
        name=cell.name,
        lead=f"Right about {share_of_tests(row['mean'], row, statistic(result))}.",
        notices=_notices(result),
        sections=[
            Section("about", "What it is", _about(result)),
            Section("data", "What it was trained on", _data(result, quality)),
            Section("quality", "How good it is", _quality(result, board, pairs)),
            Section("limits", "Limits", _limits(result, len(board))),
            Section("licence", "Licence", _licence(result, quality)),
            Section("use", "Use", _use(experiment)),
        ],
    )


def _notices(result: CellResult) -> list[Notice]:
    meanings = {True: LEAKY_NOTE, False: UNKNOWN_NOTE}
    return [Notice(mark, meanings[mark == LEAKY]) for mark in split_marks(result)]


def _about(result: CellResult) -> list[Block]:
    cell, n_models = cell_of(result), result["n_repeats"]
    what = "The model of one training"
    if n_models > 1:
        what = f"{n_models} models, one of each repeat of the comparison, whose probabilities are averaged"
    facts = {
        "Model": cell.model,
        "Feature": cell.feature,
        "Made of": what,
        "Genres": ", ".join(result["genres"]),
        "Reference": result["reference"],
        "Commit": result["git_commit"],
    }
    return [Facts({name: text for name, text in facts.items() if text})]


def _data(result: CellResult, quality: Mapping[str, Any]) -> list[Block]:
    tracks = result["n_tracks"]
    # An estimator has no epochs.
    is_network = result["n_parameters"] is not None
    chosen = f", its epoch chosen by {tracks['validation']:,.0f}" if is_network else ""
    genres = [f"{genre} {quality['genres'][genre]['usable']:,}" for genre in result["genres"]]
    return [
        Facts(
            {
                "Dataset": dataset_name(result),
                "Usable tracks": f"{quality['n_usable']:,}: {', '.join(genres)}",
                "Protocol": cell_of(result).protocol,
                "Each model": f"trained on {tracks['train']:,.0f} tracks{chosen}, tested on {tracks['test']:,.0f}",
                "Split": result["split_hash"],
            }
        )
    ]


def _quality(result: CellResult, board: pd.DataFrame, pairs: pd.DataFrame) -> list[Block]:
    rows: list[list[Value]] = []
    for metric, title in _METRICS.items():
        row = summary_row(result, unit="track", metric=metric)
        rows.append([title, percent(row["mean"]), interval(number(row["ci_low"]), number(row["ci_high"]))])
    means = genre_means(result)
    by_genre: list[list[Value]] = [
        [str(genre), *(percent(float(means.loc[genre, metric])) for metric in ("precision", "recall", "f1"))]
        for genre in means.index
    ]
    found = [choose_threshold(threshold_rows(result), error) for error in ERRORS]
    not_sure: list[list[Value]] = [
        [f"{100 * each.max_error:g}", percent(each.threshold if each.kept else math.nan), *map(percent, each[2:4])]
        for each in found
    ]
    same = board[board["protocol"] == cell_of(result).protocol]
    return [
        Paragraph(conclude(same[~same["leaky"] | result["leaky"]], pairs)),
        Table(
            "metrics",
            f"Test tracks, in %, {statistic(result)}.",
            [*texts("Metric"), *numeric("Mean", "Interval")],
            rows,
        ),
        Table("genres", "The same for each genre.", [*texts("Genre"), *numeric("Precision", "Recall", "F1")], by_genre),
        Table(
            "abstention",
            "What it keeps of the test tracks, and how much of that is wrong, if it is “not sure” below a probability. "
            "The validation tracks chose that, to let no more answers be wrong than is allowed. In %.",
            [*texts("Wrong answers allowed"), *numeric("Sure from", "Kept", "Wrong of these")],
            not_sure,
        ),
    ]


def _limits(result: CellResult, n_cells: int) -> list[Block]:
    limits = [
        "It knows no other genre: whatever the song, its answer is one of these, or “not sure”.",
        "It may be as sure of music of other genres as of music of these.",
        f"A song must be at least {result['segment_duration_s']:.1f} s long.",
        "It was measured on tracks of the same collection. Expect less of music of another kind.",
    ]
    if n_cells > 1:
        limits.append(
            f"It was chosen as the most accurate of {n_cells} cells on these test tracks, which flatters its numbers a "
            "little."
        )
    if result["n_repeats"] > 1:
        limits.append(
            "From which probability on it is sure was chosen for single models. Their mean gives lower "
            "probabilities: it is “not sure” more often than the table says, and wrong less often."
        )
        limits.append(
            "The numbers are of single models, each on tracks that it had not seen. Their mean is used, and no "
            "track is left to measure it on. Nested folds showed means of two kinds of models to be more accurate than "
            "single ones (docs/adr/024-final-model.md)."
        )
    if result["failures"]:
        limits.append(f"{len(result['failures'])} of its repeats could not be trained.")
    return [Bullets(limits)]


def _licence(result: CellResult, quality: Mapping[str, Any]) -> list[Block]:
    parts = "none: all weights were learned from these tracks"
    if "pretraining" in result:
        parts = f"{pretrained_text(result['pretraining'])} Licence of its weights: {result['pretraining']['licence']}."
    return [Facts({"Music": quality["licence"] or "not stated", "Pretrained parts": parts})]


def _use(experiment: str) -> list[Block]:
    return [
        Code(f"genre-pipeline predict --experiment {experiment} song.mp3"),
        Paragraph("In Python:"),
        Code(f'from genre_pipeline import load_model\n\nload_model("{experiment}").classify(["song.mp3"])'),
    ]
