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


def logged_epochs(caplog, accuracies, n_epochs):
    caplog.set_level(logging.INFO, logger="genre_pipeline.training")
    heard = []
    with narrated("demo.p.f.net1, repeat 0", n_epochs, heard.append) as tell:
        for epoch, accuracy in enumerate(accuracies, start=1):
            tell(record(epoch, accuracy, n_epochs=n_epochs))
    assert [each.epoch for each in heard] == list(range(1, len(accuracies) + 1))
    return [int(each.getMessage().split("epoch ")[1].split("/")[0]) for each in caplog.records]


def test_lines_come_for_the_first_last_and_best_epochs_but_not_too_often(caplog):
    rising = [epoch / 100 for epoch in range(100)]
    assert logged_epochs(caplog, rising, 100) == [1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 100]


def test_no_line_when_nothing_gets_better(caplog):
    assert logged_epochs(caplog, [0.5] * 100, 100) == [1, 100]


def test_the_last_epoch_of_a_stopped_training_has_a_line(caplog):
    assert logged_epochs(caplog, [0.5] * 7, 100) == [1, 7]


def test_a_line_says_what_where_and_how_long(caplog):
    logged_epochs(caplog, [0.5], 100)
    (line,) = caplog.messages
    assert line == (
        "demo.p.f.net1, repeat 0: epoch 1/100, loss 0.9000, accuracy 0.400, validation loss 1.0000, "
        "validation accuracy 0.500, learning rate 0.1, 1:02:05 left"
    )


def test_nothing_is_said_about_no_epoch(caplog):
    assert logged_epochs(caplog, [], 10) == []
