"""Where LGNet sends the segments, from the forward pass to what MLflow gets."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genre_pipeline.models import InputShape
from genre_pipeline.models.lgnet import LgNetBlock, build_lgnet
from genre_pipeline.pipelines.evaluate.routing import log_routing
from genre_pipeline.reporting.routing_figure import routing_figure
from genre_pipeline.training import parse_model, train_repeat
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.predictors import compute_logits
from genre_pipeline.training.resumption import Resumption
from genre_pipeline.training.routing import (
    count_choices,
    expert_loads,
    noted_choices,
    routing_counts,
    routing_entropy,
    routing_metrics,
    routing_table,
)
from genre_pipeline.training.segments import Normalisation

N_EXPERTS, N_EPOCHS = 3, 4


@pytest.fixture
def model():
    values = {
        "family": "lgnet",
        "feature": "log_mel_6",
        "architecture": {"n_experts": N_EXPERTS, "n_hidden": None, "width": 2, "freeze_gate_after": 2},
        "training": {"max_epochs": N_EPOCHS, "batch_size": 8, "device": "cpu", "precision": "float32"},
    }
    return parse_model("lgnet", values)


@pytest.fixture
def checkpoint(arguments, model):
    return train_repeat(**{**arguments, "model": model})


def test_choices_are_noted_batch_by_batch_and_not_after():
    torch.manual_seed(0)
    network = build_lgnet(LgNetBlock(n_experts=N_EXPERTS, width=2), InputShape(8, 8), 3)
    features = torch.randn(70, 8, 8)
    with noted_choices(network) as choices:
        compute_logits(network, Normalisation("none"), features, torch.device("cpu"))
    compute_logits(network, Normalisation("none"), features, torch.device("cpu"))
    assert [len(batch) for batch in choices] == [64, 6]
    expected = network.gate(network.trunk(features)).argmax(dim=1)
    assert torch.equal(torch.cat(choices), expected)


def test_the_loss_of_the_balance_is_least_where_experts_get_as_many_segments():
    torch.manual_seed(0)
    network = build_lgnet(LgNetBlock(n_experts=2, width=2, balance=0.5), InputShape(8, 8), 3)
    assert network.auxiliary_loss() is None, "nothing was scored"
    features = torch.randn(40, 8, 8)
    shares, means = [], []
    for bias in (0.0, 50.0):
        with torch.no_grad():
            network.gate.bias.copy_(torch.tensor([bias, 0.0]))
        network(features)
        probabilities = network.gate(network.trunk(features)).softmax(dim=1)
        share = (network.choices() == 0).float().mean()
        loss = network.auxiliary_loss()
        expected = 0.5 * 2 * (share * probabilities[:, 0].mean() + (1 - share) * probabilities[:, 1].mean())
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
        assert network.auxiliary_loss() is None, "it belongs to the segments that were scored last"
        shares.append(share.item())
        means.append(loss.item())
    assert shares[1] == 1.0
    assert means[0] < means[1] == pytest.approx(0.5 * 2)
    network.eval()(features)
    assert network.auxiliary_loss() is None


def test_noise_sends_segments_to_other_experts_in_training_only():
    torch.manual_seed(0)
    network = build_lgnet(LgNetBlock(n_experts=4, width=2, gate_noise=100.0), InputShape(8, 8), 3)
    features = torch.randn(64, 8, 8)
    network(features)
    assert len(network.choices().unique()) == 4
    network.eval()(features)
    assert torch.equal(network.choices(), network.gate(network.trunk(features)).argmax(dim=1))


def test_the_loss_of_the_balance_divides_the_segments_among_experts():
    torch.manual_seed(0)
    network = build_lgnet(LgNetBlock(n_experts=4, width=2, balance=1.0), InputShape(8, 8), 3)
    features = torch.randn(64, 8, 8)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    with torch.no_grad():
        network.gate.bias[0] = 5.0
    network(features)
    assert network.choices().unique().tolist() == [0]
    for _ in range(100):
        network(features)
        optimiser.zero_grad()
        network.auxiliary_loss().backward()
        optimiser.step()
    counts = torch.bincount(network.choices(), minlength=4)
    assert counts.max() < 0.75 * 64


def test_the_loss_of_the_balance_is_part_of_a_training(arguments, model):
    def first_loss(balance):
        """The loss of one step over all segments, before the weights change."""
        architecture = model.architecture.model_copy(update={"balance": balance})
        training = model.training.model_copy(update={"max_epochs": 1, "batch_size": 1000})
        changed = model.model_copy(update={"architecture": architecture, "training": training})
        sides = arguments["train"], arguments["validation"]
        task = Task("x", changed, arguments["feature"], len(arguments["genres"]), 0, *sides)
        return fit(task, lambda _: None).history[0].train_loss

    assert 1.0 <= first_loss(1.0) - first_loss(0.0) <= N_EXPERTS


def test_counts_go_through_the_table_in_any_order_of_the_genres():
    counts = torch.arange(12).reshape(2, 2, 3)
    genres = ("rock", "epoch", "blues")
    table = routing_table(list(counts), genres)
    assert list(table.columns) == ["epoch", "expert", "genre", "n_segments"]
    read = routing_counts(table.sample(frac=1, random_state=0), genres)
    assert {epoch: each.tolist() for epoch, each in read.items()} == {1: counts[0].tolist(), 2: counts[1].tolist()}
    turned = routing_counts(table, genres[::-1])
    assert turned[2].tolist() == counts[1].flip(1).tolist()


@pytest.mark.parametrize(
    ("loads", "entropy"), [([5, 5, 5, 5], 1.0), ([0, 7, 0, 0], 0.0), ([4, 4, 0, 0], 0.5), ([9], 0.0)]
)
def test_the_entropy_says_how_evenly_experts_are_used(loads, entropy):
    counts = np.array(loads)[:, None]
    assert routing_entropy(counts) == pytest.approx(entropy)
    assert expert_loads(counts).sum() == pytest.approx(1.0)


def test_a_checkpoint_knows_where_each_epoch_sent_its_validation_segments(checkpoint, arguments):
    table = checkpoint.routing
    assert len(table) == N_EPOCHS * N_EXPERTS * len(arguments["genres"])
    validation = arguments["validation"]
    for counts in routing_counts(table, arguments["genres"]).values():
        assert counts.shape == (N_EXPERTS, len(arguments["genres"]))
        assert counts.sum(axis=0).tolist() == np.bincount(validation.targets).tolist()


def test_the_selected_epoch_is_that_of_the_weights(checkpoint, arguments):
    predictor = checkpoint.predictor(device="cpu")
    validation = arguments["validation"]
    with noted_choices(predictor.network) as choices:
        predictor.predict_probabilities(validation.features)
    shape = (N_EXPERTS, len(arguments["genres"]))
    expected = count_choices(choices, torch.from_numpy(validation.targets), shape=shape)
    counts = routing_counts(checkpoint.routing, arguments["genres"])[checkpoint.card.selected_epoch]
    assert counts.tolist() == expected.tolist()


def test_a_model_without_experts_has_no_routing(arguments, model):
    checkpoint = train_repeat(**arguments)
    assert checkpoint.routing is None
    assert "routing.parquet" not in checkpoint.card.checksums
    assert log_routing([checkpoint], genres=arguments["genres"]) == ({}, [], {})


def test_an_interrupted_training_keeps_the_routing_of_its_epochs(arguments, model, tmp_path):
    task = Task(
        "x", model, arguments["feature"], len(arguments["genres"]), 0, arguments["train"], arguments["validation"]
    )
    whole = fit(task, lambda _: None)

    class KilledError(Exception):
        pass

    def kill(record):
        if record.epoch == 2:
            raise KilledError

    path = tmp_path / "state.pt"
    with pytest.raises(KilledError):
        fit(task, kill, Resumption(path, "f", 0.0))
    resumed = fit(task, lambda _: None, Resumption(path, "f", 0.0))
    assert len(resumed.routing) == N_EPOCHS
    assert all(torch.equal(one, other) for one, other in zip(whole.routing, resumed.routing, strict=True))


def test_loads_are_curves_of_the_repeat_and_the_entropy_one_of_the_cell(checkpoint, arguments):
    log = log_routing([checkpoint, checkpoint], genres=arguments["genres"])
    counts = routing_counts(checkpoint.routing, arguments["genres"])
    assert log.repeats == {arguments["repeat"]: {epoch: routing_metrics(each) for epoch, each in counts.items()}}
    assert set(log.repeats[1][1]) == {"expert_load_0", "expert_load_1", "expert_load_2", "routing_entropy"}
    assert log.entropies == pytest.approx([routing_entropy(each) for each in counts.values()])
    assert set(log.files) == {"routing_01.png"}


def test_the_picture_shows_loads_and_genres(tmp_path):
    epochs = {1: np.array([[4, 0], [0, 4]]), 2: np.array([[4, 1], [0, 3]])}
    figure = routing_figure(epochs, selected=2, genres=["blues", "$oul"], title="lgnet_2")
    over_time, by_genre = figure.axes
    assert len(over_time.collections) == 2
    assert [text.get_text() for text in by_genre.texts] == ["100", "25", "75"]
    path = Path(tmp_path, "routing.png")
    figure.savefig(path)
    assert path.stat().st_size > 0


def test_the_table_is_plain(checkpoint):
    assert isinstance(checkpoint.routing, pd.DataFrame)
    assert {str(kind) for kind in checkpoint.routing[["epoch", "expert", "n_segments"]].dtypes} == {"int64"}
