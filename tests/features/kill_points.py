"""Extractions that SIGKILL themselves at one change of the disk after another: run by ``test_kills.py``.

Python tells an audit hook of each file that is opened, renamed, removed or cut. The numbered call of these kills the
process, so that the disk is left as it is between any two changes. Each extraction runs in a fork of this process,
which has no threads yet.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

# The last three: once, here, instead of in each fork.
import pyarrow.parquet  # noqa: F401
import scipy.signal  # noqa: F401
import torch  # noqa: F401

from genre_pipeline.features import FEATURES
from genre_pipeline.features.log_mel import LogMelBlock
from genre_pipeline.stores import extraction
from genre_pipeline.stores.extraction import Target, extract_together
from genre_pipeline.work.backends import Workers

CHANGES = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir"}
SHARD_SIZE = 2
SEGMENT = {"n_frames": 10, "hop_frames": 5}


def in_child(work: Callable[[], None]) -> int:
    """Do something in a fork; return the number of the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status)


def extract_until(kill_at: int, folder: Path, tracks: pd.DataFrame, audio: Path, decoded: int) -> None:
    """Extract two features, and die at the given change of the disk; note each file decoded."""
    n_changes = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal n_changes
        if event not in CHANGES or not isinstance(arguments[0], (str, os.PathLike)):
            return
        path = os.fspath(arguments[0])
        if path.startswith(str(audio)):
            os.write(decoded, b".")
        if path.startswith(str(folder.parent)):
            n_changes += 1
            if n_changes == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    # After two of the three shards, so that there are kills before, in and after it.
    extraction._COMMIT_TRACKS = 3
    small = {"kind": "log_mel", "sample_rate": 8000, "hop_length": 128, "n_fft": 256, "n_mels": 16}
    targets = [
        Target(FEATURES["log_mel"], LogMelBlock.model_validate({**small, "n_mels": n_mels, "segment": SEGMENT}), path)
        for n_mels, path in [(16, folder / "a"), (8, folder / "b")]
    ]
    extract_together(tracks, targets, root=audio, workers=Workers("serial"), shard_size=SHARD_SIZE)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("[!.]*/*"))}


def main(work: Path, every: int) -> None:
    """Write how many points there were; fail where a run that was killed and run again differs from a whole one."""
    tracks, audio = pd.read_pickle(work / "tracks.pickle"), work / "audio"
    reading, decoded = os.pipe()
    os.set_blocking(reading, False)

    def attempt(kill_at: int, folder: Path) -> int:
        return in_child(lambda: extract_until(kill_at, folder, tracks, audio, decoded))

    assert attempt(0, work / "whole" / "store") == 0
    whole = contents(work / "whole" / "store")
    assert len(whole) == 6
    # A file is opened for its headers and for its samples.
    n_opened = len(os.read(reading, 1000)) // len(tracks)
    n_points = 0
    for kill_at in range(1, 10_000, every):
        folder = work / f"killed-{kill_at}" / "store"
        signal_number = attempt(kill_at, folder)
        if signal_number == 0:
            break
        assert signal_number == signal.SIGKILL
        n_points += 1
        assert attempt(0, folder) == 0
        n_decoded = len(os.read(reading, 1000)) // n_opened
        assert contents(folder) == whole, f"killed at {kill_at}: other bytes"
        assert len(tracks) <= n_decoded <= len(tracks) + SHARD_SIZE, f"killed at {kill_at}: {n_decoded} decoded"
        left = sorted(path.name for path in folder.iterdir())
        assert left == [".a.lock", ".b.lock", "a", "b"], f"killed at {kill_at}: {left} left"
    sys.stdout.write(str(n_points))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
