"""Measure the peak memory of ``genre-pipeline predict`` for files of 10 minutes and 2 hours, as a Markdown table.

Noise over tones is written as 16-bit WAV, mono, at 22,050 Hz, and each file is classified by a process of its own.

    kedro run --pipelines train_all --experiment test
    OMP_NUM_THREADS=1 python benchmarks/measure_prediction_memory.py --experiment test

Everything after the script's own options is given to the command.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 22_050


def write_song(path: Path, minutes: float) -> None:
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
        for second in range(round(60 * minutes)):
            tone = 0.3 * np.sin(2 * np.pi * (220.0 + second % 40) * np.arange(RATE) / RATE)
            file.write(tone + 0.05 * rng.standard_normal(RATE))


def measure(command: list[str]) -> tuple[int, float]:
    """Return the peak memory in MB and the CPU seconds of a command that must succeed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return round(usage.ru_maxrss / 1000), usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", nargs="+", type=float, default=[10.0, 120.0])
    options, arguments = parser.parse_known_args()
    print("| length (min) | peak memory (MB) | CPU (s) |\n|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for minutes in options.minutes:
            path = Path(folder, "song.wav")
            write_song(path, minutes)
            peak, seconds = measure([sys.executable, "-m", "genre_pipeline", "predict", *arguments, str(path)])
            print(f"| {minutes:g} | {peak} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
