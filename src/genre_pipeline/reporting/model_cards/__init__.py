"""Model cards: what every preset is, generated from the registry, the YAML and the published figures."""

from genre_pipeline.reporting.model_cards.costs import measure_cost
from genre_pipeline.reporting.model_cards.pages import model_table, pages
from genre_pipeline.reporting.model_cards.presets import Preset, read_presets

__all__ = ["Preset", "measure_cost", "model_table", "pages", "read_presets"]
