"""Ingest's report of a dataset: its parts, the log lines, and the errors that stop a run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from genre_pipeline.datasets.base import DatasetBlock, DatasetSpec, Listing
from genre_pipeline.datasets.reading.files import MEANINGS, count_left_out, describe_left_out
from genre_pipeline.errors import DatasetError
from genre_pipeline.ingest.artists import is_unknown
from genre_pipeline.ingest.findings import CHECKSUM_STATUSES, Findings
from genre_pipeline.spelling import look_alikes, name_key, shown

if TYPE_CHECKING:
    from genre_pipeline.ingest.near_duplicates import NearDuplicate

logger = logging.getLogger(__name__)

Report = dict[str, Any]

# [?] As many lines as people still read; the report has all of them.
_MAX_WARNINGS = 20

# [?] Enough names of a kind to show where to begin.
_MAX_NAMES = 3


def spec_facts(spec: DatasetSpec) -> Report:
    """Return the description of a kind of dataset."""
    return {
        "kind": spec.name,
        "title": spec.title,
        "citation": spec.citation,
        "licence": spec.licence,
        "caveats": list(spec.caveats),
    }


def track_counts(tracks: pd.DataFrame) -> Report:
    """Count a track table's clips, those that are usable, their genres and artists, and the checksums' statuses."""
    usable = tracks[~tracks["quarantined"]]
    n_clips = tracks["genre"].value_counts().to_dict()
    n_usable = usable["genre"].value_counts().to_dict()
    known = usable[~usable["artist"].map(is_unknown).astype(bool)]
    n_artists = known["artist"].map(name_key).groupby(known["genre"]).nunique().to_dict()
    return {
        "n_clips": len(tracks),
        "n_usable": len(usable),
        "n_quarantined": len(tracks) - len(usable),
        "total_duration_s": float(usable["duration_s"].sum()),
        "genres": {
            genre: {
                "clips": int(n_clips[genre]),
                "usable": int(n_usable.get(genre, 0)),
                "artists": int(n_artists.get(genre, 0)),
            }
            for genre in sorted(map(str, n_clips))
        },
        "checksums": {status: int((tracks["checksum"] == status).sum()) for status in CHECKSUM_STATUSES},
    }


def unknown_artists(tracks: pd.DataFrame) -> Report:
    """Count the usable tracks whose artist is unknown, and the entries in place of the artist."""
    artists = tracks["artist"][~tracks["quarantined"]]
    names = artists[artists.map(is_unknown).astype(bool)].str.strip()
    return {"n_tracks": len(names), "names": names[names != ""].value_counts().to_dict()}


def nameless_paths(tracks: pd.DataFrame) -> list[str]:
    """Return the paths of the usable tracks whose artist is unknown."""
    is_nameless = ~tracks["quarantined"] & tracks["artist"].map(is_unknown).astype(bool)
    return list(tracks.loc[is_nameless, "path"])


def listing_facts(listing: Listing, catalogue: Mapping[str, str]) -> Report:
    """Compare the files with the published list, and count those left out."""
    present = {clip.track_id for clip in listing.clips if clip.path in listing.stamps}
    return {
        "expected": dict(sorted(Counter(catalogue.values()).items())),
        "missing": [
            {"track_id": track_id, "genre": genre}
            for track_id, genre in sorted(catalogue.items())
            if track_id not in present
        ],
        "extra": list(listing.extra),
        "left_out": count_left_out(listing.left_out),
    }


def remarks(listing: Listing, tracks: pd.DataFrame) -> list[str]:
    """List things to check: remarks of the listing, and genres and artists whose names look alike."""
    said = list(listing.remarks)
    if genres := look_alikes(tracks["genre"].unique()):
        said.append(f"genres that look alike are different ones: {_alike(genres)}. If they are one, give it one name.")
    artists = tracks["artist"][tracks["artist"] != ""].unique()
    if spellings := [group for group in look_alikes(artists) if len({" ".join(name.split()) for name in group}) > 1]:
        said.append(f"artists that look alike are taken for one, and kept together by splits: {_alike(spellings)}.")
    return said


def _alike(groups: Sequence[Sequence[str]]) -> str:
    named = "; ".join(" = ".join(f"'{shown(name)}'" for name in group) for group in groups[:_MAX_NAMES])
    return named + (f"; and {len(groups) - _MAX_NAMES} more" if len(groups) > _MAX_NAMES else "")


def named_faults(tracks: pd.DataFrame, findings: Findings) -> list[Report]:
    """List the faults, by track."""
    return [
        {
            "track_id": tracks["track_id"].iloc[row],
            "path": tracks["path"].iloc[row],
            "fault": finding.fault,
            "detail": finding.detail,
            "quarantined": finding.fault in findings.quarantine,
        }
        for row, found in sorted(findings.by_row.items())
        for finding in found
    ]


def named_pairs(tracks: pd.DataFrame, pairs: Sequence[NearDuplicate]) -> list[Report]:
    """List the near-duplicates, with both genres."""
    genres = dict(zip(tracks["track_id"], tracks["genre"], strict=True)) if pairs else {}
    return [
        {
            "track_ids": [pair.one, pair.other],
            "genres": [genres[pair.one], genres[pair.other]],
            "similarity": pair.similarity,
            "offset_s": pair.offset_s,
        }
        for pair in pairs
    ]


def log_report(report: Report, planted: Collection[str] = (), nameless: Sequence[str] = ()) -> None:
    """Log the clips that are not used, by name, then the counts.

    Args:
        report: The ingest report.
        planted: Ids of the tracks that are faulty on purpose.
        nameless: Paths of usable tracks whose artist is unknown.
    """
    name = report["dataset"]
    reasons: dict[tuple[str, str], list[str]] = {}
    for fault in report["faults"]:
        if fault["quarantined"]:
            reasons.setdefault((fault["track_id"], fault["path"]), []).append(f"{fault['fault']} ({fault['detail']})")
    for (track_id, path), faults in list(reasons.items())[:_MAX_WARNINGS]:
        what = "not used: planted, to show how a faulty file is found" if track_id in planted else "not used"
        found = "; ".join(map(shown, faults))
        logger.warning("%s: %s (%s) is %s: %s", name, shown(track_id), shown(path), what, found)
    if len(reasons) > _MAX_WARNINGS:
        logger.warning(
            "%s: %d more clips are not used; the ingest report names them.", name, len(reasons) - _MAX_WARNINGS
        )
    _log_listing(report)
    reported = Counter(fault["fault"] for fault in report["faults"] if not fault["quarantined"])
    if reported:
        logger.info("%s: faults that are only reported: %s.", name, _counted(reported))
    if any(report["checksums"].values()):
        logger.info("%s: files against the published checksums: %s.", name, _counted(report["checksums"]))
    if report["missing"]:
        logger.warning(
            "%s: %d of the %d published clips are missing; the ingest report names them.",
            name,
            len(report["missing"]),
            sum(report["expected"].values()),
        )
    unknown = report["unknown_artists"]
    if unknown["n_tracks"]:
        logger.warning(
            "%s: artists unknown: %d of %d tracks%s%s; artist_kfold cannot keep the tracks of each artist "
            "together. For your own music, give their artists in a metadata.csv with the columns path and artist.",
            name,
            unknown["n_tracks"],
            report["n_usable"],
            f" ({_first(nameless)})" if len(nameless) < report["n_usable"] else "",
            f" (named {_first([repr(each) for each in unknown['names']])})" if unknown["names"] else "",
        )
    if report["subset"]["name"]:
        logger.warning(
            "%s: a part of the dataset is used (%s); its numbers are labelled so.", name, report["subset"]["name"]
        )
    logger.info(
        "%s: %d clips of %d genres, %d usable (%.1f h), %d quarantined; %s inspected, %d unchanged.",
        name,
        report["n_clips"],
        len(report["genres"]),
        report["n_usable"],
        report["total_duration_s"] / 3600,
        report["n_quarantined"],
        f"{report['n_inspected']} file{'' if report['n_inspected'] == 1 else 's'}",
        report["n_reused"],
    )


def _log_listing(report: Report) -> None:
    """Log things to check in the dataset's folder, and in one line everything that it holds besides the clips."""
    name, left_out = report["dataset"], report["left_out"]
    for remark in report["remarks"]:
        logger.warning("%s: %s", name, remark)
    if left_out:
        level = logging.WARNING if any(MEANINGS[kind][1] for kind in left_out) else logging.INFO
        logger.log(level, "%s: besides the clips: %s.", name, describe_left_out(left_out))


