"""Faults of the clips of a track table: each function checks all clips for one kind of fault."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.datasets.base import DatasetBlock, DatasetSpec, ExcerptBlock, Fault

if TYPE_CHECKING:
    from genre_pipeline.ingest.near_duplicates import NearDuplicate

# [?] Published clips of "30 s" differ by some hundredths of a second; a clip that was cut short lacks more.
SHORT_S = 0.1

CHECKSUM_STATUSES = ("official", "re_encoded", "unknown")


class Finding(NamedTuple):
    """A fault of a clip, and the measured value, in one line."""

    fault: str
    detail: str


@dataclass
class Findings:
    """Faults by row of the track table; most rows have no entry.

    Attributes:
        n_tracks: Rows of the table.
        quarantine: The faults that exclude a track.
        by_row: The faults, in the order in which they were found.
    """

    n_tracks: int
    quarantine: Sequence[str]
    by_row: dict[int, list[Finding]] = field(default_factory=dict)

    def add(self, row: int, fault: Fault, detail: str) -> None:
        """Add a fault to a track."""
        self.by_row.setdefault(row, []).append(Finding(fault, detail))

    def have(self, faults: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each track whether it has any of some faults."""
        mask = np.zeros(self.n_tracks, dtype=bool)
        mask[[row for row, found in self.by_row.items() if any(each.fault in faults for each in found)]] = True
        return mask

    def quarantined(self) -> NDArray[np.bool_]:
        """Return for each track whether it is left out."""
        return self.have(self.quarantine)

    def names(self) -> list[str]:
        """Return each track's faults, joined by ``;``."""
        return [";".join(each.fault for each in self.by_row.get(row, ())) for row in range(self.n_tracks)]


def find_inspected(tracks: pd.DataFrame, findings: Findings) -> None:
    """Add the faults from inspection: the columns ``faults`` (joined by ``;``) and ``detail`` (one line each)."""
    faulty = tracks[tracks["faults"] != ""]
    for row, faults, detail in zip(faulty.index.tolist(), faulty["faults"], faulty["detail"], strict=True):
        for fault, line in zip(faults.split(";"), detail.splitlines(), strict=True):
            findings.add(row, fault, line)


def find_unlike_published(tracks: pd.DataFrame, spec: DatasetSpec, findings: Findings) -> None:
    """Add ``short`` and ``wrong_rate``, by comparing files with the dataset's published duration and rate."""
    audible = tracks[tracks["n_samples"] > 0]
    if spec.clip_duration_s is not None:
        short = audible[audible["duration_s"] < spec.clip_duration_s - SHORT_S]
        for row, duration_s in zip(short.index.tolist(), short["duration_s"], strict=True):
            findings.add(row, "short", f"it lasts {duration_s:.2f} s, the published clips {spec.clip_duration_s:g}")
    if spec.sample_rate is not None:
        other = audible[audible["sample_rate"] != spec.sample_rate]
        for row, rate in zip(other.index.tolist(), other["sample_rate"], strict=True):
            findings.add(row, "wrong_rate", f"its rate is {rate} Hz, that of the published clips {spec.sample_rate}")


def cut_excerpts(tracks: pd.DataFrame, excerpt: ExcerptBlock, findings: Findings) -> None:
    """Make clips excerpts of their files; a file that is too short for one stays whole and is ``too_short``."""
    n_samples, rate = tracks["n_samples"].to_numpy(), tracks["sample_rate"].to_numpy()
    length = np.rint(excerpt.duration_s * rate).astype(np.int64)
    start = np.minimum(np.rint(excerpt.start_s * rate).astype(np.int64), n_samples - length)
    for row in np.flatnonzero((n_samples > 0) & (start < 0)):
        duration_s = tracks["duration_s"].iloc[row]
        findings.add(int(row), "too_short", f"it lasts {duration_s:.2f} s, its excerpt {excerpt.duration_s:g}")
    tracks["start_sample"] = np.maximum(start, 0)
    tracks["n_samples"] = np.where(start < 0, n_samples, length)
    tracks["duration_s"] = np.where(start < 0, tracks["duration_s"], length / np.maximum(rate, 1))


