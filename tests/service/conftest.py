from pathlib import Path

import pytest

from service_parts import served
from tiny_music import make_tiny_music, train_tiny


@pytest.fixture(scope="session")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="session")
def models(music, tmp_path_factory) -> Path:
    """Folder of two cells' models, of two repeats each."""
    folder = tmp_path_factory.mktemp("models")
    for model in ("net", "naive_bayes"):
        for repeat in (0, 1):
            train_tiny(music, folder / f"tiny/folds/log_mel_8/{model}/repeat_{repeat:02d}", model=model, repeat=repeat)
    return folder


@pytest.fixture(scope="session")
def service(models):
    with served(models) as running:
        yield running
