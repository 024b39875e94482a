"""The data for tuning: the training and validation segments of a repeat, and nothing of its test split."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from genre_pipeline.errors import ConfigError
from genre_pipeline.training import SegmentSet
from genre_pipeline.training.cell_data import CellData

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Development:
    """The part of a repeat for developing models, without access to test segments or their genres.

    Attributes:
        cell: Name of the cell, for messages.
        repeat: The repeat.
        genres: The genres, in the order of the targets.
        train: The segments to train on.
        validation: The segments to compare models by.
        inputs: Fingerprint of both.
        n_tested_elsewhere: Number of tracks among them on which other repeats of the protocol test.
    """

    cell: str
    repeat: int
    genres: tuple[str, ...]
    train: SegmentSet
    validation: SegmentSet
    inputs: str
    n_tested_elsewhere: int


def hold_out_test(data: CellData, repeat: int) -> Development:
    """Gather a repeat's training and validation segments, without its test split.

    The folds of a cross-validation test on each other's training tracks. A model tuned on one fold is honestly tested
    only on that fold; the number of affected tracks is counted and logged.

    Args:
        data: The cell's segments.
        repeat: The repeat.

    Raises:
        ConfigError: If the protocol has no such repeat.
    """
    if repeat not in data.repeats:
        raise ConfigError(
            f"tuning.repeat: {repeat} is not a repeat of {data.cell}; they go from 0 to {data.repeats[-1]}."
        )
    split = data.split
    seen = split.loc[(split["repeat"] == repeat) & (split["split"] != "test"), "track_id"]
    tested = split.loc[(split["repeat"] != repeat) & (split["split"] == "test"), "track_id"]
    n_tested_elsewhere = len(set(seen) & set(tested))
    if n_tested_elsewhere:
        logger.warning(
            "%s: tuned on repeat %d. %d of its training and validation tracks are test tracks of other repeats: test "
            "the result on repeat %d only, or on another dataset.",
            *(data.cell, repeat, n_tested_elsewhere, repeat),
        )
    return Development(
        cell=data.cell,
        repeat=repeat,
        genres=data.genres,
        train=data.segment_set(repeat, "train"),
        validation=data.segment_set(repeat, "validation"),
        inputs=data.fingerprint(repeat, "train", "validation", grouped=True),
        n_tested_elsewhere=n_tested_elsewhere,
    )
