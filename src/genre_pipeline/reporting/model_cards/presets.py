"""The presets as the YAML has them: values, and the text whose comments say where each is from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genre_pipeline.blocks import parse_block
from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.models import InputShape
from genre_pipeline.training import ModelBlock, parse_model

_BEGINNING = re.compile(r"^  ([a-z0-9_]+):")


@dataclass(frozen=True)
class Preset:
    """A model of the parameters.

    Attributes:
        model: Its block.
        feature: The block of its own feature.
        file: Name of the YAML file, without its ending.
        text: Its part of that file, comments included.
    """

    model: ModelBlock
    feature: FeatureBlock
    file: str
    text: str

    @property
    def name(self) -> str:
        """The preset's name."""
        return self.model.name

    @property
    def shape(self) -> InputShape:
        """Shape of one segment."""
        return InputShape(FEATURES[self.feature.kind].n_bins(self.feature), self.feature.segment.n_frames)

    @property
    def segment_s(self) -> float | None:
        """Length of a segment in seconds; ``None`` if it is the whole clip, whatever its length."""
        frame_s = self.feature.frame_s
        return None if frame_s is None else frame_s * self.feature.segment.n_frames


def read_presets(conf: Path) -> list[Preset]:
    """Read every model preset.

    Args:
        conf: Folder of the base environment: ``conf/base``.

    Returns:
        The presets, by file, in the files' order.

    Raises:
        ConfigError: If a block is wrong.
    """
    parameters = conf / "parameters"
    shared = _read(parameters / "training.yml")["training"]
    features: dict[str, Any] = {}
    for path in sorted((parameters / "features").glob("*.yml")):
        features.update(_read(path)["features"])
    presets = []
    for path in sorted((parameters / "models").glob("*.yml")):
        texts = _texts(path.read_text(encoding="utf-8"))
        for name, values in _read(path)["models"].items():
            model = parse_model(name, values, shared)
            feature = features[model.feature]
            block = parse_block(FEATURES[feature["kind"]].block, feature, key=f"features.{model.feature}")
            presets.append(Preset(model, block, path.stem, texts[name]))
    return presets


def _read(path: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _texts(content: str) -> dict[str, str]:
    """Divide a file into its presets; comments above a preset are part of it."""
    texts: dict[str, list[str]] = {}
    above: list[str] = []
    name = ""
    for line in content[content.index("models:\n") + len("models:\n") :].splitlines():
        begins = _BEGINNING.match(line)
        if begins:
            name = begins.group(1)
            texts[name] = [*above, line]
            above = []
        elif line.startswith("  #"):
            above.append(line)
        elif line.strip():
            texts[name].append(line)
    return {name: "\n".join(line[2:] for line in lines) for name, lines in texts.items()}
