"""The search: its trials, what interrupts it, what fails in it."""

import logging
import sys

import pandas as pd
import pytest
import torch
import yaml

from genre_pipeline.errors import ComputeError, ConfigError, TrainingError
from genre_pipeline.locks import only_one
from genre_pipeline.training import fitting, parse_model
from genre_pipeline.tuning import Observer, tune
from genre_pipeline.tuning.findings import best_parameters, draw_history, draw_importance, trials_table
from genre_pipeline.tuning.space import with_values

RATE = "training.learning_rate"


class Listener(Observer):
    def __init__(self):
        self.epochs, self.trials = [], []

    def epoch(self, trial, record):
        self.epochs.append((trial, record.epoch))

    def ended(self, trial):
        self.trials.append(trial)


def essence(tuned):
    """What must not depend on when and how often the search was interrupted."""
    return [(each.number, each.values, each.state, each.value, each.n_epochs) for each in tuned.trials]


def only_rate(low, high):
    return {"training": {"learning_rate": {"kind": "float", "low": low, "high": high, "log": True}}}


@pytest.fixture
def lose_at(monkeypatch):
    """A function that lets an exception, or an infinite loss, come at a step, counted over all trainings."""
    step = fitting._Loop.step

    def choose(condition, error=None):
        count = [0]

        def broken(loop, batch, epoch):
            count[0] += 1
            loss, *others = step(loop, batch, epoch)
            if condition(loop, count[0]):
                if error is not None:
                    raise error
                loss = loss * torch.inf
            return (loss, *others)

        monkeypatch.setattr(fitting._Loop, "step", broken)

    return choose


def test_trials_are_drawn_from_the_space_and_the_best_validates_best(make_search, folder):
    search, listener = make_search(pruner="none"), Listener()
    tuned = tune(search, folder(), listener)
    assert [each.number for each in tuned.trials] == [0, 1, 2, 3]
    assert tuple(listener.trials) == tuned.trials
    assert listener.epochs == [(trial, epoch) for trial in range(4) for epoch in (1, 2, 3)]
    for each in tuned.trials:
        assert each.state == "complete"
        assert 0.0 <= each.values["architecture.dropout"] <= 0.5
        assert 1e-4 <= each.values[RATE] <= 0.1
        assert each.values["training.batch_size"] in {4, 8}
        assert (each.n_epochs, each.reason) == (3, "")
    assert len({str(each.values) for each in tuned.trials}) == 4
    assert tuned.best.value == max(each.value for each in tuned.trials)
    assert [each.name for each in folder().iterdir()] == ["study.db"]


def test_a_trial_is_worth_what_training_itself_says_of_the_epoch_it_keeps(make_search, folder):
    search = make_search(pruner="none", n_trials=1)
    (trial,) = tune(search, folder()).trials
    task = fitting.Task(
        "alone",
        search.variant(trial.values),
        search.feature,
        3,
        search.seed,
        search.development.train,
        search.development.validation,
    )
    fitted = fitting.fit(task, lambda record: None)
    assert trial.value == fitted.history[fitted.selected_epoch - 1].validation_accuracy


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_in_pieces_is_the_search_in_one(make_search, folder, sampler):
    whole = tune(make_search(sampler=sampler, n_trials=5), folder("whole"))
    listener = Listener()
    for n_trials in (2, 3, 5, 5, 4):
        tuned = tune(make_search(sampler=sampler, n_trials=n_trials), folder("pieces"), listener)
    assert essence(tuned) == essence(whole)
    assert [each.number for each in listener.trials] == [0, 1, 2, 3, 4]
    other = tune(make_search(sampler=sampler, n_trials=5, seed=1), folder("other"))
    assert essence(other) != essence(whole)


