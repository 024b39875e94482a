"""The HTML report that a person opens from disk, and its short Markdown sister for code review.

What they say is in :mod:`genre_pipeline.reporting.sections`, one module a section.
"""

from __future__ import annotations

import pandas as pd

from genre_pipeline.reporting.changes_text import verdict_text, what_changed
from genre_pipeline.reporting.document import escape_markdown
from genre_pipeline.reporting.sections import SECTIONS, ReportData
from genre_pipeline.reporting.sections.base import full_name
from genre_pipeline.reporting.wording import (
    FAILED_NOTE,
    LEAKY,
    LEAKY_NOTE,
    REGRESSION_NOTE,
    UNKNOWN_NOTE,
    enumerated,
    plural,
    split_marks,
)
from genre_pipeline.results import cell_of, dataset_name, regressions

_REMEDY = "For your own music, name the artists in metadata.csv (columns path and artist)."


def build_report(data: ReportData) -> str:
    """Write the report as one HTML page that needs no network.

    Args:
        data: What it is made from.

    Returns:
        The page. Everything that comes from data is escaped, and a content security policy forbids all loading. It
        links to the cards of datasets and splits, in ``data_cards/`` and ``splits/`` beside it.

    Raises:
        EvaluationError: If there is no result, or one of them is incomplete.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("genre_pipeline.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    views = [(section, section.build(data)) for section in SECTIONS]
    return environment.get_template("report.html").render(
        title=data.title,
        created=data.created,
        scope=_scope(data.frame),
        n_cells=plural(len(data.frame), "cell"),
        leaky=[full_name(result) for result in data.results if result["leaky"]],
        leaky_note=LEAKY_NOTE,
        unknown=_unknown(data),
        unknown_note=f"{UNKNOWN_NOTE} {_REMEDY}",
        failures=data.failures,
        regressions=_regressions(data),
        regression_note=REGRESSION_NOTE,
        sections=[(section, view) for section, view in views if view is not None],
        plotly_js=get_plotlyjs(),
    )


def build_markdown(data: ReportData) -> str:
    """Write what matters most as Markdown, short enough for a code review.

    Args:
        data: What it is made from.

    Returns:
        A heading, a line on how to read it, and the sections that have a short form.

    Raises:
        EvaluationError: If there is no result, or one of them is incomplete.
    """
    reading = (
        "All metrics are of the test split, in %, as mean ± sd over repeats; accuracy, balanced accuracy and macro-F1 "
        "are of tracks."
    )
    lines = ["# Leaderboard", "", f"{_scope(data.frame)} {reading}"]
    if data.frame["leaky"].any():
        lines += ["", f"**LEAKY. {LEAKY_NOTE}**"]
    if unknown := _unknown(data):
        marked = [f"- **{mark}** {escape_markdown(setting)}" for setting, mark in unknown]
        lines += ["", f"**Artists unknown. {UNKNOWN_NOTE}** {_REMEDY}", "", *marked]
    if data.failures:
        lines += ["", f"**FAILED: {FAILED_NOTE}**", "", *(f"- {escape_markdown(each)}" for each in data.failures)]
    if worse := _regressions(data):
        lines += ["", f"**REGRESSION: {REGRESSION_NOTE}**", "", *(f"- {escape_markdown(each)}" for each in worse)]
    for section in SECTIONS:
        if section.write_markdown is not None:
            lines += section.write_markdown(data)
    return "\n".join([*lines, ""])


def _unknown(data: ReportData) -> list[tuple[str, str]]:
    """Return the datasets and protocols with tracks of unknown artist, each with its mark."""
    found = [
        (f"{dataset_name(result)} · {cell_of(result).protocol}", mark)
        for result in data.results
        for mark in split_marks(result)
        if mark != LEAKY
    ]
    return list(dict.fromkeys(found))


def _regressions(data: ReportData) -> list[str]:
    """Name the cells that became worse, and what changed."""
    return [
        f"{change['cell']}: {verdict_text(change)}; changed: {what_changed(change['changes'])}"
        for change in regressions(data.changes)
    ]


def _scope(frame: pd.DataFrame) -> str:
    numbers = [(frame[column].nunique(), column) for column in ("model", "feature", "dataset", "protocol")]
    return f"{plural(len(frame), 'cell')}: {enumerated(plural(n, noun) for n, noun in numbers)}."
