"""Model architectures: one file a family, one YAML block a preset."""

from genre_pipeline.models.base import (
    MODELS,
    EstimatorSpec,
    GenreNetwork,
    InputShape,
    ModelSpec,
    NetworkSpec,
)

__all__ = ["MODELS", "EstimatorSpec", "GenreNetwork", "InputShape", "ModelSpec", "NetworkSpec"]
