"""Classifying songs with an exported ONNX file: needs neither PyTorch nor Kedro."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.audio.acoustic import SAMPLE_RATES
from genre_pipeline.audio.io import require_sound, waveform_blocks
from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.evaluation.abstention import Abstention
from genre_pipeline.evaluation.answers import FileAnswer, FileClassifier

INPUT = "waveform"
OUTPUTS = ("probabilities", "segment_probabilities")
CARD = "genre_pipeline.json"
"""Key of the model's card in the file."""

# What answers need of a card.
_KINDS: dict[str, Any] = {
    "cell": str,
    "genres": list,
    "leaky": bool,
    "sample_rate": int,
    "min_samples": int,
    "hop_s": (int, float),
    "segment_s": (int, float),
    "accuracy": (int, float, NoneType),
}

# onnxruntime's levels of its log: only what ends the process. Errors are raised anyway.
_FATAL = 4


def onnx_session(path: Path, *, n_threads: int = 1) -> Any:
    """Open an ONNX file with onnxruntime, on the processor.

    Args:
        path: The file.
        n_threads: How many threads it computes with.

    Raises:
        ConfigError: If onnxruntime is missing, or the file is not there or no ONNX file.
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
        content = path.read_bytes()
    except OSError as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise ConfigError(f"{path} {reason}. Expected an ONNX file.") from error
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's have no common class
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as an ONNX file ({reason}). Export the model again.") from error


@dataclass(frozen=True)
class ExportedModel(FileClassifier):
    """A model that ``genre-pipeline export`` wrote, run by onnxruntime.

    A recording is classified as a whole, so memory grows with its length. Pickled, it is opened again from its file.

    Attributes:
        session: The session.
        card: What is to know of the model.
        path: The file.
        fingerprint: Its SHA-256.
    """

    session: Any
    card: dict[str, Any]
    path: Path

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
        try:
            card = json.loads(text)
            _check(card, session)
            return cls(
                session,
                card,
                path,
                cell=card["cell"],
                genres=tuple(card["genres"]),
                leaky=card["leaky"],
                fingerprint=hashlib.sha256(path.read_bytes()).hexdigest(),
                abstention=_abstention(card),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{path}: its card cannot be read ({error}). Export the model again.") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self.path, self.fingerprint)

    @property
    def hop_s(self) -> float:
        """Distance between the starts of neighbouring segments, in seconds."""
        return float(self.card["hop_s"])

    @property
    def segment_s(self) -> float:
        """Length of a segment in seconds."""
        return float(self.card["segment_s"])

    def segment_probabilities(self, path: Path) -> NDArray[np.float64]:
        """Classify the segments of an audio file.

        Args:
            path: The audio file.

        Returns:
            Probabilities, shape ``(n_segments, n_genres)``.

        Raises:
            AudioError: If the file cannot be read, or is shorter than one segment.
        """
        return self._classified(path, described=False).probabilities

    def probabilities(self, path: Path) -> NDArray[np.float64]:
        """Classify an audio file: the mean over its segments, shape ``(n_genres,)``; see ``segment_probabilities``."""
        mean: NDArray[np.float64] = self.segment_probabilities(path).mean(axis=0)
        return mean

    def _classified(self, path: Path, *, described: bool) -> FileAnswer:
        del described  # the file gives no features
        rate, least = self.card["sample_rate"], self.card["min_samples"]
        waveform = np.concatenate(list(require_sound(path, waveform_blocks(path, sample_rate=rate))))
        if len(waveform) < least:
            raise AudioError(f"{path} is shorter than one segment ({least / rate:.2f} s): give a longer recording.")
        try:
            (segments,) = self.session.run([OUTPUTS[1]], {INPUT: waveform})
        except Exception as error:  # onnxruntime's have no common class
            reason = " ".join(str(error).split())
            raise AudioError(f"{path}: {self.path} fails on it ({reason}). Export the model again.") from error
        return FileAnswer(path, segments.astype(np.float64), len(waveform) / rate)


def _check(card: dict[str, Any], session: Any) -> None:
    """Check that a card is whole and of this network; an error says what is not."""
    for key, kind in _KINDS.items():
        if not isinstance(card[key], kind):
            raise TypeError(f"{key}: {card[key]!r}")
    genres, (lowest, highest) = card["genres"], SAMPLE_RATES
    if not all(isinstance(each, str) for each in genres) or len(set(genres)) != len(genres):
        raise ValueError(f"genres: {genres}")
    if not lowest <= card["sample_rate"] <= highest:
        raise ValueError(f"sample_rate: {card['sample_rate']}")
    outputs = {each.name: each.shape for each in session.get_outputs()}
    shapes = [[each.name for each in session.get_inputs()], *(outputs.get(name, [])[-1:] for name in OUTPUTS)]
    if shapes != [[INPUT], [len(genres)], [len(genres)]]:
        raise ValueError(f"its network is another one: expected {len(genres)} genres of a {INPUT}")


def _abstention(card: dict[str, Any]) -> Abstention | None:
    """Read when a model is not sure; what JSON cannot hold is null there."""
    known = card.get("abstention")
    if known is None:
        return None
    missing = {"threshold": math.inf, "error": math.nan}
    return Abstention(**{key: missing[key] if value is None else value for key, value in known.items()})


@lru_cache(maxsize=1)
def _opened_again(path: Path, mark: str) -> ExportedModel:
    model = ExportedModel.open(path)
    if model.fingerprint != mark:
        raise ConfigError(f"{path} was written again meanwhile. Run the command again.")
    return model
