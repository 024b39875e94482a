from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from genre_pipeline.audio import io as audio_io
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.hooks import ExtractionsHook
from genre_pipeline.pipelines.features.nodes import extract_features
from genre_pipeline.stores.joint_extraction import Extractions
from genre_pipeline.work.backends import Workers
from kedro_sessions import run, write_own_music
from tiny_music import FEATURE


@pytest.fixture
def extract(music, tmp_path):
    """A function that runs the node on a machine of its own: with its own folder, but one URL for all."""

    def extract(machine):
        hook = ExtractionsHook()
        url = (tmp_path / "published").as_uri()
        hook.before_pipeline_run(Pipeline([]), DataCatalog({"params:storage": MemoryDataset({"features_url": url})}))
        lent = hook.before_node_run(SimpleNamespace(inputs=["session_extractions"]))
        store, report = extract_features(
            music.tracks,
            music.segments,
            {"n_segments": len(music.segments)},
            {"kind": "folder", "path": str(music.root)},
            FEATURE.dump(),
            {"backend": "serial"},
            tmp_path / machine,
            lent["session_extractions"],
            name="tiny",
            feature_name="log_mel_8",
        )
        hook.after_node_run({"tiny.log_mel_8.features": store})
        return store, report

    return extract


def test_a_second_machine_fetches_what_the_first_published(extract, monkeypatch):
    first, report = extract("first")
    assert (report["feature"], report["n_segments"], report["n_extracted"]) == ("log_mel_8", 36, 12)
    monkeypatch.setattr(audio_io, "waveform_blocks", None)
    second, report = extract("second")
    assert second.folder != first.folder
    assert second.fingerprint == first.fingerprint
    assert (report["n_reused"], report["n_extracted"]) == (12, 0)
    second.verify()


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded for features."""
    names = []
    original = audio_io.waveform_blocks
    monkeypatch.setattr(
        audio_io, "waveform_blocks", lambda path, **clip: names.append(path.name) or original(path, **clip)
    )
    return names


class TestTogether:
    wider = FEATURE.model_copy(update={"n_mels": 10})
    # More frames than any of the tracks has.
    longer = FEATURE.model_copy(update={"segment": FEATURE.segment.model_copy(update={"n_frames": 10_000})})

    @pytest.fixture
    def extract(self, music, tmp_path):
        def extract(extractions, name, block):
            return extractions.extract(
                music.tracks,
                segment_tracks(music.tracks, block).table,
                "tiny",
                name,
                block,
                root=music.root,
                library=tmp_path / "features",
                workers=Workers("serial"),
            )

        return extract

    def test_the_first_brings_the_others(self, extract, decoded):
        extractions = Extractions({"tiny": {"narrow": FEATURE, "wide": self.wider}, "other": {"narrow": FEATURE}})
        narrow = extract(extractions, "narrow", FEATURE)
        assert len(decoded) == narrow.report["n_extracted"] == 12
        wide = extract(extractions, "wide", self.wider)
        assert len(decoded) == 12
        # What it took, though it was done before.
        assert wide.report["n_extracted"] == 12
        assert wide.store.header.n_bins == 10
        wide.store.verify()

    def test_a_second_wish_is_a_new_look(self, extract, decoded):
        extractions = Extractions({"tiny": {"narrow": FEATURE}})
        extract(extractions, "narrow", FEATURE)
        assert extract(extractions, "narrow", FEATURE).report["n_reused"] == 12
        assert len(decoded) == 12

    def test_without_a_wish_nothing_else_is_computed(self, extract, tmp_path):
        extract(Extractions({}), "narrow", FEATURE)
        assert [path.name for path in (tmp_path / "features" / "tiny").glob("[!.]*")] == ["narrow"]

    def test_a_feature_of_other_tracks_waits_for_its_turn(self, extract, tmp_path):
        extract(Extractions({"tiny": {"long": self.longer}}), "narrow", FEATURE)
        assert not (tmp_path / "features" / "tiny" / "long").exists()


def test_a_session_decodes_once_for_all_its_features(empty_data, decoded):
    write_own_music(empty_data)
    two = {"models": ["naive_bayes"], "features": {"naive_bayes": ["mfcc_20", "mfcc_20_deltas"]}}
    experiment = {"name": "own", "datasets": ["my_music"], "protocols": ["artist_kfold"], "exclude": [], **two}
    run("ingest", "segment", experiment=experiment)
    decoded.clear()
    run("features", experiment=experiment)
    assert len(decoded) == 8
    assert (empty_data / "04_feature/my_music/mfcc_20_deltas/index.parquet").exists()
