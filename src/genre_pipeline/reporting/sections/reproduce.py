"""How to get the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genre_pipeline.reporting.sections.base import ReportData, Section


def _build(data: ReportData) -> Mapping[str, Any]:
    return {"command": data.command, "versions": dict(sorted(data.versions.items()))}


SECTION = Section("reproduce", "Reproduce", _build)
