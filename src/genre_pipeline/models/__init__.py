"""Model architectures: one file per family, one YAML block per preset."""

from genre_pipeline.models.base import (
    MODELS,
    EstimatorSpec,
    GenreNetwork,
    InputShape,
    ModelSpec,
    NetworkSpec,
    TrainingColumns,
)

__all__ = ["MODELS", "EstimatorSpec", "GenreNetwork", "InputShape", "ModelSpec", "NetworkSpec", "TrainingColumns"]
