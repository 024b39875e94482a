"""Writes damaged files of eight formats, and takes them through ingest and feature extraction in bounded memory.

    python mutated_music.py <folder> <number of files> <seed>

Prints as JSON how many tracks there were, were quarantined and were extracted, and how far memory rose.
"""

import io
import json
import logging
import resource
import sys
from pathlib import Path

import numpy as np
import soundfile

from genre_pipeline.audio import inspect_audio
from genre_pipeline.datasets import DATASETS, ingest
from genre_pipeline.features import FEATURES
from genre_pipeline.features.backends import Workers
from genre_pipeline.features.extraction import extract

RATE = 22_050
FORMATS = {
    "wav": {},
    "aiff": {},
    "au": {},
    "flac": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
    "caf": {},
}
# [?] Some times what a sound file of these takes.
HEADROOM_BYTES = 768 << 20


def sound_files() -> dict[str, bytes]:
    """Return four seconds of tone and noise in each format."""
    times = np.arange(4 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(times))
    samples = (0.3 * np.sin(2 * np.pi * 220 * times) + 0.05 * noise).astype(np.float32)
    contents = {}
    for name, options in FORMATS.items():
        file = io.BytesIO()
        rate = 24_000 if name == "opus" else RATE
        soundfile.write(file, samples, rate, **{"format": name.upper(), **options})
        contents[name] = file.getvalue()
    return contents


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file in one to four places, most of them in its first bytes."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, min(len(damaged), 200 if rng.random() < 0.7 else len(damaged))))
        match rng.integers(0, 6):
            case 0:
                damaged[at] = rng.integers(0, 256)
            case 1:
                damaged[at : at + 4] = rng.bytes(4)
            case 2:
                damaged[at : at + 4] = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0", b"\x7f\xff\xff\xff"][
                    rng.integers(4)
                ]
            case 3:
                del damaged[at : at + int(rng.integers(1, 100))]
            case 4:
                damaged[at:at] = rng.bytes(int(rng.integers(1, 3000)))
            case 5:
                del damaged[max(at, 20) :]
        if not damaged:
            return b"\0"
    return bytes(damaged)


def limit_memory() -> int:
    """Let this process take so much more address space than it has, and return its peak so far, in kilobytes."""
    n_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = n_pages * resource.getpagesize() + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(folder: Path, n_files: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sound = sound_files()
    for number in range(n_files):
        name = list(sound)[number % len(sound)]
        path = folder / f"music/{'ab'[number // len(sound) % 2]}/{number:04}.{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(sound[name], rng))
    for genre in "ab":
        (folder / f"music/{genre}/whole.wav").write_bytes(sound["wav"] + bytes([ord(genre)]))
    spec = DATASETS["folder"]
    block = spec.block.model_validate({"kind": "folder", "path": folder / "music", "quarantine": ["unreadable"]})
    log_mel = FEATURES["log_mel"]
    feature = log_mel.block.model_validate(
        {
            "kind": "log_mel",
            "sample_rate": 16_000,
            "hop_length": 512,
            "n_fft": 1024,
            "n_mels": 40,
            "segment": {"n_frames": 20, "hop_frames": 10},
        }
    )
    # What is imported and allocated once is no file's doing.
    logging.disable()
    inspect_audio(folder / "music/a/whole.wav")
    log_mel.extract(np.zeros(RATE, dtype=np.float32), feature)
    before = limit_memory()
    result = ingest("mutated", spec, block, cache=folder / "cache.parquet", n_workers=2)
    extracted = extract(
        result.tracks,
        root=block.root,
        spec=log_mel,
        block=feature,
        folder=folder / "store",
        workers=Workers("threads", 2),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = {
        "n_tracks": len(result.tracks),
        "n_quarantined": int(result.tracks["quarantined"].sum()),
        "n_extracted": extracted.report["n_tracks"],
        "n_failed": len(extracted.report["failed"]),
        "n_megabytes": (peak - before) // 1024,
        "odd": [
            each["error"]
            for each in extracted.report["failed"]
            if "Error" in each["error"] and "decod" not in each["error"]
        ],
    }
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
