"""The node that trains a cell: what it writes while it trains."""

from typing import Any

import pytest

from genre_pipeline.logs import CellLog
from genre_pipeline.pipelines.train.nodes import train_cell
from tiny_music import AUDIT, CELL, FEATURE, tiny_model


@pytest.fixture
def train(music, tmp_path):
    """A function that trains the cell's two repeats of two epochs, and returns what was written, in order."""

    def train() -> list[CellLog]:
        logs: list[CellLog] = []
        inputs: list[Any] = [music.split, AUDIT, music.segments, music.store]
        parameters = [
            {"kind": "folder", "path": str(music.root)},
            {"kind": "track_kfold"},
            FEATURE,
            tiny_model(),
            3,
            {},
        ]
        train_cell(*inputs, *parameters, tmp_path / "cell", logs.append, cell=CELL)
        return logs

    return train


def test_tags_and_parameters_come_first_and_epochs_as_they_end(train):
    first, *later = train()
    assert first.cell == CELL
    assert first.tags | {"split_hash": AUDIT["split_hash"], "leaky": False} == first.tags
    assert (first.params["seed"], first.params["model"]["name"]) == (3, "net")
    assert [(repeat, *log.epochs) for each in later for repeat, log in each.repeats.items()] == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]
    assert {each.ends for each in (first, *later)} == {None}


def test_repeats_of_an_earlier_session_are_written_with_all_their_epochs(train):
    trained = train()
    again = train()
    assert again[0] == trained[0]
    assert [(repeat, *log.epochs) for each in again[1:] for repeat, log in each.repeats.items()] == [
        (0, 1, 2),
        (1, 1, 2),
    ]
    losses = [log.epochs[2]["train_loss"] for each in again[1:] for log in each.repeats.values()]
    assert losses == [trained[place].repeats[repeat].epochs[2]["train_loss"] for place, repeat in ((2, 0), (4, 1))]
