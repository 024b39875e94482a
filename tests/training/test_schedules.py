"""Step sizes and stopping against sequences worked out by hand from Keras' rules."""

import pytest

from genre_pipeline.training.epochs import EpochRecord
from genre_pipeline.training.schedules import (
    CosineBlock,
    PlateauBlock,
    Stalled,
    StoppingBlock,
    make_schedule,
)


def record(train_loss, validation_loss=1.0):
    return EpochRecord(1, 100, train_loss, 0.5, validation_loss, 0.5, 0.1, 1.0, 1.0)


def rates(block, losses, *, key="train_loss"):
    schedule = make_schedule(0.01, block)
    found = []
    for loss in losses:
        found.append(schedule.rate_at(0.0))
        schedule.after_epoch(record(loss) if key == "train_loss" else record(9.0, loss))
    return [*found, schedule.rate_at(0.0)]


def test_no_schedule_keeps_the_step_size():
    assert rates(None, [1.0, 2.0, 3.0]) == [0.01] * 4


def test_plateau_of_bbnn():
    # Keras counts from the first epoch without improvement and begins anew after each reduction.
    block = PlateauBlock(kind="plateau", monitor="train_loss", factor=0.5, patience=3)
    losses = [1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5]
    assert rates(block, losses) == [0.01] * 5 + [0.005] * 3 + [0.0025] * 3


def test_a_fall_within_min_delta_is_none():
    block = PlateauBlock(kind="plateau", monitor="train_loss", factor=0.5, patience=1, min_delta=0.1)
    assert rates(block, [1.0, 0.95, 0.85]) == [0.01, 0.01, 0.005, 0.005]


def test_plateau_watches_the_loss_it_is_told_to_and_stops_at_the_least_rate():
    block = PlateauBlock(kind="plateau", factor=0.1, patience=1, min_rate=5e-4)
    assert rates(block, [1.0, 1.0, 1.0, 1.0], key="validation_loss") == pytest.approx([0.01, 0.01, 1e-3, 5e-4, 5e-4])


def test_cosine_with_warm_up():
    schedule = make_schedule(2.0, CosineBlock(kind="cosine", warm_up=0.2))
    assert [schedule.rate_at(progress) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0, 1, 2, 1, 0])


def test_cosine_without_warm_up_begins_at_the_step_size():
    assert make_schedule(2.0, CosineBlock(kind="cosine")).rate_at(0.0) == 2.0


@pytest.mark.parametrize(
    ("block", "losses", "last"),
    [
        (StoppingBlock(monitor="train_loss", patience=2), [1.0, 0.9, 0.9, 0.95, 0.1], 4),
        (StoppingBlock(monitor="train_loss", patience=2, min_delta=0.2), [1.0, 0.9, 0.85, 0.1], 3),
        (StoppingBlock(monitor="train_loss", patience=3), [1.0, 0.9, 0.95, 0.95, 0.8, 0.9], None),
    ],
)
def test_stopping(block, losses, last):
    stalled = Stalled(block)
    ends = [epoch for epoch, loss in enumerate(losses, start=1) if stalled.after(record(loss))]
    assert (ends[0] if ends else None) == last
