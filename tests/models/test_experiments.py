"""The experiments that repeat the papers have the cells that the papers report."""

from collections import Counter

import pytest

from genre_pipeline.cells import Cell
from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.published import published_figures
from genre_pipeline.experiment import load_experiment
from genre_pipeline.reporting.model_cards.papers import PAPERS
from genre_pipeline.splits import PROTOCOLS

# Datasets, their protocols, and how many cells each pair has.
GRIDS = {
    # Three of the networks on segments and on whole clips.
    "paper_lgnet": {("gtzan", "fault_filtered"): 13 * 3 + 3 * 3},
    # Two of the rows as released and as the text has them; both readings of "ten-fold".
    "paper_broadcast": {
        (dataset, protocol): 20 if dataset == "gtzan" else 2
        for dataset in ("gtzan", "homburg", "extended_ballroom", "fma_small")
        for protocol in ("random_track", "track_kfold")
    },
    "paper_musicnext": {
        ("gtzan", "random_segment"): 10,
        ("ismir2004", "official"): 10,
        ("extended_ballroom_9", "random_segment"): 10,
    },
    # Four margins, one of which is softmax, and four more stacking ratios with both losses.
    "paper_musicnext_figures": {
        ("gtzan", "random_segment"): 12,
        ("ismir2004", "official"): 12,
        ("extended_ballroom_9", "random_segment"): 12,
    },
    # Two of the four networks with both readings of their input.
    "paper_duplicated_convolutions": {("gtzan", "random_track"): 6},
    # Both readings of its split.
    "paper_crnn": {("gtzan", "random_track"): 2, ("gtzan", "random_segment"): 2},
    "honest": {
        ("gtzan", "fault_filtered"): 11,
        ("extended_ballroom", "artist_kfold"): 11,
        ("homburg", "artist_kfold"): 11,
        ("ismir2004", "official"): 11,
        ("fma_small", "official"): 11,
    },
    # Four encoders with four probes, and a classifier without an encoder.
    "encoders": {("gtzan6", "artist_kfold"): 4 * 4 + 1},
    # What can be had without an encoder, one network with two features, and what can be had with one.
    "recipes": {("gtzan6", "artist_kfold"): 5},
    # The paper's network, four ways to use its experts, and the trunk without any.
    "lgnet_experts": {("gtzan6", "fault_filtered_validation"): 6},
    # All of LGNet's, the CRNN's, the duplicated convolutions' and MusicNeXt's, and all broadcast networks.
    "papers_small": {
        ("gtzan6", "fault_filtered_validation"): 13 + 2 + 4 + 10 + 20,
        ("gtzan6", "random_track"): 2 + 4 + 20,
        ("gtzan6", "random_segment"): 2 + 10,
    },
    # Two baselines, an encoder, two networks.
    "fma_medium": {("fma_medium", "official"): 5},
    "fma_large": {("fma_large", "official"): 5},
    # Head, last block, all of it, and from random weights.
    "fine_tuning": {("gtzan6", "artist_kfold"): 4},
}
# The figures' values are lost: the tables' experiment comes first.
EXPERIMENTS = {paper.experiments[0]: paper for paper in PAPERS if paper.experiments}
OF_PAPERS = [name for paper in PAPERS for name in paper.experiments]


def load(name):
    loader = load_configuration(experiment=name)
    return load_experiment(loader["parameters"])


def test_every_paper_has_an_experiment_here():
    ours = {"honest", "encoders", "fine_tuning", "recipes", "lgnet_experts", "papers_small", "fma_medium", "fma_large"}
    assert set(OF_PAPERS) | ours == set(GRIDS)


def test_the_small_experiment_has_every_model_of_the_papers_tables():
    of_tables = {model for name in EXPERIMENTS for model in load(name).settings.models}
    assert set(load("papers_small").settings.models) == of_tables


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_is_that_of_the_tables(name):
    experiment = load(name)
    assert Counter((cell.dataset, cell.protocol) for cell in experiment.cells) == GRIDS[name]
    assert experiment.settings.name == name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_published_figure_has_its_cell(name):
    cells = set(load(name).cells)
    for figure in published_figures():
        if figure.model and figure.paper in EXPERIMENTS[name].figures:
            # HOMBURG's clips are shorter than the paper's input.
            features = figure.readings if figure.dataset == "homburg" else (figure.feature, *figure.readings)
            for feature in features:
                assert Cell(figure.dataset, figure.protocol, feature, figure.model) in cells, figure


@pytest.mark.parametrize("name", OF_PAPERS)
def test_papers_are_repeated_in_single_precision(name):
    assert {model.training.precision for model in load(name).models.values()} == {"float32"}


def test_a_whole_clip_is_one_segment():
    features = load("paper_lgnet").features
    clips = {name: block for name, block in features.items() if name.endswith("_clip")}
    assert len(clips) == 3
    for name, block in clips.items():
        assert block.n_frames(30 * 22050) == block.segment.n_frames
        own = features[name.removesuffix("_clip")]
        assert block.dump() | {"segment": None} == own.dump() | {"segment": None}


def test_the_crnns_split_of_segments_has_the_papers_shares():
    block = load("paper_crnn").protocols["random_segment"]
    assert (block.test_ratio, block.validation_ratio, block.repeats) == (0.1, 0.1, 1)


@pytest.mark.parametrize("name", ["fma_medium", "fma_large"])
def test_what_is_fitted_on_fma_has_one_vector_per_track(name):
    experiment = load(name)
    for feature in ("mfcc_20_clip", "musicnn_clip"):
        block = experiment.features[feature]
        for clip_s in (29.5, 30.0):
            n_frames = block.n_frames(round(clip_s * block.sample_rate))
            assert (n_frames - block.segment.n_frames) // block.segment.hop_frames == 0


def test_what_is_honest_uses_no_leaky_protocol_and_no_choice_by_test():
    experiment = load("honest")
    used = {cell.protocol for cell in experiment.cells}
    assert not any(PROTOCOLS[experiment.protocols[name].kind].only_by_name for name in used)
    assert used == {"fault_filtered", "official", "artist_kfold"}
    assert not any(model.selects_by_test for model in experiment.models.values())


def test_the_honest_comparison_has_a_model_of_every_paper():
    presets = set(load("honest").models)
    for paper in PAPERS:
        # Probes need weights that not everybody has: they have an experiment of their own.
        if paper.name not in {"beyond", "probes", "musicnn"}:
            assert presets & {f.model for f in published_figures() if f.paper in paper.figures}
    assert "short_chunk" in presets
