"""The code that MLflow runs to serve a trained model (MLflow's "models from code")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class GenreModel(PythonModel):
    """Classifies audio files.

    Input: a table with the column ``path``. Output: one row per file, one column of probabilities per genre.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Open the checkpoints; earlier releases logged a single one."""
        from genre_pipeline.evaluation.prediction import GenrePredictor

        self._predictor = GenrePredictor.open(*(Path(folder) for _, folder in sorted(context.artifacts.items())))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return the genres' probabilities for each audio file.

        Args:
            context: MLflow's context; the checkpoints were opened from it.
            model_input: A table with the column ``path``.
            params: Not used.

        Returns:
            One row per file, one column per genre.

        Raises:
            AudioError: If a file cannot be classified.
        """
        del context, params
        paths = [Path(path) for path in model_input["path"]]
        return self._predictor.predict_probabilities(paths)


mlflow.models.set_model(GenreModel())
