"""Which trained models are champions in the registry, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.reporting.document import Column, Entry, Table, escape_markdown
from genre_pipeline.reporting.sections.base import ReportData, Section


def _build(data: ReportData) -> Mapping[str, Any] | None:
    registered = _registered(data)
    if not registered:
        return None
    columns = [
        Column("Registered model"),
        Column("Version", numeric=True),
        Column("Is now"),
        Column("Champion before", numeric=True),
        Column("Why"),
    ]
    caption = "The model of each cell's first repeat. A champion serves as models:/<registered model>@champion."
    return {"table": Table(caption, columns, [_row(each) for each in registered])}


def _row(registration: Mapping[str, Any]) -> list[Entry]:
    before = registration["champion"]
    return [
        Entry(registration["model"]),
        _number(registration["version"]),
        Entry(registration["alias"], badge="" if registration["alias"] == "champion" else "CHALLENGER"),
        _number(before) if before is not None else Entry("none"),
        Entry(registration["reason"]),
    ]


def _number(version: int) -> Entry:
    return Entry(str(version), sort=float(version))


def _write_markdown(data: ReportData) -> Sequence[str]:
    registered = _registered(data)
    if not registered:
        return []
    lines = [
        f"- {escape_markdown(each['model'])}, version {each['version']}: {each['alias']}, "
        f"{escape_markdown(each['reason'])}"
        for each in registered
    ]
    return ["", "## Champions", "", *lines]


def _registered(data: ReportData) -> list[Mapping[str, Any]]:
    return [each for each in data.registrations if "version" in each]


SECTION = Section("champions", "Champions", _build, write_markdown=_write_markdown)
