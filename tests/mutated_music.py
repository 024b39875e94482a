"""Writes damaged files of eight formats, and takes them through ingest and feature extraction in bounded memory.

    python mutated_music.py <folder> <number of files> <seed>

Prints, as JSON, how many tracks there were, how many of them were quarantined, extracted and left out, and the memory.
"""

import io
import json
import logging
import resource
import struct
import sys
from pathlib import Path

import numpy as np
import soundfile

from genre_pipeline.audio import inspect_audio
from genre_pipeline.datasets import DATASETS
from genre_pipeline.features import FEATURES
from genre_pipeline.ingest.ingest import ingest
from genre_pipeline.stores.extraction import extract
from genre_pipeline.work.backends import Workers

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


def sound_file(name: str, seed: int) -> bytes:
    """Return some seconds of tone and noise in a format."""
    rate = 24_000 if name == "opus" else RATE
    times = np.arange(3.5 * rate) / rate
    noise = np.random.default_rng(seed).standard_normal(len(times))
    file = io.BytesIO()
    samples = (0.3 * np.sin(2 * np.pi * 220 * times) + 0.05 * noise).astype(np.float32)
    soundfile.write(file, samples, rate, **{"format": name.upper(), **FORMATS[name]})
    return file.getvalue()


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file in one to three places, most of them in its first bytes."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 4)):
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


def bombs() -> dict[str, bytes]:
    """Return small files that ask for much: 1000 s of silence, 1 Hz, 1024 channels, 4 GB that are not there."""
    silence, plain = io.BytesIO(), io.BytesIO()
    with soundfile.SoundFile(silence, "w", 8000, 1, format="FLAC") as file:
        for _ in range(100):
            file.write(np.zeros(10 * 8000, dtype=np.int16))
    soundfile.write(plain, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000, format="WAV")
    wav = plain.getvalue()
    return {
        "bomb.flac": silence.getvalue(),
        "1hz.wav": wav[:24] + struct.pack("<II", 1, 2) + wav[32:],
        "wide.wav": wav[:22] + struct.pack("<H", 1024) + wav[24:],
        "4gb.wav": wav[:40] + b"\xf0\xff\xff\xff" + wav[44:],
        "empty.mp3": b"",
    }


def limit_memory() -> int:
    """Let this process take so much more address space than it has, and return its peak so far, in kilobytes."""
    n_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = n_pages * resource.getpagesize() + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(folder: Path, n_files: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = list(FORMATS)
    # Recordings of 25 different noises: of one, each file would be a near duplicate of each other.
    sound = {(name, number): sound_file(name, number) for name in names for number in range(min(25, 1 + n_files // 8))}
    for number in range(n_files):
        name, variant = names[number % 8], number // 8 % 25
        path = folder / f"music/{'ab'[variant % 2]}/{number:04}.{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(sound[name, variant], rng))
    for seed_of_whole, genre in enumerate("ab", start=100):
        (folder / f"music/{genre}/whole.wav").write_bytes(sound_file("wav", seed_of_whole))
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
    }
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
