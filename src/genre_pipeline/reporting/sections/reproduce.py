"""How to get the same numbers."""

from __future__ import annotations

from genre_pipeline.reporting.document import Code, Facts, Section
from genre_pipeline.reporting.sections.base import ReportData


def section(data: ReportData) -> Section:
    """Show the command, and the versions of what computed."""
    return Section("reproduce", "Reproduce", [Code(data.command), Facts(dict(sorted(data.versions.items())))])
