"""Measure how similar copies and different recordings are, and how long the search for near duplicates takes.

Run ``GENRE_PIPELINE_REAL_DATA=<folder> python benchmarks/agree_near_duplicates.py``. Every fourth clip is altered in
several ways and compared with the original; all clips are compared with each other at every offset. For the search, the
real fingerprints are transposed by all intervals, each register separately, and inverted. This gives 114,336 recordings
that change like music; copies of the real ones are added.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import resource
import time
from pathlib import Path

import numpy as np
import scipy.fft
import soundfile
import soxr

from genre_pipeline.audio.acoustic import ACOUSTIC_VERSION, CODE_BITS, CODES_PER_S, AcousticMeter, unpack_codes
from genre_pipeline.ingest.near_duplicates import MIN_OVERLAP_S, find_near_duplicates


def fingerprint(waveform: np.ndarray, sample_rate: float) -> bytes:
    meter = AcousticMeter(int(sample_rate))
    meter.add(np.ascontiguousarray(waveform, dtype=np.float32))
    return meter.finish()


def encoded(waveform: np.ndarray, sample_rate: int, **options) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, waveform, sample_rate, **options)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def mp3(waveform: np.ndarray, compression_level: float) -> np.ndarray:
    options = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": compression_level}
    return encoded(soxr.resample(waveform, 22_050, 44_100), 44_100, **options)


def alterations(waveform: np.ndarray, start: int) -> dict[str, tuple[bytes, float]]:
    """Return fingerprints of copies at 22,050 Hz, and where they begin in the original."""
    cut, rate = waveform[start:], 22_050
    ogg = {"format": "OGG", "subtype": "VORBIS", "compression_level": 1.0}
    copies = {
        "cut elsewhere": (cut, rate),
        "MP3 320 kbit/s": (mp3(waveform, 0.0), 44_100),
        "MP3 56 kbit/s": (mp3(waveform, 0.9), 44_100),
        "Ogg 32 kbit/s": (encoded(waveform, rate, **ogg), rate),
        "-20 dB": (np.rint(3276.8 * waveform) / 32_768, rate),
        "8 bits": (np.rint(128 * waveform) / 128, rate),
        "clipped by 6 dB, mean 0.02": (np.clip(2 * waveform / np.abs(waveform).max() + 0.02, -1, 1), rate),
        "16 kHz": (soxr.resample(waveform, rate, 16_000), 16_000),
        "48 kHz": (soxr.resample(waveform, rate, 48_000), 48_000),
        "8 kHz, 8 bits, -6 dB": (np.rint(64 * soxr.resample(waveform, rate, 8000)) / 128, 8000),
        "cut elsewhere, -20 dB, MP3 56 kbit/s": (mp3(0.1 * cut, 0.9), 44_100),
    }
    return {
        name: (fingerprint(*copy), start / rate if name.startswith("cut") else 0.0) for name, copy in copies.items()
    }


def different(fingerprints: list[bytes]) -> None:
    """Print how similar different recordings are at all offsets with enough overlap."""
    codes = [unpack_codes(each) for each in fingerprints]
    n_places = scipy.fft.next_fast_len(2 * max(map(len, codes)))
    bits = np.zeros((len(codes), CODE_BITS, n_places), dtype=np.float32)
    there = np.zeros((len(codes), n_places), dtype=np.float32)
    for track, each in enumerate(codes):
        bits[track, :, : len(each)] = ((each[:, None] >> np.arange(CODE_BITS, dtype=np.uint32)) & 1).T
        there[track, : len(each)] = 1
    spectra, counts, lengths = (scipy.fft.rfft(each, axis=-1) for each in (bits, bits.sum(axis=1), there))
    found: dict[tuple[int, int], list[np.ndarray]] = {(5, 6): [], (6, 10): [], (10, 20): [], (20, 30): []}
    for one in range(len(codes) - 1):
        others = slice(one + 1, None)
        common = scipy.fft.irfft((np.conj(spectra[one]) * spectra[others]).sum(axis=1), n_places)
        n_set = scipy.fft.irfft(
            np.conj(counts[one]) * lengths[others] + np.conj(lengths[one]) * counts[others], n_places
        )
        overlap_s = scipy.fft.irfft(np.conj(lengths[one]) * lengths[others], n_places) / CODES_PER_S
        alike = 2 * common / np.maximum(n_set, 1)
        for (least, most), values in found.items():
            values.append(alike[(overlap_s >= least - 1e-3) & (overlap_s < most)])
    for (least, most), values in found.items():
        alike = np.concatenate(values)
        print(
            f"different, {least} to {most} s: {len(alike):.1e} alignments, {alike.mean():.3f} +- {alike.std():.4f}, "
            f"most alike {alike.max():.3f}"
        )


def transposed(fingerprints: list[bytes], n_tracks: int) -> list[bytes]:
    def turned(register: np.ndarray, steps: int) -> np.ndarray:
        return (register << steps | register >> (12 - steps)) & 0xFFF

    made = []
    every = itertools.product((0, 0xFFFFFF), range(12), range(12), [unpack_codes(each) for each in fingerprints])
    for inverted, low, high, codes in itertools.islice(every, n_tracks):
        altered = (turned(codes & 0xFFF, low) | turned(codes >> 12, high) << 12) ^ inverted
        made.append(bytes([ACOUSTIC_VERSION]) + altered.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-tracks", type=int, default=106_574, help="tracks to search, as many as FMA has")
    n_tracks = parser.parse_args().n_tracks
    paths = sorted(Path(os.environ["GENRE_PIPELINE_REAL_DATA"], "gtzan6", "genres").glob("*/*.ogg"))
    rng = np.random.default_rng(0)
    originals: dict[str, bytes] = {}
    copies: dict[str, dict[str, tuple[bytes, float]]] = {}
    for number, path in enumerate(paths):
        waveform, sample_rate = soundfile.read(path, dtype="float32")
        originals[path.stem] = fingerprint(waveform, sample_rate)
        if number % 4 == 0:
            for name, copy in alterations(waveform, int(rng.uniform(1, 23) * sample_rate)).items():
                copies.setdefault(name, {})[path.stem] = copy
    print(f"pairs among the {len(paths)} originals: {find_near_duplicates(list(originals), list(originals.values()))}")
    for name, made in copies.items():
        ids = [*originals, *(f"{track_id} copy" for track_id in made)]
        pairs = find_near_duplicates(ids, [*originals.values(), *(copy for copy, _ in made.values())], threshold=0.65)
        right = [
            pair
            for pair in pairs
            if pair.other == f"{pair.one} copy" and abs(pair.offset_s - made[pair.one][1]) < 1.5 / CODES_PER_S
        ]
        alike = np.array([pair.similarity for pair in right])
        print(
            f"{name}: least {alike.min():.3f}, median {np.median(alike):.3f}; of {len(made)}, {(alike >= 0.8).sum()} "
            f"reach 0.8; {len(pairs) - len(right)} other pairs reach 0.65"
        )
    print(f"(overlaps of {MIN_OVERLAP_S:g} s and more)")
    many = transposed(list(originals.values()), n_tracks)
    moved = copies["cut elsewhere, -20 dB, MP3 56 kbit/s"]
    ids = [*map(str, range(n_tracks)), *(f"{track_id} copy" for track_id in moved)]
    many += [copy for copy, _ in moved.values()]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    pairs = find_near_duplicates(ids, many)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    names = list(originals)
    n_right = sum(pair.other == f"{names[int(pair.one)]} copy" for pair in pairs if int(pair.one) < len(names))
    print(
        f"{len(many)} tracks, {sum(map(len, many)) / 1e6:.0f} MB of fingerprints: {seconds:.0f} s, {grown:.0f} MB more "
        f"memory, {n_right} of {len(moved)} copies found"
    )
    different(list(originals.values()))


if __name__ == "__main__":
    main()
