"""How long tracks are: few classes with round limits, whatever the collection."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd

# [?] As many bars as are taken in at a glance.
_MAX_CLASSES = 12
# Round widths, in milliseconds [?]: a tenth of a second to an hour.
_WIDTHS_MS = (100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 3_600_000)
# [?] A few tracks far longer than all others share the last class.
_TAIL = 0.99


def duration_classes(durations_s: pd.Series[float]) -> dict[str, int]:
    """Count tracks by length.

    Args:
        durations_s: Lengths in seconds.

    Returns:
        Class, in words, to number of tracks; in order, classes without tracks included.

    Example:
        >>> duration_classes(pd.Series([29.93, 30.01, 30.02, 30.13]))
        {'29.9 to 30 s': 1, '30 to 30.1 s': 2, '30.1 to 30.2 s': 1}
    """
    if durations_s.empty:
        return {}
    lengths_ms = np.rint(np.sort(durations_s.to_numpy(dtype=np.float64)) * 1000).astype(np.int64)
    shortest, long = int(lengths_ms[0]), int(lengths_ms[math.ceil(_TAIL * (len(lengths_ms) - 1))])
    width = next((each for each in _WIDTHS_MS if long // each - shortest // each < _MAX_CLASSES), _WIDTHS_MS[-1])
    first = shortest // width
    places = np.minimum(lengths_ms // width - first, _MAX_CLASSES)
    counts = np.bincount(places)
    unit_ms, unit = (60_000, "min") if width >= 60_000 else (1000, "s")
    limits = [f"{(first + place) * width / unit_ms:g}" for place in range(_MAX_CLASSES + 1)]
    labels = [f"{start} to {end} {unit}" for start, end in pairwise(limits)]
    return dict(zip([*labels, f"{limits[-1]} {unit} or longer"], counts.tolist(), strict=False))
