"""Classifying songs with an exported ONNX file: needs neither PyTorch nor Kedro."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.audio.io import read_waveform
from genre_pipeline.errors import AudioError, ConfigError

INPUT = "waveform"
OUTPUTS = ("probabilities", "segment_probabilities")
CARD = "genre_pipeline.json"
"""Key of the model's card in the file."""

# onnxruntime's levels of its log: only what ends the process. Errors are raised anyway.
_FATAL = 4


def onnx_session(path: Path, *, n_threads: int = 1) -> Any:
    """Open an ONNX file with onnxruntime, on the processor.

    Args:
        path: The file.
        n_threads: How many threads it computes with.

    Raises:
        ConfigError: If onnxruntime is missing, or the file is no ONNX file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            "Running an ONNX file needs the package onnxruntime. Install it: pip install 'genre-pipeline[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
    options.log_severity_level = _FATAL
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's have no common class
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as an ONNX file ({reason}). Export the model again.") from error


@dataclass(frozen=True)
class ExportedModel:
    """A model that ``genre-pipeline export`` wrote, run by onnxruntime.

    Attributes:
        session: The session.
        card: What is to know of the model.
    """

    session: Any
    card: dict[str, Any]

    @classmethod
    def open(cls, path: Path, *, n_threads: int = 1) -> ExportedModel:
        """Open a file.

        Args:
            path: The file.
            n_threads: How many threads it computes with.

        Raises:
            ConfigError: If onnxruntime is missing, or the file is none that was exported.
        """
        session = onnx_session(path, n_threads=n_threads)
        text = session.get_modelmeta().custom_metadata_map.get(CARD)
        if text is None:
            raise ConfigError(f"{path} has no card: expected a file that 'genre-pipeline export' wrote.")
        return cls(session, json.loads(text))

    @property
    def genres(self) -> tuple[str, ...]:
        """The genres, in the order of the probabilities."""
        return tuple(self.card["genres"])

    def segment_probabilities(self, path: Path) -> NDArray[np.float32]:
        """Classify the segments of an audio file.

        Args:
            path: The audio file.

        Returns:
            Probabilities, shape ``(n_segments, n_genres)``.

        Raises:
            AudioError: If the file cannot be read, or is shorter than one segment.
        """
        waveform = read_waveform(path, sample_rate=self.card["sample_rate"])
        least = self.card["min_samples"]
        if len(waveform) < least:
            seconds = least / self.card["sample_rate"]
            raise AudioError(f"{path} is shorter than one segment ({seconds:.2f} s): give a longer recording.")
        segments: NDArray[np.float32] = self.session.run([OUTPUTS[1]], {INPUT: waveform})[0]
        return segments

    def probabilities(self, path: Path) -> NDArray[np.float32]:
        """Classify an audio file: the mean over its segments, shape ``(n_genres,)``; see ``segment_probabilities``."""
        mean: NDArray[np.float32] = self.segment_probabilities(path).mean(axis=0)
        return mean
