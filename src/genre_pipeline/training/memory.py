"""Keep the memory of a network's maps from batch to batch on a processor, instead of returning it to the system.

glibc requests every large block from the system again, which provides it page by page, each zeroed. For BBNN, whose
maps take gigabytes, that is half the time of a step (``python benchmarks/bench_training.py``, docs/performance.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}
# The default, and the value that glibc's adaptation reaches when blocks of 32 MiB are freed; setting them ends the
# adaptation.
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 1024 * 1024, _TRIM_THRESHOLD: 64 * 1024 * 1024}


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Keep freed memory for the next batch, and release it at the end.

    This helps only on a processor with glibc, and only in the main thread unless the process was started with
    ``MALLOC_ARENA_MAX=1``. It does not change numbers. The peak grows by the gaps between kept blocks: by up to 40 %
    for BBNN.

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
        # On Windows, no single library has all names.
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
