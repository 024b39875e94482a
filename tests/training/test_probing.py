"""How to compute: measured, remembered, and written into the card. Times are made up."""

import json

import pytest
import torch

from genre_pipeline.training import Checkpoint, fitting, probing, train_repeat
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.probing import (
    Computation,
    known_computation,
    measure_computation,
    possible_computations,
    remembered,
)

CPU = torch.device("cpu")
FIRST = ("float32", True)


@pytest.fixture
def seconds(monkeypatch):
    """What each step takes, by number type and layout; changing it changes the measurement."""
    table = {FIRST: 8.0, ("float32", False): 9.0, ("bfloat16", True): 4.0, ("bfloat16", False): 6.0}
    steps = []
    clock = 0.0
    real = probing._stepper

    def stepper(network, way, *rest):
        step = real(network, way, *rest)

        def timed():
            nonlocal clock
            steps.append((way.precision, way.channels_last, *["compiled"] * way.compiled))
            # The first step of each way warms up, or compiles.
            clock = 100.0 if steps.count(steps[-1]) == 1 else table[steps[-1]]
            step()
            return clock

        return timed

    monkeypatch.setattr(probing, "_stepper", stepper)
    monkeypatch.setattr(probing, "has_native_bfloat16", lambda device: True)
    table["steps"] = steps
    return table


@pytest.fixture
def network(make_model, make_segments):
    model = make_model("crnn")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model.spec.build(model.architecture, make_segments().shape, 3)


def measure(network, make_segments, channels_last=None, precision="auto", n_segments=None):
    segments = make_segments()
    features, targets = torch.tensor(segments.features), torch.tensor(segments.targets)
    ways = possible_computations(precision, channels_last, CPU)
    return measure_computation(network, features, targets, CPU, ways, n_segments)


@pytest.mark.parametrize(
    ("changed", "chosen"),
    [
        ({}, ("bfloat16", True)),
        ({("bfloat16", False): 2.0}, ("bfloat16", False)),
        ({("bfloat16", True): 7.5, ("bfloat16", False): 7.4}, FIRST),
        ({("float32", False): 1.0}, ("float32", False)),
    ],
)
def test_the_fastest_way_wins_if_it_is_clearly_faster(seconds, network, make_segments, changed, chosen):
    seconds.update(changed)
    computation = measure(network, make_segments)
    assert (computation.precision, computation.channels_last) == chosen
    assert computation.measured["float32, channels last"] == pytest.approx(24 / 8.0)
    assert len(computation.measured) == 4
    # In turns, so that what else the machine does hits all alike.
    assert seconds["steps"] == seconds["steps"][:4] * 4


@pytest.mark.parametrize(("layout", "n_ways"), [(True, 2), (False, 2), (None, 4)])
def test_a_stated_layout_is_the_only_one_tried(seconds, network, make_segments, layout, n_ways):
    computation = measure(network, make_segments, layout)
    assert len(computation.measured) == n_ways
    assert computation.channels_last is (layout is not False)


@pytest.mark.parametrize(
    ("compiled_s", "n_segments", "tried", "chosen"),
    [
        # 24 segments in 4 s: 7,200 segments take 1,200 s, which is not long enough to try.
        (2.0, 7200, False, False),
        (2.0, 7201, True, True),
        # Compiling takes 96 s or 97 s: a gain of 8 % of 1,206 s is 96.5 s.
        (3.68, 7236, True, True),
        (3.69, 7236, True, False),
        (5.0, 10**9, True, False),
        (2.0, None, False, False),
    ],
)
def test_a_long_training_is_compiled_if_that_gains_more_than_it_costs(
    seconds, network, make_segments, monkeypatch, compiled_s, n_segments, tried, chosen
):
    seconds["bfloat16", True, "compiled"] = compiled_s
    monkeypatch.setattr(torch, "compile", lambda function: function)
    computation = measure(network, make_segments, n_segments=n_segments)
    assert (computation.precision, computation.channels_last, computation.compiled) == ("bfloat16", True, chosen)
    assert ("bfloat16, channels last, compiled" in computation.measured) is tried
    if tried:
        assert computation.measured["bfloat16, channels last, compiled"] == pytest.approx(24 / compiled_s)


def test_a_stated_number_type_leaves_only_compiling_open(seconds, network, make_segments, monkeypatch):
    seconds["float32", True, "compiled"] = 1.0
    monkeypatch.setattr(torch, "compile", lambda function: function)
    computation = measure(network, make_segments, precision="float32", n_segments=10**6)
    assert set(computation.measured) == {"float32, channels last", "float32, channels last, compiled"}
    assert computation.compiled


