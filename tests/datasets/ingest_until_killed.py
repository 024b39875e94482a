"""Ingests, killed by SIGKILL at one change of the disk after another: run by ``test_ingest.py``.

Python tells an audit hook of each file that is opened, renamed or removed; the numbered one below the cache's folder
kills the process. Each attempt runs in a fork of this process, which has no threads, and all that it imports.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from pyarrow import parquet  # noqa: F401

from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.ingest import inspections
from genre_pipeline.ingest.ingest import ingest

# Finding it imports all datasets.
SPEC = DATASETS["folder"]

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def write_music(root: Path) -> None:
    rng = np.random.default_rng(0)
    for genre in ("blues", "jazz"):
        (root / genre).mkdir(parents=True)
        for number in range(3):
            soundfile.write(root / genre / f"{number}.wav", rng.uniform(-0.5, 0.5, 1000), 8000)


def ingest_into(folder: Path, result: Path) -> None:
    block = DatasetBlock(kind="folder", path=folder.parent / "music", min_duration_s=0.1)
    found = ingest("killed", SPEC, block, cache=folder / "cache.parquet", n_workers=2)
    found.tracks.to_pickle(result)
    result.with_suffix(".json").write_text(json.dumps(found.report["n_inspected"]))


def in_child(folder: Path, result: Path, kill_at: int = 0) -> bool:
    """Ingest in a fork; return whether it was killed."""
    child = os.fork()
    if child == 0:
        n_changes = 0

        def watch(event: str, arguments: tuple) -> None:
            nonlocal n_changes
            if event in CHANGES and str(arguments[0]).startswith(f"{folder}/"):
                n_changes += 1
                if n_changes == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            ingest_into(folder, result)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def main(work: Path) -> None:
    """Kill at every point in turn; a second run must find the same, and do what was not done only."""
    inspections._PART_FILES = 2
    write_music(work / "music")
    result = work / "result.pickle"
    in_child(work / "whole", result)
    expected = pd.read_pickle(result)
    n_inspected = []
    while in_child(folder := work / f"killed-{len(n_inspected)}", result, kill_at=len(n_inspected) + 1):
        in_child(folder, result)
        pd.testing.assert_frame_equal(pd.read_pickle(result), expected)
        n_inspected.append(json.loads(result.with_suffix(".json").read_text()))
        left = {path.name for path in folder.iterdir()}
        assert left == {".cache.lock", "cache.parquet", "cache.near_duplicates.json"}, left
    sys.stdout.write(json.dumps(n_inspected))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
