"""What tracks have in common: the file, the decoded audio, the recording, the artist, the album."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.ingest.artists import is_unknown
from genre_pipeline.spelling import composed, name_key

# A split must keep tracks with these in common on one side, to measure performance on new music.
MUSIC = ("file", "audio", "recording", "artist")


def artist_keys(tracks: pd.DataFrame) -> pd.Series[str]:
    """Return a key of each track's artist that different spellings share; ``""`` if unknown.

    Two artists with similar names may differ. Treating them as one makes a split a little stricter; treating one artist
    as two makes it leak.

    Example:
        >>> artist_keys(pd.DataFrame({"artist": ["Bob  Marley", "Marley, Bob", "", "Various Artists"]})).tolist()
        ['bobmarley', 'bobmarley', '', '']
    """
    artists = tracks["artist"]
    keys = ["" if is_unknown(name) else name_key(name) for name in artists]
    return pd.Series(keys, index=artists.index, dtype="string")


def identities(tracks: pd.DataFrame) -> dict[str, pd.Series[str]]:
    """Return the identities of each track, ``""`` if unknown.

    An album is identified together with its artist: many are called "Greatest Hits".

    Args:
        tracks: The tracks, with ``track_id``, ``content_hash``, ``audio_hash``, ``recording``, ``artist``, ``album``.

    Returns:
        ``track``, ``file`` (bytes), ``audio`` (decoded samples), ``recording``, ``artist`` and ``album`` to their
        values, index as ``tracks``.
    """
    artists, albums = artist_keys(tracks), _one_spelling(tracks["album"])
    return {
        "track": tracks["track_id"],
        "file": tracks["content_hash"],
        "audio": tracks["audio_hash"],
        "recording": tracks["recording"],
        "artist": artists,
        "album": (artists + ": " + albums).where((artists != "") & (albums != ""), ""),
    }


def linked_groups(tracks: pd.DataFrame, kinds: Sequence[str] = MUSIC) -> NDArray[np.intp]:
    """Number the groups of linked tracks, linked directly or through other tracks.

    Unknown values link nothing: a track with an unknown artist and a unique recording is a group of its own.

    Args:
        tracks: The tracks, see :func:`identities`.
        kinds: Kinds of identity that link two tracks if they share one.

    Returns:
        Codes from 0, shape ``(n_tracks,)``, in order of appearance.

    Example:
        >>> tracks = pd.DataFrame({"track_id": ["a", "b", "c", "d"], "content_hash": "", "audio_hash": "", "album": "",
        ...                        "recording": ["a", "b", "b", "d"], "artist": ["X", "", "X", ""]})
        >>> linked_groups(tracks).tolist()
        [0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known = identities(tracks)
    # Tracks and values are nodes: a track is joined to each value that it has.
    nodes: list[NDArray[np.intp]] = []
    n_nodes = len(tracks)
    for kind in kinds:
        codes = value_codes(known[kind])
        nodes.append(np.where(codes < 0, np.arange(len(tracks)), n_nodes + codes))
        n_nodes += int(codes.max(initial=-1)) + 1
    rows, columns = np.tile(np.arange(len(tracks)), len(kinds)), np.concatenate(nodes)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n_nodes, n_nodes))
    _, components = connected_components(graph, directed=False)
    groups: NDArray[np.intp] = pd.factorize(components[: len(tracks)])[0]
    return groups


def value_codes(values: pd.Series[str]) -> NDArray[np.intp]:
    """Number values in order of appearance; ``""`` is -1.

    Example:
        >>> value_codes(pd.Series(["b", "", "a", "b"])).tolist()
        [0, -1, 1, 0]
    """
    codes: NDArray[np.intp] = pd.factorize(values.mask(values == ""))[0]
    return codes


def _one_spelling(names: pd.Series[str]) -> pd.Series[str]:
    spelled = [" ".join(composed(name).split()).casefold() for name in names]
    return pd.Series(spelled, index=names.index, dtype="string")
