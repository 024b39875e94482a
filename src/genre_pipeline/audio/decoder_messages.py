"""Catch what decoders write to the standard error stream, together with the file that caused it.

libmpg123, which libsndfile contains, prints a line for each damaged frame without the file's name, and libsndfile does
not silence it. File descriptor 2 belongs to the whole process, in which other threads decode other files and draw a
progress bar. So during decoding, only C's ``stderr`` is replaced, by a stream that checks which thread writes. Output
of other threads goes to its usual place.

This needs the GNU C library. Elsewhere, nothing is caught.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

_UNBUFFERED = 2  # _IONBF
_LOCKED_BY_CALLER = 2  # FSETLOCKING_BYCALLER

# [?] Number of kinds of message quoted per file, and their maximum length.
_QUOTED_KINDS = 3
_QUOTED_CHARACTERS = 120

_ENDS_AT = 10_000  # [?] Number of lines kept per file; a damaged hour may give more.

_Write = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Functions(ctypes.Structure):
    """The C library's ``cookie_io_functions_t``."""

    _fields_ = (("read", ctypes.c_void_p), ("write", _Write), ("seek", ctypes.c_void_p), ("close", ctypes.c_void_p))


class _Switch:
    """Replaces C's ``stderr`` by a stream that checks the thread, while a decoder runs."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._variable = ctypes.c_void_p.in_dll(library, "stderr")
        self._original = self._variable.value
        # A reference is kept, because C calls it as long as the process lives.
        self._functions = _Functions(None, _Write(self._write), None, None)
        library.fopencookie.restype = ctypes.c_void_p
        library.fopencookie.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _Functions]
        self._asking = library.fopencookie(None, b"w", self._functions)
        stream = ctypes.c_void_p(self._asking)
        library.setvbuf(stream, None, _UNBUFFERED, ctypes.c_size_t(0))
        # The stream's own lock and Python's lock could wait for each other.
        getattr(library, "__fsetlocking")(stream, _LOCKED_BY_CALLER)
        self._lines: dict[int, list[bytes]] = {}
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    def _write(self, cookie: int | None, content: int, size: int) -> int:  # noqa: ARG002
        written = ctypes.string_at(content, size)
        lines = self._lines.get(threading.get_ident())
        if lines is None:
            with suppress(OSError):
                os.write(2, written)
        elif len(lines) < _ENDS_AT:
            lines.append(written)
        return size

    def listen(self, lines: list[bytes]) -> None:
        """Collect this thread's output in a list from now on."""
        with self._lock:
            self._lines[threading.get_ident()] = lines
            self._variable.value = self._asking

    def stop(self) -> None:
        """Send this thread's output to ``stderr`` again."""
        with self._lock:
            del self._lines[threading.get_ident()]
            if not self._lines:
                self._variable.value = self._original

    def _forget(self) -> None:
        """Forget the threads of the process that this one was forked from."""
        self._lock = threading.Lock()
        self._lines = {}
        self._variable.value = self._original


@cache
def _switch() -> _Switch | None:
    library = ctypes.CDLL(None)
    return _Switch(library) if hasattr(library, "gnu_get_libc_version") else None


@contextmanager
def caught_messages(lines: list[bytes]) -> Iterator[None]:
    """Catch what C code of this thread writes to the standard error stream.

    Args:
        lines: The output is appended to this.
    """
    switch = _switch()
    if switch is None:
        yield
        return
    switch.listen(lines)
    try:
        yield
    finally:
        switch.stop()


def summarise_messages(lines: Iterable[bytes]) -> str:
    r"""Summarise decoders' messages in one line, each kind once, with its count.

    Args:
        lines: Their output.

    Returns:
        The messages, the most frequent first; messages that differ only in numbers are one kind. Empty if there are
        none.

    Example:
        >>> summarise_messages([b"[layer3.c:1] error: too large (7)\n", b"[layer3.c:1] error: too large (8)\n"])
        'error: too large (7) (2 times)'
    """
    text = b"".join(lines).decode("utf-8", "replace")
    # The position in the decoder's source.
    messages = [" ".join(re.sub(r"^\[[^\]]*\.c:[^\]]*\]", "", line).split()) for line in text.splitlines()]
    messages = [message[:_QUOTED_CHARACTERS] for message in messages if message]
    kinds = Counter(_kind(message) for message in messages)
    first: dict[str, str] = {}
    for message in messages:
        first.setdefault(_kind(message), message)
    quoted = [f"{first[kind]} ({n} time{'s' * (n > 1)})" for kind, n in kinds.most_common(_QUOTED_KINDS)]
    n_more = sum(kinds.values()) - sum(n for _, n in kinds.most_common(_QUOTED_KINDS))
    return "; ".join([*quoted, *([f"and {n_more} more"] if n_more else [])])


def _kind(message: str) -> str:
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "#", message)
