"""Train and honestly compare music genre classifiers.

A Kedro project: pipelines chain ingest, splitting, segmentation, feature extraction, training, evaluation and
comparison over music datasets, and every number is tracked in MLflow with its unit, split and statistic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genre_pipeline.ops.own_music import train
    from genre_pipeline.serving import load_model, predict

__all__ = ["__version__", "load_model", "predict", "train"]
__version__ = "0.1.0"

_HOMES = {"load_model": "serving", "predict": "serving", "train": "ops.own_music"}


def __getattr__(name: str) -> Any:
    """Import what the package offers when it is first used: commands must start without torch."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
