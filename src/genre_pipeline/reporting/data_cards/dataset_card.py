"""The card of a dataset: what it is, what was found of it, and what is wrong with that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.datasets.reading.files import MEANINGS as LEFT_OUT
from genre_pipeline.datasets.reading.files import describe_sorts
from genre_pipeline.reporting.data_cards.durations import duration_classes
from genre_pipeline.reporting.data_cards.faults import MEANINGS
from genre_pipeline.reporting.data_cards.spectrograms import HOW_TO_READ
from genre_pipeline.reporting.document import (
    NOTHING,
    Bars,
    Block,
    Bullets,
    Document,
    Facts,
    Glossary,
    Group,
    Notice,
    Paragraph,
    Picture,
    Section,
    Table,
    TableEntry,
    Value,
    folded_names,
    folded_table,
    numeric,
    texts,
)
from genre_pipeline.reporting.wording import PERCENT, duration, percent, split_marks
from genre_pipeline.splits.identities import artist_keys

# [?] The artists who weigh most; the track table has them all.
_MAX_ARTISTS = 10
_SOURCE = "the ingest report (quality.json)"
_COPIES = ("duplicate_file", "duplicate_audio")
_WORDS = {
    "Track": "One recording of the collection, with its name in it (the track id).",
    "Clip": "The audio file, or the part of one, that the collection has of a track.",
    "Fault": "Something that is wrong with a clip. Each kind is explained below.",
    "Quarantined": "Kept out of every training and test, because of a fault that the parameters name.",
    "Usable": "Found, and not quarantined.",
}
_CHANNELS = {1: "1 (mono)", 2: "2 (stereo)"}
_CHECKSUMS = {
    "official": "The published file, byte for byte.",
    "re_encoded": "Not the published file, but in another format than that: somebody converted it.",
    "unknown": "Of the published format, but not the published bytes: changed, damaged, or from elsewhere.",
}


def dataset_card(report: Mapping[str, Any], tracks: pd.DataFrame, examples: Sequence[Picture]) -> Document:
    """Describe a dataset as it was found on disk.

    Args:
        report: The ingest stage's report, see :class:`~genre_pipeline.ingest.ingest.IngestResult`.
        tracks: The track table.
        examples: A spectrogram of each genre.

    Returns:
        The card.
    """
    usable = tracks[~tracks["quarantined"]]
    return Document(
        title=report["title"],
        name=report["dataset"],
        lead=(
            f"{report['n_clips']:,} clips of {len(report['genres'])} genres were found, {report['n_usable']:,} of them "
            f"usable: {duration(report['total_duration_s'])} of audio."
        ),
        notices=_notices(report, usable),
        sections=[
            Section("about", "What it is", _about(report)),
            Section("genres", "Genres", _genres(report, usable)),
            Section("examples", "What it looks like", _examples(examples)),
            Section("audio", "Audio", _audio(usable)),
            Section("artists", "Artists", _artists(usable)),
            Section("faults", "Faults", _faults(report)),
            Section("missing", "Missing and extra files", [*_missing(report), *_left_out(report)]),
            Section("checksums", "Checksums", _checksums(report)),
            Section("copies", "Copies", _copies(report)),
            Section("licence", "Licence and citation", _licence(report)),
        ],
    )


def _notices(report: Mapping[str, Any], usable: pd.DataFrame) -> list[Notice]:
    notices = []
    if report["subset"]["name"]:
        notices.append(
            Notice(
                "PART",
                f"Only a part of the dataset is used: {report['subset']['name']}. A number measured on it is not a "
                f"number on {report['title']}.",
            )
        )
    if report["missing"]:
        notices.append(
            Notice("INCOMPLETE", f"{len(report['missing']):,} clips of the published list are not there; see below.")
        )
    # Reports of earlier versions have none.
    notices += [Notice("CHECK", _sentence(remark)) for remark in report.get("remarks", ())]
    # Where some are known, the section on artists counts the tracks without one.
    if len(usable) and (artist_keys(usable) == "").all():
        notices.append(
            Notice(
                split_marks({"artists_unknown": 1.0})[0],
                "No protocol can keep these artists apart, and numbers that are to be measured with artists apart say "
                "so. Where the collection is your own, name them in metadata.csv (columns path and artist).",
            )
        )
    return notices


def _sentence(remark: str) -> str:
    return remark[:1].upper() + remark[1:]


def _about(report: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = [
        Paragraph(
            f"{report['title']} (kind “{report['kind']}”). This card describes the copy that was found on disk, not "
            "the collection as it was published."
        ),
        Facts(
            {
                "Clips found": f"{report['n_clips']:,}",
                "Usable": f"{report['n_usable']:,}",
                "Quarantined": f"{report['n_quarantined']:,}",
                "Usable audio": duration(report["total_duration_s"]),
                "Genres": ", ".join(report["genres"]),
                "Part": report["subset"]["name"] or "the whole dataset",
            }
        ),
        Glossary(_WORDS),
    ]
    if report["caveats"]:
        blocks += [
            Paragraph("What to know before trusting a number that was measured on it:"),
            Bullets(report["caveats"]),
        ]
    return blocks


def _genres(report: Mapping[str, Any], usable: pd.DataFrame) -> list[Block]:
    expected, missing = report["expected"], Counter(each["genre"] for each in report["missing"])
    keys = artist_keys(usable)
    n_unknown = usable["genre"][keys == ""].value_counts()
    artists = {genre: same.value_counts() for genre, same in keys[keys != ""].groupby(usable["genre"])}
    rows: list[list[Value]] = []
    for genre in sorted({*report["genres"], *expected, *missing}):
        found = report["genres"].get(genre, {"clips": 0, "usable": 0})
        n_tracks = artists.get(genre)
        share = None if n_tracks is None else int(n_tracks.iloc[0]) / found["usable"]
        rows.append(
            [
                genre,
                *([int(expected.get(genre, 0)), found["clips"], missing[genre]] if expected else [found["clips"]]),
                found["clips"] - found["usable"],
                found["usable"],
                0 if n_tracks is None else len(n_tracks),
                int(n_unknown.get(genre, 0)),
                NOTHING if share is None else TableEntry(percent(share), sort=share),
            ]
        )
    counted = ("Expected", "Found", "Missing") if expected else ("Found",)
    columns = numeric(*counted, "Quarantined", "Usable", "Artists", "Artist unknown", "Largest artist (%)")
    caption = (
        "Clips of each genre. Artists are counted among the usable ones; the largest artist is the one with the most "
        "usable tracks of the genre, in percent of them."
    )
    if expected and report["subset"]["name"]:
        caption += (
            " Expected and missing ones are those of the whole dataset, the others those of the part that is used."
        )
    if not expected:
        caption += " There is no published list of the collection."
    return [Table("genres-table", caption, [*texts("Genre"), *columns], rows)]


def _audio(usable: pd.DataFrame) -> list[Block]:
    lengths = usable["duration_s"]
    sorts = Counter(zip(usable["format"], usable["sample_rate"], usable["n_channels"], strict=True))
    rows: list[list[Value]] = [
        [name, int(rate), _CHANNELS.get(channels, str(channels)), n]
        for (name, rate, channels), n in sorted(sorts.items(), key=lambda each: (-each[1], each[0]))
    ]
    columns = [*texts("Format"), *numeric("Sample rate (Hz)"), *texts("Channels"), *numeric("Usable clips")]
    spread = {"Shortest": lengths.min(), "Median": lengths.median(), "Longest": lengths.max()}
    return [
        Facts({**{name: f"{value:.2f} s" for name, value in spread.items()}, "Together": duration(lengths.sum())}),
        Bars("durations", "How long the usable clips are", "Duration", duration_classes(lengths)),
        Table("formats", "What the files of the usable clips are", columns, rows),
    ]


def _artists(usable: pd.DataFrame) -> list[Block]:
    keys = artist_keys(usable)
    known = usable[keys != ""].assign(key=keys[keys != ""])
    n_unknown = len(usable) - len(known)
    if known.empty:
        return [
            Paragraph(
                "No artist is known. Whether training and test share artists cannot be said of this dataset: numbers "
                "measured on it may be inflated."
            )
        ]
    sizes = known["key"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    largest = known[known["key"].isin(sizes.index[:_MAX_ARTISTS])]
    rows: list[list[Value]] = []
    for key in sizes.index[:_MAX_ARTISTS]:
        same = largest[largest["key"] == key]
        share = len(same) / len(usable)
        genres = ", ".join(sorted(set(same["genre"])))
        rows.append([str(same["artist"].iloc[0]), len(same), TableEntry(percent(share), sort=share), genres])
    return [
        Paragraph(
            "Who plays matters: a model that heard an artist in training recognises the artist, or the studio, in the "
            "test, and looks better than it is."
        ),
        Facts(
            {
                "Artists": f"{len(sizes):,}",
                "Artists of a single track": f"{int((sizes == 1).sum()):,}",
                "Tracks of unknown artist": f"{n_unknown:,} ({percent(n_unknown / len(usable))}{PERCENT})",
                "Largest artist": f"{percent(int(sizes.iloc[0]) / len(usable))}{PERCENT} of the usable tracks",
            }
        ),
        Table(
            "artists-table",
            "The artists of the most usable tracks" if len(sizes) > _MAX_ARTISTS else "All artists",
            [*texts("Artist"), *numeric("Tracks", "Share (%)"), *texts("Genres")],
            rows,
        ),
    ]


def _faults(report: Mapping[str, Any]) -> list[Block]:
    by_kind: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in MEANINGS}
    for fault in report["faults"]:
        by_kind[fault["fault"]].append(fault)
    rows: list[list[Value]] = [
        [kind, len(by_kind[kind]), _consequence(by_kind[kind]), meaning] for kind, meaning in MEANINGS.items()
    ]
    blocks: list[Block] = [
        Table(
            "faults-table",
            "Every clip was read and decoded from start to end, and looked at for these faults.",
            [*texts("Fault"), *numeric("Clips"), *texts("Consequence", "What it means")],
            rows,
        )
    ]
    columns = texts("Track", "File", "What was found")
    for kind, faults in by_kind.items():
        if faults:
            named: list[list[Value]] = [[fault["track_id"], fault["path"], fault["detail"]] for fault in faults]
            blocks.append(
                folded_table(kind, Table(f"fault-{kind}", f"{kind}: {MEANINGS[kind]}", columns, named), source=_SOURCE)
            )
    return blocks


def _consequence(faults: Sequence[Mapping[str, Any]]) -> str:
    if not faults:
        return "\N{EN DASH}"
    return "quarantined" if faults[0]["quarantined"] else "reported only"


def _missing(report: Mapping[str, Any]) -> list[Block]:
    if not report["expected"]:
        blocks: list[Block] = [
            Paragraph("There is no published list of this collection: what is missing cannot be said.")
        ]
    elif not report["missing"]:
        blocks = [Paragraph("No clip of the published list is missing.")]
    else:
        blocks = [Paragraph(f"{len(report['missing']):,} clips of the published list are not there, by genre:")]
        by_genre: dict[str, list[str]] = {}
        for each in report["missing"]:
            by_genre.setdefault(each["genre"], []).append(each["track_id"])
        blocks += [folded_names(genre, names, source=_SOURCE) for genre, names in sorted(by_genre.items())]
    if report["extra"]:
        blocks.append(Paragraph("Files that lie among the clips and are no clip of this dataset are not used:"))
        blocks.append(folded_names("Extra files", report["extra"], source=_SOURCE))
    else:
        blocks.append(Paragraph("No other files lie among the clips."))
    return blocks


def _left_out(report: Mapping[str, Any]) -> list[Block]:
    counts = report.get("left_out", {})
    rows: list[list[Value]] = [
        [_sentence(words), counts[kind]["n"], describe_sorts(counts[kind]), _sentence(advice) or NOTHING]
        for kind, (words, advice) in LEFT_OUT.items()
        if kind in counts
    ]
    if not rows:
        return []
    caption = (
        "Everything below the dataset's folder that is no clip. A folder that is left out counts as one, with all that "
        "it holds."
    )
    columns = [*texts("What it is"), *numeric("Number"), *texts("Of which", "What to do")]
    return [Table("left-out-table", caption, columns, rows)]


def _checksums(report: Mapping[str, Any]) -> list[Block]:
    counts = report["checksums"]
    if not any(counts.values()):
        return [
            Paragraph("There are no published checksums of these files: whether they are the originals cannot be said.")
        ]
    rows: list[list[Value]] = [
        [kind.replace("_", "-"), int(counts[kind]), meaning] for kind, meaning in _CHECKSUMS.items()
    ]
    return [
        Table(
            "checksums-table",
            "The clips' files against the checksums of the published ones",
            [*texts("Checksum"), *numeric("Clips"), *texts("What it means")],
            rows,
        )
    ]


def _copies(report: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = [
        Paragraph(
            "The same recording under two names is heard in training and in the test, unless both stand on one side. "
            "Exact copies are found by hashes of the bytes and of the decoded samples, near ones by an acoustic "
            "fingerprint; the published collection's own copies by its published checksums."
        )
    ]
    exact: list[list[Value]] = [
        [each["track_id"], each["fault"], each["detail"]] for each in report["faults"] if each["fault"] in _COPIES
    ]
    near: list[list[Value]] = [
        [
            *each["track_ids"],
            " and ".join(dict.fromkeys(each["genres"])),
            TableEntry(f"{each['similarity']:.2f}", sort=each["similarity"]),
            TableEntry(f"{each['offset_s']:+.1f}", sort=each["offset_s"]),
        ]
        for each in report["near_duplicates"]
    ]
    official = [" = ".join(group) for group in report["official_duplicates"]]
    has_checksums = any(report["checksums"].values())
    blocks.append(
        Facts(
            {
                "Exact copies": f"{len(exact):,}",
                "Pairs of near copies": f"{len(near):,}",
                **({"Copies in the published collection": f"{len(official):,}"} if has_checksums else {}),
            }
        )
    )
    if exact:
        caption = "Tracks that are exact copies of another one"
        columns = texts("Track", "Fault", "What was found")
        blocks.append(folded_table("Exact copies", Table("exact-copies", caption, columns, exact), source=_SOURCE))
    if near:
        caption = (
            "Pairs of tracks that hold the same recording. Similarity says how far their acoustic fingerprints agree: "
            "1 for a copy, about 0.5 by chance; the offset is where the other track begins within the first."
        )
        columns = [*texts("One track", "The other", "Genres"), *numeric("Similarity", "Offset (s)")]
        blocks.append(folded_table("Near copies", Table("near-copies", caption, columns, near), source=_SOURCE))
    if official:
        summary = "Tracks whose published files are the same"
        blocks.append(folded_names(summary, official, source=_SOURCE))
    return blocks


def _examples(examples: Sequence[Picture]) -> list[Block]:
    if not examples:
        return [Paragraph("No track can be drawn.")]
    return [Paragraph(HOW_TO_READ), Group("gallery", examples)]


def _licence(report: Mapping[str, Any]) -> list[Block]:
    return [Glossary({"Licence": report["licence"], "Citation": report["citation"]})]
