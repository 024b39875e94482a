"""Splitting a dataset under a protocol: quarantine, the protocol's rule, the checks, and the report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.errors import SplitError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.splits.audit import leak_audit
from genre_pipeline.splits.base import SPLITS, Assignment, ProtocolBlock, ProtocolSpec, SplitContext, artist_keys

# Raised whenever a protocol's splits change for the same tracks and parameters.
_VERSION = 1
# [?] A list that names hundreds of absent tracks is told by the number.
_MAX_NAMED = 20

_BROKEN = {
    "track": "The track table names a track twice; every track_id must be there once.",
    "audio": (
        "The same audio is there under different tracks. Quarantine duplicates (add 'duplicate_file' and "
        "'duplicate_audio' to the dataset's 'quarantine') so that one of each remains."
    ),
    "artist": "This is a fault of the protocol's rule, not of the data.",
}


@dataclass(frozen=True)
class SplitResult:
    """A split and what is known of it.

    Attributes:
        table: One row per repeat and track, sorted by both: ``repeat``, ``track_id``, ``genre``, ``split``.
        report: Plain JSON types: ``dataset``, ``protocol`` (its name), ``kind``, ``parameters``, ``design``,
            ``promises``, ``leaky`` (by design, or because the audit found shared tracks, audio or artists), ``genres``,
            ``n_tracks``, ``n_repeats``, ``split_hash``, ``counts`` (per repeat: split to genre to tracks),
            ``stratification_imbalance`` (the largest absolute difference, over repeats and genres, of a genre's
            proportion in the test split and in all), ``leaks`` (see :func:`~genre_pipeline.splits.audit.leak_audit`),
            ``unknown_artist_tracks``, ``left_out`` (``quarantined`` and ``not_listed``, numbers) and
            ``listed_not_present`` (``n_tracks`` and up to 20 ``track_ids``).
    """

    table: pd.DataFrame
    report: dict[str, Any]


def split_tracks(
    tracks: pd.DataFrame,
    spec: ProtocolSpec,
    block: ProtocolBlock,
    *,
    dataset: str,
    official: Mapping[str, Mapping[str, str]],
    protocol: str | None = None,
) -> SplitResult:
    """Split tracks under a protocol, and check what it promises.

    The result does not depend on the order of the rows, and is the same for the same seed.

    Args:
        tracks: The track table, see :data:`~genre_pipeline.datasets.base.TRACK_COLUMNS`. Quarantined tracks are left
            out of every split.
        spec: The protocol.
        block: The protocol's parameters, of the class ``spec.block``.
        dataset: The dataset's name, part of the split's hash.
        official: The dataset's official splits; may be empty for protocols that make their own.
        protocol: The protocol's name in the YAML, for messages and the report; by default its kind.

    Returns:
        The split table and its report.

    Raises:
        SplitError: If there are fewer than two genres, a genre has too few tracks or artists, a genre is missing from
            a side of a repeat, a promise of the protocol is broken, or the protocol cannot be carried out.
    """
    context = SplitContext(dataset=dataset, protocol=protocol or spec.name, official=official)
    ordered = tracks.sort_values("track_id", kind="stable", ignore_index=True)
    usable = ordered[~ordered["quarantined"]].reset_index(drop=True)
    _check_genres(ordered, usable, context)
    assignment = spec.split(usable, block, context)
    table = _table(usable, assignment.labels)
    genres = sorted(ordered["genre"].unique())
    counts = _counts(table, genres)
    _check_sides(counts, usable, assignment, context)
    leaks = leak_audit(usable, assignment.labels)
    _check_promises(leaks, spec, context)
    included = usable[(assignment.labels != "").any(axis=0)]
    absent = sorted(assignment.listed - set(ordered["track_id"]))
    report = {
        "dataset": dataset,
        "protocol": context.protocol,
        "kind": spec.name,
        "parameters": block.dump(),
        "design": spec.design,
        "promises": sorted(spec.promises),
        "leaky": spec.leaky or any(leaks["overall"][kind] for kind in ("track", "audio", "artist")),
        "genres": genres,
        "n_tracks": len(included),
        "n_repeats": len(assignment.labels),
        "split_hash": _split_hash(table, genres, dataset),
        "counts": counts,
        "stratification_imbalance": _imbalance(counts),
        "leaks": leaks,
        "unknown_artist_tracks": int((artist_keys(included) == "").sum()),
        "left_out": {"quarantined": len(ordered) - len(usable), "not_listed": len(usable) - len(included)},
        "listed_not_present": {"n_tracks": len(absent), "track_ids": absent[:_MAX_NAMED]},
    }
    return SplitResult(table, report)


def _check_genres(tracks: pd.DataFrame, usable: pd.DataFrame, context: SplitContext) -> None:
    genres = sorted(tracks["genre"].unique())
    if len(genres) < 2:
        found = f"one, '{genres[0]}'" if genres else "none"
        raise SplitError(
            f"The dataset '{context.dataset}' must have at least two genres to tell apart, but has {found}. "
            "Add music of another genre, or widen the dataset's 'genres'."
        )
    lost = sorted(set(genres) - set(usable["genre"]))
    if lost:
        raise SplitError(
            f"Every track of {_listed(lost)} in the dataset '{context.dataset}' is quarantined. Repair the files that "
            "the ingest report names, leave the genre out (the dataset's 'genres'), or shorten its 'quarantine'."
        )


def _table(tracks: pd.DataFrame, labels: NDArray[np.str_]) -> pd.DataFrame:
    n_repeats, n_tracks = labels.shape
    table = pd.DataFrame(
        {
            "repeat": np.repeat(np.arange(n_repeats, dtype=np.int64), n_tracks),
            "track_id": np.tile(tracks["track_id"].to_numpy(dtype=object), n_repeats),
            "genre": np.tile(tracks["genre"].to_numpy(dtype=object), n_repeats),
            "split": labels.ravel().astype(object),
        }
    ).astype({"track_id": "string", "genre": "string", "split": "string"})
    return table[table["split"] != ""].reset_index(drop=True)


def _counts(table: pd.DataFrame, genres: list[str]) -> list[dict[str, dict[str, int]]]:
    """Return, for each repeat, split to genre to the number of tracks."""
    sizes = table.groupby(["repeat", "split", "genre"]).size().to_dict()
    return [
        {split: {genre: int(sizes.get((repeat, split, genre), 0)) for genre in genres} for split in SPLITS}
        for repeat in range(int(table["repeat"].max()) + 1 if len(table) else 1)
    ]


def _check_sides(
    counts: list[dict[str, dict[str, int]]], tracks: pd.DataFrame, assignment: Assignment, context: SplitContext
) -> None:
    missing = [
        (repeat, split, genre)
        for repeat, splits in enumerate(counts)
        for split, genres in splits.items()
        for genre, n_tracks in genres.items()
        if n_tracks == 0
    ]
    if not missing:
        return
    repeat, split, genre = missing[0]
    same = tracks[tracks["genre"] == genre]
    n_artists = len(set(artist_keys(same)) - {""})
    others = f" (and {len(missing) - 1} more such gaps)" if len(missing) > 1 else ""
    remedy = (
        "use a list that has every genre in each part"
        if assignment.listed
        else f"try another protocols.{context.protocol}.seed, or fewer folds"
    )
    raise SplitError(
        f"protocols.{context.protocol}: the genre '{genre}' is missing from the {split} split of repeat {repeat}"
        f"{others}. The dataset '{context.dataset}' has {len(same)} tracks of it (known artists: {n_artists}). Add "
        f"music of that genre, leave it out (the dataset's 'genres'), or {remedy}."
    )


def _check_promises(leaks: dict[str, Any], spec: ProtocolSpec, context: SplitContext) -> None:
    for promise, remedy in _BROKEN.items():
        if promise in spec.promises and leaks["overall"][promise]:
            first = leaks["examples"][promise][0]
            one, other = first["track_ids"]
            raise SplitError(
                f"protocols.{context.protocol} promises that no {promise} stands on two sides of a split, but "
                f"{leaks['overall'][promise]} do in the dataset '{context.dataset}'; in repeat {first['repeat']} "
                f"'{one}' is in {first['splits'][0]} and '{other}' in {first['splits'][1]}. {remedy}"
            )


def _imbalance(counts: list[dict[str, dict[str, int]]]) -> float:
    numbers = np.array([[list(splits[split].values()) for split in SPLITS] for splits in counts], dtype=np.float64)
    test, everything = numbers[:, SPLITS.index("test")], numbers.sum(axis=1)
    proportions = test / test.sum(axis=1, keepdims=True) - everything / everything.sum(axis=1, keepdims=True)
    return float(np.abs(proportions).max())


def _split_hash(table: pd.DataFrame, genres: list[str], dataset: str) -> str:
    rows = "\n".join("\t".join(map(str, row)) for row in table.itertuples(index=False))
    content = hashlib.sha256(rows.encode()).hexdigest()
    return fingerprint("split", _VERSION, dataset=dataset, genres=genres, table=content)


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
