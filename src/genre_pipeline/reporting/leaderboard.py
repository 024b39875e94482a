"""The leaderboard as text, for a terminal and for Markdown: one table per dataset and protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.reporting.document import (
    Paragraph,
    Section,
    Span,
    Table,
    TableEntry,
    Text,
    Value,
    format_terminal,
    numeric,
    texts,
)
from genre_pipeline.reporting.wording import (
    FAILED_NOTE,
    LEAKY,
    LEAKY_NOTE,
    MISSING,
    REGRESSION_NOTE,
    SHORT_HASH,
    UNKNOWN_NOTE,
    accuracy_text,
    common,
    count,
    duration,
    failed_mark,
    interval,
    mark_suffix,
    marks_of,
    mean_and_sd,
    percent,
    regression_mark,
    row_badge,
    shortened,
)
from genre_pipeline.results.cell import part_name, unknown_share

_TITLES = ("accuracy", "interval", "balanced", "macro-F1", "segments", "parameters", "training")
# A terminal has about 100 columns.
_SHORT_TITLES = ("accuracy", "interval", "bal.", "F1", "seg.", "params", "training")


def conclude(frame: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Name the model that leads, those from which it cannot be told apart, and whether it is better than chance.

    Args:
        frame: What :func:`~genre_pipeline.evaluation.leaderboard.leaderboard` returned, or its CSV file.
        pairs: The paired comparisons of the same cells, or their CSV file.

    Returns:
        One line per dataset and protocol: what makes its numbers doubtful first.
    """
    frame = frame.assign(subset=frame["subset"].astype("string").fillna(""))
    accuracies = pairs[(pairs["unit"] == "track") & (pairs["metric"] == "accuracy")]
    return "\n".join(
        _conclusion(rows.to_dict("records"), accuracies[(accuracies[["dataset", "protocol"]] == [*key]).all(axis=1)])
        for key, rows in frame[frame["n_repeats"] > 0].groupby(["dataset", "protocol"], sort=False)
    )


def _conclusion(rows: Sequence[Mapping[Any, Any]], pairs: pd.DataFrame) -> str:
    first, *others = rows
    chance = first["chance_largest_class"]
    models = [row["model"] for row in rows]

    def name(row: Mapping[Any, Any]) -> str:
        return f"{row['model']} ({row['feature']})" if models.count(row["model"]) > 1 else str(row["model"])

    text = f"{part_name(first['dataset'], first['subset'])}, {first['protocol']}{mark_suffix([first])}: "
    accuracy = accuracy_text(*(first[f"track_accuracy_{key}"] for key in ("mean", "ci_low", "ci_high")))
    text += f"{name(first)} leads with {accuracy}. "
    is_clear = first["track_accuracy_ci_low"] > chance
    text += (
        f"{'Better than' if is_clear else 'Not shown to be better than'} always the largest genre, {percent(chance)} %."
    )
    if not others:
        return text
    beaten = [row for row in others if _is_better(first, row, pairs)]
    alike = [row for row in others if row not in beaten]
    if alike:
        text += f" Not told apart from {shortened(map(name, alike))} by paired tests."
    if beaten:
        text += f" Better than {shortened(map(name, beaten))}."
    return text


def _is_better(first: Mapping[Any, Any], other: Mapping[Any, Any], pairs: pd.DataFrame) -> bool:
    """Return whether the paired tests show the first cell to be better than another one."""
    for one, two in (("a", "b"), ("b", "a")):
        is_pair = (
            (pairs[f"model_{one}"] == first["model"])
            & (pairs[f"feature_{one}"] == first["feature"])
            & (pairs[f"model_{two}"] == other["model"])
            & (pairs[f"feature_{two}"] == other["feature"])
        )
        if (pairs.loc[is_pair, "better"] == one).any():
            return True
    return False


