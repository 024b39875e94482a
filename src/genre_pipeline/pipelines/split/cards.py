"""The node that writes a split's card."""

from __future__ import annotations

from typing import Annotated, Any

from genre_pipeline.reporting.data_cards import render_html, render_markdown, split_card
from genre_pipeline.stages import Reads, stage
from genre_pipeline.tracking import current_tracker


@stage(version=4)
def write_split_card(audit: dict[str, Any], quality: Annotated[dict[str, Any], Reads("title")]) -> tuple[str, str]:
    """Write a split's card, and attach it to the session's MLflow run.

    Args:
        audit: The split's audit.
        quality: The dataset's quality report, for its title.

    Returns:
        The card as HTML, and as Markdown.
    """
    card = split_card(audit, title=quality["title"])
    html, markdown = render_html(card), render_markdown(card)
    current_tracker().log_artifacts({f"splits/{card.name}.html": html, f"splits/{card.name}.md": markdown})
    return html, markdown
