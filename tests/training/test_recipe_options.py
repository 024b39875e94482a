"""Options of a recipe, seen in what a training does."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.reporting.model_cards.papers import PAPERS
from genre_pipeline.reporting.model_cards.presets import read_presets
from genre_pipeline.training import fitting
from genre_pipeline.training.augmentation import AugmentationBlock
from genre_pipeline.training.fitting import _Loop, fit
from genre_pipeline.training.schedules import CosineBlock


def trained(task):
    return fit(task, lambda record: None)


def weights(task):
    return torch.cat([tensor.flatten().float() for tensor in trained(task).model.state_dict().values()])


@pytest.mark.parametrize(
    "option",
    [
        {"augmentation": {"mixup": 0.4}},
        {"augmentation": {"time_reversal": 0.5}},
        {"epsilon": 0.1},
        {"ema_decay": 0.5},
        {"schedule": {"kind": "cosine", "warm_up": 0.3}},
    ],
)
def test_options_change_the_result_and_a_seed_repeats_it(make_task, make_segments, option):
    assert torch.equal(weights(make_task(**option)), weights(make_task(**option)))
    assert not torch.equal(weights(make_task(**option)), weights(make_task()))


def test_the_step_size_follows_the_schedule(make_task):
    plateau = {"kind": "plateau", "monitor": "train_loss", "factor": 0.5, "patience": 1, "min_delta": 100.0}
    history = trained(make_task(schedule=plateau, selection="last")).history
    assert [record.learning_rate for record in history] == pytest.approx([0.01, 0.01, 0.005, 0.0025])


def test_stopping_ends_the_training(make_task):
    stopping = {"monitor": "train_loss", "patience": 2, "min_delta": 100.0}
    assert len(trained(make_task(stopping=stopping, max_epochs=20)).history) == 3


def test_balanced_weights_are_inverse_to_the_genres_sizes(make_task):
    task = make_task(class_weights="balanced")
    task.train.targets[:12] = 0
    counts = torch.bincount(torch.tensor(task.train.targets)).float()
    loop = _Loop(task, build(task), torch.device("cpu"))
    torch.testing.assert_close(loop.weights * counts, torch.full((3,), len(task.train) / 3))


def test_the_average_is_what_is_kept(make_task):
    task = make_task(ema_decay=0.9, selection="last", max_epochs=2)
    loop = _Loop(task, build(task), torch.device("cpu"))
    seen = []

    def note(record):
        seen.append({name: tensor.clone() for name, tensor in loop.average.module.state_dict().items()})

    loop.run(note)
    assert all(torch.equal(tensor, seen[-1][name]) for name, tensor in loop.network.state_dict().items())


@pytest.fixture
def grouped(make_task):
    """A function that makes a task whose segments belong to tracks, six to each."""

    def make(**training):
        task = make_task(**training)
        # Two artists with two tracks each; the tracks' codes come last.
        tracks = np.arange(24) // 6
        train = replace(task.train, groups=(tracks // 2, tracks))
        validation = replace(task.validation, groups=(np.arange(9) // 6, np.arange(9) // 6))
        return replace(task, train=train, validation=validation)

    return make


def drawn(loop):
    return torch.cat(loop.batches()).tolist()


def test_an_epoch_draws_so_many_segments_of_each_track_and_the_next_one_others(grouped):
    task = grouped(segments_per_track=2)
    loop = _Loop(task, build(task), torch.device("cpu"))
    epochs = [drawn(loop) for _ in range(30)]
    assert all(Counter(segment // 6 for segment in epoch) == dict.fromkeys(range(4), 2) for epoch in epochs)
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert {segment for epoch in epochs for segment in epoch} == set(range(24))
    assert any(epoch != sorted(epoch) for epoch in epochs)


@pytest.mark.parametrize("limit", [None, 6, 100])
def test_where_a_track_has_no_more_segments_all_are_used_in_the_same_order(grouped, limit):
    task = grouped(segments_per_track=limit)
    loop = _Loop(task, build(task), torch.device("cpu"))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(task.seed))
    assert drawn(loop) == order.tolist()
    assert len(loop.validation.targets) == 9


def test_validation_uses_segments_that_are_evenly_spread_over_the_track(grouped):
    task = grouped(segments_per_track=2)
    loop = _Loop(task, build(task), torch.device("cpu"))
    # Two of the first track's six segments, and two of the second's three.
    torch.testing.assert_close(loop.validation.features, torch.tensor(task.validation.features[[2, 5, 7, 8]]))
    assert loop.validation.targets.tolist() == task.validation.targets[[2, 5, 7, 8]].tolist()


def test_the_schedule_ends_with_the_steps_that_are_drawn(grouped):
    task = grouped(segments_per_track=2, schedule={"kind": "cosine"}, batch_size=8, max_epochs=4)
    history = trained(task).history
    # One step an epoch: the first at the full rate, the last of four at (1 + cos(3/4 pi)) / 2 of it.
    rates = [0.01 * (1.0 + math.cos(math.pi * done / 4)) / 2 for done in range(4)]
    assert [record.learning_rate for record in history] == pytest.approx(rates)


def test_segments_without_known_tracks_are_all_used(make_task):
    task = make_task(segments_per_track=1)
    assert sorted(drawn(_Loop(task, build(task), torch.device("cpu")))) == list(range(24))


@pytest.fixture
def loop_of(make_task):
    """A function that makes a loop without dropout."""

    def make(**training):
        task = make_task(**training)
        loop = _Loop(task, build(task), torch.device("cpu"))
        loop.network.eval()
        return loop

    return make


LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 3.0], [0.3, 0.2, 0.1]])
TARGETS = torch.tensor([0, 2, 2, 1])
SURPRISE = -LOGITS.log_softmax(dim=1)


def test_label_smoothing_spreads_its_share_over_all_genres(loop_of):
    # (1 - 0.3) and a third of 0.3 for the target, a third of 0.3 for each of the others.
    smoothed = torch.full((4, 3), 0.1).scatter(1, TARGETS[:, None], 0.8)
    found = loop_of(label_smoothing=0.3).loss(LOGITS, TARGETS)
    torch.testing.assert_close(found, (smoothed * SURPRISE).sum())


def test_class_weights_count_segments_by_the_size_of_their_genre(loop_of):
    loop = loop_of(class_weights="balanced")
    loop.weights = torch.tensor([2.0, 1.0, 0.5])
    of_targets = SURPRISE[range(4), TARGETS]
    expected = 2.0 * of_targets[0] + 0.5 * of_targets[1] + 0.5 * of_targets[2] + 1.0 * of_targets[3]
    torch.testing.assert_close(loop.loss(LOGITS, TARGETS), expected)
    # What a step divides by: the targets of these three segments are 0, 1 and 2.
    assert float(loop.total_weight(torch.arange(3))) == 3.5


def test_mixed_segments_have_both_targets_in_their_shares(loop_of, monkeypatch):
    loop = loop_of(augmentation={"mixup": 0.4})
    batch, partners = torch.arange(6), torch.tensor([1, 2, 3, 4, 5, 0])

    def mixed(features, alpha):
        return 0.75 * features + 0.25 * features[partners], partners, 0.75

    monkeypatch.setattr(fitting, "mix", mixed)
    features, targets = loop.normalisation(loop.train.features[batch]), loop.train.targets[batch]
    with torch.no_grad():
        surprise = -loop.network(0.75 * features + 0.25 * features[partners]).log_softmax(dim=1)
    expected = 0.75 * surprise[range(6), targets] + 0.25 * surprise[range(6), targets[partners]]
    loss, _, _ = loop.step(batch, 1)
    torch.testing.assert_close(loss, expected.mean())


def test_the_average_begins_with_the_first_step_and_decays(loop_of):
    loop = loop_of(ema_decay=0.9)
    expected = None
    for start in (0, 8, 16):
        loop.step(torch.arange(start, start + 8), 1)
        now = torch.nn.utils.parameters_to_vector(loop.network.parameters()).detach().clone()
        expected = now if expected is None else 0.9 * expected + 0.1 * now
    found = torch.nn.utils.parameters_to_vector(loop.average.module.parameters())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


OF_PAPERS = {file for paper in PAPERS if paper.experiments for file in paper.files}
PRESETS = [each for each in read_presets(PROJECT_ROOT / "conf" / "base") if each.file in OF_PAPERS]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda each: each.name)
def test_nothing_beyond_the_papers_is_on_in_their_presets(preset):
    recipe = preset.model.training
    # MusicNeXt's "flip" is its paper's. Its step sizes are lost: they are ours, and marked so.
    of_paper = {"time_reversal": 0.5} if preset.file == "musicnext" else {}
    assert recipe.augmentation == AugmentationBlock(**of_paper)
    assert recipe.ema_decay is None
    assert recipe.class_weights == "none"
    assert not isinstance(recipe.schedule, CosineBlock) or preset.file == "musicnext"


def build(task):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return task.model.spec.build(task.model.architecture, task.train.shape, task.n_classes)


def test_a_network_hears_of_each_step(make_task, monkeypatch):
    task = make_task(max_epochs=2, batch_size=10)
    network = build(task)
    heard = []
    monkeypatch.setattr(network, "begin_step", lambda epoch, progress: heard.append((epoch, round(progress, 3))))
    _Loop(task, network, torch.device("cpu")).run(lambda record: None)
    assert heard == [(1, 0.0), (1, 0.167), (1, 0.333), (2, 0.5), (2, 0.667), (2, 0.833)]


def test_a_network_sees_the_scaled_training_segments_before_the_first_step(make_task, monkeypatch):
    task = make_task(max_epochs=1)
    network = build(task)
    heard = []
    monkeypatch.setattr(network, "begin_training", lambda *given: heard.append([torch.cat(list(given[0])), given[1]]))
    monkeypatch.setattr(network, "begin_step", lambda *_: heard.append([]))
    loop = _Loop(task, network, torch.device("cpu"))
    loop.run(lambda record: None)
    (features, targets), *steps = heard
    assert not any(steps)
    assert torch.equal(features, loop.normalisation(torch.tensor(task.train.features)))
    assert targets.tolist() == task.train.targets.tolist()
