"""Memory of a network's maps on a processor: kept from batch to batch instead of given back to the operating system.

glibc requests every large block anew from the system, which hands it out page by page, each zeroed: of a step of BBNN,
whose maps take gigabytes, that is half the time (``python benchmarks/bench_training.py``, docs/performance.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}
# Its default, and what its own adaptation comes to where blocks of 32 MiB are freed; setting them ends the adaptation.
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 1024 * 1024, _TRIM_THRESHOLD: 64 * 1024 * 1024}


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Keep freed memory for the next batch, and give it back at the end.

    Only where a processor computes and the C library is glibc; elsewhere nothing is gained, nor in threads that are not
    the main one, unless the process began with ``MALLOC_ARENA_MAX=1``. Numbers do not depend on it. The peak grows by
    what lies between kept blocks: by up to 40 % for BBNN.

    Args:
        device: Where the network computes.
    """
    library = _glibc() if device.type == "cpu" else None
    if library is None:
        yield
        return
    _set(library, _KEEPING)
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, values: Mapping[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        # Windows has no library of all names.
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
