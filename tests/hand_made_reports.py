"""Hand-made tables and reports: no audio is read to test what cards say."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd

from genre_pipeline.datasets.base import TRACK_COLUMNS

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """What is on a page; tags that are not closed in order are errors."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.errors, self.texts = [], [], []
        self.ids, self.anchors, self.urls, self.images, self.tables, self.tags = [], [], [], [], [], set()
        self.feed(text)
        self.close()
        self.errors += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        self.urls += [values[name] for name in ("src", "srcset", "data", "action", "poster") if name in values]
        if tag == "img":
            self.images.append(values)
        if tag == "a":
            self.anchors.append(values["href"])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append((tag, values.get("scope")))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.errors.append(f"</{tag}> where {self.open[-1:]} is open")
        else:
            self.open.pop()

    def handle_data(self, text):
        if not {"script", "style"} & set(self.open):
            self.texts.append(" ".join(text.split()))

    @property
    def text(self):
        return " ".join(filter(None, self.texts))


def make_tracks(rows):
    """Return a track table; what a row lacks is plausible."""
    complete = [
        {
            "genre": row["track_id"].split(".", maxsplit=1)[0],
            "path": f"{row['track_id']}.wav",
            "artist": "",
            "title": "",
            "album": "",
            "duration_s": 30.0,
            "sample_rate": 22050,
            "n_channels": 1,
            "start_sample": 0,
            "n_samples": 661_500,
            "format": "WAV",
            "n_bytes": 1_323_044,
            "content_hash": row["track_id"],
            "audio_hash": row["track_id"],
            "recording": row["track_id"],
            "checksum": "",
            "faults": "",
            "quarantined": False,
            **row,
        }
        for row in rows
    ]
    return pd.DataFrame(complete, columns=list(TRACK_COLUMNS)).astype(dict(TRACK_COLUMNS))


def make_quality(tracks, **changes):
    """Return the ingest report of a track table, without faults; the changes replace its parts."""
    usable = tracks[~tracks["quarantined"]]
    return {
        "dataset": "mine",
        "kind": "folder",
        "title": "My Collection",
        "citation": "A. Uthor, 'A collection', 2001.",
        "licence": "CC BY 4.0",
        "n_clips": len(tracks),
        "n_usable": len(usable),
        "n_quarantined": len(tracks) - len(usable),
        "total_duration_s": float(usable["duration_s"].sum()),
        "genres": {
            genre: {
                "clips": len(same),
                "usable": int((~same["quarantined"]).sum()),
                "artists": len(set(same["artist"][~same["quarantined"]]) - {""}),
            }
            for genre, same in tracks.groupby("genre")
        },
        "faults": [],
        "expected": {},
        "missing": [],
        "extra": [],
        "checksums": {"official": 0, "re_encoded": 0, "unknown": 0},
        "official_duplicates": [],
        "near_duplicates": [],
        "subset": {"name": "", "genres": ["blues", "jazz"], "of_genres": 2, "n_tracks": len(tracks), "of_tracks": 0},
        "caveats": [],
        **changes,
    }


def make_audit(**changes):
    """Return the audit of two folds without leaks; the changes replace its parts."""
    kinds = ("track", "file", "audio", "recording", "artist", "album")
    pairs = ("train_validation", "train_test", "validation_test")
    return {
        "dataset": "mine",
        "subset": "",
        "protocol": "folds",
        "split_hash": "0123456789abcdef",
        "leaky": False,
        "kind": "artist_kfold",
        "parameters": {"kind": "artist_kfold", "seed": 7, "repeats": None, "promises": [], "n_folds": 3},
        "design": "kfold",
        "promises": ["artist", "audio", "file", "recording", "track"],
        "genres": ["blues", "jazz"],
        "unit": "track",
        "n_tracks": 40,
        "n_units": 40,
        "n_repeats": 2,
        "counts": [
            {
                "train": {"blues": 12, "jazz": 13},
                "validation": {"blues": 4, "jazz": 3},
                "test": {"blues": 4, "jazz": 4},
            },
            {
                "train": {"blues": 14, "jazz": 13},
                "validation": {"blues": 2, "jazz": 3},
                "test": {"blues": 4, "jazz": 4},
            },
        ],
        "stratification_imbalance": {"train": 0.01, "validation": 0.0714, "test": 0.0},
        "leaks": {
            "overall": dict.fromkeys(kinds, 0),
            "per_repeat": [
                {"repeat": repeat, **{pair: dict.fromkeys(kinds, 0) for pair in pairs}} for repeat in range(2)
            ],
            "examples": {kind: [] for kind in kinds},
        },
        "unknown_artist_tracks": 0,
        "left_out": {"quarantined": 3, "not_listed": 0},
        "listed_not_present": {"n_tracks": 0, "track_ids": []},
        "listed_quarantined": {"n_tracks": 0, "track_ids": []},
        "growth": None,
        **changes,
    }
