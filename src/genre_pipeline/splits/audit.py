"""The leak audit: everything that is on two sides of a split, whatever the protocol promises."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.splits.base import SPLITS
from genre_pipeline.splits.identities import identities, value_codes

# [?] Enough to recognise what leaks.
MAX_EXAMPLES = 5
# A shared album is a hint, not a leak: its tracks are different recordings, and its artist is compared separately.
LEAKS = ("track", "file", "audio", "recording", "artist")
_PAIRS = tuple(combinations(SPLITS, 2))

Verdict = Literal["held", "broken", "cannot be checked", "none found", "on two sides"]


def leak_audit(tracks: pd.DataFrame, labels: NDArray[np.str_]) -> dict[str, Any]:
    """Find everything that is on more than one side in the same repeat.

    Tracks, files (by a hash of their bytes), audio (by a hash of the decoded samples), recordings (near-duplicates
    count as one), artists and albums are compared; unknown values are not.

    Args:
        tracks: The tracks, see :func:`~genre_pipeline.splits.identities.identities`; a track that the split divides has
            one row per piece.
        labels: Side of each row, ``""`` where left out, shape ``(n_repeats, n_rows)``.

    Returns:
        Plain JSON types: ``overall`` (kind to the number of different values shared in any repeat), ``per_repeat``
        (for each repeat and pair of sides, kind to number) and ``examples`` (kind to up to five shared values, with
        the repeat, the sides, and one track of each).

    Example:
        >>> tracks = pd.DataFrame({"track_id": ["a", "b"], "content_hash": ["1", "2"], "audio_hash": ["3", "4"],
        ...                        "recording": ["a", "b"], "artist": "X", "album": ""})
        >>> leak_audit(tracks, np.array([["train", "test"]]))["overall"]
        {'track': 0, 'file': 0, 'audio': 0, 'recording': 0, 'artist': 1, 'album': 0}
    """
    known = identities(tracks)
    codes = {kind: value_codes(values) for kind, values in known.items()}
    shared = {kind: np.zeros(int(each.max(initial=-1)) + 1, dtype=np.bool_) for kind, each in codes.items()}
    examples: dict[str, list[dict[str, Any]]] = {kind: [] for kind in codes}
    per_repeat = []
    for repeat, row in enumerate(labels):
        members = {side: np.flatnonzero(row == side) for side in SPLITS}
        counts: dict[str, Any] = {"repeat": repeat, **{f"{one}_{other}": {} for one, other in _PAIRS}}
        for kind, each in codes.items():
            present = {side: _present(each[rows], len(shared[kind])) for side, rows in members.items()}
            for one, other in _PAIRS:
                found = present[one] & present[other]
                counts[f"{one}_{other}"][kind] = int(found.sum())
                fresh = np.flatnonzero(found & ~shared[kind])[: MAX_EXAMPLES - len(examples[kind])]
                shared[kind] |= found
                for code in fresh:
                    pair = [int(members[side][np.argmax(each[members[side]] == code)]) for side in (one, other)]
                    examples[kind].append(
                        {
                            "value": str(known[kind].iloc[pair[0]]),
                            "repeat": repeat,
                            "splits": [one, other],
                            "track_ids": [str(tracks["track_id"].iloc[member]) for member in pair],
                        }
                    )
        per_repeat.append(counts)
    overall = {kind: int(each.sum()) for kind, each in shared.items()}
    return {"overall": overall, "per_repeat": per_repeat, "examples": examples}


def verdict(report: Mapping[str, Any], kind: str) -> Verdict:
    """Judge the audit's findings of one kind.

    Unknown artists cannot be compared, so if some are unknown and nothing was found, no promise is confirmed.

    Args:
        report: The split's report, see :class:`~genre_pipeline.splits.splitting.SplitResult`.
        kind: What is compared: ``track``, ``file``, ``audio``, ``recording``, ``artist`` or ``album``.

    Returns:
        ``held`` or ``broken`` for what the protocol promises to keep apart, ``none found`` or ``on two sides`` for the
        rest, and ``cannot be checked`` for both if nothing was found and the artist of some track is unknown.

    Example:
        >>> report = {"leaks": {"overall": {"artist": 0}}, "promises": ["artist"], "unknown_artist_tracks": 3}
        >>> verdict(report, "artist")
        'cannot be checked'
    """
    promised = kind in report["promises"]
    if report["leaks"]["overall"][kind]:
        return "broken" if promised else "on two sides"
    if kind == "artist" and report["unknown_artist_tracks"]:
        return "cannot be checked"
    return "held" if promised else "none found"


def artists_unknown(report: Mapping[str, Any]) -> float:
    """Return the share of tracks with unknown artists, if readers expect artists to be kept apart.

    Readers expect this if the protocol promises it, and of every split that is not leaky.

    Args:
        report: The split's report.

    Returns:
        Share of its tracks, between 0 and 1; 0 for a split that is leaky and promises nothing about artists.
    """
    if report["leaky"] and "artist" not in report["promises"]:
        return 0.0
    return float(report["unknown_artist_tracks"] / report["n_tracks"])


def _present(codes: NDArray[np.intp], n_values: int) -> NDArray[np.bool_]:
    """Return which values occur, shape ``(n_values,)``."""
    present = np.zeros(n_values, dtype=np.bool_)
    present[codes[codes >= 0]] = True
    return present
