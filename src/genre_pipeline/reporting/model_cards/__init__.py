"""Model cards: what every preset is, generated from the registry, the YAML and the published figures."""

from genre_pipeline.reporting.model_cards.costs import ExperimentCost, measure_cost, measure_experiment
from genre_pipeline.reporting.model_cards.pages import model_table, pages
from genre_pipeline.reporting.model_cards.papers import PAPERS
from genre_pipeline.reporting.model_cards.presets import Preset, read_presets

__all__ = [
    "PAPERS",
    "ExperimentCost",
    "Preset",
    "measure_cost",
    "measure_experiment",
    "model_table",
    "pages",
    "read_presets",
]
