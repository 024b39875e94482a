"""How many segments are scored at once."""

import pytest
import torch
from torch import nn

from genre_pipeline.training import predictors
from genre_pipeline.training.predictors import compute_logits, in_batches
from genre_pipeline.training.segments import Normalisation


@pytest.mark.parametrize(
    ("device", "shape", "sizes"),
    [
        ("cpu", (130, 4, 5), [64, 64, 2]),
        ("cpu", (20, 128, 646), [8, 8, 4]),
        ("cpu", (3, 1000, 1000), [1, 1, 1]),
        ("cuda", (130, 4, 5), [64, 64, 2]),
        ("cuda", (70, 128, 646), [64, 6]),
    ],
)
def test_large_segments_come_in_small_batches_on_a_processor(device, shape, sizes):
    segments = torch.arange(shape[0], dtype=torch.float32)[:, None, None].expand(shape)
    batches = in_batches(segments, torch.device(device))
    assert [len(batch) for batch in batches] == sizes
    assert torch.cat(batches)[:, 0, 0].tolist() == list(range(shape[0]))


def test_scores_do_not_depend_on_the_batches(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    features = torch.randn(30, 4, 5)
    network(features)
    logits = {}
    for n_values in (1, 20 * 7, 20 * 30):
        monkeypatch.setattr(predictors, "_N_VALUES_CPU", n_values)
        logits[n_values] = compute_logits(network, Normalisation("none"), features, torch.device("cpu"))
    torch.testing.assert_close(logits[1], logits[20 * 30])
    torch.testing.assert_close(logits[20 * 7], logits[20 * 30])
