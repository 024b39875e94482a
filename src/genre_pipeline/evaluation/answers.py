"""Answers of a model about audio files, whatever runs the model: importing it needs neither PyTorch nor pandas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.errors import AudioError, FeatureError, StorageError
from genre_pipeline.evaluation.abstention import Abstention
from genre_pipeline.spelling import printable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FileAnswer:
    """The answer of a model about an audio file.

    Attributes:
        path: The file.
        probabilities: Of its segments, shape ``(n_segments, n_genres)``; no row where it could not be classified.
        duration_s: Its length in seconds; 0 where it could not be classified.
        error: Why it could not be classified; empty where it could.
        description: Its feature, as :class:`~genre_pipeline.evaluation.track_answers.FramesDescription` describes it,
            where that was asked for.
    """

    path: Path
    probabilities: NDArray[np.float64]
    duration_s: float = 0.0
    error: str = ""
    description: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class FileClassifier(ABC):
    """Classifies audio files: what a trained model and an exported one have in common.

    Attributes:
        cell: The cell's name.
        genres: The genres, in the order of the probabilities.
        leaky: Whether the models were trained and tested on a split that lets something stand on two sides, or the test
            side chose their epoch.
        fingerprint: Of everything that its answers depend on.
        abstention: When an answer is not sure; ``None`` if that is not known.
    """

    cell: str
    genres: tuple[str, ...]
    leaky: bool
    fingerprint: str
    abstention: Abstention | None = None

    @property
    @abstractmethod
    def hop_s(self) -> float:
        """Distance between the starts of neighbouring segments, in seconds."""

    @property
    @abstractmethod
    def segment_s(self) -> float | None:
        """Length of a segment in seconds; ``None`` if it is the whole clip."""

    @abstractmethod
    def _classified(self, path: Path, *, described: bool) -> FileAnswer:
        """Classify an audio file, or raise an error."""

    def answer(self, path: Path, *, described: bool = False) -> FileAnswer:
        """Classify an audio file, or say why that cannot be done.

        Args:
            path: The audio file.
            described: Whether to describe its feature, where the model can.
        """
        try:
            found = self._classified(path, described=described)
            require_finite(path, found.probabilities)
            return found
        except (AudioError, FeatureError, StorageError) as error:
            text = printable(str(error) if str(path) in str(error) else f"{path}: {error}")
        except UnicodeEncodeError:
            text = f"{printable(path)}: its name is not UTF-8, and libsndfile opens no other. Rename it."
        return FileAnswer(path, np.empty((0, len(self.genres))), error=text)

    def classify(self, paths: Sequence[Path]) -> pd.DataFrame:
        """Classify audio files, one after the other, and go on where one cannot be: see :meth:`tabulate`.

        Args:
            paths: The audio files.
        """
        return self.tabulate([self.answer(path) for path in paths])

    def tabulate(self, answers: Iterable[FileAnswer]) -> pd.DataFrame:
        """Return the genres of files.

        Args:
            answers: What :meth:`answer` returned.

        Returns:
            One row per file, with the keys of :meth:`row` as columns.
        """
        import pandas as pd

        columns = ["path", "genre", "probability", "sure", "error", "leaky", *(f"p_{genre}" for genre in self.genres)]
        return pd.DataFrame([self.row(each) for each in answers], columns=columns).astype({"sure": "boolean"})

    def row(self, answer: FileAnswer) -> dict[str, Any]:
        """Return the genre of a file.

        Args:
            answer: What :meth:`answer` returned.

        Returns:
            ``path``, ``genre`` (empty where it failed), ``probability`` of that genre, ``sure`` (whether that is not
            below the threshold; ``None`` where it failed, or no threshold is known), ``error`` (empty where it went
            well), ``leaky`` (the model's, the same in every row), and one probability a genre as ``p_<genre>``.
        """
        failed = bool(answer.error)
        means = np.full(len(self.genres), np.nan) if failed else answer.probabilities.mean(axis=0)
        best = float(means.max())
        return {
            "path": printable(answer.path),
            "genre": "" if failed else self.genres[int(means.argmax())],
            "probability": best,
            "sure": None if self.abstention is None or failed else best >= self.abstention.threshold,
            "error": answer.error,
            "leaky": self.leaky,
            **{f"p_{genre}": float(mean) for genre, mean in zip(self.genres, means, strict=True)},
        }

    def timeline(self, answer: FileAnswer) -> pd.DataFrame:
        """Return the genres of a file's segments.

        Args:
            answer: What :meth:`answer` returned.

        Returns:
            One row per segment, with the keys of :meth:`timeline_rows` as columns.
        """
        import pandas as pd

        return pd.DataFrame(self.timeline_rows(answer), columns=["start_s", "end_s", "genre", "probability"])

    def timeline_rows(self, answer: FileAnswer) -> list[dict[str, Any]]:
        """Return the genres of a file's segments, in order of time.

        Args:
            answer: What :meth:`answer` returned.

        Returns:
            ``start_s``, ``end_s``, ``genre`` and ``probability`` of that genre, for each segment.
        """
        length_s = answer.duration_s if self.segment_s is None else self.segment_s
        return [
            {
                "start_s": round(number * self.hop_s, 6),
                "end_s": round(number * self.hop_s + length_s, 6),
                "genre": self.genres[int(of_segment.argmax())],
                "probability": float(of_segment.max()),
            }
            for number, of_segment in enumerate(answer.probabilities)
        ]


def require_finite(path: Path, probabilities: NDArray[np.float64]) -> None:
    """Check that a model has an answer about a file.

    Args:
        path: The file.
        probabilities: What the model computed.

    Raises:
        AudioError: If a probability is NaN: samples that are far louder than full scale overflow in the feature.
    """
    if np.isnan(probabilities).any():
        raise AudioError(
            f"{path}: the model's answer is not a number. Its samples may be far louder than full scale (1). "
            "Normalise it, or leave it out."
        )
