import pytest

from genre_pipeline.audio import io as audio_io
from genre_pipeline.pipelines.features.nodes import extract_features
from tiny_music import FEATURE


@pytest.fixture
def extract(music, tmp_path):
    """A function that runs the node on a machine of its own: with its own folder, but one URL for all."""

    def extract(machine):
        return extract_features(
            music.tracks,
            music.segments,
            {"n_segments": len(music.segments)},
            {"kind": "folder", "path": str(music.root)},
            FEATURE.dump(),
            {
                **{name: str(tmp_path / machine / name) for name in ("ingest", "features", "models")},
                "features_url": (tmp_path / "published").as_uri(),
            },
            {"backend": "serial"},
            name="tiny",
            feature_name="log_mel_8",
        )

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
