from __future__ import annotations

import numpy as np
import soundfile

from genre_pipeline.pipelines.ingest.cards import write_dataset_card
from genre_pipeline.pipelines.split.cards import write_split_card
from hand_made_reports import make_audit, make_quality, make_tracks


def test_a_datasets_card_is_written(tmp_path):
    soundfile.write(tmp_path / "jazz.1.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 22050), 22050)
    tracks = make_tracks([{"track_id": "jazz.1", "n_samples": 22050, "duration_s": 1.0}])
    dataset = {"kind": "folder", "path": str(tmp_path)}
    html, markdown = write_dataset_card(tracks, make_quality(tracks), dataset)
    assert "<title>My Collection</title>" in html
    assert html.count("<img ") == 1
    assert markdown.startswith("# My Collection\n")


def test_a_splits_card_is_written():
    tracks = make_tracks([{"track_id": "jazz.1"}])
    html, markdown = write_split_card(make_audit(), make_quality(tracks))
    assert "<title>My Collection: the split folds</title>" in html
    assert markdown.startswith("# My Collection: the split folds\n")
