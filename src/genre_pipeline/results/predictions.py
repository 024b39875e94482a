"""The predictions of a model."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Predictions(NamedTuple):
    """The predictions of one repeat.

    Attributes:
        table: ``repeat, split, leaky, track_id, segment_id, genre, p_<genre>...``, one row per segment; ``leaky``, the
            same in every row, is true if the split puts something on two sides, or if the test side chose the
            model's epoch.
        inference_s: Time that the prediction took, in seconds.
        reused: Whether they were there already.
    """

    table: pd.DataFrame
    inference_s: float
    reused: bool
