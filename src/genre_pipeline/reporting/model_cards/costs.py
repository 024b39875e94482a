"""What a preset costs with the genres of the papers' main dataset."""

from __future__ import annotations

from genre_pipeline.models import NetworkSpec
from genre_pipeline.models.costs import Cost, network_cost
from genre_pipeline.reporting.model_cards.presets import Preset

N_CLASSES = 10
"""Genres of the papers' main dataset, GTZAN, for which their parameter counts are."""


def measure_cost(preset: Preset) -> Cost | None:
    """Count what a network costs with ten genres; ``None`` for estimators, whose size depends on the data.

    Args:
        preset: The preset.
    """
    spec = preset.model.spec
    if not isinstance(spec, NetworkSpec):
        return None
    return network_cost(spec, preset.model.architecture, preset.shape, N_CLASSES)
