"""The card of a split: how it divides a dataset, what it promises, and what leaks from one side to another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from genre_pipeline.reporting.document import (
    Block,
    Document,
    Facts,
    Glossary,
    Notice,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    folded_names,
    folded_table,
    numeric,
    texts,
)
from genre_pipeline.reporting.wording import percent, split_marks
from genre_pipeline.splits.audit import LEAKS, artists_unknown, verdict
from genre_pipeline.splits.base import SPLITS

_SHARED = {
    "track": "the same track, or pieces of it",
    "file": "files that are equal byte for byte",
    "audio": "files that decode to the same samples",
    "recording": "the same recording, also re-encoded, louder or cut elsewhere",
    "artist": "music of one artist, as far as the artists are known",
    "album": "music of one album, as far as albums are known: a hint, not a leak by itself",
}
_DESIGNS = {
    "kfold": "The {units} are dealt into folds. In each of the {n} repeats another fold is the test split and another "
    "one validates; the others train. No {unit} is tested twice.",
    "resampled": "In each of the {n} repeats the {units} are drawn anew, so that the test splits of different repeats "
    "overlap.",
    "seeds": "There is one division into the three splits. The {n} repeats train on the same {units} and differ in the "
    "training's seed only.",
}
_PAIRS = tuple(combinations(SPLITS, 2))
_WORDS = {
    "Train, validation, test": "The three sides of a split: a model learns from the first, the second decides when to "
    "stop, and the third says how good it is. What stands on two sides makes a model look better than it is.",
    "Repeat": "One division (or one training seed) of several; results are means over them.",
    "Promise": "What the protocol keeps on one side. A split that breaks its promise is not made: the run stops. Of "
    "what is not known, such as an artist, it cannot be checked.",
    "Split hash": "A fingerprint of exactly this division. Numbers of the same hash were measured on the same tracks.",
}


def split_card(report: Mapping[str, Any], *, title: str) -> Document:
    """Describe a split.

    Args:
        report: The split's report, see :class:`~genre_pipeline.splits.splitting.SplitResult`.
        title: The dataset's full name.

    Returns:
        The card.
    """
    return Document(
        title=f"{title}: the split {report['protocol']}",
        name=f"{report['dataset']}.{report['protocol']}",
        lead=f"{report['n_tracks']:,} tracks of {len(report['genres'])} genres, {report['n_repeats']:,} repeats.",
        notices=_notices(report),
        sections=[
            Section("protocol", "The protocol", _protocol(report)),
            Section("promises", "Promises and leaks", _promises(report)),
            Section("counts", "Counts", _counts(report)),
            Section("left-out", "What is not in it", _left_out(report)),
            Section("growth", "Since the split before", _growth(report)),
        ],
    )


def _notices(report: Mapping[str, Any]) -> list[Notice]:
    notices = []
    if report["leaky"]:
        found = [f"{_plural(n, kind)}" for kind in LEAKS if (n := report["leaks"]["overall"][kind])]
        what = f"On two sides: {', '.join(found)}." if found else "By design; nothing was found on two sides here."
        notices.append(
            Notice("LEAKY", f"Numbers measured on this split are inflated and say little of unheard music. {what}")
        )
    if unknown := split_marks({"artists_unknown": artists_unknown(report)}):
        notices.append(
            Notice(
                unknown[0],
                "Whether artists stand on two sides cannot be checked: numbers measured on this split may be inflated.",
            )
        )
    if report["subset"]:
        notices.append(Notice("PART", f"Only a part of the dataset: {report['subset']}."))
    return notices


def _plural(n: int, noun: str) -> str:
    plural = {"audio": "identical recordings", "recording": "near-identical recordings"}.get(noun, f"{noun}s")
    singular = {"audio": "identical recording", "recording": "near-identical recording"}.get(noun, noun)
    return f"{n:,} {singular if n == 1 else plural}"


def _protocol(report: Mapping[str, Any]) -> list[Block]:
    unit = report["unit"]
    design = _DESIGNS[report["design"]].format(unit=unit, units=f"{unit}s", n=report["n_repeats"])
    if unit == "piece":
        design += " Tracks are cut into pieces, and the pieces of one track may stand on different sides."
    parameters = {name: _shown(value) for name, value in report["parameters"].items() if name != "kind"}
    return [
        Paragraph(design),
        Facts(
            {
                "Kind": report["kind"],
                "Repeats": f"{report['n_repeats']:,}",
                "Tracks": f"{report['n_tracks']:,}",
                **({"Pieces": f"{report['n_units']:,}"} if unit == "piece" else {}),
                "Genres": f"{len(report['genres'])}",
                "Split hash": report["split_hash"],
            }
        ),
        Table("parameters", "The protocol's parameters", texts("Parameter", "Value"), list(parameters.items())),
        Glossary(_WORDS),
    ]


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _promises(report: Mapping[str, Any]) -> list[Block]:
    leaks = report["leaks"]
    verdicts: list[list[Value]] = [
        [
            kind,
            "yes" if kind in report["promises"] else "no",
            n_shared,
            _verdict(report, kind),
            _SHARED[kind],
        ]
        for kind, n_shared in leaks["overall"].items()
    ]
    blocks: list[Block] = [
        Table(
            "verdicts",
            "What was found on more than one side in any repeat",
            [*texts("Kind", "Promised"), *numeric("Found"), *texts("Verdict", "What is compared")],
            verdicts,
        )
    ]
    if any(leaks["overall"].values()):
        blocks += [*_pairs(report), _examples(leaks)]
    n_unknown = report["unknown_artist_tracks"]
    blocks.append(
        Paragraph(
            f"The artist of {n_unknown:,} of {report['n_tracks']:,} tracks is not known "
            f"({percent(n_unknown / report['n_tracks'])} %): whether they share one with another side cannot be "
            "checked. Where artists are kept together, each such track counts as an artist of its own."
            if n_unknown
            else "The artist of every track is known."
        )
    )
    return blocks


def _verdict(report: Mapping[str, Any], kind: str) -> TableEntry:
    found = verdict(report, kind)
    if found == "cannot be checked":
        n_unknown, n_tracks = report["unknown_artist_tracks"], report["n_tracks"]
        return TableEntry(found if n_unknown == n_tracks else f"{found} for {n_unknown:,} of {n_tracks:,} tracks")
    if found == "on two sides" and kind not in LEAKS:
        return TableEntry("on two sides: a hint")
    return TableEntry(found, badge="LEAK" if found in {"broken", "on two sides"} else "")


def _pairs(report: Mapping[str, Any]) -> list[Block]:
    repeats = {
        repeat: {f"{one} and {other}": list(counts[f"{one}_{other}"].values()) for one, other in _PAIRS}
        for repeat, counts in zip(_repeats(report), report["leaks"]["per_repeat"], strict=False)
    }
    caption = "How many different tracks, files and so on stand on both sides, for each pair of sides"
    return _over_repeats("pairs", caption, "Sides", report["leaks"]["overall"], repeats)


def _over_repeats(
    key: str, caption: str, heading: str, columns: Iterable[str], repeats: Mapping[str, Mapping[str, Sequence[int]]]
) -> list[Block]:
    """Show the ranges of numbers over repeats, and, folded, those of each repeat."""
    names = next(iter(repeats.values()))
    ranges: list[list[Value]] = [
        [name, *map(_range, zip(*(numbers[name] for numbers in repeats.values()), strict=True))] for name in names
    ]
    if len(repeats) == 1:
        return [Table(key, f"{caption}.", [*texts(heading), *numeric(*columns)], ranges)]
    rows: list[list[Value]] = [
        [repeat, name, *each] for repeat, numbers in repeats.items() for name, each in numbers.items()
    ]
    heads = [*texts(heading), *numeric(*columns)]
    by_repeat = Table(f"{key}-by-repeat", f"{caption}.", [*texts("Repeat"), *heads], rows)
    return [
        Table(key, f"{caption}; from the least to the most in a repeat.", heads, ranges),
        folded_table("By repeat", by_repeat, source="the audit (audit.json)"),
    ]


def _range(numbers: Sequence[int]) -> TableEntry:
    least, most = min(numbers), max(numbers)
    return TableEntry(f"{least:,}" if least == most else f"{least:,} to {most:,}", sort=float(most))


def _examples(leaks: Mapping[str, Any]) -> Block:
    rows: list[list[Value]] = [
        [
            kind,
            example["value"],
            str(example["repeat"]),
            *(f"{track} ({side})" for track, side in zip(example["track_ids"], example["splits"], strict=True)),
        ]
        for kind, examples in leaks["examples"].items()
        for example in examples
    ]
    caption = "Some of them by name. Files and audio are named by their hashes, recordings by their first track."
    return Table("examples", caption, texts("Kind", "What", "Repeat", "One track", "The other"), rows)


def _repeats(report: Mapping[str, Any]) -> list[str]:
    """Return what the repeats are called: those of one division that only differ in the training are listed once."""
    return ["every"] if report["design"] == "seeds" else [str(repeat) for repeat in range(report["n_repeats"])]


def _counts(report: Mapping[str, Any]) -> list[Block]:
    repeats = {
        repeat: {side: [*counts[side].values(), sum(counts[side].values())] for side in SPLITS}
        for repeat, counts in zip(_repeats(report), report["counts"], strict=False)
    }
    caption = f"Number of {report['unit']}s of each genre on each side"
    imbalance = report["stratification_imbalance"]
    return [
        *_over_repeats("sides", caption, "Side", [*report["genres"], "All"], repeats),
        Paragraph(
            "Imbalance, the largest difference over repeats and genres between a genre's share of a side and its share "
            "of all: "
            + ", ".join(f"{side} {percent(imbalance[side])}" for side in SPLITS)
            + " percentage points. Smaller is better; folds that keep artists together cannot be exact."
        ),
    ]


def _growth(report: Mapping[str, Any]) -> list[Block]:
    growth = report["growth"]
    if growth is None:
        return [Paragraph("This is the first split of the dataset under these parameters: every track was dealt.")]
    policy = (
        "Every track was dealt anew, as the protocol was asked to (growth: resplit): numbers from before were measured "
        "on other tracks, and compare with these as those of two protocols do."
        if growth["resplit"]
        else "Tracks that were there before keep their sides, and only the others were dealt. One moves only where a "
        "correction shows that it shares an artist or a recording with another side."
    )
    titles = {
        "added": "Added",
        "removed": "Removed",
        "renamed": "Of another name than before",
        "relabelled": "Of another genre than before",
        "moved": "Moved",
    }
    facts = {"Split before": growth["previous_split_hash"], "Kept where they were": f"{growth['n_kept']:,}"}
    blocks: list[Block] = [
        Paragraph(policy),
        Facts(facts | {title: f"{growth[key]['n_tracks']:,}" for key, title in titles.items()}),
    ]
    if growth["moves"]:
        moves: list[list[Value]] = [
            [each["track_id"], str(each["repeat"]), each["from"], each["to"], each["with"] or "the list"]
            for each in growth["moves"]
        ]
        caption = "What moved, and the track or list that it followed."
        blocks.append(Table("moves", caption, texts("Track", "Repeat", "From", "To", "With"), moves))
    blocks += [
        folded_names(
            title, growth[key]["track_ids"], n_names=growth[key]["n_tracks"], source="the two versions of split.parquet"
        )
        for key, title in titles.items()
        if growth[key]["n_tracks"]
    ]
    return blocks


def _left_out(report: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = [
        Facts(
            {
                "Quarantined by ingest": f"{report['left_out']['quarantined']:,}",
                "Usable, but on no list": f"{report['left_out']['not_listed']:,}",
                "Listed, but not there": f"{report['listed_not_present']['n_tracks']:,}",
                "Listed, but quarantined": f"{report['listed_quarantined']['n_tracks']:,}",
            }
        )
    ]
    titles = {"listed_not_present": "Listed, but not there", "listed_quarantined": "Listed, but quarantined"}
    for key, summary in titles.items():
        listed = report[key]
        if listed["n_tracks"]:
            names = listed["track_ids"]
            blocks.append(folded_names(summary, names, n_names=listed["n_tracks"], source="the protocol's list"))
    return blocks
