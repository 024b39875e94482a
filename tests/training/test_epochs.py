"""Selection, stopping and what is told, on made-up histories."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.training.epochs import EpochRecord, Selection, history_table, narrated


def record(epoch, accuracy=0.5, loss=1.0, n_epochs=100, seconds_left=3725.4):
    return EpochRecord(epoch, n_epochs, 0.9, 0.4, loss, accuracy, 0.1, 2.0, seconds_left)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(results=st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([0.2, 0.7])), min_size=1))
def test_the_best_epoch_is_the_first_with_the_highest_accuracy_and_lowest_loss(results):
    selection = Selection("validation")
    for epoch, (accuracy, loss) in enumerate(results, start=1):
        selection.update(record(epoch, accuracy, loss))
    ranks = [(accuracy, -loss) for accuracy, loss in results]
    assert selection.best.epoch == ranks.index(max(ranks)) + 1
    assert not selection.is_exhausted


@pytest.mark.parametrize(
    ("patience", "accuracies", "stops_after"),
    [
        (1, [0.1, 0.2, 0.2, 0.9], 3),
        (2, [0.1, 0.2, 0.1, 0.3, 0.3, 0.2], 6),
        (3, [0.5, 0.1, 0.1, 0.6, 0.1, 0.1], None),
        (None, [0.5] + [0.1] * 20, None),
    ],
)
def test_patience(patience, accuracies, stops_after):
    selection = Selection("validation", patience)
    stopped = None
    for epoch, accuracy in enumerate(accuracies, start=1):
        selection.update(record(epoch, accuracy))
        if selection.is_exhausted:
            stopped = epoch
            break
    assert stopped == stops_after


def test_history_has_one_row_an_epoch():
    table = history_table([record(1), record(2, 0.75)])
    assert table["epoch"].tolist() == [1, 2]
    assert table["validation_accuracy"].tolist() == [0.5, 0.75]
    assert list(table.columns) == list(EpochRecord.__dataclass_fields__)


def test_every_epoch_is_reported_and_none_is_logged(caplog):
    caplog.set_level(logging.DEBUG, logger="genre_pipeline.training")
    heard = []
    with narrated("demo.p.f.net1, repeat 0", 100, heard.append) as tell:
        for epoch in range(1, 8):
            tell(record(epoch, epoch / 100, n_epochs=100))
    assert [each.epoch for each in heard] == list(range(1, 8))
    assert caplog.messages == []