def excerpt_hashes(tracks: pd.DataFrame, n_samples: pd.Series) -> list[str]:
    """Derive the clips' audio hashes from their files' hashes and the excerpts.

    Args:
        tracks: The track table, with the clips' ``start_sample`` and ``n_samples``, and the files' ``audio_hash``.
        n_samples: Lengths of the files.

    Returns:
        A hash for each track; the file's hash if the clip is the whole file.
    """
    columns = (tracks["audio_hash"], tracks["start_sample"], tracks["n_samples"], n_samples)
    return [
        audio_hash
        if length == whole
        else hashlib.blake2b(f"{audio_hash}:{start}:{length}".encode(), digest_size=16).hexdigest()
        for audio_hash, start, length, whole in zip(*columns, strict=True)
    ]


def find_too_short(tracks: pd.DataFrame, block: DatasetBlock, findings: Findings) -> None:
    """Add ``too_short`` to clips that have some audio, but less than the block requires."""
    is_short = (tracks["n_samples"] > 0) & (tracks["duration_s"] < block.min_duration_s) & ~findings.have(["too_short"])
    short = tracks[is_short]
    for row, duration_s in zip(short.index.tolist(), short["duration_s"], strict=True):
        findings.add(
            row, "too_short", f"it lasts {duration_s:.2f} s, less than min_duration_s={block.min_duration_s:g}"
        )


def compare_checksums(
    tracks: pd.DataFrame, checksums: Mapping[str, str], file_format: str, findings: Findings
) -> list[str]:
    """Compare files with the published ones, and add ``unknown_checksum``.

    Args:
        tracks: The track table.
        checksums: Published MD5 by track id.
        file_format: Format of the published files; a file of another format was re-encoded, and cannot have their
            checksum.
        findings: Collects the faults.

    Returns:
        ``official``, ``re_encoded`` or ``unknown`` for each track; empty where there is no file, or no checksum.
    """
    statuses = []
    columns = (tracks[name] for name in ("track_id", "content_hash", "format"))
    for row, (track_id, content_hash, found_format) in enumerate(zip(*columns, strict=True)):
        published = checksums.get(track_id, "")
        if not (published and content_hash):
            status = ""
        elif content_hash == published:
            status = "official"
        elif found_format and found_format != file_format:
            status = "re_encoded"
        else:
            status = "unknown"
            findings.add(row, "unknown_checksum", f"its MD5 is {content_hash}, that of the published file {published}")
        statuses.append(status)
    return statuses


def find_exact_copies(tracks: pd.DataFrame, copies: Mapping[int, int], findings: Findings) -> None:
    """Add ``duplicate_file`` and ``duplicate_audio`` to copies, given the rows of their originals."""
    for copy, original in copies.items():
        is_same_file = tracks["content_hash"].iloc[copy] == tracks["content_hash"].iloc[original]
        detail = f"same {'file' if is_same_file else 'audio'} as {_labelled(tracks, original, copy)}"
        findings.add(copy, "duplicate_file" if is_same_file else "duplicate_audio", detail)


def find_near_copies(tracks: pd.DataFrame, pairs: Sequence[NearDuplicate], findings: Findings) -> None:
    """Add ``near_duplicate`` to the later track of each pair."""
    if not pairs:
        return
    rows = {track_id: row for row, track_id in enumerate(tracks["track_id"])}
    partners: dict[int, list[str]] = {}
    for pair in pairs:
        first, second = sorted((rows[pair.one], rows[pair.other]))
        partners.setdefault(second, []).append(
            f"{_labelled(tracks, first, second)} (similarity {pair.similarity:.2f}, offset {abs(pair.offset_s):.1f} s)"
        )
    for row, described in sorted(partners.items()):
        findings.add(row, "near_duplicate", f"same recording as {', '.join(described)}")


def _labelled(tracks: pd.DataFrame, original: int, copy: int) -> str:
    """Name a track, and its genre if its copy has another one."""
    genre, other = tracks["genre"].iloc[original], tracks["genre"].iloc[copy]
    track_id = str(tracks["track_id"].iloc[original])
    return track_id if genre == other else f"{track_id}, which is labelled '{genre}', not '{other}'"
