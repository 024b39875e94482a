"""What can be wrong with an exported file's card."""

import json
from types import SimpleNamespace

import pytest

from genre_pipeline.errors import ConfigError
from genre_pipeline.exports import running
from genre_pipeline.exports.running import CARD, ExportedModel

GOOD = {"cell": "a.b.c.d", "genres": ["jazz", "rock"], "leaky": False}


@pytest.mark.parametrize(
    "card", ["{not json", "[]", json.dumps({"cell": "a.b.c.d"}), json.dumps({**GOOD, "abstention": {"other": 1}})]
)
def test_a_card_that_cannot_be_read_is_named(tmp_path, monkeypatch, card):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    facts = SimpleNamespace(custom_metadata_map={CARD: card})
    monkeypatch.setattr(running, "onnx_session", lambda *_, **__: SimpleNamespace(get_modelmeta=lambda: facts))
    with pytest.raises(ConfigError, match=r"model\.onnx: its card cannot be read \(.*\)\. Export the model again\."):
        ExportedModel.open(path)
