"""Memory that is kept from step to step: what the system is asked for, not how long it takes."""

import ctypes
import resource

import pytest
import torch

from genre_pipeline.training import memory
from genre_pipeline.training.memory import kept_memory

CPU = torch.device("cpu")
N_BYTES = 256 * 1024 * 1024


def faults(n_times):
    """Return how many pages the system hands out while a large block is filled and freed so many times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n_times):
        torch.ones(N_BYTES, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


needs_glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc")


@needs_glibc
def test_memory_is_asked_for_at_first_only_and_given_back_at_the_end():
    n_usual = faults(4)
    with kept_memory(CPU):
        assert faults(4) > 0
        n_kept = faults(4)
    assert n_kept < n_usual / 8
    assert faults(4) > n_usual / 2


@needs_glibc
def test_it_is_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError), kept_memory(CPU):
        faults(1)
        raise ZeroDivisionError
    assert faults(2) > faults(1)


@pytest.mark.parametrize("device", [CPU, torch.device("cuda")])
def test_where_there_is_nothing_to_set_nothing_happens(device, monkeypatch):
    if device == CPU:
        monkeypatch.setattr(memory, "_glibc", lambda: None)
    else:
        monkeypatch.setattr(memory, "_set", lambda *_: pytest.fail("a GPU has its own memory"))
    with kept_memory(device):
        assert float(torch.ones(3).sum()) == 3.0


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_systems_without_a_library_of_all_names(error, monkeypatch):
    def load(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert memory._glibc() is None
