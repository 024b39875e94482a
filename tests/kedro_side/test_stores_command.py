"""``kedro stores``: what a person sees of the feature stores, and what is deleted."""

import numpy as np
import pytest
from click.testing import CliRunner

from genre_pipeline.cli import cli
from genre_pipeline.configuration import load_configuration
from genre_pipeline.experiment import parse_feature
from genre_pipeline.features import FEATURES
from genre_pipeline.ops.pruning import find_leftovers
from genre_pipeline.stores.store import FeatureStore, PackedTrack


@pytest.fixture
def kedro():
    return lambda *arguments, **options: CliRunner().invoke(cli, ["stores", *arguments], **options)


@pytest.fixture(scope="module")
def features():
    return load_configuration()["parameters"]["features"]


@pytest.fixture
def make_store(tmp_path, features):
    """A function that makes the store of a dataset and a defined feature, or of another under its name."""

    def make(dataset, feature, **changes):
        values = features[feature]
        block = parse_feature(feature, {**values, **changes})
        spec = FEATURES[block.kind]
        store = FeatureStore.create(tmp_path / "data" / "04_feature" / dataset / feature, spec, block)
        frames = np.zeros((spec.n_bins(block), 1000), dtype=np.float32)
        store.append([PackedTrack("a", "hash-a", store.pack(frames))])
        return store.folder

    return make


def test_stores_are_listed_with_readable_sizes(kedro, make_store):
    make_store("demo", "mfcc_20")
    result = kedro("list", "--experiment", "test")
    assert result.exit_code == 0
    assert "dataset  feature  tracks  size" in result.output
    assert "kB" in result.output
    assert "Feature stores: 1, " in result.output


def test_verifying_names_what_is_damaged(kedro, make_store):
    folder = make_store("demo", "mfcc_20")
    assert "Feature stores, all intact: 1" in kedro("verify").output
    path = folder / "frames.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    result = kedro("verify")
    assert result.exit_code == 1
    assert "Error: Damaged feature stores: 1 of 1" in result.output
    assert str(path) in result.output


@pytest.fixture
def mixed(make_store):
    """A store in use, one of only another environment's dataset, and three that nobody uses."""
    used = [make_store("demo", "mfcc_20"), make_store("gtzan6", "mfcc_20")]
    unused = [
        make_store("demo", "log_mel_256", hop_length=1000),
        make_store("gone", "mfcc_20"),
        make_store("damaged", "mfcc_20"),
    ]
    (unused[2] / "frames.bin").unlink()
    return used, unused


def test_a_dry_run_deletes_nothing(kedro, mixed):
    used, unused = mixed
    result = kedro("prune", "--dry-run")
    assert result.exit_code == 0
    assert "would be freed" in result.output
    assert "gone" in result.output
    assert "DAMAGED" in result.output
    assert "gtzan6" not in result.output
    assert all(folder.exists() for folder in used + unused)


def test_pruning_deletes_what_nobody_uses_once_confirmed(kedro, mixed):
    used, unused = mixed
    assert kedro("prune", input="n\n").exit_code == 1
    assert all(folder.exists() for folder in used + unused)
    result = kedro("prune", input="y\n")
    assert result.exit_code == 0, result.output
    assert "freed." in result.output
    assert all(folder.exists() for folder in used)
    assert not any(folder.exists() for folder in unused)
    assert kedro("prune", "--yes").output == "Every feature store is used.\n"


def test_pruning_without_a_question(kedro, mixed):
    assert kedro("prune", "--yes").exit_code == 0
    assert not any(folder.exists() for folder in mixed[1])


def test_the_features_of_a_model_that_somebody_trained_stay(kedro, make_store, tmp_path):
    """With parameters of their own, or on a dataset that no experiment defines any more."""
    stores = [make_store("demo", "log_mel_256", hop_length=1000), make_store("gone", "mfcc_20")]
    for cell in ("base/demo/artist_kfold/log_mel_256/net1", "removed/gone/artist_kfold/mfcc_20/svm"):
        (tmp_path / "data" / "06_models" / cell / "repeat_00").mkdir(parents=True)
    assert kedro("prune", "--yes").output == "Every feature store is used.\n"
    assert all(folder.exists() for folder in stores)


def test_old_versions_are_found_in_every_experiment(tmp_path):
    """Also of one that had a name, but no file."""
    old = []
    for experiment in ("demo", "my_music", "never_in_a_file"):
        (tmp_path / "data" / "08_reporting" / experiment).mkdir(parents=True)
        entry = tmp_path / "data" / "07_model_output" / experiment / "demo/artist_kfold/mfcc_20/svm/results.json"
        for version in ("2026-01-01T00.00.00.000Z", "2026-02-01T00.00.00.000Z"):
            (entry / version).mkdir(parents=True)
            (entry / version / "results.json").write_text("{}")
        old.append(entry / "2026-01-01T00.00.00.000Z")
    leftovers, _ = find_leftovers(1)
    assert [each.path for each in leftovers] == old
