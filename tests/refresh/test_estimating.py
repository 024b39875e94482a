"""What a session is about to do, and how long that takes on this machine."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from genre_pipeline.configuration import load_configuration
from genre_pipeline.experiment import load_experiment
from genre_pipeline.ops import estimating
from genre_pipeline.ops.estimating import Estimate, foresee, look_ahead
from genre_pipeline.ops.refresh.graph import Entry, Graph

TRAINED = ["demo.artist_kfold.log_mel_256.net1.train_net1", "demo.artist_kfold.mfcc_20.naive_bayes.train_naive_bayes"]
STEPS = ["demo.ingest", "demo.log_mel_256.extract", *TRAINED, "write_report"]


@pytest.fixture
def parameters():
    return load_configuration(experiment="test")["parameters"]


@pytest.fixture
def experiment(parameters):
    return load_experiment(parameters)


@pytest.fixture
def tables(tmp_path):
    """The track table of 8 clips of 30 s."""
    n = 8
    table = {"path": [f"{i}.wav" for i in range(n)], "genre": ["jazz", "rock"] * 4, "quarantined": False}
    table |= {"duration_s": 30.0, "sample_rate": 22050, "n_samples": 30 * 22050}
    path = tmp_path / "tracks.parquet"
    pd.DataFrame(table).to_parquet(path)
    return {"demo": path}


@pytest.fixture
def measured(monkeypatch):
    """Trainings that are said to take 4,000 s each, and features 100 s."""
    asked = []

    def estimate(experiment, tracks, cells):
        asked.append([cell.name for cell in cells])
        return Estimate({("demo", "log_mel_256"): 100.0, ("demo", "mfcc_20"): 100.0}, dict.fromkeys(cells, 4000.0))

    monkeypatch.setattr(estimating, "estimate", estimate)
    return asked


def test_short_trainings_are_counted_and_not_measured(experiment, tables, measured):
    outlook = foresee(experiment, STEPS, tables)
    assert (outlook.text, outlook.seconds, outlook.is_long) == ("Trains 2 cells, 4 trainings.", None, False)
    assert measured == []
    assert [outlook.sizes[name][1] for name in STEPS] == [1, 1, 2, 2, 1]


def test_only_what_will_be_trained_is_measured(experiment, tables, measured, monkeypatch):
    monkeypatch.setattr(estimating, "_FEW_PASSES", 1)
    outlook = foresee(experiment, STEPS, tables)
    assert measured == [[cell.name for cell in experiment.cells if f"{cell.name}.train_{cell.model}" in TRAINED]]
    assert outlook.text == "Trains 2 cells, 4 trainings: at most 2.3 h on this machine."
    assert outlook.seconds == 2 * 4000 + 100 + 3
    assert outlook.is_long
    assert outlook.sizes[TRAINED[0]] == (4000.0, 2)


def test_segments_that_an_epoch_does_not_draw_are_not_counted(experiment, tables):
    cell = next(cell for cell in experiment.cells if cell.model == "net1")
    net1, usable = experiment.models["net1"], pd.read_parquet(tables["demo"])
    drawn = net1.model_copy(update={"training": net1.training.model_copy(update={"segments_per_track": 3})})
    fewer = replace(experiment, models={**experiment.models, "net1": drawn})
    assert estimating._n_passes(fewer, cell, usable) == net1.training.max_epochs * 8 * 3
    assert estimating._n_passes(experiment, cell, usable) > net1.training.max_epochs * 8 * 3


def test_without_trainings_nothing_is_said(experiment, measured):
    assert foresee(experiment, ["demo.ingest", "write_report"], {}).text == ""


def test_music_that_is_not_there_is_left_to_the_run(experiment, measured, monkeypatch):
    monkeypatch.setattr(estimating, "_FEW_PASSES", 1)
    monkeypatch.setattr(estimating, "tracks_of", lambda *given: None)
    assert foresee(experiment, STEPS, {}).text == "Trains 2 cells, 4 trainings."
    assert measured == []


def test_music_that_was_not_inspected_is_taken_for_clips_of_the_usual_length(tmp_path):
    root = tmp_path / "music"
    for name in ("jazz/a.wav", "jazz/b.wav", "rock/c.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    given = {"experiment": {"datasets": ["my_music"]}, "datasets": {"my_music": {"path": str(root)}}}
    experiment = load_experiment(load_configuration(None, given, experiment="own")["parameters"])
    tracks = estimating.tracks_of(experiment, "my_music", None)
    assert tracks["genre"].tolist() == ["jazz", "jazz", "rock"]
    assert set(tracks["duration_s"]) == {30.0}


def test_an_estimator_is_timed_with_one_feature_and_a_network_with_each(tables, monkeypatch):
    given = {"models": ["net1", "naive_bayes"]}
    given["features"] = {name: ["mfcc_20", "log_mel_100"] for name in given["models"]}
    parameters = load_configuration(None, {"experiment": given}, experiment="test")["parameters"]
    experiment = load_experiment(parameters)
    timed = []

    def training_s(model, feature, n_genres):
        timed.append((model.name, feature.kind))
        return 1.0, 0.0

    monkeypatch.setattr(estimating, "_training_s", training_s)
    monkeypatch.setattr(estimating, "_extraction_share", lambda clips, feature: 0.0)
    cells = [cell for cell in experiment.cells if cell.protocol == "artist_kfold"]
    expected = estimating.estimate(experiment, {"demo": pd.read_parquet(tables["demo"])}, cells)
    assert timed == [("net1", "mfcc"), ("net1", "log_mel"), ("naive_bayes", "mfcc")]
    assert {(cell.model, cell.feature): s for cell, s in expected.cells.items()} == {
        ("net1", "mfcc_20"): 2.0,
        ("net1", "log_mel_100"): 2.0,
        ("naive_bayes", "mfcc_20"): 2.0,
        # Five times as many bins: at most five times as long.
        ("naive_bayes", "log_mel_100"): 10.0,
    }


class TestQuestion:
    """A person is asked before what takes over an hour; a schedule, which has no terminal, is not."""

    @pytest.fixture
    def graph(self, tables):
        return Graph(key="", steps=(), entries={"demo.tracks": Entry(path=tables["demo"])})

    def test_it_is_asked_for_long_sessions_only(self, parameters, graph, measured, monkeypatch):
        asked = []
        look_ahead(parameters, graph, STEPS, asked.append)
        assert asked == []
        monkeypatch.setattr(estimating, "_FEW_PASSES", 1)
        look_ahead(parameters, graph, STEPS, asked.append)
        assert asked == [
            "Trains 2 cells, 4 trainings: at most 2.3 h on this machine. What is finished is kept if you end it. Begin?"
        ]

    def test_without_a_person_it_begins_and_is_logged(self, parameters, graph, measured, monkeypatch, caplog):
        monkeypatch.setattr(estimating, "_FEW_PASSES", 1)
        caplog.set_level("INFO", logger="genre_pipeline")
        assert look_ahead(parameters, graph, STEPS, None).is_long
        assert caplog.messages[-1] == "Trains 2 cells, 4 trainings: at most 2.3 h on this machine."


def test_a_busy_machine_is_timed_by_what_one_thread_takes(experiment, monkeypatch):
    """Of which others take three quarters here."""
    threads, runs = torch.get_num_threads(), []
    wall, cpu = itertools.count(step=4.0), itertools.count(step=1.0)
    clock = SimpleNamespace(perf_counter=lambda: next(wall), process_time=lambda: next(cpu))
    monkeypatch.setattr(estimating, "time", clock)
    trained = SimpleNamespace(history=[SimpleNamespace(seconds=8.0)], training_s=8.0)
    monkeypatch.setattr(estimating, "fit", lambda task, _: runs.append(torch.get_num_threads()) or trained)
    cell = next(cell for cell in experiment.cells if cell.model == "net1")
    spent = estimating._fit_s(experiment.models["net1"], experiment.features[cell.feature], 2, 16)
    assert spent == 8.0 / 4
    assert runs == [threads, 1]
    assert torch.get_num_threads() == threads
