"""Options of a recipe, seen in what a training does."""

import pytest
import torch

from genre_pipeline.training.fitting import _Loop, fit


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
