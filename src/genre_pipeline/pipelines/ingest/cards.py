"""The node that writes a dataset's card."""

from __future__ import annotations

from typing import Any

import pandas as pd

from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.reporting.data_cards import dataset_card, render_html, render_markdown, spectrogram_examples
from genre_pipeline.stages import stage


@stage(version=4)
def write_dataset_card(tracks: pd.DataFrame, quality: dict[str, Any], dataset: DatasetBlock) -> tuple[str, str]:
    """Write a dataset's card.

    Args:
        tracks: The track table.
        quality: The quality report.
        dataset: The dataset's parameters.

    Returns:
        The card as HTML, and as Markdown.
    """
    examples = spectrogram_examples(tracks, dataset.root)
    card = dataset_card(quality, tracks, examples)
    return render_html(card), render_markdown(card)
