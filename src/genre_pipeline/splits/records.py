"""Records of splits, so that tracks stay on their side when the dataset grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.errors import SplitError
from genre_pipeline.storage import atomic_file

_STATE = "split_record"
_FACTS = {"track_id": "string", "audio_hash": "string", "genre": "string", "present": "bool"}


def _no_units() -> pd.DataFrame:
    return pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in _FACTS.items()})


@dataclass(frozen=True)
class SplitRecord:
    """The place of every track or piece that was ever split, and the history of the split.

    Attributes:
        units: One row per unit, by its key: ``track_id``, ``audio_hash``, ``genre``, ``present`` (whether it is in the
            split now; one that comes back returns to its place) and its place in each deal, in the columns ``"0"``,
            ``"1"`` and so on, -1 if none.
        split_hash: The split's hash; empty before the first.
        growth: The report's ``growth``, see :class:`~genre_pipeline.splits.splitting.SplitResult`; ``None`` if the
            split did not grow from another.
    """

    units: pd.DataFrame = field(default_factory=_no_units)
    split_hash: str = ""
    growth: dict[str, Any] | None = None

    def places(self, keys: Sequence[str], n_deals: int) -> NDArray[np.intp]:
        """Return each unit's place in each deal, shape ``(n_deals, n_units)``; -1 if none."""
        deals = [str(deal) for deal in range(n_deals)]
        known = self.units.reindex(index=list(keys), columns=deals)
        return known.fillna(-1).to_numpy(dtype=np.intp).T

    def following(self, tracks: pd.DataFrame) -> tuple[SplitRecord, list[str]]:
        """Recognise renamed tracks by their audio.

        Args:
            tracks: All tracks, with ``track_id`` and ``audio_hash``.

        Returns:
            The record under the new names, and those names.
        """
        known = self.units.drop_duplicates("track_id")
        gone = known[~known["track_id"].isin(tracks["track_id"]) & (known["audio_hash"] != "")]
        new = tracks[~tracks["track_id"].isin(known["track_id"])]
        # Copies are paired in the order of their names.
        old_names, new_names = (
            each[["track_id", "audio_hash"]]
            .sort_values("track_id")
            .assign(copy=lambda table: table.groupby("audio_hash").cumcount())
            for each in (gone, new)
        )
        pairs = old_names.merge(new_names, on=["audio_hash", "copy"], suffixes=("_old", "_new"))
        names = dict(zip(pairs["track_id_old"], pairs["track_id_new"], strict=True))
        if not names:
            return self, []
        old = self.units["track_id"]
        renamed = self.units.assign(track_id=old.map(names).fillna(old).astype("string"))
        # A piece's key is its track's with a suffix.
        renamed.index = pd.Index(
            [new + key[len(was) :] for key, was, new in zip(renamed.index, old, renamed["track_id"], strict=True)]
        )
        return SplitRecord(renamed, self.split_hash, self.growth), sorted(names.values())

    def with_split(
        self, units: pd.DataFrame, places: NDArray[np.intp], *, split_hash: str, growth: dict[str, Any] | None
    ) -> SplitRecord:
        """Return the record updated with a split; deals that the split lacks stay as they are.

        Args:
            units: The tracks or pieces of the split: ``key``, ``track_id``, ``audio_hash``, ``genre``.
            places: Their places, shape ``(n_deals, n_units)``.
            split_hash: The split's hash.
            growth: The report's ``growth``.
        """
        facts = units.set_index("key").assign(present=True)[list(_FACTS)]
        new = facts.assign(**{str(deal): row for deal, row in enumerate(places)})
        old = self.units.assign(present=False)
        units = pd.concat([new, old.loc[old.index.difference(new.index)]])
        # Repeats of an earlier, longer split that the new one does not have.
        further = old.columns.difference(new.columns)
        units[further] = old[further].reindex(units.index)
        deals = units.columns.difference(list(_FACTS))
        units[deals] = units[deals].fillna(-1).astype(np.int16)
        return SplitRecord(units.sort_index(), split_hash, growth)


def read_record(path: Path) -> SplitRecord:
    """Read a record; without a file it is empty.

    Raises:
        SplitError: If the file cannot be read.
    """
    if not path.exists():
        return SplitRecord()
    try:
        units = pd.read_parquet(path)
        state = json.loads(units.attrs.pop(_STATE))
        return SplitRecord(units.set_index("unit"), state["split_hash"], state["growth"])
    except (OSError, ValueError, KeyError) as error:
        raise SplitError(
            f"{path} records the side of each track, and cannot be read ({error}). Put a copy of it back, or "
            "delete it to split the dataset again: tracks may then change sides."
        ) from error


def write_record(path: Path, record: SplitRecord) -> None:
    """Write a record, completely or not at all.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    table = record.units.rename_axis("unit").reset_index()
    table.attrs[_STATE] = json.dumps({"split_hash": record.split_hash, "growth": record.growth})
    with atomic_file(path) as temporary:
        table.to_parquet(temporary, index=False)
