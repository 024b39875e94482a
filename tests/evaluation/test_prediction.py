"""Predictions: of segments, kept and found again, and of audio files with a trained model."""

import errno
import json
import math
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import tiny_music
from genre_pipeline.errors import AudioError, CheckpointError, StorageError
from genre_pipeline.evaluation.abstention import Abstention
from genre_pipeline.evaluation.prediction import GenrePredictor, predict_repeat
from genre_pipeline.features import analysis
from genre_pipeline.training import Checkpoint
from tiny_music import GENRES, SEGMENTS_PER_TRACK, make_tiny_music, train_tiny, write_clip

PROBABILITIES = [f"p_{genre}" for genre in GENRES]


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def folder(music, tmp_path_factory):
    """A network's checkpoint."""
    return train_tiny(music, tmp_path_factory.mktemp("models") / "repeat_00").folder


@pytest.fixture
def checkpoint(folder):
    return Checkpoint.open(folder)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "predictions" / "repeat_00.parquet"


@pytest.fixture
def no_model(monkeypatch):
    """A function after whose call no model can be asked."""

    def forbid():
        def refuse(*_args, **_kwargs):
            pytest.fail("A model was asked although the predictions were there.")

        monkeypatch.setattr(Checkpoint, "predictor", refuse)

    return forbid


class TestPredictRepeat:
    def test_the_validation_and_test_segments_have_probabilities(self, music, checkpoint, cache):
        made = predict_repeat(checkpoint, music.data(), 0, cache=cache)
        predictions = made.table
        assert not made.reused
        assert list(predictions) == ["repeat", "split", "leaky", "track_id", "segment_id", "genre", *PROBABILITIES]
        assert not predictions["leaky"].any()
        assert set(predictions["repeat"]) == {0}
        for side in ("validation", "test"):
            rows = predictions[predictions["split"] == side].reset_index(drop=True)
            expected = music.data().rows(0, side)[["track_id", "segment_id", "genre"]]
            pd.testing.assert_frame_equal(rows[["track_id", "segment_id", "genre"]], expected)
        assert np.allclose(predictions[PROBABILITIES].sum(axis=1), 1.0)

    def test_a_leak_of_the_split_is_marked(self, music, checkpoint, cache):
        data = replace(music.data(), split=music.split.assign(leaky=True))
        assert predict_repeat(checkpoint, music.data(), 0, cache=cache).reused is False
        marked = predict_repeat(checkpoint, data, 0, cache=cache)
        assert not marked.reused
        assert marked.table["leaky"].all()
        assert predict_repeat(checkpoint, data, 0, cache=cache).table["leaky"].all()

    def test_they_are_those_of_the_model(self, music, checkpoint, cache):
        predictions = predict_repeat(checkpoint, music.data(), 0, cache=cache).table
        features = music.data().segment_set(0, "test").features
        expected = checkpoint.predictor().predict_probabilities(features)
        assert np.array_equal(predictions.loc[predictions["split"] == "test", PROBABILITIES], expected)

    def test_what_was_predicted_is_not_predicted_again(self, music, checkpoint, cache, no_model):
        first = predict_repeat(checkpoint, music.data(), 0, cache=cache)
        no_model()
        again = predict_repeat(checkpoint, music.data(), 0, cache=cache)
        assert again.reused
        assert again.inference_s == first.inference_s > 0.0
        pd.testing.assert_frame_equal(again.table, first.table)

    def test_predictions_of_another_model_are_stale(self, music, checkpoint, cache, tmp_path):
        predict_repeat(checkpoint, music.data(), 0, cache=cache)
        other = train_tiny(music, tmp_path / "other", max_epochs=1)
        assert not predict_repeat(other, music.data(), 0, cache=cache).reused
        assert predict_repeat(other, music.data(), 0, cache=cache).reused

    def test_predictions_of_other_segments_are_stale(self, music, checkpoint, cache):
        predict_repeat(checkpoint, music.data(), 0, cache=cache)
        assert not predict_repeat(checkpoint, music.data(), 1, cache=cache).reused

    @pytest.mark.parametrize("suffix", [".parquet", ".json"])
    @pytest.mark.parametrize("content", [b"", b"no table", b"PAR1 cut off", b"[]", b"{}"])
    def test_a_damaged_file_is_made_anew(self, music, checkpoint, cache, suffix, content):
        first = predict_repeat(checkpoint, music.data(), 0, cache=cache)
        cache.with_suffix(suffix).write_bytes(content)
        again = predict_repeat(checkpoint, music.data(), 0, cache=cache)
        assert not again.reused
        pd.testing.assert_frame_equal(again.table, first.table)
        assert predict_repeat(checkpoint, music.data(), 0, cache=cache).reused

    @pytest.mark.parametrize("position", [0.0, 0.2, 0.5, 0.8, 0.999])
    def test_a_single_flipped_byte_is_noticed(self, music, checkpoint, cache, position):
        first = predict_repeat(checkpoint, music.data(), 0, cache=cache)
        content = bytearray(cache.read_bytes())
        content[int(len(content) * position)] ^= 0x41
        cache.write_bytes(content)
        again = predict_repeat(checkpoint, music.data(), 0, cache=cache)
        assert not again.reused
        pd.testing.assert_frame_equal(again.table, first.table)

    @pytest.mark.parametrize("suffix", [".parquet", ".json"])
    def test_one_file_alone_does_not_count(self, music, checkpoint, cache, suffix):
        predict_repeat(checkpoint, music.data(), 0, cache=cache)
        cache.with_suffix(suffix).unlink()
        assert not predict_repeat(checkpoint, music.data(), 0, cache=cache).reused

    def test_a_full_disk_leaves_nothing_half_written(self, music, checkpoint, cache, monkeypatch):
        def full(*_args):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch, pytest.raises(StorageError, match=rf"{cache}: the disk is full"):
            patch.setattr(Path, "write_bytes", full)
            predict_repeat(checkpoint, music.data(), 0, cache=cache)
        assert list(cache.parent.iterdir()) == []
        assert not predict_repeat(checkpoint, music.data(), 0, cache=cache).reused


