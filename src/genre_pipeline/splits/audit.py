"""The leak audit: what stands on two sides of a split, whatever the protocol promises."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.splits.base import SPLITS, artist_keys

# [?] Enough to see what kind of thing leaks.
MAX_EXAMPLES = 5


def leak_audit(tracks: pd.DataFrame, labels: NDArray[np.str_]) -> dict[str, Any]:
    """Find tracks, recordings, artists and albums that stand on more than one side in the same repeat.

    Unknown artists and albums, and tracks without an audio hash, are not compared. An album is one only together
    with its artist: many are called "Greatest Hits".

    Args:
        tracks: The tracks, with ``track_id``, ``audio_hash``, ``artist`` and ``album``.
        labels: Side of each track, ``""`` where left out, shape ``(n_repeats, n_tracks)``.

    Returns:
        Plain JSON types: ``overall`` (kind to the number of different values shared in any repeat), ``per_repeat``
        (for each repeat and pair of sides, kind to number) and ``examples`` (kind to up to five shared values, with
        the repeat, the sides, and one track of each).

    Example:
        >>> tracks = pd.DataFrame({"track_id": ["a", "b"], "audio_hash": ["1", "2"], "artist": "X", "album": ""})
        >>> leak_audit(tracks, np.array([["train", "test"]]))["overall"]
        {'track': 0, 'audio': 0, 'artist': 1, 'album': 0}
    """
    identities = _identities(tracks)
    ids = tracks["track_id"].to_numpy(dtype=object)
    shared: dict[str, set[str]] = {kind: set() for kind in identities}
    examples: dict[str, list[dict[str, Any]]] = {kind: [] for kind in identities}
    per_repeat = []
    for repeat, row in enumerate(labels):
        counts: dict[str, Any] = {"repeat": repeat}
        for one, other in combinations(SPLITS, 2):
            found = {kind: _shared(values, row == one, row == other) for kind, values in identities.items()}
            counts[f"{one}_{other}"] = {kind: len(values) for kind, values in found.items()}
            for kind, values in found.items():
                fresh = sorted(values - shared[kind])[: MAX_EXAMPLES - len(examples[kind])]
                shared[kind] |= values
                for value in fresh:
                    same = identities[kind] == value
                    pair = [str(ids[same & (row == side)][0]) for side in (one, other)]
                    example = {"value": value, "repeat": repeat, "splits": [one, other], "track_ids": pair}
                    examples[kind].append(example)
        per_repeat.append(counts)
    overall = {kind: len(values) for kind, values in shared.items()}
    return {"overall": overall, "per_repeat": per_repeat, "examples": examples}


def _identities(tracks: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    """Return what each track is recognised by, ``""`` where unknown."""
    artists = artist_keys(tracks).tolist()
    albums = [" ".join(album.split()).casefold() for album in tracks["album"]]
    return {
        "track": tracks["track_id"].to_numpy(dtype=object),
        "audio": tracks["audio_hash"].to_numpy(dtype=object),
        "artist": np.array(artists, dtype=object),
        "album": np.array(
            [f"{artist}: {album}" if artist and album else "" for artist, album in zip(artists, albums, strict=True)],
            dtype=object,
        ),
    }


def _shared(values: NDArray[np.object_], one: NDArray[np.bool_], other: NDArray[np.bool_]) -> set[str]:
    return (set(values[one]) & set(values[other])) - {""}
