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


def test_a_paper_with_an_experiment_says_what_it_takes_and_what_was_measured(contents):
    for paper in PAPERS:
        page = contents[PROJECT_ROOT / "docs/models" / f"{paper.name}.md"]
        assert bool(paper.experiments) == bool(paper.timed) == bool(paper.measured) == bool(paper.needed)
        assert ("## What it takes" in page) == bool(paper.experiments)
    crnn = contents[PROJECT_ROOT / "docs/models/crnn.md"]
    # By hand: 10,000 segments, 25 epochs, 80 % three times and 10 % once, two networks of .15 GFLOP each.
    assert "| `paper_crnn` | gtzan | random_track | 2 | 2 | 0.19 |" in crnn


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


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        ("bbnn_squeeze_excitation", 197_594),
        ("bbnn_squeeze_excitation_text", 198_362),
        ("bbnn_xception", 143_338),
        ("bbnn_xception_text", 144_362),
        ("musicnext_margin_3", 27_804_672),
        ("musicnext_margin_4", 27_804_672),
        # A block of the third stage has 8 * 384 ** 2 + 55 * 384 parameters.
        *(
            (f"musicnext_{loss}3_3_{depth}_3", 27_804_672 + (depth - 9) * 1_200_768)
            for loss in ("", "softmax_")
            for depth in (3, 6, 12, 27)
        ),
    ],
)
def test_variants_of_the_papers_networks_have_their_parameters(name, n_parameters):
    assert measure_cost(PRESETS[name]).n_parameters == n_parameters


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("musicnext_") and name[-1].isdigit()])
def test_the_sweeps_of_musicnext_change_nothing_else(name):
    base = PRESETS["musicnext_softmax" if "softmax" in name else "musicnext"].model
    model, values = PRESETS[name].model, base.architecture.dump()
    changed = {key: value for key, value in model.architecture.dump().items() if value != values[key]}
    if name == "musicnext_64":
        assert set(changed) == {"widths"}
    elif "margin" in name:
        assert changed == {"head": {**values["head"], "margin": int(name[-1])}}
    else:
        assert changed == {"depths": [int(each) for each in name.split("_")[-4:]]}
    assert model.training == base.training


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