class TestGenrePredictor:
    def test_it_knows_its_genres_and_feature(self, folder):
        predictor = GenrePredictor.open(folder)
        assert predictor.genres == GENRES
        assert predictor.feature == tiny_music.FEATURE

    @pytest.mark.parametrize("model", ["net", "naive_bayes"])
    def test_a_file_is_classified_as_its_stored_features_are(self, music, tmp_path, model):
        checkpoint = train_tiny(music, tmp_path / "model", model=model)
        predictions = predict_repeat(checkpoint, music.data(), 0, cache=tmp_path / "cache.parquet").table
        predictor = GenrePredictor.open(checkpoint.folder)
        tracks = predictions.groupby("track_id")
        assert tracks.ngroups == 6
        for track_id, rows in tracks:
            np.testing.assert_allclose(
                predictor.segment_probabilities(music.path(track_id)), rows[PROBABILITIES], atol=1e-6
            )

    @pytest.mark.parametrize("model", ["net", "naive_bayes"])
    def test_a_long_file_is_classified_in_memory_that_does_not_grow(self, music, tmp_path, model):
        predictor = GenrePredictor.open(train_tiny(music, tmp_path / "model", model=model).folder)
        clip, _ = soundfile.read(music.path("jazz/jazz_0"), dtype="float32")
        peaks = {}
        for minutes in (2, 8):
            path = tmp_path / f"{minutes}.wav"
            soundfile.write(path, np.tile(clip, 60 * minutes), tiny_music.SAMPLE_RATE)
            tracemalloc.start()
            answer = predictor.answer(path)
            peaks[minutes] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert answer.duration_s == 60 * minutes
        # The further waveform alone would take 11.5 MB.
        assert peaks[8] - peaks[2] < 4e6

    def test_frames_that_wait_on_disk_are_classified_as_others_are(self, music, folder, monkeypatch):
        predictor = GenrePredictor.open(folder)
        path = music.path("rock/rock_1")
        expected = predictor.segment_probabilities(path)
        monkeypatch.setattr(analysis, "MEMORY_BYTES", 4 * 8 * 20)
        np.testing.assert_allclose(predictor.segment_probabilities(path), expected, atol=1e-6)

    def test_a_time_line_says_when_each_segment_is_heard(self, music, folder):
        predictor = GenrePredictor.open(folder)
        answer = predictor.answer(music.path("rock/rock_1"))
        timeline = predictor.timeline(answer)
        assert timeline["start_s"].tolist() == [0.0, 0.256, 0.512]
        assert timeline["end_s"].tolist() == [0.256, 0.512, 0.768]
        assert timeline["probability"].tolist() == answer.probabilities.max(axis=1).tolist()
        assert timeline["genre"].tolist() == [GENRES[each] for each in answer.probabilities.argmax(axis=1)]
        assert predictor.timeline(predictor.answer(Path("missing.wav"))).empty

    def test_a_worker_process_opens_the_same_model(self, music, folder):
        predictor = replace(GenrePredictor.open(folder), abstention=Abstention(0.2, math.inf, 0.0, math.nan, 0.5))
        opened = pickle.loads(pickle.dumps(predictor))
        assert opened.abstention.threshold == math.inf
        path = music.path("jazz/jazz_1")
        assert np.array_equal(opened.segment_probabilities(path), predictor.segment_probabilities(path))
        with pytest.raises(CheckpointError, match=r"was trained again meanwhile"):
            pickle.loads(pickle.dumps(replace(predictor, fingerprint="another")))

    def test_files_get_the_mean_of_their_segments(self, music, folder):
        predictor = GenrePredictor.open(folder)
        paths = [music.path("jazz/jazz_0"), music.path("rock/rock_3")]
        table = predictor.predict_probabilities(paths)
        assert tuple(table) == GENRES
        assert predictor.segment_probabilities(paths[1]).shape == (SEGMENTS_PER_TRACK, len(GENRES))
        assert np.allclose(table.iloc[1], predictor.segment_probabilities(paths[1]).mean(axis=0))
        assert np.allclose(table.sum(axis=1), 1.0)

    def test_no_files_give_an_empty_table(self, folder):
        table = GenrePredictor.open(folder).predict_probabilities([])
        assert table.shape == (0, len(GENRES))

    def test_the_estimator_tells_the_tones_apart(self, music, tmp_path):
        predictor = GenrePredictor.open(train_tiny(music, tmp_path / "model", model="naive_bayes").folder)
        fresh = [write_clip(tmp_path / f"{genre}.wav", genre, seed=1000) for genre in GENRES]
        table = predictor.classify(fresh)
        assert table["genre"].tolist() == list(GENRES)
        assert table["path"].tolist() == [str(path) for path in fresh]
        assert table["probability"].tolist() == table[PROBABILITIES].max(axis=1).tolist()
        assert set(table["error"]) == {""}
        assert not table["leaky"].any()

    def test_it_is_sure_of_what_is_not_below_its_threshold(self, music, tmp_path):
        predictor = GenrePredictor.open(train_tiny(music, tmp_path / "model", model="naive_bayes").folder)
        paths = [music.path("jazz/jazz_0"), tmp_path / "missing.wav"]
        first = predictor.classify(paths)
        assert first["sure"].isna().all()
        confidence = float(first["probability"][0])
        for threshold, sure in ((0.0, True), (confidence, True), (confidence + 1e-6, False), (math.inf, False)):
            table = replace(predictor, abstention=Abstention(0.2, threshold, 1.0, 0.0, 0.0)).classify(paths)
            assert table["sure"][0] == sure
            assert pd.isna(table["sure"][1])
            pd.testing.assert_frame_equal(table.drop(columns="sure"), first.drop(columns="sure"))

    def test_a_model_of_a_leaky_split_says_so(self, music, tmp_path):
        leaky = replace(music, split=music.split.assign(leaky=True))
        predictor = GenrePredictor.open(train_tiny(leaky, tmp_path / "model", model="naive_bayes").folder)
        assert predictor.leaky
        assert predictor.classify([music.path("jazz/jazz_1")])["leaky"].tolist() == [True]

    def test_what_cannot_be_classified_does_not_stop_the_others(self, music, folder, tmp_path):
        short = write_clip(tmp_path / "short.wav", "rock", seed=0, duration_s=0.1)
        text = tmp_path / "text.wav"
        text.write_text("no audio")
        tiny = write_clip(tmp_path / "tiny.wav", "rock", seed=0, duration_s=0.01)
        # A constant is not heard either.
        silent = tmp_path / "silent.wav"
        soundfile.write(silent, np.full(32_000, 0.5), 8000)
        paths = [short, tmp_path / "missing.wav", music.path("jazz/jazz_1"), text, tiny, silent]
        table = GenrePredictor.open(folder).classify(paths)
        assert table["genre"].eq("").tolist() == [True, True, False, True, True, True]
        assert "shorter than one segment (0.26 s): give a longer recording" in table["error"][0]
        assert "missing.wav" in table["error"][1]
        assert "text.wav" in table["error"][3]
        assert "silent.wav: it is silent, so there is nothing to classify" in table["error"][5]
        failed = table[table["genre"] == ""]
        assert failed[["probability", *PROBABILITIES]].isna().all(axis=None)
        assert (failed["error"] != "").all()

    def test_a_short_file_is_named(self, folder, tmp_path):
        short = write_clip(tmp_path / "short.wav", "rock", seed=0, duration_s=0.1)
        with pytest.raises(AudioError, match=r"short\.wav is shorter than one segment"):
            GenrePredictor.open(folder).predict_probabilities([short])

    def test_a_missing_checkpoint_is_named(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"nowhere"):
            GenrePredictor.open(tmp_path / "nowhere")

    def test_an_unknown_feature_is_named(self, music, tmp_path):
        folder = train_tiny(music, tmp_path / "model", model="naive_bayes").folder
        card = json.loads((folder / "card.json").read_text())
        card["feature"]["kind"] = "scattering"
        (folder / "card.json").write_text(json.dumps(card))
        with pytest.raises(CheckpointError, match=r"needs the feature kind 'scattering'"):
            GenrePredictor.open(folder)

    def test_a_feature_whose_parameters_changed_is_named(self, music, tmp_path):
        folder = train_tiny(music, tmp_path / "model", model="naive_bayes").folder
        card = json.loads((folder / "card.json").read_text())
        card["feature"]["n_mells"] = 8
        (folder / "card.json").write_text(json.dumps(card))
        with pytest.raises(CheckpointError, match=r"(?s)model needs a feature.*n_mells: is not a parameter"):
            GenrePredictor.open(folder)
