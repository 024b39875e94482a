"""Embeddings that the user supplies as arrays, from any model, to compare on the same splits.

Nothing is computed from audio. A clip has one frame, so a segment is a clip, as with statistics of whole clips.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from typing_extensions import override

from genre_pipeline.errors import FeatureError
from genre_pipeline.features.analysis import Signal
from genre_pipeline.features.base import FEATURES, Bins, FeatureBlock, Features, FeatureSpec, Finish, SegmentBlock

Array = NDArray[np.floating]
_COLUMNS = ["track_id", "embedding"]


class EmbeddingsBlock(FeatureBlock):
    """Parameters of embeddings.

    Attributes:
        path: Where they are: a folder of ``<track_id>.npy``; an ``.npz`` file with an array for each track id; or a
            ``.parquet`` file with the columns ``track_id`` and ``embedding`` (a list of numbers), one row per frame. An
            array has the shape ``(n_dims,)`` or ``(n_frames, n_dims)``. Track ids are those of the dataset's track
            table, so each dataset needs its own feature.
        n_dims: Length of an embedding.
        pooling: How a clip's frames are combined: their ``mean``, or ``mean_deviation``, the mean and the standard
            deviation.
        sample_rate: Not used: nothing is computed from audio.
        hop_length: Not used.
        segment: One frame, which is the whole clip.
        dtype: Type of the stored numbers, whose range is unknown.
    """

    path: Path
    n_dims: int = Field(ge=1, le=2**17)
    pooling: Literal["mean", "mean_deviation"] = "mean"
    sample_rate: int = Field(default=22050, ge=1000, le=192_000)
    hop_length: int = Field(default=512, ge=1, le=2**20)
    segment: SegmentBlock = SegmentBlock(n_frames=1, hop_frames=1)
    dtype: Literal["float16", "float32"] = "float32"

    @property
    @override
    def user_files(self) -> tuple[Path, ...]:
        """The embeddings, which the user may replace."""
        return (self.path,)

    @model_validator(mode="after")
    def _a_segment_is_a_clip(self) -> EmbeddingsBlock:
        if self.segment != SegmentBlock(n_frames=1, hop_frames=1):
            raise ValueError("segment must be n_frames=1 and hop_frames=1, and nothing else: a clip has one embedding")
        return self

    def frames_of(self, n_samples: int) -> int:  # noqa: ARG002  # whatever the length
        """Return 1: a clip has one frame."""
        return 1

    @property
    def frame_s(self) -> float | None:
        """None: a frame is the whole clip."""
        return None

    @property
    def n_bins(self) -> int:
        """Length of the stored vector."""
        return self.n_dims * (2 if self.pooling == "mean_deviation" else 1)


def load_embeddings(block: EmbeddingsBlock) -> Callable[[str], Features]:
    """Open the embeddings.

    Args:
        block: The parameters.

    Returns:
        A function from a track's id to its feature, shape ``(block.n_bins, 1)``, which raises
        :class:`~genre_pipeline.errors.FeatureError` if the track's array is missing, has another shape, or is not
        finite.

    Raises:
        FeatureError: If there is nothing at the path, or its format is unknown.
    """
    read = _reader(block.path)

    def load(track_id: str) -> Features:
        array = read(track_id)
        if array.ndim not in {1, 2} or array.shape[-1] != block.n_dims or not array.size:
            raise FeatureError(
                f"The embedding of '{track_id}' has the shape {array.shape}; expected ({block.n_dims},) or "
                f"(n_frames, {block.n_dims}). Set n_dims to what the model gives."
            )
        frames = array.reshape(-1, block.n_dims).astype(np.float64)
        if not np.isfinite(frames).all():
            raise FeatureError(f"The embedding of '{track_id}' holds numbers that are not finite: make it again.")
        pooled = [frames.mean(axis=0)]
        if block.pooling == "mean_deviation":
            pooled.append(frames.std(axis=0))
        features: Features = np.concatenate(pooled).astype(np.float32)[:, None]
        return features

    return load


def _reader(path: Path) -> Callable[[str], Array]:
    if path.is_dir():
        return lambda track_id: _read_npy(path, track_id)
    if not path.is_file():
        raise FeatureError(
            f"There are no embeddings at {path}: expected a folder of <track_id>.npy, an .npz or a .parquet file. Make "
            "them with a model of your choice, or correct the feature's path."
        )
    try:
        arrays = _READERS[path.suffix.lower()](path)
    except KeyError:
        raise FeatureError(f"{path}: expected a folder, an .npz or a .parquet file, got '{path.suffix}'.") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise FeatureError(f"{path} cannot be read: {error}. Make it again.") from error

    def read(track_id: str) -> Array:
        if track_id not in arrays:
            raise FeatureError(f"{path} has no embedding of the track '{track_id}'.")
        return arrays[track_id]

    return read


def _read_npy(folder: Path, track_id: str) -> Array:
    path = folder / f"{track_id}.npy"
    try:
        return _numbers(np.load(path, allow_pickle=False), path)
    except FileNotFoundError:
        raise FeatureError(f"There is no embedding at {path}.") from None
    except (OSError, ValueError) as error:
        raise FeatureError(f"{path} cannot be read: {error}. Make it again.") from error


def _read_npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: _numbers(arrays[name], f"{path}: {name}") for name in arrays.files}


def _read_parquet(path: Path) -> dict[str, Array]:
    import pandas as pd

    rows = pd.read_parquet(path, columns=_COLUMNS)
    return {
        str(track_id): _numbers(np.stack([np.asarray(row) for row in frames]), f"{path}: {track_id}")
        for track_id, frames in rows.groupby("track_id", sort=False)["embedding"]
    }


def _numbers(array: NDArray[np.generic], where: object) -> Array:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{where} holds {array.dtype}, expected numbers")
    return array.astype(np.float32)


_READERS: dict[str, Callable[[Path], dict[str, Array]]] = {".npz": _read_npz, ".parquet": _read_parquet}


def _begin(_signal: Signal, block: EmbeddingsBlock) -> Finish:
    raise FeatureError(
        f"Embeddings are not computed from audio, but read from {block.path}: classify new audio with the model that "
        "made them, then with this one's classifier."
    )


FEATURES.register(
    FeatureSpec(
        name="embeddings",
        block=EmbeddingsBlock,
        n_bins=lambda block: int(block.n_bins),
        begin=_begin,
        version=1,
        load=load_embeddings,
        bins=lambda block: Bins("dimension"),  # noqa: ARG005
    )
)
