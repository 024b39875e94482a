"""The committed cards and their index are what the presets, the registry and the published figures make."""

import importlib.util
import re

import pytest
import torch

from genre_pipeline.evaluation.published import published_figures
from genre_pipeline.models import MODELS
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.reporting.model_cards import measure_cost, read_presets
from genre_pipeline.reporting.model_cards.papers import PAPERS

PRESETS = {preset.name: preset for preset in read_presets(PROJECT_ROOT / "conf/base")}


@pytest.fixture(scope="module")
def contents():
    """What ``python docs/make_model_cards.py`` would write."""
    spec = importlib.util.spec_from_file_location("make_model_cards", PROJECT_ROOT / "docs/make_model_cards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.contents()


def test_the_committed_pages_are_what_would_be_made(contents):
    stale = [path.name for path, content in contents.items() if path.read_text(encoding="utf-8") != content]
    assert not stale, "run: python docs/make_model_cards.py"


def test_every_preset_has_a_card_and_a_row(contents):
    index = contents[PROJECT_ROOT / "docs/models/README.md"]
    cards = "".join(content for path, content in contents.items() if path.name != "README.md")
    for name in PRESETS:
        assert cards.count(f"\n## {name}\n") == 1
        assert len(re.findall(rf"\[`{name}`\]\(\w+\.md#{name}\)", index)) == 1


def test_every_page_is_there_and_no_other(contents):
    written = {path.stem for path in (PROJECT_ROOT / "docs/models").glob("*.md")}
    assert written >= {paper.name for paper in PAPERS}
    assert written == {path.stem for path in contents} | {"ambiguities"}


def test_every_file_that_a_paper_names_is_there_and_every_paper_of_figures_belongs_to_one_page():
    files = [file for paper in PAPERS for file in paper.files]
    assert len(files) == len(set(files))
    assert set(files) <= {preset.file for preset in PRESETS.values()}
    figures = [name for paper in PAPERS for name in paper.figures]
    assert sorted(figures) == sorted({figure.paper for figure in published_figures()})


def test_the_text_of_a_preset_is_its_part_of_the_file_with_the_comment_above():
    text = PRESETS["broadcast_ours"].text
    assert text.startswith("# The 4-block network")
    assert "n_blocks: 4                     # [P]" in text
    assert "bbnn:" not in text
    assert "figure" not in text


def test_every_value_of_a_papers_network_has_a_tag_or_refers_to_one_that_has():
    """Of the presets of the five papers; those of our own choice say so once."""
    files = {file for paper in PAPERS if paper.figures for file in paper.files}
    for preset in PRESETS.values():
        if preset.file in files - {"crnn_gru_small", "naive_bayes"}:
            assert any(tag in preset.text for tag in ("[P]", "[C]", "[D]", "[I]", "[?]", "*")), preset.name


@pytest.mark.parametrize(
    ("name", "n_parameters", "gmac"),
    # Multiplications of the specification, in 10^9: one for each two of our operations.
    [
        ("bbnn", 185_642, 3.72),
        ("broadcast_ours", 178_154, 3.51),
        ("net1", 1_001_162, 0.1),
        ("musicnext", 27_804_672, 2.9),
    ],
)
def test_costs_are_those_of_the_specification(name, n_parameters, gmac):
    cost = measure_cost(PRESETS[name])
    assert cost.n_parameters == n_parameters
    assert cost.n_flop / 2e9 == pytest.approx(gmac, rel=0.03)


@pytest.mark.parametrize(("name", "n_directions"), [("lstm", 1), ("bi_lstm", 2)])
def test_recurrent_layers_are_counted(name, n_directions):
    preset = PRESETS[name]
    n_units = preset.model.architecture.n_recurrent
    per_frame = 4 * n_units * (preset.shape.n_bins + n_units)
    expected = 2 * n_directions * (preset.shape.n_frames * per_frame + n_units * 10)
    assert measure_cost(preset).n_flop == expected


def test_the_random_state_stays():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    measure_cost(PRESETS["lgnet_2"])
    assert torch.equal(torch.get_rng_state(), before)


def test_estimators_have_no_cost():
    assert {name for name, preset in PRESETS.items() if measure_cost_is_none(preset)} == {
        "linear_probe",
        "naive_bayes",
        "probe_knn",
        "probe_logistic",
        "probe_mlp",
        "probe_svm",
        "svm",
    }


def measure_cost_is_none(preset):
    return type(MODELS[preset.model.family]).__name__ == "EstimatorSpec" and measure_cost(preset) is None
