"""Unpacks archives, killed by SIGKILL at one change of the disk after another: run by ``test_archives.py``.

Python tells an audit hook of each file that is opened, renamed or removed; the numbered call kills the process. Each
attempt runs in a fork of this process, which has no threads.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.datasets.reading.archives import prepare_root

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def visible(root: Path) -> list[Path]:
    """Return the files as the loaders see them: hidden folders are passed over."""
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return [path for path in paths if not any(part.startswith(".") for part in path.parts)]


def is_there(root: Path) -> bool:
    return any(path.suffix == ".wav" for path in visible(root))


def prepare(path: Path) -> None:
    prepare_root(DatasetBlock(kind="folder", path=path), layout="audio", is_there=is_there)


def in_child(path: Path, kill_at: int) -> bool:
    """Prepare a folder in a fork; return whether it was killed."""
    child = os.fork()
    if child == 0:
        n_changes = 0

        def watch(event: str, arguments: tuple) -> None:
            nonlocal n_changes
            if event in CHANGES and str(arguments[0]).startswith(str(path.parent)):
                n_changes += 1
                if n_changes == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            prepare(path)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def contents(root: Path) -> dict[str, bytes]:
    paths = sorted(path for path in root.rglob("*") if path.is_file() and ".lock" not in path.name)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def main(original: Path, name: str) -> None:
    """Kill at every point in turn; after each, what is there must be whole, and a second run must finish it."""
    expected_in = original.with_name("expected")
    shutil.copytree(original, expected_in)
    prepare(expected_in / name)
    expected = contents(expected_in)
    killed, n_killed = True, 0
    while killed:
        work = original.with_name(f"killed-{n_killed}")
        shutil.copytree(original, work)
        killed = in_child(work / name, kill_at=n_killed + 1)
        n_killed += killed
        # What a loader may take for a folder of audio is hidden or whole.
        for folder in {path.parent for path in visible(work) if path.suffix == ".wav"}:
            assert contents(work / folder) == contents(expected_in / folder), folder
        prepare(work / name)
        assert contents(work) == expected, n_killed
        shutil.rmtree(work)
    sys.stdout.write(f"{n_killed}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