def test_a_network_that_cannot_be_compiled_is_trained_without(network, make_segments, monkeypatch, caplog):
    def refuse(function):
        def fail(*_):
            raise RuntimeError("no compiler is installed")

        return fail

    monkeypatch.setattr(torch, "compile", refuse)
    computation = measure(network, make_segments, precision="float32", n_segments=10**12)
    assert not computation.compiled
    assert computation.measured["float32, channels last, compiled"] == 0.0
    assert "torch.compile cannot translate the network, which is trained without: no compiler" in caplog.text


def test_without_bfloat16_it_is_not_tried(monkeypatch, network, make_segments):
    monkeypatch.setattr(probing, "has_native_bfloat16", lambda device: False)
    assert set(measure(network, make_segments).measured) == {"float32, channels last", "float32, channels first"}


def test_measuring_changes_nothing(network, make_segments):
    before, state = {name: each.clone() for name, each in network.state_dict().items()}, torch.get_rng_state()
    measure(network, make_segments)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert all(each.grad is None for each in network.parameters())


def test_without_measuring_the_processor_is_asked(monkeypatch):
    for has_it, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(probing, "has_native_bfloat16", lambda device, has_it=has_it: has_it)
        assert known_computation("auto", None, CPU) == Computation(precision, channels_last=True)
        assert known_computation("float32", False, CPU) == Computation("float32", channels_last=False)


def test_what_was_measured_is_remembered(tmp_path):
    path = tmp_path / "cell" / "computations.json"
    first = remembered(path, "a", lambda: Computation("bfloat16", False, measured={"x": 2.0}))
    assert remembered(path, "a", lambda: pytest.fail("measured again")) == first
    assert remembered(path, "b", lambda: Computation("float32")) == Computation("float32")
    assert set(json.loads(path.read_text())) == {"a", "b"}
    assert remembered(None, "a", lambda: Computation("float32")) == Computation("float32")


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_memory_is_made_anew(tmp_path, content):
    path = tmp_path / "computations.json"
    path.write_text(content)
    remembered(path, "a", lambda: Computation("bfloat16"))
    assert set(json.loads(path.read_text())) == {"a"}


def test_long_trainings_measure_once_a_cell_and_say_so(seconds, arguments, make_model, monkeypatch):
    monkeypatch.setattr(fitting, "_WORTH_MEASURING", 1)
    arguments |= {"model": make_model(precision="auto", max_epochs=2)}
    first = train_repeat(**arguments)
    n_steps = len(seconds["steps"])
    second = train_repeat(**{**arguments, "repeat": 2, "seed": 6, "folder": arguments["folder"].with_name("repeat_2")})
    assert len(seconds["steps"]) == n_steps == 16
    for checkpoint in (first, second):
        card = Checkpoint.open(checkpoint.folder).card
        assert (card.precision, card.channels_last) == ("bfloat16", True)
        assert card.measured_rates["bfloat16, channels last"] == pytest.approx(8 / 4.0)


def test_what_a_long_training_compiles_is_in_the_card(seconds, arguments, make_model, monkeypatch):
    seconds["bfloat16", True, "compiled"] = 0.001
    monkeypatch.setattr(fitting, "_WORTH_MEASURING", 1)
    monkeypatch.setattr(probing, "_WORTH_COMPILING_S", 1.0)
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    # 24 segments of each epoch in 4 s: the gain is more than the 100 s that compiling takes.
    card = train_repeat(**{**arguments, "model": make_model(precision="auto", max_epochs=20)}).card
    assert card.compiled
    assert card.measured_rates["bfloat16, channels last, compiled"] == pytest.approx(8 / 0.001)
    # For the measurement, and for the training.
    assert len(compiled) == 2


@pytest.mark.parametrize("training", [{"precision": "float32", "compile": False}, {"precision": "auto"}])
def test_nothing_is_measured_where_all_is_said_or_little_is_to_do(seconds, arguments, make_model, training):
    card = train_repeat(**{**arguments, "model": make_model(**training)}).card
    assert seconds["steps"] == []
    assert card.measured_rates == {}


def test_a_compiled_network_learns_the_same(arguments, make_model, make_feature, monkeypatch):
    compiled = []
    translate = torch.compile

    def note(function):
        compiled.append(function.__name__)
        # The real backend takes half a minute.
        return translate(function, backend="eager")

    monkeypatch.setattr(torch, "compile", note)

    def losses(**training):
        task = Task("x", make_model(**training), make_feature(), 3, 0, arguments["train"], arguments["validation"])
        return [record.train_loss for record in fit(task, lambda record: None).history]

    assert losses(compile=True) == pytest.approx(losses(), rel=1e-3)
    assert compiled == ["training_logits"]


def test_the_layout_is_a_parameter(arguments, make_model, make_feature):
    for channels_last in (True, False):
        model = make_model("crnn", channels_last=channels_last)
        task = Task("x", model, make_feature(), 3, 0, arguments["train"], arguments["validation"])
        weight = next(
            each for each in fit(task, lambda record: None).model.parameters() if each.ndim == 4 and each.shape[1] > 1
        )
        assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last
