"""Changes of a split since the last one: which tracks were added, removed, moved, or given another genre."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.splits.records import SplitRecord

# [?] A list of hundreds of tracks is replaced by its length.
MAX_NAMED = 20


def describe_growth(
    record: SplitRecord,
    units: pd.DataFrame,
    places: NDArray[np.intp],
    *,
    split_hash: str,
    renamed: Sequence[str],
    resplit: bool,
    place_name: Callable[[int], str],
    groups_of: Callable[[pd.DataFrame], NDArray[np.intp]],
) -> dict[str, Any] | None:
    """Describe what changed since the split in a record.

    Args:
        record: The record, under the tracks' present names.
        units: The tracks or pieces of the new split: ``key``, ``track_id``, ``genre``, and what ``groups_of`` needs.
        places: Their places, shape ``(n_deals, n_units)``.
        split_hash: The new split's hash.
        renamed: Tracks that had another name before.
        resplit: Whether all tracks were split again.
        place_name: Names a place.
        groups_of: Numbers the groups that the protocol keeps together.

    Returns:
        The report's ``growth``, see :class:`~genre_pipeline.splits.splitting.SplitResult`; the record's if the split is
        unchanged, and ``None`` if there was no split before.
    """
    if record.split_hash in {"", split_hash}:
        return record.growth
    known = record.units.reindex(units["key"])
    old_places = record.places(units["key"].tolist(), len(places))
    there = record.units["track_id"][record.units["present"]]
    present = units["track_id"].isin(there).to_numpy(dtype=bool)
    moved = (old_places >= 0) & (old_places != places)
    relabelled = (known["genre"].reset_index(drop=True).fillna(units["genre"]) != units["genre"]).to_numpy(dtype=bool)
    moves = [] if resplit or not moved.any() else _moves(units, old_places, places, moved, place_name, groups_of)
    return {
        "previous_split_hash": record.split_hash,
        "resplit": resplit,
        "n_kept": int(units["track_id"][present & ~moved.any(axis=0)].nunique()),
        "added": named(units["track_id"][~present]),
        "removed": named(set(there) - set(units["track_id"])),
        "renamed": named(renamed),
        "moved": named(units["track_id"][moved.any(axis=0)]),
        "relabelled": named(units["track_id"][relabelled]),
        "moves": moves,
    }


def _moves(
    units: pd.DataFrame,
    old_places: NDArray[np.intp],
    places: NDArray[np.intp],
    moved: NDArray[np.bool_],
    place_name: Callable[[int], str],
    groups_of: Callable[[pd.DataFrame], NDArray[np.intp]],
) -> list[dict[str, Any]]:
    """Describe where tracks moved, and which track of their group was there before."""
    groups, track_ids = groups_of(units), units["track_id"].to_numpy()
    moves = []
    for unit in np.flatnonzero(moved.any(axis=0))[:MAX_NAMED]:
        deal = int(np.argmax(moved[:, unit]))
        stayed = np.flatnonzero((groups == groups[unit]) & (old_places[deal] == places[deal, unit]))
        moves.append(
            {
                "track_id": str(track_ids[unit]),
                "repeat": deal,
                "from": place_name(int(old_places[deal, unit])),
                "to": place_name(int(places[deal, unit])),
                "with": str(track_ids[stayed[0]]) if len(stayed) else "",
            }
        )
    return moves


def named(track_ids: Collection[str] | Sequence[str] | pd.Series[str]) -> dict[str, Any]:
    """Count tracks and name the first of them.

    Example:
        >>> named({"b", "a"})
        {'n_tracks': 2, 'track_ids': ['a', 'b']}
    """
    different = sorted({str(track) for track in track_ids})
    return {"n_tracks": len(different), "track_ids": different[:MAX_NAMED]}
