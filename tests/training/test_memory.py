"""Memory that is kept from step to step: what the system is asked for, not how long it takes."""

import ctypes
import json
import subprocess
import sys

import pytest
import torch

from genre_pipeline.training import memory
from genre_pipeline.training.memory import kept_memory

CPU = torch.device("cpu")

# In a process of its own: what other tests left in the heap of this one decides where its blocks come from.
SCRIPT = """
import json, resource, sys
from pathlib import Path
import torch
from genre_pipeline.training.memory import kept_memory

N_BYTES = 64 * 1024 * 1024

def faults():
    # How many pages the system hands out while a large block is filled and freed four times.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(N_BYTES, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def n_blocks_held():
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return n_pages * resource.getpagesize() / N_BYTES

seen = {"usual": faults()}
at_rest = n_blocks_held()
try:
    with kept_memory(torch.device("cpu")):
        # How many turns it takes until all is there depends on where the heap begins.
        seen["kept"] = [faults() for _ in range(6)]
        seen["held_inside"] = n_blocks_held() - at_rest
        if sys.argv[1] == "error":
            raise ZeroDivisionError
except ZeroDivisionError:
    seen["raised"] = True
seen["held_after"] = n_blocks_held() - at_rest
# More than lies free in the heap.
torch.ones(10 * N_BYTES, dtype=torch.uint8)
seen["held_later"] = n_blocks_held() - at_rest
print(json.dumps(seen))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc")
@pytest.mark.parametrize("ending", ["usual", "error"])
def test_memory_is_asked_for_at_first_only_and_given_back_at_the_end(ending):
    process = subprocess.run([sys.executable, "-c", SCRIPT, ending], capture_output=True, text=True, check=True)
    seen = json.loads(process.stdout)
    assert seen["kept"][0] > 0
    assert seen["kept"][-1] < seen["usual"] / 8
    assert seen["held_inside"] > 0.9
    assert seen["held_after"] < 0.1
    assert seen["held_later"] < 0.1
    assert seen.get("raised", False) == (ending == "error")


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
