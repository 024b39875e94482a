"""The node that writes a split's card."""

from __future__ import annotations

from typing import Annotated, Any

from genre_pipeline.reporting.data_cards import render_html, render_markdown, split_card
from genre_pipeline.stages import Reads, stage


@stage(version=5)
def write_split_card(audit: dict[str, Any], quality: Annotated[dict[str, Any], Reads("title")]) -> tuple[str, str]:
    """Write a split's card.

    Args:
        audit: The split's audit.
        quality: The dataset's quality report, for its title.

    Returns:
        The card as HTML, and as Markdown.
    """
    card = split_card(audit, title=quality["title"])
    return render_html(card), render_markdown(card)
