"""What is remembered of a split, so that tracks stay on their side when the dataset grows."""

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


def _no_units() -> pd.DataFrame:
    return pd.DataFrame({"genre": pd.Series(dtype="string"), "present": pd.Series(dtype="bool")})


@dataclass(frozen=True)
class SplitRecord:
    """The place of every track or piece that was ever split, and how the split came to be what it is.

    Attributes:
        units: One row a unit, by its key: ``genre``, ``present`` (whether it is in the split now; one that comes back
            returns to its place) and its place in each deal, in the columns ``"0"``, ``"1"``..., -1 where it has none.
        split_hash: The split's hash; empty before the first.
        growth: The report's ``growth``, see :class:`~genre_pipeline.splits.splitting.SplitResult`; None where the split
            did not grow from another.
    """

    units: pd.DataFrame = field(default_factory=_no_units)
    split_hash: str = ""
    growth: dict[str, Any] | None = None

    def places(self, keys: Sequence[str], n_deals: int) -> NDArray[np.intp]:
        """Return each unit's place in each deal, shape ``(n_deals, n_units)``; -1 where it has none."""
        deals = [str(deal) for deal in range(n_deals)]
        known = self.units.reindex(index=list(keys), columns=deals)
        return known.fillna(-1).to_numpy(dtype=np.intp).T

    def with_split(
        self,
        keys: Sequence[str],
        genres: Sequence[str],
        places: NDArray[np.intp],
        *,
        split_hash: str,
        growth: dict[str, Any] | None,
    ) -> SplitRecord:
        """Return the record with a split written over what was known; deals that it does not have stay as they are."""
        columns: dict[str, Any] = {"genre": pd.array(list(genres), dtype="string"), "present": True}
        columns |= {str(deal): row for deal, row in enumerate(places)}
        new = pd.DataFrame(columns, index=list(keys))
        old = self.units.assign(present=False)
        units = pd.concat([new, old.loc[old.index.difference(new.index)]])
        # What the newest split knows nothing of: the further deals of a protocol that was asked for more repeats.
        further = old.columns.difference(new.columns)
        units[further] = old[further].reindex(units.index)
        deals = units.columns.difference(["genre", "present"])
        units[deals] = units[deals].fillna(-1).astype(np.int16)
        return SplitRecord(units.sort_index(), split_hash, growth)


def read_record(path: Path) -> SplitRecord:
    """Read a record; where there is none, nothing was ever split.

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
            f"{path} says on which side each track stands, and cannot be read ({error}). Put a copy of it back, or "
            "delete it to split the dataset anew: tracks may then change sides."
        ) from error


def write_record(path: Path, record: SplitRecord) -> None:
    """Write a record, whole or not at all.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    table = record.units.rename_axis("unit").reset_index()
    table.attrs[_STATE] = json.dumps({"split_hash": record.split_hash, "growth": record.growth})
    with atomic_file(path) as temporary:
        table.to_parquet(temporary, index=False)
