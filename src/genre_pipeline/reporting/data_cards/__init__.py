"""Cards for people who never saw the data: what a dataset holds and what is wrong with it, how a split divides it."""

from genre_pipeline.reporting.data_cards.dataset_card import dataset_card
from genre_pipeline.reporting.data_cards.spectrograms import spectrogram_examples
from genre_pipeline.reporting.data_cards.split_card import split_card
from genre_pipeline.reporting.document import Document, render_html, render_markdown

__all__ = ["Document", "dataset_card", "render_html", "render_markdown", "spectrogram_examples", "split_card"]
