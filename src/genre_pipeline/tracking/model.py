"""A trained model as an MLflow pyfunc: audio paths in, genre probabilities out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import genre_pipeline

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

# What the pyfunc imports; versions are left to the environment that serves it, which must only read our files.
# The signature is stated below; an example would have to be an audio file. For the whole process, because filters that
# threads set for a while undo each other.
warnings.filterwarnings("ignore", message=".*An input example was not provided")

_REQUIREMENTS = (
    "jinja2",
    "librosa>=0.11,<2",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic>=2",
    "rich",
    "safetensors",
    "scikit-learn",
    "skops",
    "soundfile",
    "soxr",
    "torch>=2.6,<2.14",
)


def log_genre_model(run_id: str, checkpoints: Sequence[Path], genres: Sequence[str], *, name: str) -> ModelInfo:
    """Log the checkpoints of a cell to a run, as one model, with the code that serves it.

    The model is logged as code plus the checkpoints' folders, so that nothing is pickled.

    Args:
        run_id: The run the model belongs to.
        checkpoints: The folder of each repeat's checkpoint.
        genres: The genres, in the order of the model's outputs.
        name: The model's name.

    Returns:
        What MLflow knows of it.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        inputs=Schema([ColSpec("string", "path")]),
        outputs=Schema([ColSpec("double", genre) for genre in genres]),
    )
    package = Path(genre_pipeline.__file__).parent
    with mlflow.start_run(run_id=run_id, nested=True):
        model: ModelInfo = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(package / "tracking" / "pyfunc_model.py"),
            artifacts={f"checkpoint_{number:02d}": str(each) for number, each in enumerate(checkpoints)},
            code_paths=[str(package)],
            signature=signature,
            pip_requirements=list(_REQUIREMENTS),
        )
    return model
