"""Segments and how they are scaled."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.errors import TrainingError
from genre_pipeline.models import InputShape
from genre_pipeline.training import Normalisation, SegmentSet
from genre_pipeline.training.segments import as_tensor


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype=dtype)


def test_length_and_shape():
    segments = SegmentSet(zeros(3, 4, 5), zeros(3, dtype=np.int64))
    assert (len(segments), segments.shape) == (3, InputShape(n_bins=4, n_frames=5))


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (zeros(3, 4), zeros(3, dtype=np.int64), r"axes \(segment, bin, frame\), got float32 with shape \(3, 4\)"),
        (zeros(3, 4, 5, dtype=np.float64), zeros(3, dtype=np.int64), "must be float32.*got float64"),
        (zeros(3, 4, 5), zeros(2, dtype=np.int64), r"3 segments need as many int64 targets.*\(2,\)"),
        (zeros(3, 4, 5), zeros(3), "int64 targets, got float32"),
    ],
)
def test_misfits_are_refused(features, targets, message):
    with pytest.raises(TrainingError, match=message):
        SegmentSet(features, targets)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(value):
    features = zeros(3, 4, 5)
    features[1, 2, 3] = value
    with pytest.raises(TrainingError, match="segment number 1 are not all finite"):
        SegmentSet(features, zeros(3, dtype=np.int64))


def test_read_only_features_are_copied_and_others_shared():
    array = zeros(2, 2, 2)
    as_tensor(array)[0, 0, 0] = 1.0
    assert array[0, 0, 0] == 1.0
    array.flags.writeable = False
    as_tensor(array)[0, 0, 0] = 2.0
    assert array[0, 0, 0] == 1.0


def test_no_normalisation_changes_nothing():
    features = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert Normalisation.fit("none", features)(features) is features


@settings(derandomize=True, deadline=None, max_examples=20)
@given(shift=st.floats(-80, 20), scale=st.floats(0.1, 30), seed=st.integers(0, 99))
def test_each_segment_gets_zero_mean_and_unit_deviation(shift, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    features = shift + scale * torch.randn(3, 4, 6, generator=generator)
    scaled = Normalisation.fit("per_segment", features)(features)
    torch.testing.assert_close(scaled.mean(dim=(1, 2)), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(scaled.std(dim=(1, 2), correction=0), torch.ones(3), rtol=0, atol=1e-3)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(shift=st.floats(-80, 20), scale=st.floats(0.1, 30), seed=st.integers(0, 99))
def test_each_bin_gets_zero_mean_and_unit_deviation_over_the_training_split(shift, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    features = shift + scale * torch.randn(5, 3, 6, generator=generator) * torch.tensor([1.0, 2.0, 3.0])[:, None]
    scaled = Normalisation.fit("training", features)(features)
    torch.testing.assert_close(scaled.mean(dim=(0, 2)), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(scaled.std(dim=(0, 2), correction=0), torch.ones(3), rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["per_segment", "training"])
def test_what_never_changes_is_only_shifted(kind):
    features = torch.full((2, 3, 4), -100.0)
    normalisation = Normalisation.fit(kind, features)
    assert not normalisation(features).any()


@pytest.mark.parametrize("kind", ["none", "per_segment", "training"])
def test_state_round_trip(kind):
    features = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    normalisation = Normalisation.fit(kind, features)
    again = Normalisation.from_state(kind, normalisation.to(torch.device("cpu")).state())
    assert torch.equal(again(features), normalisation(features))
