"""Split a dataset under a protocol: quarantine, the protocol's rule, the checks, and the report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import SplitError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.splits.audit import LEAKS, artists_unknown, leak_audit, verdict
from genre_pipeline.splits.base import SPLITS, Assignment, ProtocolBlock, ProtocolSpec, SplitContext, piece_keys
from genre_pipeline.splits.growth import describe_growth, named
from genre_pipeline.splits.identities import artist_keys, linked_groups
from genre_pipeline.splits.records import SplitRecord
from genre_pipeline.stages import stage

logger = logging.getLogger(__name__)

# Raise it when a protocol's splits change for the same tracks and parameters.
SPLITS_VERSION = 2

_COPIES = (
    "Quarantine duplicates (add 'duplicate_file' and 'duplicate_audio' to the dataset's 'quarantine') so that one of "
    "each remains."
)
_NEAR_COPIES = "Add 'near_duplicate' to the dataset's 'quarantine' so that one of each remains."
_BROKEN = {
    "track": "Name every track once, and give it one side.",
    "file": f"The same file is there under different tracks. {_COPIES}",
    "audio": f"The same audio is there under different tracks. {_COPIES}",
    "recording": f"The same recording is there under different tracks. {_NEAR_COPIES}",
    "artist": "Keep artists together with the protocol kind 'artist_kfold', or correct the list or the artists' names.",
}


@dataclass(frozen=True)
class SplitResult:
    """A split and its report.

    Attributes:
        table: One row per repeat and track, sorted by both: ``repeat``, ``track_id``, ``genre``, ``split``, ``leaky``
            (the same in every row, as in the report). If a protocol divides tracks, one row per repeat and piece, with
            ``start_s`` and ``end_s`` after ``track_id``. Its ``attrs``, which Parquet keeps, are the report's
            ``dataset``, ``subset``, ``protocol``, ``split_hash`` and ``leaky``.
        report: Plain JSON types: ``dataset``, ``subset`` (the part of the dataset, empty for all of it), ``protocol``
            (its name), ``split_hash``, ``leaky`` (by design, or because the audit found shared tracks, files, audio,
            recordings or artists), ``kind``, ``parameters``, ``design``, ``promises``, ``genres``, ``unit`` (``track``
            or ``piece``), ``n_tracks``, ``n_units``, ``n_repeats``, ``counts`` (per repeat: split to genre to units),
            ``stratification_imbalance`` (for each split, the largest absolute difference, over repeats and genres, of a
            genre's proportion there and in all), ``leaks`` (see :func:`~genre_pipeline.splits.audit.leak_audit`),
            ``unknown_artist_tracks``, ``verdicts`` (kind of thing compared to
            :data:`~genre_pipeline.splits.audit.Verdict`), ``artists_unknown`` (see
            :func:`~genre_pipeline.splits.audit.artists_unknown`), ``left_out`` (``quarantined`` and ``not_listed``,
            numbers), ``listed_not_present`` and ``listed_quarantined`` (``n_tracks`` and up to 20 ``track_ids`` that a
            list names and no split has), ``growth`` (None for a first split; else ``previous_split_hash``, ``resplit``
            (whether all tracks were split again), ``n_kept``, the tracks ``added``, ``removed``, ``renamed`` (new names
            of the same audio), ``moved`` and ``relabelled`` (of another genre), in the same form, and ``moves``: up to
            20 of those moved, with ``track_id``, ``repeat``, ``from``, ``to`` and ``with``, the track of their group
            that was there before).
        record: The record for the next split.
    """

    table: pd.DataFrame
    report: dict[str, Any]
    record: SplitRecord


@stage(version=SPLITS_VERSION)
def split_tracks(
    tracks: pd.DataFrame,
    spec: ProtocolSpec,
    block: ProtocolBlock,
    *,
    dataset: str,
    official: Mapping[str, Mapping[str, str]],
    protocol: str | None = None,
    subset: str = "",
    record: SplitRecord | None = None,
) -> SplitResult:
    """Split tracks under a protocol, and check its promises.

    The result does not depend on the order of the rows or on the machine, and is the same for the same seed and
    record.

    Args:
        tracks: The track table, see :data:`~genre_pipeline.datasets.base.TRACK_COLUMNS`. Quarantined tracks are left
            out of every split.
        spec: The protocol.
        block: The protocol's parameters, of the class ``spec.block``.
        dataset: The dataset's name, part of the split's hash.
        official: The dataset's official splits; may be empty for protocols that make their own.
        protocol: The protocol's name in the YAML, for messages and the report; by default its kind.
        subset: The part of the dataset, in words, empty for all of it; included in the split's hash.
        record: Record of earlier splits of the dataset under these parameters. Its tracks stay on their sides (unless
            ``block.growth`` is ``resplit``, or a promise requires a move); ``None`` if there was no split.

    Returns:
        The split table, its report, and the new record.

    Raises:
        SplitError: If there are fewer than two genres, a genre has too few tracks or artists, a genre is missing from a
            side of a repeat, a promise of the protocol is broken, or the protocol cannot be applied.
    """
    before, renamed = (record or SplitRecord()).following(tracks)
    resplit = block.growth == "resplit"
    kept = SplitRecord() if resplit else before
    context = SplitContext(dataset=dataset, protocol=protocol or spec.name, official=official, record=kept)
    ordered = tracks.sort_values("track_id", kind="stable", ignore_index=True)
    usable = ordered[~ordered["quarantined"]].reset_index(drop=True)
    _check_genres(ordered, usable, context)
    assignment = spec.split(usable, block, context)
    units, labels, places = _units(usable, assignment)
    genres = sorted(ordered["genre"].unique())
    counts = _counts(units, labels, genres)
    _check_sides(counts, usable, assignment, context)
    leaks = leak_audit(units, labels)
    promises = spec.promises | set(block.promises)
    _check_promises(leaks, promises, context)
    marks: dict[str, Any] = {
        "dataset": dataset,
        "subset": subset,
        "protocol": context.protocol,
        "split_hash": _split_hash(units, labels, dataset=dataset, subset=subset, genres=genres),
        "leaky": spec.leaky or any(leaks["overall"][kind] for kind in LEAKS),
    }
    growth = describe_growth(
        before,
        units,
        places,
        split_hash=marks["split_hash"],
        renamed=renamed,
        resplit=resplit,
        place_name="fold {}".format if assignment.folds is not None else SPLITS.__getitem__,
        groups_of=linked_groups,
    )
    included = units.drop_duplicates("track_id")
    quarantined = set(ordered["track_id"][ordered["quarantined"]])
    report = {
        **marks,
        "kind": spec.name,
        "parameters": block.dump(),
        "design": spec.design,
        "promises": sorted(promises),
        "genres": genres,
        "unit": "track" if assignment.pieces is None else "piece",
        "n_tracks": len(included),
        "n_units": len(units),
        "n_repeats": len(labels),
        "counts": counts,
        "stratification_imbalance": _imbalance(counts),
        "leaks": leaks,
        "unknown_artist_tracks": int((artist_keys(included) == "").sum()),
        "left_out": {"quarantined": len(ordered) - len(usable), "not_listed": len(usable) - len(included)},
        "listed_not_present": named(assignment.listed - set(ordered["track_id"])),
        "listed_quarantined": named(assignment.listed & quarantined),
        "growth": growth,
    }
    report["verdicts"] = {kind: verdict(report, kind) for kind in leaks["overall"]}
    report["artists_unknown"] = artists_unknown(report)
    if report["artists_unknown"]:
        logger.warning(
            "%s.%s: artists unknown: %d of %d tracks; whether artists are on two sides cannot be checked, and every "
            "number under this split is marked so.",
            dataset,
            context.protocol,
            report["unknown_artist_tracks"],
            report["n_tracks"],
        )
    remembered = kept.with_split(units, places, split_hash=marks["split_hash"], growth=growth)
    return SplitResult(_table(units, labels, marks), report, remembered)


def record_key(dataset: DatasetBlock, protocol: ProtocolBlock) -> str:
    """Return the record's name, which depends on all parameters that decide where a track goes.

    The number of repeats, additional promises and ``growth`` do not count.

    Args:
        dataset: The dataset's parameters: another selection of genres or clips is another collection.
        protocol: The protocol's parameters.
    """
    deciding = {key: value for key, value in protocol.dump().items() if key not in {"repeats", "promises", "growth"}}
    chosen = {key: value for key, value in dataset.dump().items() if key in {"genres", "max_per_genre"}}
    return fingerprint("split record", SPLITS_VERSION, protocol=deciding, dataset=chosen)


def _check_genres(tracks: pd.DataFrame, usable: pd.DataFrame, context: SplitContext) -> None:
    genres = sorted(tracks["genre"].unique())
    if len(genres) < 2:
        found = f"one, '{genres[0]}'" if genres else "none"
        raise SplitError(
            f"The dataset '{context.dataset}' must have at least two genres, but has {found}. "
            "Add music of another genre, or widen the dataset's 'genres'."
        )
    lost = sorted(set(genres) - set(usable["genre"]))
    if lost:
        raise SplitError(
            f"Every track of {_listed(lost)} in the dataset '{context.dataset}' is quarantined. Repair the files that "
            "the ingest report names, leave the genre out (the dataset's 'genres'), or shorten its 'quarantine'."
        )


def _units(tracks: pd.DataFrame, assignment: Assignment) -> tuple[pd.DataFrame, NDArray[np.str_], NDArray[np.intp]]:
    """Return the tracks, or their pieces, that are on any side, with their keys, labels and places."""
    pieces = assignment.pieces
    units = tracks.assign(key=tracks["track_id"])
    if pieces is not None:
        units = tracks.take(pieces["row"].to_numpy()).reset_index(drop=True)
        units = units.assign(start_s=pieces["start_s"].to_numpy(), end_s=pieces["end_s"].to_numpy())
        units["key"] = piece_keys(units["track_id"], units["start_s"])
    included = (assignment.labels != "").any(axis=0)
    return units[included].reset_index(drop=True), assignment.labels[:, included], assignment.places[:, included]


def _table(units: pd.DataFrame, labels: NDArray[np.str_], marks: dict[str, Any]) -> pd.DataFrame:
    columns = [column for column in ("track_id", "start_s", "end_s", "genre") if column in units]
    units = units.assign(group=linked_groups(units).astype(np.int64))
    table = pd.concat([units[[*columns, "group"]]] * len(labels), ignore_index=True)
    table.insert(0, "repeat", np.repeat(np.arange(len(labels), dtype=np.int64), len(units)))
    table["split"] = pd.Series(labels.ravel(), dtype="string")
    table["leaky"] = marks["leaky"]
    table = table[table["split"] != ""].reset_index(drop=True)
    table.attrs.update(marks)
    return table


def _counts(units: pd.DataFrame, labels: NDArray[np.str_], genres: list[str]) -> list[dict[str, dict[str, int]]]:
    """Return, for each repeat, split to genre to the number of tracks or pieces."""
    codes = pd.Categorical(units["genre"], categories=genres).codes
    sizes = [{split: np.bincount(codes[row == split], minlength=len(genres)) for split in SPLITS} for row in labels]
    return [
        {split: dict(zip(genres, numbers.tolist(), strict=True)) for split, numbers in each.items()} for each in sizes
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
        "use a list that has every genre in each part (with its training and validation tracks alone: 'test_part')"
        if assignment.listed
        else f"try another protocols.{context.protocol}.seed, or fewer folds"
    )
    what_to_do = "Add"
    if context.record.split_hash:
        what_to_do = (
            "The tracks keep the sides of the split before this one, whose tracks or artists were others. To deal all "
            f"tracks anew, run once with protocols.{context.protocol}.growth=resplit. If the gap stays, add"
        )
    raise SplitError(
        f"protocols.{context.protocol}: the genre '{genre}' is missing from the {split} split of repeat {repeat}"
        f"{others}. The dataset '{context.dataset}' has {len(same)} tracks of it (known artists: {n_artists}). "
        f"{what_to_do} music of that genre, leave it out (the dataset's 'genres'), or {remedy}."
    )


def _check_promises(leaks: dict[str, Any], promises: Set[str], context: SplitContext) -> None:
    for promise, remedy in _BROKEN.items():
        if promise in promises and leaks["overall"][promise]:
            first = leaks["examples"][promise][0]
            one, other = first["track_ids"]
            raise SplitError(
                f"protocols.{context.protocol} promises that no {promise} is on two sides of a split, but "
                f"{leaks['overall'][promise]} do in the dataset '{context.dataset}'; in repeat {first['repeat']} "
                f"'{one}' is in {first['splits'][0]} and '{other}' in {first['splits'][1]}. {remedy}"
            )


def _imbalance(counts: list[dict[str, dict[str, int]]]) -> dict[str, float]:
    # Shape (n_repeats, n_splits, n_genres).
    numbers = np.array([[list(splits[split].values()) for split in SPLITS] for splits in counts], dtype=np.float64)
    everything = numbers.sum(axis=1, keepdims=True)
    differences = numbers / numbers.sum(axis=2, keepdims=True) - everything / everything.sum(axis=2, keepdims=True)
    return dict(zip(SPLITS, np.abs(differences).max(axis=(0, 2)).tolist(), strict=True))


def _split_hash(units: pd.DataFrame, labels: NDArray[np.str_], **scope: Any) -> str:
    columns = [column for column in ("track_id", "start_s", "end_s", "genre") if column in units]
    content = {column: units[column].tolist() for column in columns}
    return fingerprint("split", SPLITS_VERSION, **scope, units=content, labels=labels.tolist())


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
