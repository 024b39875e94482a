"""What changed between runs, for a terminal, as Markdown or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.document import (
    NOTHING,
    Block,
    Column,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    numeric,
    texts,
)
from genre_pipeline.reporting.wording import (
    MINUS,
    NONE,
    SHORT_HASH,
    count,
    enumerated,
    percent,
    plural,
    points,
    shortened,
)
from genre_pipeline.results.cell import number
from genre_pipeline.results.run_changes import CellChange, Change, MetricChange, SessionChange, SessionRecord

_ALARMS = {"regression": "REGRESSION", "failed": "FAILED"}
_HASHES = ("split_hash", "dataset_fingerprint", "feature_hash", "git_commit")
# [?] Longer values are cut in the middle, longer lists are counted; JSON has all of it.
_VALUE_LENGTH = 36
_CELLS_NAMED = 3
# [?] Cells that a run names at its end.
_CELLS_CONCLUDED = 8
# Verdicts in words of chance.
_CHANCE = {
    "regression": "WORSE, by more than chance",
    "improvement": "better, by more than chance",
    "no difference shown": "which may be chance",
    "no interval": "with no interval to judge it by",
}


def format_json(steps: Sequence[SessionChange], *, confidence: float) -> str:
    """Show comparisons in full.

    Args:
        steps: Pairs of runs.
        confidence: Coverage of the intervals.

    Returns:
        ``confidence``, ``runs`` and ``comparisons``: ``before`` (null for the first run of cells), ``after`` (runs'
        ids) and ``cells``, each a :class:`~genre_pipeline.results.run_changes.CellChange`.
    """
    runs = [
        {
            "run_id": run.run_id,
            "name": run.name,
            "experiment": run.experiment,
            "git_commit": run.commit,
            "started": run.started,
            "status": run.status,
            "n_cells": len(run.cells),
        }
        for run in _runs(steps)
    ]
    comparisons = [
        {
            "before": None if step.before is None else step.before.run_id,
            "after": step.after.run_id,
            "cells": list(step.cells),
        }
        for step in steps
    ]
    return json.dumps({"confidence": confidence, "runs": runs, "comparisons": comparisons}, indent=2)


def describe(steps: Sequence[SessionChange], *, confidence: float, all_metrics: bool = False) -> list[Section]:
    """Describe what changed between pairs of runs.

    Args:
        steps: Pairs of runs.
        confidence: Coverage of the intervals.
        all_metrics: Whether all test metrics are shown, and not only the one that runs are judged by.

    Returns:
        Sections for a terminal or for Markdown.
    """
    runs = _runs(steps)
    sections = [Section("", "Runs", [_runs_table(runs)])]
    numbers = {run.run_id: position for position, run in enumerate(runs, start=1)}
    for step in steps:
        after = f"Run {numbers[step.after.run_id]}"
        if step.before is None:
            names = enumerated(sorted(change["cell"] for change in step.cells))
            sections.append(Section("", f"Evaluated for the first time in {after.lower()}", [Paragraph(names)]))
            continue
        before = f"Run {numbers[step.before.run_id]}"
        title = f"What changed from {before.lower()} to {after.lower()}"
        sections.append(Section("", title, [_changes_block(step.cells)]))
        for (dataset, protocol), cells in groupby(step.cells, key=lambda change: change["cell"].split(".")[:2]):
            group = list(cells)
            tables = [_accuracy_table(group, before, after)]
            if all_metrics:
                tables.append(_metrics_table(group, before, after))
            sections.append(Section("", f"{dataset} · {protocol}", tables))
    bases = {change["metrics"][0]["basis"] for step in steps for change in step.cells if change["metrics"]}
    return [*sections, Section("", "", [Paragraph(_reading(confidence, bases))])]


def what_changed(changes: Sequence[Change]) -> str:
    """Name what is not as it was in a few words, data first.

    Example:
        >>> what_changed([{"kind": "data", "key": "split_hash", "before": "a", "after": "b"},
        ...               {"kind": "parameter", "key": "seed", "before": "0", "after": "1"}])
        'split hash and seed 0 to 1'
    """
    words = [
        change["key"].replace("_", " ")
        if change["key"] in _HASHES
        else f"{change['key']} {_value(change, 'before')} to {_value(change, 'after')}"
        for change in changes
    ]
    return shortened(words) if words else "nothing that is recorded"


def conclude(changes: Sequence[CellChange]) -> list[str]:
    """Name the cells whose accuracy changed since their run before, and whether that is more than chance.

    Args:
        changes: What became of the cells that were evaluated.

    Returns:
        A line per cell that changed, alarms and large changes first, and one that counts the others; nothing if no cell
        was evaluated.
    """
    quiet = ("unchanged", "new", "gone")
    moved = [change for change in changes if change["verdict"] not in quiet]
    moved.sort(key=lambda change: (change["verdict"] not in _ALARMS, -_size(change), change["cell"]))
    lines = [_moved(change) for change in moved[:_CELLS_CONCLUDED]]
    counts = {
        ("more cell", "changed"): len(moved) - len(lines),
        ("cell", "unchanged"): sum(change["verdict"] == "unchanged" for change in changes),
        ("cell", "evaluated for the first time"): sum(change["verdict"] == "new" for change in changes),
    }
    rest = [f"{plural(n, noun)} {what}" for (noun, what), n in counts.items() if n > 0]
    return [*lines, *([f"Since the run before: {enumerated(rest)}."] if rest else [])]


def _size(change: CellChange) -> float:
    return abs(change["metrics"][0]["difference"]) if change["metrics"] else 0.0


def _moved(change: CellChange) -> str:
    meanwhile = f" Changed meanwhile: {what_changed(change['changes'])}."
    if not change["metrics"]:
        return f"{change['cell']}: {verdict_text(change)}.{meanwhile}"
    metric = change["metrics"][0]
    low, high = number(metric["ci_low"]), number(metric["ci_high"])
    # Others may have come or gone: the difference need not be that of the two accuracies.
    on = "" if metric["n_tracks"] is None else f"on {plural(metric['n_tracks'], 'common track')} "
    known = "" if math.isnan(low) else f" ({points(low)} to {points(high)})"
    return (
        f"{change['cell']}: {percent(metric['before'])} % before, {percent(metric['after'])} % now; "
        f"{on}{points(metric['difference'])} points{known}, {_CHANCE[change['verdict']]}.{meanwhile}"
    )


def verdict_text(change: CellChange) -> str:
    """Show a verdict, in capitals where it is an alarm.

    Example:
        >>> verdict_text({"verdict": "regression", "reason": ""})
        'REGRESSION'
        >>> verdict_text({"verdict": "not comparable", "reason": "the later one is LEAKY"})
        'not comparable: the later one is LEAKY'
    """
    word = _ALARMS.get(change["verdict"], change["verdict"])
    return f"{word}: {change['reason']}" if change["reason"] else word


def metric_entries(metric: MetricChange | None) -> list[TableEntry]:
    """Show a metric before and after, the difference, its interval, and what they rest on.

    Args:
        metric: The metric; ``None`` if there is nothing to compare.
    """
    if metric is None:
        return [NOTHING] * 5
    shown, signed = (_nats, _signed_nats) if metric["metric"].endswith("log_loss") else (percent, points)
    low, high = number(metric["ci_low"]), number(metric["ci_high"])
    return [
        TableEntry(shown(metric["before"]), sort=metric["before"]),
        TableEntry(shown(metric["after"]), sort=metric["after"]),
        TableEntry(signed(metric["difference"]), sort=metric["difference"]),
        TableEntry(NONE if math.isnan(low) else f"{signed(low)} to {signed(high)}", sort=low),
        TableEntry("intervals" if metric["n_tracks"] is None else f"{count(metric['n_tracks'])} tracks"),
    ]


def _runs(steps: Sequence[SessionChange]) -> list[SessionRecord]:
    """Return each session once, with its cells of all pairs, the oldest first."""
    runs: dict[str, SessionRecord] = {}
    for run in (run for step in steps for run in (step.before, step.after) if run is not None):
        known = runs.get(run.run_id, run)
        runs[run.run_id] = replace(known, cells={**known.cells, **run.cells})
    return sorted(runs.values(), key=lambda run: run.started)


def _runs_table(runs: Sequence[SessionRecord]) -> Table:
    columns = [*texts("Run", "Id", "Name", "Began", "Experiment", "Commit", "Status"), *numeric("Cells")]
    rows: list[list[Value]] = [
        [
            *(str(position), run.run_id[:SHORT_HASH], run.name, run.started),
            *(run.experiment, _short(run.commit), run.status.lower()),
            len(run.cells),
        ]
        for position, run in enumerate(runs, start=1)
    ]
    return Table("", "", columns, rows)


def _changes_block(cells: Sequence[CellChange]) -> Block:
    """Show each change once, with the cells that it is one of."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for cell in cells:
        for change in cell["changes"]:
            found.setdefault(tuple(change.values()), []).append(cell["cell"])
    both = [cell["cell"] for cell in cells if cell["before"] and cell["after"]]
    if not both:
        return Paragraph("The two runs evaluated no cell in common: they cannot be compared.")
    if not found:
        return Paragraph(
            "Nothing that is recorded: parameters, data and code are the same in the cells that both have."
        )
    rows = []
    kinds = ("data", "parameter", "code")
    for values, names in sorted(found.items(), key=lambda item: (kinds.index(item[0][0]), item[0][1])):
        change = Change(zip(Change.__annotations__, values, strict=True))  # type: ignore[misc]
        both_values = (_value(change, "before"), _value(change, "after"))
        rows.append([change["kind"], change["key"], *both_values, _pattern(names, both)])
    return Table("", "", texts("What", "Name", "Before", "After", "Cells"), rows)


