"""Device, number type, threads and random state."""

import pytest
import torch

from genre_pipeline.errors import ConfigError
from genre_pipeline.training import devices
from genre_pipeline.training.devices import (
    choose_device,
    free_memory,
    has_native_bfloat16,
    n_devices,
    random_state,
    reproducible,
    set_random_state,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "chosen"), [(False, False, "cpu"), (True, True, "cuda"), (False, True, "mps")]
)
def test_auto_takes_the_fastest_device(monkeypatch, has_cuda, has_mps, chosen):
    monkeypatch.setattr(devices, "_has_cuda", lambda: has_cuda)
    monkeypatch.setattr(devices, "_has_mps", lambda: has_mps)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == chosen
    assert choose_device("cpu").type == "cpu"


def test_trainings_side_by_side_are_dealt_the_devices_in_turn(monkeypatch):
    monkeypatch.setattr(devices, "_has_cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert [choose_device("auto", slot).index for slot in range(5)] == [0, 1, 2, 0, 1]
    assert [n_devices(kind) for kind in ("cuda", "cpu", "mps")] == [3, 1, 1]
    assert choose_device("cpu", 4) == CPU


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "_has_cuda", lambda: False)
    monkeypatch.setattr(devices, "_has_mps", lambda: False)
    with pytest.raises(ConfigError, match=r"training\.device is 'cuda'.*Available: cpu;"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, True), ({"avx2": True}, False), ({"bf16": True}, True), ({}, False)],
)
def test_the_processor_says_whether_it_has_bfloat16(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_native_bfloat16(CPU) is expected


def test_graphics_processors_are_asked_themselves(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert has_native_bfloat16(torch.device("cuda"))
    assert not has_native_bfloat16(torch.device("mps"))


class Generators:
    """The random state of a device that is not there."""

    def __init__(self):
        self.state = torch.tensor([1])
        self.n_freed = 0

    def get_rng_state(self, *_):
        return self.state

    def set_rng_state(self, state, *_):
        self.state = state

    def empty_cache(self):
        self.n_freed += 1


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_random_states_come_back(monkeypatch, kind):
    there = Generators()
    monkeypatch.setattr(torch, kind, there)
    device = torch.device(kind)
    with torch.random.fork_rng(devices=[]):
        states = random_state(device)
        first = torch.rand(3)
        there.state = torch.tensor([2])
        set_random_state(states, device)
        assert torch.equal(torch.rand(3), first)
    assert set(states) == {"cpu", kind}
    assert int(there.state) == (2 if kind == "cpu" else 1)
    free_memory(device)
    assert there.n_freed == (kind != "cpu")


def test_random_state_and_threads_are_put_back():
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    with reproducible(3, CPU, n_threads=2):
        first = torch.rand(4)
        assert torch.get_num_threads() == 2
    with reproducible(3, CPU):
        assert torch.equal(torch.rand(4), first)
        assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == n_threads


def test_random_state_and_threads_are_put_back_after_a_failure():
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt), reproducible(3, CPU, n_threads=2):
        torch.rand(4)
        raise KeyboardInterrupt
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == n_threads