def format_leaderboard(frame: pd.DataFrame) -> str:
    """Show a leaderboard in a terminal, one block per dataset and protocol, about 100 columns wide.

    Names are never cut or folded: long ones make it wider.

    Args:
        frame: What :func:`~genre_pipeline.evaluation.leaderboard.leaderboard` returned, or its CSV file, which does
            not distinguish empty from missing.

    Returns:
        Plain text, with a final newline.
    """
    notes = [
        "Test split, in %; accuracy, balanced accuracy and macro-F1 of tracks, then accuracy of segments.",
        "±: standard deviation over repeats; interval: of the mean, 95 % (evaluation.confidence).",
    ]
    if frame["leaky"].any():
        notes.append(f"! LEAKY. {LEAKY_NOTE}")
    if any(map(unknown_share, frame.to_dict("records"))):
        notes.append(f"artists unknown: {UNKNOWN_NOTE}")
    if frame["n_failed"].any():
        notes.append(f"FAILED: {FAILED_NOTE}")
    if (frame["since_previous"] == "regression").any():
        notes.append(f"REGRESSION: {REGRESSION_NOTE}")
    sections = [
        Section("", _heading(dataset, protocol, rows), [_table(rows, _SHORT_TITLES, _marked)])
        for dataset, protocol, rows in _settings(frame)
    ]
    return format_terminal([*sections, Section("", "", [Paragraph("\n".join(notes))])]) + "\n"


def leaderboard_sections(frame: pd.DataFrame) -> list[Section]:
    """Describe a leaderboard for Markdown.

    Args:
        frame: What :func:`~genre_pipeline.evaluation.leaderboard.leaderboard` returned.

    Returns:
        A section per dataset and protocol.
    """
    sections = []
    for dataset, protocol, rows in _settings(frame):
        chance = common(rows["chance_largest_class"].map(percent))
        facts: Text = [
            f"{common(rows['statistic'])}; {common(rows['n_genres'])} genres; always the largest genre: {chance} %; ",
            "split ",
            Span(common(rows["split_hash"]), "code"),
            ", commit ",
            Span(common(rows["git_commit"]), "code"),
            ".",
        ]
        table = _table(rows, _TITLES, lambda row: TableEntry(row["model"], badge=row_badge(row)))
        sections.append(Section("", f"{dataset} · {protocol}", [Paragraph(facts), table]))
    return sections


def _settings(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield each dataset, with what part of it was used, each protocol, and their rows."""
    named = frame.assign(subset=frame["subset"].astype("string").fillna(""))
    for (dataset, subset, protocol), rows in named.groupby(["dataset", "subset", "protocol"], sort=True):
        yield part_name(str(dataset), str(subset)), str(protocol), rows


def _table(rows: pd.DataFrame, titles: Sequence[str], name: Callable[[Mapping[Any, Any]], Value]) -> Table:
    values: list[list[Value]] = [
        [
            name(row),
            row["feature"],
            mean_and_sd(row["track_accuracy_mean"], row["track_accuracy_sd"]),
            interval(row["track_accuracy_ci_low"], row["track_accuracy_ci_high"]),
            percent(row["track_balanced_accuracy_mean"]),
            percent(row["track_macro_f1_mean"]),
            percent(row["segment_accuracy_mean"]),
            count(row["n_parameters"]),
            duration(row["training_s"]),
        ]
        for row in rows.to_dict("records")
    ]
    return Table("", "", [*texts("model", "feature"), *numeric(*titles)], values)


def _heading(dataset: str, protocol: str, rows: pd.DataFrame) -> str:
    chance = common(rows["chance_largest_class"].dropna().map(percent)) or MISSING
    splits = common(rows["split_hash"].str[:SHORT_HASH])
    facts = f"{common(rows['statistic'])}; {common(rows['n_genres'])} genres, largest class {chance} %; split {splits}"
    unknown = [mark for mark in marks_of(rows.to_dict("records")) if mark != LEAKY]
    return f"{dataset} · {protocol}: {'; '.join([facts, *unknown])}"


def _marked(row: Mapping[Any, Any]) -> str:
    return " ".join(filter(None, (row["model"], "!" if row["leaky"] else "", failed_mark(row), regression_mark(row))))
