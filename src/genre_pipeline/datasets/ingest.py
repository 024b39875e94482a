"""Ingest: from a dataset's files to the track table, with every fault found and reported."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from genre_pipeline.audio import AudioFacts
from genre_pipeline.datasets.base import TRACK_COLUMNS, Clip, DatasetBlock, DatasetSpec
from genre_pipeline.datasets.inspections import inspect_files
from genre_pipeline.errors import ConfigError, DatasetError
from genre_pipeline.registry import suggestion

logger = logging.getLogger(__name__)

# [?] As many lines as are still read; the report has them all.
_MAX_WARNINGS = 20


@dataclass(frozen=True)
class IngestResult:
    """What ingest found.

    Attributes:
        tracks: One row a clip, sorted by track id, with the columns :data:`~genre_pipeline.datasets.TRACK_COLUMNS`.
            ``faults`` holds the names joined by ``;``; tracks with ``quarantined`` set take part in no split.
        report: Plain JSON types: ``dataset``, ``kind``, ``title``, ``citation``, ``licence``, ``n_clips``,
            ``n_usable``, ``n_quarantined``, ``total_duration_s`` (of the usable ones), ``genres`` (for each,
            ``clips``, ``usable`` and the number of known ``artists`` among the usable), ``faults`` (each with
            ``track_id``, ``path``, ``fault``, ``detail``, ``quarantined``), ``n_inspected`` and ``n_reused``.
    """

    tracks: pd.DataFrame
    report: dict[str, Any]


class _Finding(NamedTuple):
    fault: str
    detail: str


@dataclass
class _Track:
    clip: Clip
    facts: AudioFacts
    findings: list[_Finding]
    quarantine: tuple[str, ...]

    @property
    def quarantined(self) -> bool:
        return any(finding.fault in self.quarantine for finding in self.findings)


def ingest(name: str, spec: DatasetSpec, block: DatasetBlock, *, cache: Path, n_workers: int) -> IngestResult:
    """List a dataset's clips, look into each file, and say which can be used.

    Besides what :func:`~genre_pipeline.audio.inspect_audio` finds, clips are ``too_short`` (against the block's
    ``min_duration_s``), ``duplicate_file`` or ``duplicate_audio`` (the same bytes, or the same samples, as a clip that
    is not quarantined and has a smaller track id: that one is kept).

    Args:
        name: The dataset's name in the parameters.
        spec: Its kind.
        block: Its parameters.
        cache: Parquet file that remembers what was inspected: only new or changed files are decoded.
        n_workers: Number of threads.

    Returns:
        The track table and the report.

    Raises:
        DatasetError: If the dataset is missing, or a genre has no usable clip.
        ConfigError: If ``block.genres`` names a genre that the dataset does not have.
        StorageError: If the cache cannot be written.
    """
    spec.prepare(block)
    found = spec.find_clips(block).clips
    clips = _of_genres(name, found, block.genres)
    facts, n_inspected = inspect_files(
        block.root,
        [clip.path for clip in clips],
        keep=[clip.path for clip in found],
        cache=cache,
        n_workers=n_workers,
        description=f"Inspecting {name}",
    )
    tracks = [_judged(clip, known, block) for clip, known in zip(clips, facts, strict=True)]
    _mark_duplicates(tracks)
    report = {
        "dataset": name,
        "kind": spec.name,
        "title": spec.title,
        "citation": spec.citation,
        "licence": spec.licence,
        **_summary(tracks),
        "n_inspected": n_inspected,
        "n_reused": len(clips) - n_inspected,
    }
    _log(report)
    _check_usable(name, report)
    return IngestResult(_table(tracks), report)


def _of_genres(name: str, clips: Sequence[Clip], genres: Sequence[str] | None) -> Sequence[Clip]:
    if genres is None:
        return clips
    known = {clip.genre for clip in clips}
    for genre in genres:
        if genre not in known:
            raise ConfigError(f"datasets.{name}.genres: the dataset has no genre '{genre}'. {suggestion(genre, known)}")
    return [clip for clip in clips if clip.genre in genres]


def _judged(clip: Clip, facts: AudioFacts, block: DatasetBlock) -> _Track:
    findings = [_Finding(*found) for found in zip(facts.faults, facts.detail.splitlines(), strict=True)]
    if facts.n_samples and facts.duration_s < block.min_duration_s:
        detail = f"it lasts {facts.duration_s:.2f} s, less than min_duration_s={block.min_duration_s:g}"
        findings.append(_Finding("too_short", detail))
    return _Track(clip, facts, findings, block.quarantine)


def _mark_duplicates(tracks: Sequence[_Track]) -> None:
    """Add the duplicate faults to all but the first of the usable tracks that sound the same."""
    originals: dict[str, _Track] = {}
    for track in tracks:
        # Silent clips of one length are all the same, and empty ones have no hash.
        if track.quarantined or "silent" in track.facts.faults or not track.facts.audio_hash:
            continue
        original = originals.setdefault(track.facts.audio_hash, track)
        if original is track:
            continue
        is_same_file = original.facts.content_hash == track.facts.content_hash
        detail = f"same {'file' if is_same_file else 'audio'} as {original.clip.track_id}"
        if original.clip.genre != track.clip.genre:
            detail += f", which is labelled '{original.clip.genre}', not '{track.clip.genre}'"
        track.findings.append(_Finding("duplicate_file" if is_same_file else "duplicate_audio", detail))


def _summary(tracks: Sequence[_Track]) -> dict[str, Any]:
    usable = [track for track in tracks if not track.quarantined]
    return {
        "n_clips": len(tracks),
        "n_usable": len(usable),
        "n_quarantined": len(tracks) - len(usable),
        "total_duration_s": sum(track.facts.duration_s for track in usable),
        "genres": {
            genre: {
                "clips": sum(track.clip.genre == genre for track in tracks),
                "usable": sum(track.clip.genre == genre for track in usable),
                "artists": len({track.clip.artist for track in usable if track.clip.genre == genre} - {""}),
            }
            for genre in sorted({track.clip.genre for track in tracks})
        },
        "faults": [
            {
                "track_id": track.clip.track_id,
                "path": track.clip.path,
                "fault": finding.fault,
                "detail": finding.detail,
                "quarantined": finding.fault in track.quarantine,
            }
            for track in tracks
            for finding in track.findings
        ],
    }


def _log(report: dict[str, Any]) -> None:
    reasons: dict[tuple[str, str], list[str]] = {}
    for fault in report["faults"]:
        if fault["quarantined"]:
            reasons.setdefault((fault["track_id"], fault["path"]), []).append(f"{fault['fault']} ({fault['detail']})")
    for (track_id, path), faults in list(reasons.items())[:_MAX_WARNINGS]:
        logger.warning("%s: %s (%s) is not used: %s", report["dataset"], track_id, path, "; ".join(faults))
    if len(reasons) > _MAX_WARNINGS:
        logger.warning(
            "%s: %d more clips are not used; the ingest report names them.",
            report["dataset"],
            len(reasons) - _MAX_WARNINGS,
        )
    logger.info(
        "%s: %d clips of %d genres, %d usable (%.1f h), %d quarantined; %d files inspected, %d unchanged.",
        report["dataset"],
        report["n_clips"],
        len(report["genres"]),
        report["n_usable"],
        report["total_duration_s"] / 3600,
        report["n_quarantined"],
        report["n_inspected"],
        report["n_reused"],
    )


def _check_usable(name: str, report: dict[str, Any]) -> None:
    unusable = [genre for genre, counts in report["genres"].items() if not counts["usable"]]
    if report["n_usable"] and not unusable:
        return
    counted = Counter(fault["fault"] for fault in report["faults"] if fault["quarantined"])
    why = ", ".join(f"{n} {fault}" for fault, n in counted.most_common()) or "the folder is empty"
    what = (
        f"the genre {', '.join(map(repr, unusable))} has"
        if report["n_usable"]
        else f"the {report['n_clips']} clips have"
    )
    raise DatasetError(
        f"Dataset '{name}': {what} no usable clip (found: {why}). Replace the files that the warnings name, leave the "
        f"genre out with datasets.{name}.genres, or allow a fault by taking it off datasets.{name}.quarantine."
    )


def _table(tracks: Sequence[_Track]) -> pd.DataFrame:
    rows = [
        {
            **asdict(track.clip),
            **asdict(track.facts),
            "start_sample": 0,
            "recording": track.clip.track_id,
            "checksum": "",
            "faults": ";".join(finding.fault for finding in track.findings),
            "quarantined": track.quarantined,
        }
        for track in tracks
    ]
    return pd.DataFrame(rows, columns=list(TRACK_COLUMNS)).astype(dict(TRACK_COLUMNS))
