"""Classify the files of a library, several at once, and only those that are new or have changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from genre_pipeline.datasets.reading.files import Stamp
from genre_pipeline.evaluation.answers import FileAnswer, FileClassifier
from genre_pipeline.library.index import AnswerIndex
from genre_pipeline.library.listing import Listing
from genre_pipeline.progress import Advance, progress_bar
from genre_pipeline.work.backends import Workers


@dataclass(frozen=True)
class Library:
    """Files, and how they are classified.

    Attributes:
        model: The model.
        workers: Who classifies.
        index: Where answers are kept and looked up; ``None`` for nowhere.
        console: Where a bar is shown; ``None`` for nowhere.
        described: Whether the answers describe the files' features; those of the index do not.
    """

    model: FileClassifier
    workers: Workers
    index: AnswerIndex | None = None
    console: Console | None = None
    described: bool = False

    def answers(self, listing: Listing) -> Iterator[FileAnswer]:
        """Classify files.

        Args:
            listing: The files.

        Yields:
            An answer for each, in their order, each as soon as those before it are there.

        Raises:
            ComputeError: If the workers cannot be started or reached, or die.
            StorageError: If the index cannot be read or written.
        """
        stamps = listing.stamps()
        known: set[Path] = set()
        if self.index is not None:
            self.index.forget_missing(listing)
            known = self.index.unchanged(stamps, self.model.fingerprint)
        todo = [path for path in listing.paths if path not in known]
        found: dict[Path, FileAnswer] = {}
        upcoming = iter(listing.paths)
        waited_for = next(upcoming, None)
        # A single file is classified here, so that a signal ends it at once.
        workers = self.workers.for_clips(len(todo)) if len(todo) > 1 else Workers("serial")
        with (
            _one_thread_each(workers),
            self._bar(len(todo)) as advance,
            workers.map(partial(self.model.answer, described=self.described), todo) as finished,
        ):
            for _, answer in finished:
                found[answer.path] = answer
                self._keep(answer, stamps)
                advance(answer.path.name)
                while waited_for is not None and (waited_for in known or waited_for in found):
                    yield found.pop(waited_for) if waited_for in found else self._known(waited_for)
                    waited_for = next(upcoming, None)
        while waited_for is not None:
            yield self._known(waited_for)
            waited_for = next(upcoming, None)

    def _bar(self, n_files: int) -> AbstractContextManager[Advance]:
        if self.console is None:
            return nullcontext(lambda _note: None)
        return progress_bar("Classifying", n_files, console=self.console)

    def _keep(self, answer: FileAnswer, stamps: dict[Path, Stamp]) -> None:
        # A file that may not be read can become readable without a change.
        if self.index is not None and answer.path in stamps and os.access(answer.path, os.R_OK):
            self.index.keep(answer, stamps[answer.path], self.model.fingerprint)

    def _known(self, path: Path) -> FileAnswer:
        assert self.index is not None, "only the index knows answers"
        return self.index.read(path, n_genres=len(self.model.genres))


@dataclass(frozen=True)
class NewFiles:
    """What a look at a library found: see :func:`~genre_pipeline.ops.refresh.watching.watch`.

    Attributes:
        listing: The files that are there and were not classified as they are.
        stamps: Their sizes and times of change.
    """

    listing: Listing
    stamps: dict[Path, Stamp]

    @property
    def stale(self) -> tuple[Path, ...]:
        """The files."""
        return self.listing.paths

    @property
    def signature(self) -> tuple[object, ...]:
        """A key of the state of the files."""
        return tuple(self.stamps.items())


class Lookout:
    """Looks for files that are new or have changed since they were classified.

    Args:
        look: Lists all files that are meant.
    """

    def __init__(self, look: Callable[[], Listing]) -> None:
        self._look = look
        self._seen: dict[Path, Stamp] = {}

    def find(self) -> NewFiles:
        """Return the files that were not :meth:`passed <pass_by>` as they are now."""
        listing = self._look()
        stamps = listing.stamps()
        fresh = {path: stamp for path, stamp in stamps.items() if self._seen.get(path) != stamp}
        return NewFiles(Listing(tuple(fresh), listing.folders), fresh)

    def pass_by(self, found: NewFiles) -> None:
        """Note that files were dealt with, whether they could be classified or not."""
        self._seen.update(found.stamps)


@contextmanager
def _one_thread_each(workers: Workers) -> Iterator[None]:
    """Let torch use one thread for each of several files: they divide the cores already."""
    # An exported model needs no torch, which takes seconds to import.
    torch = sys.modules.get("torch")
    if torch is None or workers.n_workers == 1:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
