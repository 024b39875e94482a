"""The segments of a cell, by repeat and side of the split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.errors import TrainingError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.stages import Reads, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training.segments import SegmentSet

# Raise this when the same inputs reach a model in another form.
CELL_DATA_VERSION = 2
_SIDES = ("train", "validation", "test")

# What a cell reads of a segment table. Of a split table it reads all.
CellSegments = Annotated[
    pd.DataFrame, Reads("segment_id", "track_id", "start_frame", "n_frames", "start_s", "duration_s")
]


@stage(version=CELL_DATA_VERSION)
@dataclass(frozen=True)
class CellData:
    """All data that a cell's repeats are trained and tested on.

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
        """Combine split, segments and features.

        A segment is on the side of its track. Where the split divides tracks, it is on the side of the piece that holds
        its centre. Tracks of the split without a segment or feature are left out and named in :attr:`left_out`.

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
    def leaky(self) -> bool:
        """Whether the split shares something between sides."""
        return bool(self.split["leaky"].iloc[0])

    @property
    def repeats(self) -> list[int]:
        """The repeats' numbers."""
        return [int(repeat) for repeat in sorted(self.split["repeat"].unique())]

    @cached_property
    def left_out(self) -> list[str]:
        """Tracks of the split that no model uses, because they are too short or could not be extracted."""
        return sorted(set(self.split["track_id"]) - set(self.segments["track_id"]))

    @cached_property
    def _targets(self) -> NDArray[np.int64]:
        codes = pd.Categorical(self.segments["genre"], categories=list(self.genres)).codes
        return codes.astype(np.int64)

    @cached_property
    def _members(self) -> dict[tuple[int, str], NDArray[np.intp]]:
        """For each repeat and side, the positions of its segments, in their order."""
        unit_of_row, unit_of_segment = _matched(self.split, self.segments)
        # The last place is for segments that are in no unit.
        n_units = int(unit_of_row.max(initial=-1)) + 1
        members = {}
        for repeat in self.repeats:
            for side in _SIDES:
                chosen = np.zeros(n_units + 1, dtype=np.bool_)
                chosen[unit_of_row[(self.split["repeat"] == repeat) & (self.split["split"] == side)]] = True
                members[repeat, side] = np.flatnonzero(chosen[unit_of_segment])
        return members

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each segment, its group of linked tracks, and its track."""
        group_of = self.split.drop_duplicates("track_id").set_index("track_id")["group"]
        tracks = pd.factorize(self.segments["track_id"])[0].astype(np.int64)
        return self.segments["track_id"].map(group_of).to_numpy(dtype=np.int64), tracks

    def rows(self, repeat: int, side: str) -> pd.DataFrame:
        """Return the segments on a side (``train``, ``validation``, ``test``) of a repeat."""
        return self.segments.take(self._members[repeat, side]).reset_index(drop=True)

    def segment_set(self, repeat: int, side: str) -> SegmentSet:
        """Return the features and targets of the segments on a side of a repeat."""
        return self.segment_source(repeat, side)()

    def segment_source(self, repeat: int, side: str) -> Callable[[], SegmentSet]:
        """Return a function that gathers the segments on a side of a repeat, also in another process."""
        members = self._members[repeat, side]
        places = self.segments[["track_id", "start_frame", "n_frames"]].take(members)
        groups = tuple(codes[members] for codes in self._groups)
        return partial(_gather, self.store, places, self._targets[members], groups)

    def fingerprint(self, repeat: int, *sides: str, grouped: bool = False) -> str:
        """Hash the content of a repeat's sides: audio, feature, segments, genres and sides.

        The hash includes whether the split is leaky, because results record it.

        Args:
            repeat: The repeat.
            *sides: The sides that count.
            grouped: Whether it counts which tracks are linked: for models that make folds of their own.

        Returns:
            The fingerprint: equal only for the same segments of the same audio.
        """
        audio = self.store.index.set_index("track_id")["audio_hash"]
        content = hashlib.sha256()
        for side in sides:
            rows = self.rows(repeat, side)
            codes, track_ids = pd.factorize(rows["track_id"])
            genres = rows["genre"].to_numpy(dtype=object)[np.unique(codes, return_index=True)[1]]
            tracks = [track_ids.tolist(), audio.loc[track_ids].tolist(), genres.tolist()]
            content.update(json.dumps([side, len(rows), tracks]).encode())
            groups = [pd.factorize(self._groups[0][self._members[repeat, side]])[0]] if grouped else []
            for column in (codes, rows["start_frame"], rows["n_frames"], *groups):
                content.update(np.asarray(column, dtype="<i8").tobytes())
        return fingerprint(
            "cell_data",
            CELL_DATA_VERSION,
            feature=self.store.spec_hash,
            genres=list(self.genres),
            leaky=self.leaky,
            rows=content.hexdigest(),
        )

    def counts(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the mean number over repeats of tracks and of segments on each side."""
        codes = pd.factorize(self.segments["track_id"])[0]
        tracks, segments = {}, {}
        for side in _SIDES:
            members = [self._members[repeat, side] for repeat in self.repeats]
            tracks[side] = float(np.mean([len(np.unique(codes[each])) for each in members]))
            segments[side] = float(np.mean([len(each) for each in members]))
        return tracks, segments

    def _check_sides(self) -> None:
        for repeat in self.repeats:
            for side in _SIDES:
                counts = np.bincount(self._targets[self._members[repeat, side]], minlength=len(self.genres))
                missing = [genre for genre, count in zip(self.genres, counts, strict=True) if not count]
                if missing:
                    raise TrainingError(
                        f"{self.cell}: no segment of '{missing[0]}' is left on the {side} side of repeat {repeat}. "
                        f"{len(self.left_out)} tracks of the split are too short or could not be extracted "
                        f"({_listed(self.left_out)}). Choose shorter segments, or a protocol with fewer folds."
                    )


def _gather(
    store: FeatureStore,
    places: pd.DataFrame,
    targets: NDArray[np.int64],
    groups: tuple[NDArray[np.int64], ...],
) -> SegmentSet:
    return SegmentSet(store.gather(places), targets, groups)


def _matched(split: pd.DataFrame, segments: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Number the units that the split assigns to sides: tracks or pieces of tracks.

    Returns:
        The unit of each row of the split, and of each segment: the one that holds its centre, -1 for none.
    """
    if "start_s" not in split:
        unit_of_row, track_ids = pd.factorize(split["track_id"])
        return unit_of_row, pd.Index(track_ids).get_indexer(segments["track_id"])
    units = split[["track_id", "start_s", "end_s"]].drop_duplicates().sort_values("start_s", kind="stable")
    units = units.assign(unit=np.arange(len(units)))
    unit_of_row = split.merge(units, on=["track_id", "start_s", "end_s"], how="left")["unit"].to_numpy(dtype=np.intp)
    centres = segments[["track_id"]].assign(centre_s=segments["start_s"] + segments["duration_s"] / 2)
    centres = centres.sort_values("centre_s", kind="stable")
    found = pd.merge_asof(centres, units, left_on="centre_s", right_on="start_s", by="track_id")
    unit_of_segment = np.empty(len(segments), dtype=np.intp)
    unit_of_segment[centres.index] = found["unit"].where(found["centre_s"] < found["end_s"], -1)
    return unit_of_row, unit_of_segment


def _listed(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
