"""Which trained models are champions in the registry, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genre_pipeline.reporting.document import Bullets, Paragraph, Section, Table, TableEntry, Value, numeric, texts
from genre_pipeline.reporting.sections.base import ReportData


def section(data: ReportData) -> Section | None:
    """List the registered models; nothing where none was."""
    registered = _registered(data)
    if not registered:
        return None
    reading = (
        "A model that was trained anew becomes the champion if the paired tests do not show it to be worse than the "
        "present one, on tracks that both were tested with and neither has trained on."
    )
    columns = [
        *texts("Registered model"),
        *numeric("Version"),
        *texts("Is now"),
        *numeric("Champion before"),
        *texts("Why"),
    ]
    caption = (
        "The model of a dataset's leading cell, the mean of its repeats' models. A champion serves as "
        "models:/<registered model>@champion."
    )
    table = Table("champions-table", caption, columns, [_row(each) for each in registered])
    return Section("champions", "Champions", [Paragraph(reading), table])


def brief(data: ReportData) -> list[Section]:
    """List the registered models in a line each."""
    lines = [
        f"{each['model']}, version {each['version']}: {each['alias']}, {each['reason']}" for each in _registered(data)
    ]
    return [Section("", "Champions", [Bullets(lines)])] if lines else []


def _row(registration: Mapping[str, Any]) -> list[Value]:
    before = registration["champion"]
    return [
        registration["model"],
        _number(registration["version"]),
        TableEntry(registration["alias"], badge="" if registration["alias"] == "champion" else "CHALLENGER"),
        "none" if before is None else _number(before),
        registration["reason"],
    ]


def _number(version: int) -> TableEntry:
    return TableEntry(str(version), sort=float(version))


def _registered(data: ReportData) -> list[Mapping[str, Any]]:
    return [each for each in data.registrations if "version" in each]
