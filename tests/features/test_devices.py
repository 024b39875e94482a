"""Spectra on another device; what a GPU computes is part of the features' contract."""

import numpy as np
import pytest
import torch

from genre_pipeline.errors import ComputeError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.spectrum import Levels
from genre_pipeline.stores.extraction import extract
from genre_pipeline.work.backends import Workers


def test_a_device_that_is_not_there_stops_before_any_work(write_track, make_tracks, small_block, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ComputeError, match="compute.device is 'cuda', and torch finds no GPU"):
        extract(
            make_tracks([write_track("a", seed=1, n_samples=3000)]),
            root=tmp_path / "audio",
            spec=FEATURES["log_mel"],
            block=small_block,
            folder=tmp_path / "store",
            workers=Workers("serial", device="cuda"),
        )
    assert not (tmp_path / "store").exists()


def test_levels_of_a_device_are_those_of_the_processor(small_block):
    levels = Levels(small_block)
    energies = torch.from_numpy(np.float32(10.0) ** np.linspace(-45, 35, 1000, dtype=np.float32))
    expected = np.empty(1000, dtype=np.float32)
    levels._write_levels(energies.numpy(), expected)
    np.testing.assert_allclose(levels._levels_on_device(energies).numpy(), expected, rtol=0, atol=1e-4)
