"""Ingest: from a dataset's files to the track table, with every fault found and reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from genre_pipeline.datasets.base import TRACK_COLUMNS, Clip, DatasetBlock, DatasetSpec
from genre_pipeline.ingest.copies import exact_copies, near_copies, official_duplicates, recordings
from genre_pipeline.ingest.findings import (
    Findings,
    compare_checksums,
    cut_excerpts,
    excerpt_hashes,
    find_exact_copies,
    find_inspected,
    find_near_copies,
    find_too_short,
    find_unlike_published,
)
from genre_pipeline.ingest.inspections import inspect_files, remembered_tags
from genre_pipeline.ingest.report import (
    check_strictly,
    check_usable,
    listing_facts,
    log_report,
    named_faults,
    named_pairs,
    nameless_paths,
    remarks,
    spec_facts,
    track_counts,
    unknown_artists,
)
from genre_pipeline.ingest.selection import label_clips, select_clips

if TYPE_CHECKING:
    from genre_pipeline.ingest.near_duplicates import NearDuplicate


@dataclass(frozen=True)
class IngestResult:
    """Result of ingest.

    Attributes:
        tracks: One row per clip, sorted by track id, with the columns :data:`~genre_pipeline.datasets.TRACK_COLUMNS`.
            ``faults`` holds the names joined by ``;``; tracks with ``quarantined`` set take part in no split.
        report: Plain JSON types: ``dataset``, ``kind``, ``title``, ``citation``, ``licence``, ``caveats``; ``subset``
            (see :class:`~genre_pipeline.ingest.selection.Subset`); ``n_clips``, ``n_usable``, ``n_quarantined``,
            ``total_duration_s`` (of the usable ones), ``genres`` (for each, ``clips``, ``usable`` and the number of
            known ``artists`` among the usable); ``checksums`` (how many are ``official``, ``re_encoded``, ``unknown``);
            ``unknown_artists`` (``n_tracks`` among the usable ones, and ``names``: the entries in place of their
            artist, if any, with the number of tracks); ``expected`` (published number of clips of each genre) and
            ``missing`` (``track_id`` and ``genre`` of published clips that are not on disk), of the whole dataset even
            where a part is used; ``left_out`` (all other files, counted by kind, see
            :func:`~genre_pipeline.datasets.reading.files.count_left_out`), ``extra`` (paths of those that should not be
            there); ``remarks`` (things to check, one sentence each); ``faults`` (each with ``track_id``, ``path``,
            ``fault``, ``detail``, ``quarantined``); ``official_duplicates`` (groups of track ids with one published
            checksum, on disk or not); ``near_duplicates`` (each with ``track_ids``, ``genres``, ``similarity``,
            ``offset_s``); ``n_inspected`` and ``n_reused``.
    """

    tracks: pd.DataFrame
    report: dict[str, Any]


def ingest(name: str, spec: DatasetSpec, block: DatasetBlock, *, cache: Path, n_workers: int) -> IngestResult:
    """List a dataset's clips, inspect each file, and decide which can be used.

    Besides what :func:`~genre_pipeline.audio.inspect_audio` finds, clips are ``too_short`` (against the block's
    ``min_duration_s`` and ``excerpt``), ``short`` and ``wrong_rate`` (against the dataset's published values),
    ``unknown_checksum`` (of the published format, but not the published bytes), ``duplicate_file`` or
    ``duplicate_audio`` (the same bytes, or the same samples, as a clip that is kept: the first that is not quarantined,
    preferably one in an official list) and ``near_duplicate`` (the same recording as one with a smaller track id, by
    acoustic fingerprint).

    Audio and inspections are streamed. Memory grows with the listing and the track table, and, when near duplicates are
    searched again, with the acoustic fingerprints.

    Args:
        name: The dataset's name in the parameters.
        spec: Its kind.
        block: Its parameters.
        cache: Parquet file with earlier inspections: only new or changed files are opened.
        n_workers: Number of threads.

    Returns:
        The track table and the report.

    Raises:
        DatasetError: If the dataset is missing, a genre has no usable clip, or the block is strict and there is any
            fault.
        ConfigError: If ``block.genres`` names a genre that the dataset does not have.
        StorageError: If the cache cannot be written.
    """
    spec.prepare(block)
    listing = spec.find_clips(block)
    catalogue, checksums = spec.catalogue(block), spec.checksums(block)
    inspect = partial(
        inspect_files,
        block.root,
        stamps=listing.stamps,
        cache=cache,
        n_workers=n_workers,
        description=f"Inspecting {name}",
    )
    n_inspected, tags = 0, {}
    if block.tags != "ignored":
        # Which clips are selected depends on their tags.
        n_inspected = inspect([clip.path for clip in listing.clips]).n_inspected
        tags = remembered_tags(cache)
    listing = label_clips(listing, block, tags)
    clips, subset = select_clips(name, listing, catalogue, block)
    inspections = inspect([clip.path for clip in clips])
    n_inspected += inspections.n_inspected
    tracks = _table(clips, inspections.facts)
    findings = Findings(len(tracks), block.quarantine)
    file_lengths = tracks["n_samples"]
    find_inspected(tracks, findings)
    find_unlike_published(tracks, spec, findings)
    if block.excerpt is not None:
        cut_excerpts(tracks, block.excerpt, findings)
    find_too_short(tracks, block, findings)
    tracks["checksum"] = compare_checksums(tracks, checksums, spec.file_format, findings)
    # Silent clips of one length are all the same, and a quarantined clip is no original.
    is_heard = ~(findings.quarantined() | findings.have(["silent"]))
    copies = exact_copies(tracks[is_heard], lambda: {*chain.from_iterable(spec.official_splits(block).values())})
    find_exact_copies(tracks, copies, findings)
    is_heard[list(copies)] = False
    near = near_copies(tracks[is_heard], inspections)
    find_near_copies(tracks, near, findings)
    repeated = official_duplicates(checksums)
    tracks["recording"] = recordings(
        tracks["track_id"], _same(tracks, copies, near, [*repeated, *spec.repetitions(block)])
    )
    tracks["audio_hash"] = excerpt_hashes(tracks, file_lengths)
    tracks["faults"] = findings.names()
    tracks["quarantined"] = findings.quarantined()
    tracks = tracks[list(TRACK_COLUMNS)].astype(dict(TRACK_COLUMNS))
    report = {
        "dataset": name,
        **spec_facts(spec),
        "subset": {**asdict(subset), "genres": list(subset.genres)},
        **track_counts(tracks),
        "unknown_artists": unknown_artists(tracks),
        **listing_facts(listing, catalogue),
        "remarks": remarks(listing, tracks),
        "faults": named_faults(tracks, findings),
        "official_duplicates": repeated,
        "near_duplicates": named_pairs(tracks, near),
        "n_inspected": n_inspected,
        "n_reused": max(0, len(tracks) - n_inspected),
    }
    log_report(report, spec.planted(block), nameless_paths(tracks))
    check_usable(report, block)
    if block.strict:
        check_strictly(report, block)
    return IngestResult(tracks, report)


def _table(clips: Sequence[Clip], facts: pd.DataFrame) -> pd.DataFrame:
    """Join the clips with the facts about their files."""
    columns = {each.name: pd.array([getattr(clip, each.name) for clip in clips], "string") for each in fields(Clip)}
    return pd.concat([pd.DataFrame(columns), facts], axis="columns").assign(start_sample=0)


def _same(
    tracks: pd.DataFrame, copies: Mapping[int, int], near: Sequence[NearDuplicate], repeated: Sequence[Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """Yield the pairs of tracks that hold the same recording."""
    track_ids = tracks["track_id"]
    for copy, original in copies.items():
        yield track_ids[copy], track_ids[original]
    for pair in near:
        yield pair.one, pair.other
    # For a re-encoded copy, the published checksums still identify the originals.
    there = set(track_ids)
    for group in repeated:
        yield from pairwise(track_id for track_id in group if track_id in there)
