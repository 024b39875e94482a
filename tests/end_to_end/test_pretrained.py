"""Features of a pretrained network, and the network trained further, from audio to predictions."""

import json
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
import soundfile

from encoder_files import encoder_values
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.prediction import open_model
from genre_pipeline.features.pretrained import musicnn, weights
from kedro_sessions import OWN_MUSIC, run, write_own_music
from pretrained_weights import needs_weights

CELL = "my_music.artist_kfold.musicnn.naive_bayes"
PARAMETERS = {
    "experiment": {**OWN_MUSIC["experiment"], "features": {"naive_bayes": ["musicnn"]}},
    "robustness": {"interventions": ["identity", "gain_down_12"]},
}
NETWORK = "my_music.artist_kfold.log_mel_musicnn.musicnn_last_block"
TRAINED_FURTHER = {
    "experiment": {**OWN_MUSIC["experiment"], "models": ["musicnn_last_block"]},
    "models": {"musicnn_last_block": {"training": {"max_epochs": 1, "device": "cpu", "n_threads": 1}}},
}


@pytest.fixture
def music(data):
    write_own_music(data)
    return data


@pytest.fixture
def without_weights(monkeypatch):
    def distribution(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(weights, "distribution", distribution)
    musicnn._load.cache_clear()


@needs_weights
def test_it_is_trained_asked_explained_and_used_like_any_other(music):
    run("train_all", **PARAMETERS)
    split = pd.read_parquet(_newest(music / "03_primary/my_music/artist_kfold/split.parquet"))
    track = split.loc[split["split"] == "test", "track_id"].iloc[0]
    run("robustness", "explain", **PARAMETERS, explain={"cell": CELL, "tracks": [track]})

    result = json.loads(_newest(music / f"07_model_output/own/{CELL.replace('.', '/')}/results.json").read_text())
    assert result["pretraining"]["licence"].startswith("ISC")
    report = (music / "08_reporting/own/report.html").read_text()
    assert "trained on the Million Song Dataset" in report
    text = _newest(music / "08_reporting/own/model_cards/versions/my_music.md").read_text().replace("\\", "")
    assert "Licence of its weights: ISC" in text

    model = open_model(music / "06_models/own", cell=CELL)
    path = music / "new.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(9).standard_normal(22_050 * 4), 22_050)
    assert model.classify([path])["error"].tolist() == [""]
    soundfile.write(path, 0.1 * np.random.default_rng(9).standard_normal(22_050), 22_050)
    assert "too short" in model.classify([path])["error"][0]


def test_an_encoder_from_a_local_file_is_trained_and_asked(music):
    features = {"mine": encoder_values("waveform_cnn", music)}
    chosen = {"experiment": {**OWN_MUSIC["experiment"], "features": {"probe_logistic": ["mine"]}}}
    chosen["experiment"]["models"] = ["probe_logistic"]
    run("train_all", **chosen, features=features)
    report = (music / "08_reporting/own/report.html").read_text()
    assert "Pretrained encoders" in report
    assert "nothing (random weights)" in report
    path = music / "new.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(9).standard_normal(22_050 * 4), 22_050)
    model = open_model(music / "06_models/own", cell="my_music.artist_kfold.mine.probe_logistic")
    assert model.classify([path])["error"].tolist() == [""]


@needs_weights
def test_a_network_that_is_trained_further_needs_the_published_weights_no_more(music, request):
    run("train_all", **TRAINED_FURTHER)
    request.getfixturevalue("without_weights")
    split = pd.read_parquet(_newest(music / "03_primary/my_music/artist_kfold/split.parquet"))
    track = split.loc[split["split"] == "test", "track_id"].iloc[0]
    run("explain", **TRAINED_FURTHER, explain={"cell": NETWORK, "tracks": [track], "n_steps": 8})
    model = open_model(music / "06_models/own", cell=NETWORK)
    assert model.classify([music / "01_raw/my_music/jazz/0.wav"])["error"].tolist() == [""]

    result = json.loads(_newest(music / f"07_model_output/own/{NETWORK.replace('.', '/')}/results.json").read_text())
    assert (result["pretraining"]["part"], result["pretraining"]["licence"][:3]) == ("network", "ISC")
    assert result["n_parameters"] == 2 * 1506 + 200 * (1506 + 3) + 201 * 2
    report = (music / "08_reporting/own/report.html").read_text()
    assert "The model began as a network that was trained on the Million Song Dataset" in report


@pytest.mark.parametrize("parameters", [PARAMETERS, TRAINED_FURTHER], ids=["features", "network"])
@pytest.mark.usefixtures("without_weights")
def test_without_weights_nothing_is_begun(music, parameters):
    with pytest.raises(ConfigError, match="make pretrained") as error:
        run("train_all", **parameters)
    assert "\n" not in str(error.value)
    assert not (music / "02_intermediate").exists()


@pytest.mark.usefixtures("without_weights")
def test_what_needs_no_weights_works_without_them(music):
    run("ingest", **PARAMETERS)
    run("train_all", **OWN_MUSIC)


def _newest(path):
    return max(path.glob(f"*/{path.name}")) if path.is_dir() else path