@pytest.mark.parametrize("at_step", [2, 14])
def test_an_interrupted_search_goes_on_in_the_middle_of_a_training(make_search, folder, lose_at, caplog, at_step):
    model = {**make_search().model, "training": {"resume_interval_s": 0.0, "max_epochs": 4}}
    fixed = {**only_rate(1e-3, 1e-1)}
    whole = tune(make_search(fixed, model=model, pruner="none"), folder("whole"))
    search = make_search(fixed, model=model, pruner="none")
    # Three steps an epoch, four epochs a trial.
    lose_at(lambda loop, count: count == at_step, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tune(search, folder("pieces"))
    lose_at(lambda loop, count: False)
    caplog.set_level(logging.INFO, logger="genre_pipeline")
    listener = Listener()
    tuned = tune(search, folder("pieces"), listener)
    assert essence(tuned) == essence(whole)
    finished = (at_step - 1) // 12
    assert [each.number for each in listener.trials] == list(range(finished, 4))
    assert ("resuming after epoch" in caplog.text) == ((at_step - 1) % 12 >= 3)
    assert (f"{finished} trials exist already" in caplog.text) == (finished > 0)
    assert not (folder("pieces") / "trial.state").exists()


def test_a_killed_training_loses_no_epoch_that_was_kept(make_search, folder, lose_at, caplog):
    model = {**make_search().model, "training": {"resume_interval_s": 0.0}}
    search = make_search(only_rate(1e-3, 1e-1), model=model, pruner="none", n_trials=1)
    whole = tune(search, folder("whole"))
    lose_at(lambda loop, count: count == 8, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tune(search, folder("pieces"))
    lose_at(lambda loop, count: False)
    caplog.set_level(logging.INFO, logger="genre_pipeline")
    assert essence(tune(search, folder("pieces"))) == essence(whole)
    assert "resuming after epoch 2, where it was interrupted" in caplog.text


def test_other_parameters_begin_a_new_search(make_search, folder):
    first = tune(make_search(n_trials=2), folder())
    second = tune(make_search(only_rate(1e-3, 1e-2), n_trials=2), folder())
    assert len(second.trials) == 2
    assert essence(tune(make_search(n_trials=2), folder())) == essence(first)


def test_diverging_trials_are_visible_and_do_not_stop_the_search(make_search, folder, lose_at, caplog):
    search, listener = make_search(pruner="none", n_trials=5), Listener()
    rates = [each.values[RATE] for each in tune(make_search(sampler="random", n_trials=5), folder("x")).trials]
    middle = sorted(rates)[2]
    lose_at(lambda loop, count: loop.recipe.learning_rate > middle)
    search = make_search(pruner="none", sampler="random", n_trials=5)
    tuned = tune(search, folder("y"), listener)
    assert [each.state == "failed" for each in tuned.trials] == [rate > middle for rate in rates]
    assert tuple(listener.trials) == tuned.trials
    failed = [each for each in tuned.trials if each.state == "failed"]
    assert all("the loss of epoch 1, batch 1 of" in each.reason for each in failed)
    assert all(each.value != each.value for each in failed)
    assert tuned.best.values[RATE] <= middle
    assert caplog.text.count("The other trials continue.") == len(failed)
    # They are not tried again.
    assert essence(tune(search, folder("y")))[0:2] == essence(tuned)[0:2]
    table = trials_table(tuned)
    assert table["state"].tolist() == [each.state for each in tuned.trials]
    assert table["reason"].tolist() == [each.reason for each in tuned.trials]
    assert f"({0} cut short, {len(failed)} failed)" in best_parameters(search, tuned)
    assert [each.name for each in draw_history(search, tuned).data][-1] == "Infeasible Trial"


def test_a_search_of_failures_says_why(make_search, folder, lose_at):
    lose_at(lambda loop, count: True)
    with pytest.raises(TrainingError, match=r"none of 2 trials was completed\. The first: .*trial 1 of 2: the loss of"):
        tune(make_search(n_trials=2), folder())


def test_parameters_that_do_not_fit_the_segments_fail_alone(make_search, folder):
    # Six halvings leave nothing of eight frames.
    widths = [[2], [2] * 6]
    model = {"family": "short_chunk", "feature": "log_mel_6"}
    space = {"architecture": {"n_filters": {"kind": "choice", "values": widths}}}
    tuned = tune(make_search(space, model=model, n_trials=4, sampler="random"), folder())
    by_depth = {len(each.values["architecture.n_filters"]): each for each in tuned.trials}
    assert by_depth[1].state == "complete"
    assert by_depth[6].state == "failed"
    assert "n_filters" in by_depth[6].reason


def test_the_median_pruner_cuts_hopeless_trials_short(make_search, folder):
    model = {**make_search().model, "training": {"max_epochs": 6}}
    space = {"training": {"learning_rate": {"kind": "choice", "values": [0.02, 0.015, 0.01, 1e-8]}}}
    tuned = tune(make_search(space, model=model, n_trials=16, sampler="random", metric="validation_loss"), folder())
    pruned = [each for each in tuned.trials if each.state == "pruned"]
    assert pruned
    assert all(each.n_epochs < 6 for each in pruned)
    assert 1e-8 in {each.values[RATE] for each in pruned}
    assert tuned.best.values[RATE] > 1e-8
    assert tuned.best.value == min(each.value for each in tuned.trials if each.state == "complete")


def test_an_estimator_is_tuned_in_one_go(make_search, folder):
    model = {"family": "svm", "feature": "log_mel_6"}
    space = {"architecture": {"c": {"kind": "float", "low": 0.01, "high": 100.0, "log": True}}}
    tuned = tune(make_search(space, model=model, n_trials=3), folder())
    assert [(each.state, each.n_epochs) for each in tuned.trials] == [("complete", 1)] * 3


def test_a_model_that_the_test_split_selects_is_refused(make_search, folder):
    model = {**make_search().model, "training": {"selection": "best_test"}}
    search = make_search()
    with pytest.raises(ConfigError, match="tuning must not use the test split"):
        tune(type(search)(**{**vars(search), "model": model}), folder())


def test_one_search_a_folder(make_search, folder):
    with (
        only_one(folder(), RuntimeError),
        pytest.raises(ComputeError, match="is tuning there"),
    ):
        tune(make_search(), folder())


def test_without_optuna_it_says_what_to_install(make_search, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ComputeError, match=r"pip install 'genre-pipeline\[tune\]'"):
        tune(make_search(), folder())


def test_the_best_parameters_can_be_used_as_they_are_written(make_search, folder):
    blocks = [{"noise": 0.1}, {"mixup": 0.2, "gain": 1.0}]
    space = {
        "training": {
            "learning_rate": {"kind": "float", "low": 1e-7, "high": 1e-2, "log": True},
            "augmentation": {"kind": "choice", "values": blocks},
            "patience": {"kind": "choice", "values": [None, 2]},
        }
    }
    search = make_search(space, n_trials=3, pruner="none")
    tuned = tune(search, folder())
    text = best_parameters(search, tuned)
    expected = search.variant(tuned.best.values)
    found = yaml.safe_load(text)["models"]["net"]
    assert parse_model("net", with_values(search.model, found), search.defaults) == expected
    # The same on the command line.
    from omegaconf import OmegaConf

    from genre_pipeline.cli import split_parameters

    (line,) = [each for each in text.splitlines() if "--params" in each]
    given = split_parameters(None, None, line.split('"')[1])
    merged = OmegaConf.merge({"models": {"net": search.model}}, given)
    assert parse_model("net", OmegaConf.to_container(merged)["models"]["net"], search.defaults) == expected
    assert "too good, because it chose the trial" in text


def test_importance_is_that_of_the_parameter_that_matters(make_search, folder):
    model = {**make_search().model, "training": {"max_epochs": 4}}
    space = {
        "training": {
            "learning_rate": {"kind": "choice", "values": [0.02, 1e-8]},
            "ema_decay": {"kind": "choice", "values": [0.01, 0.02]},
        }
    }
    search = make_search(space, model=model, n_trials=10, sampler="random", pruner="none", metric="validation_loss")
    tuned = tune(search, folder())
    (bars,) = draw_importance(search, tuned).data
    shares = dict(zip(bars.y, bars.x, strict=True))
    assert shares[RATE] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)


def test_nothing_to_explain_is_said(make_search, folder):
    search = make_search(n_trials=1)
    figure = draw_importance(search, tune(search, folder()))
    assert "Fewer than two different results" in figure.layout.annotations[0].text


def test_a_table_of_trials(make_search, folder):
    search = make_search(
        {**only_rate(1e-3, 1e-2), "architecture": {"hidden": {"kind": "choice", "values": [[8, 6], [6, 4]]}}},
        n_trials=2,
    )
    tuned = tune(search, folder())
    table = trials_table(tuned)
    assert list(table.columns) == [
        "trial", "state", "value", "n_epochs", "seconds", RATE, "architecture.hidden", "reason",
    ]  # fmt: skip
    assert set(table["architecture.hidden"]) <= {"[8, 6]", "[6, 4]"}
    assert table["value"].tolist() == [each.value for each in tuned.trials]
    assert isinstance(table, pd.DataFrame)