def _pattern(names: Sequence[str], known: Sequence[str]) -> str:
    """Write cells as one pattern, like those of ``experiment.exclude``, or name them."""
    columns = zip(*(name.split(".") for name in names), strict=True)
    parts = [values[0] if len(set(values)) == 1 else "*" for values in columns]
    fits = [name for name in known if all(part in {"*", own} for part, own in zip(parts, name.split("."), strict=True))]
    if sorted(fits) == sorted(names):
        return "all" if len(names) == len(known) else ".".join(parts)
    return shortened(names, _CELLS_NAMED)


def _accuracy_table(cells: Sequence[CellChange], before: str, after: str) -> Table:
    rows: list[list[Value]] = [
        [
            *_names(change),
            *metric_entries(change["metrics"][0] if change["metrics"] else None),
            TableEntry(verdict_text(change), is_alarm=change["verdict"] in _ALARMS),
        ]
        for change in cells
    ]
    columns = [*texts("Model", "Feature"), *_number_columns(before, after), *texts("Verdict")]
    return Table("", "", columns, rows)


def _metrics_table(cells: Sequence[CellChange], before: str, after: str) -> Table:
    rows: list[list[Value]] = [
        [
            *_names(change),
            metric["metric"].removeprefix("test_").replace("_", " "),
            *metric_entries(metric),
            metric["verdict"],
        ]
        for change in cells
        for metric in change["metrics"]
    ]
    columns = [*texts("Model", "Feature", "Metric"), *_number_columns(before, after), *texts("Verdict")]
    return Table("", "", columns, rows)


