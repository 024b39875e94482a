"""A trained model as an MLflow pyfunc: audio files in, genres out."""

from __future__ import annotations

import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import genre_pipeline
from genre_pipeline.experiment import PredictBlock
from genre_pipeline.logs import ServedModel

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

# The signature is stated below; an example would have to be an audio file. For the whole process, because filters that
# threads set for a while undo each other.
warnings.filterwarnings("ignore", message=".*An input example was not provided")

# What the pyfunc imports; versions are those that it was trained with.
_REQUIREMENTS = (
    "jinja2",
    "librosa",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "skops",
    "soundfile",
    "soxr",
    "torch",
)
# The share of the sure answers that may be wrong, where a request does not say: that of the parameters.
_MAX_ERROR = PredictBlock.model_fields["max_error"].default


def log_genre_model(run_id: str, model: ServedModel, *, name: str) -> ModelInfo:
    """Log the checkpoints of a cell to a run, as one model, with the code that serves it.

    The model is logged as code plus the checkpoints' folders, so that nothing is pickled.

    Args:
        run_id: The run the model belongs to.
        model: The model.
        name: The model's name.

    Returns:
        What MLflow knows of it.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    outputs = {"genre": "string", "probability": "double", "sure": "boolean", "error": "string"}
    outputs |= {f"p_{genre}": "double" for genre in model.genres}
    signature = ModelSignature(
        inputs=Schema([ColSpec("string", each, required=False) for each in ("path", "audio")]),
        outputs=Schema([ColSpec(kind, column) for column, kind in outputs.items()]),
        params=ParamSchema([ParamSpec("max_error", "double", _MAX_ERROR)]),
    )
    package = Path(genre_pipeline.__file__).parent
    with mlflow.start_run(run_id=run_id, nested=True), tempfile.TemporaryDirectory() as folder:
        # A file, because MLflow would log a configuration as parameters of the run.
        thresholds = Path(folder) / "thresholds.json"
        thresholds.write_text(json.dumps(model.thresholds), encoding="utf-8")
        checkpoints = {f"checkpoint_{number:02d}": str(each) for number, each in enumerate(model.checkpoints)}
        logged: ModelInfo = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(package / "tracking" / "pyfunc_model.py"),
            artifacts={**checkpoints, "thresholds": str(thresholds)},
            code_paths=[str(package)],
            signature=signature,
            # Without what a build adds to the number, such as +cpu: the package index has no such release.
            pip_requirements=[f"{each}=={version(each).partition('+')[0]}" for each in _REQUIREMENTS],
        )
    return logged
