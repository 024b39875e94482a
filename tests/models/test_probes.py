"""The probes, and the folds in which they choose their strength."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.blocks import parse_block
from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError, TrainingError
from genre_pipeline.features.embeddings import EmbeddingsBlock
from genre_pipeline.models import MODELS, TrainingColumns
from genre_pipeline.models.inner_folds import fold_of_segments
from genre_pipeline.models.probes import KnnProbeBlock, LogisticProbeBlock, average_frames, fit_knn, fit_logistic
from genre_pipeline.training import SegmentSet, parse_model, train_repeat

N_DIMS = 12
PROBES = ("probe_logistic", "probe_svm", "probe_mlp", "probe_knn")


def embeddings(n_each, *, n_classes=3, spread=1.0, seed=0):
    generator = np.random.default_rng(seed)
    targets = np.tile(np.arange(n_classes), n_each)
    centres = 4.0 * np.eye(n_classes, N_DIMS)
    return centres[targets] + spread * generator.normal(size=(len(targets), N_DIMS)), targets


def test_frames_are_averaged():
    frames = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(average_frames(frames), frames.mean(axis=2), atol=1e-6)


def test_noise_wants_more_regularisation_than_signal():
    chosen = {}
    for name, spread in (("signal", 0.5), ("noise", 8.0)):
        columns, targets = embeddings(20, spread=spread)
        chosen[name] = fit_logistic(LogisticProbeBlock(), TrainingColumns(columns, targets), 0)[-1].C
    assert chosen["noise"] <= 0.1
    # Everything separates the signal: of equally good strengths the first, which regularises most.
    assert chosen["signal"] == 1e-4


def test_it_is_the_logistic_regression_of_the_chosen_strength():
    columns, targets = embeddings(10)
    probe = fit_logistic(LogisticProbeBlock(strengths=(0.1,)), TrainingColumns(columns, targets), 0)
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    logits = scaled @ probe[-1].coef_.T + probe[-1].intercept_
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.predict_proba(columns), expected, atol=1e-9)


@pytest.mark.parametrize("name", PROBES)
def test_two_segments_of_a_genre_are_enough_and_one_is_not(name):
    columns, targets = embeddings(2)
    spec = MODELS[name]
    fitted = spec.fit(spec.block(), TrainingColumns(columns, targets), 0)
    assert fitted.predict(columns).shape == (6,)
    with pytest.raises(TrainingError, match="Genre number 3, in the order of their names, has a single"):
        spec.fit(spec.block(), TrainingColumns(columns[:5], np.array([0, 0, 1, 1, 2])), 0)


def an_artist_gives_itself_away(n_artists=12, n_each=6, seed=0):
    """Each artist is a tight cluster somewhere; the genre moves it a little."""
    generator = np.random.default_rng(seed)
    artists = np.repeat(np.arange(n_artists), n_each)
    targets = artists % 2
    centres = 5.0 * generator.normal(size=(n_artists, N_DIMS))
    columns = centres[artists] + 0.1 * generator.normal(size=(len(artists), N_DIMS))
    return TrainingColumns(columns, targets, (artists,))


def test_a_strength_that_only_recognises_artists_is_not_chosen():
    data = an_artist_gives_itself_away()
    block = KnnProbeBlock(neighbours=(50, 1))
    without_artists = TrainingColumns(data.columns, data.targets)
    assert fit_knn(block, without_artists, 0)[-1].n_neighbors == 1
    scores = {}
    for n_neighbours in block.neighbours:
        folds = fold_of_segments(data, block.n_folds, 0)
        right = [
            fit_knn(KnnProbeBlock(neighbours=(n_neighbours,)), taken(data, folds != fold), 0).score(
                data.columns[folds == fold], data.targets[folds == fold]
            )
            for fold in np.unique(folds)
        ]
        scores[n_neighbours] = np.mean(right)
    assert fit_knn(block, data, 0)[-1].n_neighbors == max(scores, key=scores.get)


def taken(data, chosen):
    return TrainingColumns(data.columns[chosen], data.targets[chosen], tuple(each[chosen] for each in data.groups))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=40), st.integers(2, 6))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_folds_keep_artists_together_wherever_each_genre_has_two(pairs, n_folds):
    targets, artists = np.array(pairs).T
    counts = np.bincount(targets)
    data = TrainingColumns(np.zeros((len(targets), 1)), targets, (artists,))
    if np.any(counts[counts > 0] < 2):
        with pytest.raises(TrainingError, match="a single training segment"):
            fold_of_segments(data, n_folds, 0)
        return
    folds = fold_of_segments(data, n_folds, 0)
    assert sorted(set(folds)) == list(range(folds.max() + 1))
    assert folds.max() < n_folds
    for genre in np.unique(targets):
        assert len(set(folds[targets == genre])) >= 2
    own = [set(artists[targets == genre]) for genre in np.unique(targets)]
    if all(len(each) >= 2 for each in own) and not any(a & b for a, b in combinations(own, 2)):
        assert all(len(set(folds[artists == artist])) == 1 for artist in np.unique(artists))


def test_a_genre_of_one_artist_is_divided_by_its_tracks_and_the_others_are_not(caplog):
    targets = np.array([0] * 6 + [1] * 6)
    artists = np.array([0] * 6 + [1, 1, 1, 2, 2, 2])
    tracks = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6])
    folds = fold_of_segments(TrainingColumns(np.zeros((12, 1)), targets, (artists, tracks)), 3, 0)
    assert folds[0] == folds[1] != folds[2] == folds[3] != folds[4] == folds[5]
    assert len(set(folds[6:9])) == len(set(folds[9:])) == 1
    assert "of 1 of 2 genres are all of one artist" in caplog.text


@pytest.mark.parametrize("neighbours", [[0], [-1], []])
def test_numbers_of_neighbours_that_cannot_be_are_refused(neighbours):
    with pytest.raises(ConfigError, match=r"architecture\.neighbours"):
        parse_block(KnnProbeBlock, {"neighbours": neighbours}, key="architecture")


@pytest.mark.parametrize("values", [{"strengths": []}, {"strengths": [0.0]}, {"n_folds": 1}, {"max_iterations": 0}])
def test_parameters_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match=rf"architecture\.{next(iter(values))}"):
        parse_block(LogisticProbeBlock, values, key="architecture")


@pytest.mark.parametrize("name", PROBES)
def test_a_trained_probe_survives_the_disk(name, tmp_path):
    def segments(seed):
        columns, targets = embeddings(12, seed=seed)
        # In every column, because only a linear probe finds the few that count among so few segments.
        columns += 4.0 * np.tile(np.eye(3), N_DIMS // 3)[targets]
        return SegmentSet(columns[:, :, None].astype(np.float32), targets.astype(np.int64))

    feature = EmbeddingsBlock(kind="embeddings", path=tmp_path, n_dims=N_DIMS)
    model = parse_model(name, {"family": name, "feature": "embeddings"})
    checkpoint = train_repeat(
        cell=Cell("demo", "artist_kfold", "embeddings", name),
        repeat=0,
        seed=0,
        genres=("blues", "jazz", "rock"),
        feature=feature,
        model=model,
        train=segments(0),
        validation=segments(1),
        inputs="0123456789abcdef",
        leaky=False,
        folder=tmp_path / "repeat_00",
    )
    test = segments(2)
    probabilities = checkpoint.predictor().predict_probabilities(test.features)
    assert (probabilities.argmax(axis=1) == test.targets).mean() > 0.9