def _names(change: CellChange) -> tuple[str, str]:
    cell = Cell.parse(change["cell"])
    return cell.model, cell.feature


def _number_columns(before: str, after: str) -> list[Column]:
    return [*numeric(before, after, "Difference", "Interval"), *texts("On")]


def _reading(confidence: float, bases: Iterable[str]) -> str:
    judged = (
        "Test split. Runs are judged by the accuracy of tracks: in %, differences in points with their "
        f"{100 * confidence:g} % intervals.\nREGRESSION: less accurate, beyond the interval. No difference shown: none "
        "that these tracks can show; there may be one."
    )
    explained = {
        "tracks": (
            "On tracks: paired, on the test tracks that both runs have answered for, artists drawn as wholes. The "
            "accuracies are of all tracks of each run: where tracks came or went, they can differ though no answer did."
        ),
        "intervals": (
            "On intervals: made of the intervals that both runs logged, because the answers for common test tracks are "
            "not to be had; wider than need be."
        ),
    }
    return "\n".join([judged, *(sentence for basis, sentence in explained.items() if basis in bases)])


def _value(change: Mapping[str, Any], side: str) -> str:
    value = change[side]
    if value is None:
        return NONE
    if change["key"] in _HASHES:
        return _short(value)
    half = (_VALUE_LENGTH - 1) // 2
    return f"{value[:half]}…{value[-half:]}" if len(value) > _VALUE_LENGTH else str(value)


def _short(value: str) -> str:
    return value[:SHORT_HASH] + ("-dirty" if value.endswith("-dirty") else "")


def _nats(value: float) -> str:
    return f"{value:.3f}"


def _signed_nats(value: float) -> str:
    return f"{'+' if value > 0 else MINUS}{abs(value):.3f}" if value else _nats(value)
