"""The code that MLflow runs to serve a trained model (MLflow's "models from code")."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

# That of Linux: what is longer names no file.
_LONGEST_PATH = 4096


class GenreModel(PythonModel):
    """Classifies audio files.

    Input: a table with the column ``path`` (a file that the server can read) or ``audio`` (a file's bytes in base64).
    Output: one row per file with ``genre``, ``probability``, ``sure``, ``error``, and ``p_<genre>`` of each genre.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Open the checkpoints; earlier releases logged a single one."""
        from genre_pipeline.evaluation.prediction import GenrePredictor

        artifacts = dict(context.artifacts)
        thresholds = artifacts.pop("thresholds", None)
        self._thresholds = json.loads(Path(thresholds).read_bytes()) if thresholds else None
        self._predictor = GenrePredictor.open(*(Path(folder) for _, folder in sorted(artifacts.items())))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Classify audio files; a row that cannot be classified has an ``error``, and does not fail the others.

        Args:
            context: MLflow's context; the checkpoints were opened from it.
            model_input: A table with the column ``path`` or ``audio``.
            params: ``max_error``, the share of the sure answers that may be wrong.

        Returns:
            One row per file.
        """
        del context
        from genre_pipeline.evaluation.abstention import choose_threshold

        model = self._predictor
        if self._thresholds:
            model = replace(model, abstention=choose_threshold(self._thresholds, (params or {})["max_error"]))
        with tempfile.TemporaryDirectory(prefix="genre-model-") as folder:
            rows = model_input.to_dict("records")
            files = [_file(row, Path(folder) / str(number)) for number, row in enumerate(rows)]
            table = model.classify([path for path, _ in files])
            errors = [_told(error, folder, number) for number, error in enumerate(table["error"])]
        table["error"] = [fault or error for (_, fault), error in zip(files, errors, strict=True)]
        # JSON has null, and neither NaN nor NA.
        return table.drop(columns=["path", "leaky"]).astype(object).where(table.notna(), None)


def _file(row: dict[Any, Any], path: Path) -> tuple[Path, str]:
    """Return a row's audio file, and what is wrong with the row."""
    named, audio = row.get("path"), row.get("audio")
    has_name, has_audio = (isinstance(each, str) and bool(each) for each in (named, audio))
    if has_name == has_audio:
        return path, "Expected 'path', the name of a file, or 'audio', its bytes in base64: one of the two."
    if has_name and len(str(named)) > _LONGEST_PATH:
        return path, f"path: expected the name of a file, got {len(str(named)):,} characters. Bytes belong in 'audio'."
    if has_name:
        return Path(str(named)), ""
    try:
        path.write_bytes(base64.b64decode(str(audio), validate=True))
    except (ValueError, binascii.Error):
        return path, "audio: expected the bytes of an audio file in base64."
    return path, ""


def _told(error: str, folder: str, number: int) -> str:
    return error.replace(str(Path(folder) / str(number)), "audio")


mlflow.models.set_model(GenreModel())
