"""The segments of a cell, by repeat and side of the split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.errors import TrainingError
from genre_pipeline.features.store import FeatureStore
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.training.segments import SegmentSet

# Raised whenever the same inputs would reach a model in another form.
_VERSION = 1


@dataclass(frozen=True)
class CellData:
    """Everything that a cell's repeats are trained and tested on.

    Attributes:
        cell: The cell's name, for messages.
        genres: The genres, in the order of the targets.
        split: The split table.
        segments: The segments of the split's tracks, with their ``genre``.
        store: The feature store.
    """

    cell: str
    genres: tuple[str, ...]
    split: pd.DataFrame
    segments: pd.DataFrame
    store: FeatureStore

    @classmethod
    def join(cls, cell: str, *, split: pd.DataFrame, segments: pd.DataFrame, store: FeatureStore) -> CellData:
        """Bring split, segments and features together.

        Tracks of the split that have no segment or no feature are left out; :attr:`left_out` names them.

        Args:
            cell: The cell's name.
            split: The split table.
            segments: The segment table.
            store: The feature store.

        Raises:
            TrainingError: If leaving out tracks empties a genre on a side of some repeat.
        """
        genre_of = split.drop_duplicates("track_id").set_index("track_id")["genre"]
        usable = segments["track_id"].isin(genre_of.index) & segments["track_id"].isin(store.index["track_id"])
        kept = segments[usable].reset_index(drop=True)
        kept["genre"] = kept["track_id"].map(genre_of)
        data = cls(cell, tuple(sorted(genre_of.unique())), split, kept, store)
        data._check_sides()
        return data

    @property
    def repeats(self) -> list[int]:
        """The repeats' numbers."""
        return [int(repeat) for repeat in sorted(self.split["repeat"].unique())]

    @property
    def left_out(self) -> list[str]:
        """Tracks of the split that no model sees, because they are too short or could not be extracted."""
        return sorted(set(self.split["track_id"]) - set(self.segments["track_id"]))

    @cached_property
    def _targets(self) -> NDArray[np.int64]:
        codes = pd.Categorical(self.segments["genre"], categories=list(self.genres)).codes
        return codes.astype(np.int64)

    def rows(self, repeat: int, side: str) -> pd.DataFrame:
        """Return the segments that stand on a side (``train``, ``validation``, ``test``) of a repeat."""
        return self.segments[self._mask(repeat, side)].reset_index(drop=True)

    def segment_set(self, repeat: int, side: str) -> SegmentSet:
        """Return the features and targets of the segments on a side of a repeat."""
        mask = self._mask(repeat, side).to_numpy()
        return SegmentSet(self.store.gather(self.segments[mask]), self._targets[mask])

    def fingerprint(self, repeat: int, *sides: str) -> str:
        """Hash what the sides of a repeat consist of: audio, feature, segments, genres and sides.

        Args:
            repeat: The repeat.
            *sides: The sides that count.

        Returns:
            The fingerprint: equal only for the same segments of the same audio.
        """
        audio = self.store.index.set_index("track_id")["audio_hash"]
        content = hashlib.sha256()
        for side in sides:
            rows = self.rows(repeat, side)
            table = rows[["track_id", "start_frame", "n_frames", "genre"]].assign(audio=rows["track_id"].map(audio))
            content.update(f"{side}\n{table.to_csv(index=False)}".encode())
        return fingerprint(
            "cell_data", _VERSION, feature=self.store.spec_hash, genres=list(self.genres), rows=content.hexdigest()
        )

    def counts(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the mean number over repeats of tracks and of segments on each side."""
        tracks, segments = {}, {}
        for side in ("train", "validation", "test"):
            rows = [self.rows(repeat, side)["track_id"] for repeat in self.repeats]
            tracks[side] = float(np.mean([each.nunique() for each in rows]))
            segments[side] = float(np.mean([len(each) for each in rows]))
        return tracks, segments

    def _mask(self, repeat: int, side: str) -> pd.Series[bool]:
        chosen = self.split[(self.split["repeat"] == repeat) & (self.split["split"] == side)]
        return self.segments["track_id"].isin(chosen["track_id"])

    def _check_sides(self) -> None:
        for repeat in self.repeats:
            for side in ("train", "validation", "test"):
                missing = set(self.genres) - set(self.rows(repeat, side)["genre"])
                if missing:
                    raise TrainingError(
                        f"{self.cell}: no segment of '{min(missing)}' is left on the {side} side of repeat {repeat}. "
                        f"{len(self.left_out)} tracks of the split are too short or could not be extracted "
                        f"({_listed(self.left_out)}). Choose shorter segments, or a protocol with fewer folds."
                    )


def _listed(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
