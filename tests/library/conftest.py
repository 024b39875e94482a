from dataclasses import dataclass, field, replace

import pytest

from genre_pipeline.evaluation.prediction import GenrePredictor
from tiny_music import make_tiny_music, train_tiny


@pytest.fixture(scope="session")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="session")
def cell_folder(music, tmp_path_factory):
    """A trained cell of two repeats."""
    folder = tmp_path_factory.mktemp("models") / "cell"
    for repeat in range(2):
        train_tiny(music, folder / f"repeat_{repeat:02d}", repeat=repeat, model="naive_bayes")
    return folder


@dataclass(frozen=True)
class AskedModel:
    """A model that remembers what it was asked."""

    model: GenrePredictor
    asked: list = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.model, name)

    def answer(self, path, *, described=False):
        self.asked.append(path)
        return self.model.answer(path, described=described)

    def of_fingerprint(self, fingerprint):
        return AskedModel(replace(self.model, fingerprint=fingerprint))


@pytest.fixture
def model(cell_folder):
    return AskedModel(GenrePredictor.open(cell_folder / "repeat_00"))
