"""What is done to training segments, one way at a time."""

import pytest
import torch

from genre_pipeline.training.augmentation import AugmentationBlock, augment, mix


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def segments(n_segments=64, n_bins=12, n_frames=30):
    return torch.randn(n_segments, n_bins, n_frames, generator=torch.Generator().manual_seed(1))


def test_nothing_is_done_unless_asked_for():
    batch = segments()
    assert augment(batch, AugmentationBlock()) is batch


@pytest.mark.parametrize(
    "values",
    [
        {"time_reversal": 0.5},
        {"shift_frames": 5},
        {"crop_frames": 5},
        {"gain": 1.0},
        {"filtering": 1.0},
        {"noise": 0.1},
        {"n_time_masks": 2},
        {"n_frequency_masks": 1},
    ],
)
def test_the_shape_stays_the_input_too_and_a_seed_decides(values):
    batch = segments()
    before = batch.clone()
    torch.manual_seed(3)
    first = augment(batch, AugmentationBlock(**values))
    torch.manual_seed(3)
    second = augment(batch, AugmentationBlock(**values))
    assert torch.equal(batch, before)
    assert first.shape == batch.shape
    assert torch.equal(first, second)
    assert not torch.equal(first, batch)


def test_reversal_turns_time_and_not_frequency():
    batch = segments()
    assert torch.equal(augment(batch, AugmentationBlock(time_reversal=1.0)), batch.flip(2))
    half = augment(batch, AugmentationBlock(time_reversal=0.5))
    is_reversed = (half == batch.flip(2)).all(dim=(1, 2))
    is_same = (half == batch).all(dim=(1, 2))
    assert (is_reversed ^ is_same).all()
    assert 10 < is_reversed.sum() < 54


def test_shift_moves_each_segment_around_by_at_most_the_limit():
    batch = segments()
    shifted = augment(batch, AugmentationBlock(shift_frames=3))
    moves = [
        next(move for move in range(-3, 4) if torch.equal(one.roll(move, dims=1), other))
        for one, other in zip(batch, shifted, strict=True)
    ]
    assert set(moves) == set(range(-3, 4))


def test_a_crop_moves_each_segment_by_at_most_the_limit_and_brings_in_zeros():
    batch = segments()
    cropped = augment(batch, AugmentationBlock(crop_frames=3))
    padded = torch.nn.functional.pad(batch, (3, 3))
    starts = [
        next(start for start in range(7) if torch.equal(one[:, start : start + 30], other))
        for one, other in zip(padded, cropped, strict=True)
    ]
    assert set(starts) == set(range(7))


def test_a_crop_longer_than_the_segment_fits():
    assert augment(segments(4), AugmentationBlock(crop_frames=100)).shape == (4, 12, 30)


def test_filtering_is_a_curve_over_the_bins_that_is_straight_between_six_points():
    batch = segments(n_bins=11)
    added = augment(batch, AugmentationBlock(filtering=2.0)) - batch
    curves = added[:, :, 0]
    torch.testing.assert_close(added, curves[:, :, None].expand_as(added), rtol=0.0, atol=1e-5)
    points = curves[:, ::2]
    torch.testing.assert_close(curves[:, 1::2], (points[:, :-1] + points[:, 1:]) / 2, rtol=0.0, atol=1e-5)
    assert 1.7 < float(points.std()) < 2.3


def test_gain_is_one_number_a_segment():
    batch = segments()
    added = augment(batch, AugmentationBlock(gain=2.0)) - batch
    torch.testing.assert_close(added, added[:, :1, :1].expand_as(added), rtol=0, atol=1e-5)
    assert 1.0 < added[:, 0, 0].std() < 3.0


def test_noise_has_its_deviation():
    added = augment(segments(), AugmentationBlock(noise=0.5)) - segments()
    assert added.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("values", "axis", "limit"),
    [({"n_time_masks": 1, "max_time_mask": 7}, 1, 7), ({"n_frequency_masks": 1, "max_frequency_mask": 4}, 0, 4)],
)
def test_a_mask_is_one_whole_stretch_of_zeros(values, axis, limit):
    masked = augment(segments(256), AugmentationBlock(**values))
    lengths = set()
    for one in masked:
        is_zero = (one == 0).all(dim=1 - axis)
        assert torch.equal(one == 0, is_zero.unsqueeze(1 - axis).expand_as(one))
        places = is_zero.nonzero().squeeze(1)
        lengths.add(len(places))
        if len(places):
            assert places[-1] - places[0] + 1 == len(places)
    assert lengths == set(range(limit + 1))


def test_a_mask_longer_than_the_segment_fits():
    assert augment(segments(4), AugmentationBlock(n_time_masks=1, max_time_mask=1000)).shape == (4, 12, 30)


def test_mixing():
    batch = segments()
    mixed, partners, share = mix(batch, 0.4)
    assert 0.5 <= share <= 1.0
    torch.testing.assert_close(mixed, share * batch + (1 - share) * batch[partners])
    assert sorted(partners.tolist()) == list(range(len(batch)))
