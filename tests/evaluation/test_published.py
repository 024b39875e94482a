"""The published figures fit the presets that they are about."""

from collections import Counter

import pytest

from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.published import published_figures

FIGURES = published_figures()


@pytest.fixture(scope="module")
def parameters():
    loader = load_configuration()
    return loader["parameters"]


@pytest.mark.parametrize("section", ["models", "datasets", "features", "protocols"])
def test_whatever_is_named_exists(section, parameters):
    named = {getattr(figure, section.removesuffix("s")) for figure in FIGURES}
    # Other people's systems have neither a preset nor a feature here.
    assert named - {""} <= set(parameters[section])


def test_every_row_of_every_table_is_there():
    rows = Counter((figure.paper, figure.table) for figure in FIGURES if figure.split == "test")
    assert rows == {
        ("lgnet", "1"): 9 * 3,
        ("lgnet", "2"): 3 * 3,
        ("lgnet", "3"): 4 * 3,
        ("broadcast", "II"): 2 * 4,
        ("broadcast", "III"): 14,
        ("bbnn", "logs"): 2,
        ("duplicated_convolutions", "1"): 7,
        ("musicnext", "2-5"): 3,
        ("musicnext", "text"): 1,
        ("crnn", "text"): 1,
        ("crnn", "abstract"): 1,
        ("musicnn", "README"): 1,
        ("jukemir", "results"): 1,
        ("encoders", "sklearn-audio-transfer-learning"): 1,
        ("encoders", "arXiv 2107.05677"): 1,
        ("encoders", "arXiv 2306.00107"): 3,
        ("encoders", "arXiv 2404.06095"): 1,
        ("encoders", "arXiv 2501.01108"): 2,
        ("encoders", "arXiv 2508.12709"): 2,
        ("encoders", "arXiv 2606.25713"): 1,
        ("encoders", "not found again"): 1,
    }


def test_a_system_without_a_preset_has_no_feature_and_says_what_it_is():
    others = [figure for figure in FIGURES if not figure.model]
    assert len(others) == 3 + 1 + 12
    assert all(not figure.feature and not figure.readings and figure.note for figure in others)
    assert all(figure.comparable == "unclear" for figure in others)


def test_no_figure_stands_twice():
    places = [
        (figure.paper, figure.table, figure.row, figure.dataset, figure.feature, figure.split) for figure in FIGURES
    ]
    assert len(set(places)) == len(places)


def test_a_row_that_two_tables_share_has_the_same_figure_in_both():
    found = {}
    for figure in FIGURES:
        if figure.paper == "lgnet":
            found.setdefault((figure.model, figure.feature), set()).add(figure.accuracy)
    assert all(len(accuracies) == 1 for accuracies in found.values())


def test_a_network_of_a_paper_is_fed_what_its_preset_is(parameters):
    for figure in FIGURES:
        if figure.model and figure.paper != "lgnet":
            assert figure.feature == parameters["models"][figure.model]["feature"], figure


def test_accuracies_are_percentages_that_beat_chance():
    assert all(50.0 < figure.accuracy < 98.0 for figure in FIGURES)


def test_segments_give_musicnext_its_fractions():
    """1849/2000, 6633/7200 and 7650/7984 to two digits, which no number of tracks gives."""
    shares = [100 * right / total for right, total in ((1849, 2000), (6633, 7200), (7650, 7984))]
    figures = [figure for figure in FIGURES if figure.paper == "musicnext" and figure.model]
    assert [figure.accuracy for figure in figures] == pytest.approx(shares, abs=0.0051)
    assert {figure.unit for figure in figures} == {"segment"}


def test_what_is_the_best_of_many_or_leaky_is_not_comparable():
    for figure in FIGURES:
        if figure.statistic == "maximum" or figure.protocol == "random_segment":
            assert figure.comparable == "no"
