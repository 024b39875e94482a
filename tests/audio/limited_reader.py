"""Reads audio files in bounded memory: a path a line on standard input, what was found as JSON on standard output."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from genre_pipeline.audio import inspect_audio, read_waveform
from genre_pipeline.errors import AudioError

RATE = 22_050
# [?] Some times what the greatest blocks take.
HEADROOM_BYTES = 384 << 20


def limit_memory() -> None:
    """Let this process take so much more address space than it has."""
    n_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = n_pages * resource.getpagesize() + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def read(path: Path) -> dict[str, Any]:
    """Inspect a file, and read it as features and prediction do."""
    facts = inspect_audio(path)
    found = {"faults": facts.faults, "n_samples": facts.n_samples, "sample_rate": facts.sample_rate}
    try:
        return found | {"n_read": len(read_waveform(path, sample_rate=RATE)), "error": ""}
    except AudioError as error:
        return found | {"n_read": 0, "error": str(error)}


def main(folder: Path) -> None:
    # What is imported and allocated once is no file's doing.
    soundfile.write(folder / "sound.wav", np.zeros(44_100), 44_100)
    read(folder / "sound.wav")
    limit_memory()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(read(Path(line.rstrip("\n")))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