def check_usable(report: Report, block: DatasetBlock) -> None:
    """Check that every selected genre has a usable clip.

    Raises:
        DatasetError: If one has none.
    """
    name = report["dataset"]
    wanted = block.genres or report["genres"]
    unusable = [genre for genre in wanted if not report["genres"].get(genre, {"usable": 0})["usable"]]
    if report["n_usable"] and not unusable:
        return
    counted = Counter(fault["fault"] for fault in report["faults"] if fault["quarantined"])
    why = _counted(counted) or "no file"
    what = (
        f"the genre {', '.join(map(repr, unusable))} has"
        if report["n_usable"]
        else f"the {report['n_clips']} clips have"
    )
    raise DatasetError(
        f"Dataset '{name}': {what} no usable clip (found: {why}). Replace the files that the warnings name, leave the "
        f"genre out with datasets.{name}.genres, or allow a fault by taking it off datasets.{name}.quarantine."
    )


def check_strictly(report: Report, block: DatasetBlock) -> None:
    """Check that the selected genres have no fault at all.

    Raises:
        DatasetError: If there is any: missing clips, files that are no clip, any fault.
    """
    missing = [each["track_id"] for each in report["missing"] if block.genres is None or each["genre"] in block.genres]
    sorts = {"missing": missing, "extra": report["extra"]}
    for fault in report["faults"]:
        sorts.setdefault(fault["fault"], []).append(fault["track_id"])
    wrong = [f"{len(names)} {sort} ({_first(names)})" for sort, names in sorts.items() if names]
    if wrong:
        name = report["dataset"]
        raise DatasetError(
            f"Dataset '{name}' is strict (datasets.{name}.strict), and it has faults: {'; '.join(wrong)}. "
            "Repair it, or set strict to false: then ingest continues with what is usable, and the ingest report names "
            "all of this."
        )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in sorted(counts.items(), key=lambda each: -each[1]) if n)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")
