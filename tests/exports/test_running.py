"""What can be wrong with an exported file's card, and with its answers."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from genre_pipeline.errors import ConfigError
from genre_pipeline.exports import running
from genre_pipeline.exports.running import CARD, ExportedModel

GOOD = {
    "cell": "a.b.c.d",
    "genres": ["jazz", "rock"],
    "leaky": False,
    "accuracy": 0.5,
    "sample_rate": 8000,
    "min_samples": 4000,
    "hop_s": 0.5,
    "segment_s": 0.5,
}


def session(card, *, n_genres=2, run=None):
    """What onnxruntime makes of a file with such a card."""
    facts = SimpleNamespace(custom_metadata_map={CARD: card})
    return SimpleNamespace(
        get_modelmeta=lambda: facts,
        get_inputs=lambda: [SimpleNamespace(name="waveform", shape=["n"])],
        get_outputs=lambda: [
            SimpleNamespace(name="probabilities", shape=[n_genres]),
            SimpleNamespace(name="segment_probabilities", shape=["n", n_genres]),
        ],
        run=run,
    )


@pytest.mark.parametrize(
    "card",
    [
        "{not json",
        "[]",
        json.dumps({"cell": "a.b.c.d"}),
        *(
            json.dumps({**GOOD, key: value})
            for key, value in [
                ("abstention", {"other": 1}),
                ("genres", ["jazz", "rock", "waltz"]),  # the network knows two
                ("genres", ["jazz", "jazz"]),
                ("genres", "ab"),
                ("leaky", "no"),
                ("accuracy", "high"),
                ("sample_rate", 10**12),
                ("hop_s", "x"),
            ]
        ),
    ],
)
def test_a_card_that_cannot_be_read_is_named(tmp_path, monkeypatch, card):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    monkeypatch.setattr(running, "onnx_session", lambda *_, **__: session(card))
    with pytest.raises(ConfigError, match=r"model\.onnx: its card cannot be read \(.*\)\. Export the model again\."):
        ExportedModel.open(path)


def answers_of(probabilities):
    def run(_names, _inputs):
        if isinstance(probabilities, Exception):
            raise probabilities
        return [np.asarray(probabilities, dtype=np.float32)]

    return run


@pytest.mark.parametrize(
    ("found", "peak", "error"),
    [
        ([[0.25, 0.75]], 0.1, ""),
        ([[0.25, 0.75]], 0.00005, r"song\.wav: it is silent, so there is nothing to classify"),
        ([[np.nan, np.nan]], 0.1, "the model's answer is not a number"),
        (RuntimeError("no\nkernel"), 0.1, r"model\.onnx fails on it \(no kernel\)\. Export the model again\."),
    ],
)
def test_a_song_without_an_answer_is_a_bad_file(tmp_path, monkeypatch, found, peak, error):
    song, path = tmp_path / "song.wav", tmp_path / "model.onnx"
    soundfile.write(song, peak * np.resize([1.0, -1.0], 8000), 8000)
    path.write_bytes(b"")
    opened = session(json.dumps(GOOD), run=answers_of(found))
    monkeypatch.setattr(running, "onnx_session", lambda *_, **__: opened)
    answer = ExportedModel.open(path).answer(song)
    assert (answer.error == "") == (error == "")
    assert re.search(error, answer.error)
    assert len(answer.probabilities) == (0 if error else 1)
