"""Which tracks hold the same recording: equal hashes, acoustic fingerprints, published checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from genre_pipeline.audio import INSPECTION_VERSION
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.ingest.inspections import Inspections
from genre_pipeline.storage import write_json

if TYPE_CHECKING:
    from genre_pipeline.ingest.near_duplicates import NearDuplicate


def exact_copies(tracks: pd.DataFrame, listed: Callable[[], Container[str]]) -> dict[int, int]:
    """Find the tracks that have the same samples as another one, the original.

    The original is the first one in an official list, so that the list loses no track, or else the first.

    Args:
        tracks: Some rows of the track table, sorted by track id.
        listed: Returns the track ids that official lists name; called only where there are copies.

    Returns:
        Index of each copy, and of its original.
    """
    has_hash = tracks["audio_hash"] != ""
    shared = tracks[has_hash & tracks["audio_hash"].duplicated(keep=False)]
    if shared.empty:
        return {}
    named = listed()
    copies: dict[int, int] = {}
    for rows in shared.groupby("audio_hash").groups.values():
        kept = next((row for row in rows if shared["track_id"][row] in named), rows[0])
        copies.update((int(row), int(kept)) for row in rows if row != kept)
    return dict(sorted(copies.items()))


def near_copies(tracks: pd.DataFrame, inspections: Inspections) -> list[NearDuplicate]:
    """Find the pairs of tracks whose acoustic fingerprints agree, or read them if no track has changed.

    Args:
        tracks: Some rows of the track table: ``track_id``, ``path``, and the ``audio_hash`` of the whole file.
        inspections: Has the fingerprints; the pairs are stored beside its cache.

    Returns:
        The pairs.

    Raises:
        StorageError: If the pairs cannot be written.
    """
    from genre_pipeline.ingest import near_duplicates

    memory = inspections.cache.with_name(f"{inspections.cache.stem}.near_duplicates.json")
    heard = hashlib.sha256("\n".join(tracks["track_id"] + "\t" + tracks["audio_hash"]).encode()).hexdigest()
    wanted = fingerprint(
        "near_duplicates",
        near_duplicates.COPIES_VERSION,
        inspection=INSPECTION_VERSION,
        min_similarity=near_duplicates.MIN_SIMILARITY,
        min_overlap_s=near_duplicates.MIN_OVERLAP_S,
        heard=heard,
    )
    remembered = _remembered(memory)
    if remembered.get("fingerprint") == wanted:
        return [near_duplicates.NearDuplicate(**pair) for pair in remembered["pairs"]]
    track_ids = tracks["track_id"].tolist()
    pairs = near_duplicates.find_near_duplicates(track_ids, inspections.acoustic(tracks["path"].tolist()))
    write_json(memory, {"fingerprint": wanted, "pairs": [vars(pair) for pair in pairs]})
    return pairs


def _remembered(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def official_duplicates(checksums: Mapping[str, str]) -> list[list[str]]:
    """Return the groups of track ids that have one published checksum, sorted.

    Example:
        >>> official_duplicates({"b": "1f", "c": "2e", "a": "1f"})
        [['a', 'b']]
    """
    groups: dict[str, list[str]] = {}
    for track_id, checksum in sorted(checksums.items()):
        groups.setdefault(checksum, []).append(track_id)
    return sorted(group for group in groups.values() if len(group) > 1)


def recordings(track_ids: pd.Series, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Name each track's recording by the first track connected to it by pairs, directly or through others.

    Args:
        track_ids: All track ids, sorted.
        pairs: Track ids that hold the same recording.

    Returns:
        A track id for each track; its own if there is no other.

    Example:
        >>> recordings(pd.Series(["a", "b", "c", "d"]), [("d", "b"), ("b", "a")])
        ['a', 'a', 'c', 'a']
    """
    pairs = list(pairs)
    if not pairs:
        return list(track_ids)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = {track_id: row for row, track_id in enumerate(track_ids)}
    edges = np.array([(rows[one], rows[other]) for one, other in pairs], dtype=np.int64)
    graph = coo_array((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(len(rows), len(rows)))
    _, labels = connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    return list(track_ids.iloc[first[labels]])
