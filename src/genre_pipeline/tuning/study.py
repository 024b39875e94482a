"""The search: trials drawn by Optuna, one training each, stored in a SQLite file from which a killed search resumes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genre_pipeline.errors import ComputeError, ConfigError, RepeatFailedError, TrainingError
from genre_pipeline.features import FeatureBlock
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.locks import only_one
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.project import sqlite_uri
from genre_pipeline.storage import storage_errors
from genre_pipeline.training import EpochRecord, ModelBlock, parse_model
from genre_pipeline.training.epochs import narrated
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.repeats import repeat_fingerprint
from genre_pipeline.training.resumption import Resumption
from genre_pipeline.tuning.development import Development
from genre_pipeline.tuning.parameters import TuningBlock
from genre_pipeline.tuning.space import SearchSpace, with_values

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

# Raise it when the same parameters and data give other trials.
_VERSION = 1
_DIRECTIONS: Mapping[str, Literal["minimize", "maximize"]] = {
    "validation_accuracy": "maximize",
    "validation_loss": "minimize",
}
# Attributes stored with a trial, beside its parameters and value.
_N_EPOCHS, _SECONDS, _FAILURE = "n_epochs", "seconds", "failure"

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Attributes:
        number: Its number, from 0.
        values: Its values, by dotted place in the model's block.
        state: ``complete``; ``pruned`` (cut short); ``failed`` (its training diverged, or its parameters do not fit
            together).
        value: The metric of the selected epoch, or of the last one if it was cut short; NaN if it failed.
        n_epochs: Epochs trained.
        seconds: Their duration.
        reason: Why it failed; empty otherwise.
    """

    number: int
    values: Mapping[str, Any]
    state: State
    value: float
    n_epochs: int
    seconds: float
    reason: str


class Observer:
    """Callbacks of a search. This base class does nothing."""

    def epoch(self, trial: int, record: EpochRecord) -> None:
        """Called after each epoch of a trial."""

    def ended(self, trial: Trial) -> None:
        """Called at the end of a trial."""


@dataclass(frozen=True, eq=False)
class Search:
    """The search space and the data.

    Attributes:
        development: The segments.
        space: The model's search space.
        block: How it is searched.
        model: The model's own parameters, nested.
        defaults: Training parameters that models share.
        feature: The feature that the segments were cut from.
        seed: Seed of every training.
    """

    development: Development
    space: SearchSpace
    block: TuningBlock
    model: Mapping[str, Any]
    defaults: Mapping[str, Any]
    feature: FeatureBlock
    seed: int

    def variant(self, values: Mapping[str, Any]) -> ModelBlock:
        """Return the model with the values of a trial.

        Raises:
            ConfigError: If the values do not fit together.
        """
        return parse_model(self.space.model, with_values(self.model, values), self.defaults)

    def fingerprint(self) -> str:
        """Return the fingerprint of everything that decides each trial, but not of the number of trials."""
        training = repeat_fingerprint(
            inputs=self.development.inputs,
            genres=self.development.genres,
            feature=self.feature,
            model=self.variant({}),
            seed=self.seed,
        )
        return fingerprint("tuning", _VERSION, training=training, space=self.space.dump(), search=self.block.settings())


@dataclass(frozen=True, eq=False)
class Tuned:
    """The result of a search.

    Attributes:
        trials: All trials that ended, in their order.
        best: The best of those that were not cut short.
        study: The same as an Optuna study, in memory, for its figures.
    """

    trials: tuple[Trial, ...]
    best: Trial
    study: optuna.Study


def check_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        ComputeError: If it is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ComputeError("Tuning needs the package optuna. Install it: pip install 'genre-pipeline[tune]'") from error


def tune(search: Search, folder: Path, observer: Observer | None = None) -> Tuned:
    """Search for the parameters with which a model scores best on its validation split.

    Trials follow one another, and each depends only on the earlier ones and its number. So a search that was killed or
    ran out of trials resumes as if it had never stopped, also in the middle of a training. A trial that fails is logged
    and counted, and the search continues.

    Args:
        search: The search.
        folder: Where the trials are kept (``study.db``), and the state of an unfinished training. A change of the data
            or the parameters begins a new search in it.
        observer: Called with epochs and trials, but not with those that an earlier session finished.

    Returns:
        All trials, and the best.

    Raises:
        ComputeError: If Optuna is not installed, or another process searches in this folder.
        ConfigError: If the model's epoch is selected by the test split.
        TrainingError: If every trial failed.
        StorageError: If the folder cannot be written.
    """
    check_optuna()
    model = search.variant({})
    if model.selects_by_test:
        raise ConfigError(
            f"models.{model.name}.training.selection is 'best_test', and tuning must not use the test split. Choose "
            "'best_validation' or 'last'."
        )

    def refusal(owner: str) -> ComputeError:
        return ComputeError(f"{folder}: {owner} is tuning there. Wait until that ends, and run again.")

    with only_one(folder, refusal), _stored(search, folder) as study:
        for number in range(len(_ended(search, study)), search.block.n_trials):
            # A separate sampler for each trial makes its draw independent of interruptions.
            study.sampler = _sampler(search.block, number)
            _run_trial(search, study, number, folder, observer or Observer())
        return _tuned(search, study)


def _run_trial(search: Search, study: optuna.Study, number: int, folder: Path, observer: Observer) -> None:
    import optuna
    from optuna.trial import TrialState

    drawn = study.ask(search.space.distributions())
    values = search.space.values(drawn.params)
    label = f"{search.development.cell}, trial {number + 1} of {search.block.n_trials}"
    logger.info("%s: %s", label, ", ".join(f"{place} {value}" for place, value in values.items()))
    epochs: list[EpochRecord] = []

    def on_epoch(record: EpochRecord) -> None:
        epochs.append(record)
        observer.epoch(number, record)
        drawn.report(_worth(search, record), record.epoch)
        if drawn.should_prune():
            raise optuna.TrialPruned

    state, value = TrialState.FAIL, None
    resumption = _resumption(search, values, folder)
    try:
        value = _worth(search, _fitted(search, values, label, on_epoch, resumption, folder))
        state = TrialState.COMPLETE
    except optuna.TrialPruned:
        state = TrialState.PRUNED
        logger.info("%s: cut short after %d epochs", label, len(epochs))
    except (ConfigError, RepeatFailedError) as error:
        logger.error("%s failed: %s The other trials continue.", label, error)
        drawn.set_user_attr(_FAILURE, str(error))
    drawn.set_user_attr(_N_EPOCHS, len(epochs))
    drawn.set_user_attr(_SECONDS, sum(each.seconds for each in epochs))
    study.tell(drawn, value, state=state)
    resumption.discard()
    observer.ended(_ended(search, study)[-1])


def _fitted(
    search: Search,
    values: Mapping[str, Any],
    label: str,
    on_epoch: Callable[[EpochRecord], None],
    resumption: Resumption,
    folder: Path,
) -> EpochRecord:
    """Train a variant of the model, and return the record of the epoch whose weights it would keep."""
    model, development = search.variant(values), search.development
    task = Task(
        label=label,
        model=model,
        feature=search.feature,
        n_classes=len(development.genres),
        seed=search.seed,
        train=development.train,
        validation=development.validation,
    )
    n_epochs = 1 if isinstance(model.spec, EstimatorSpec) else model.training.max_epochs
    with narrated(label, n_epochs, on_epoch) as tell:
        fitted = fit(task, tell, resumption, folder / "computations.json")
    return fitted.history[fitted.selected_epoch - 1]


def _resumption(search: Search, values: Mapping[str, Any], folder: Path) -> Resumption:
    import torch

    mark = fingerprint("trial", _VERSION, search=search.fingerprint(), values=dict(values), torch=torch.__version__)
    return Resumption(folder / "trial.state", mark, search.variant({}).training.resume_interval_s)


def _worth(search: Search, record: EpochRecord) -> float:
    return float(getattr(record, search.block.metric))


@contextmanager
def _stored(search: Search, folder: Path) -> Iterator[optuna.Study]:
    """Open the search's study in the folder's database, and close trials that an interruption left open."""
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(sqlite_uri(folder.absolute() / "study.db"))
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=search.fingerprint(),
            direction=_DIRECTIONS[search.block.metric],
            pruner=_pruner(search.block),
            load_if_exists=True,
        )
        for interrupted in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # Without a reason it does not count; the trial that replaces it draws the same values.
            study.tell(interrupted.number, state=TrialState.FAIL)
        if n_ended := len(_ended(search, study)):
            logger.info("%s: %d trials exist already", search.development.cell, n_ended)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _sampler(block: TuningBlock, number: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    seed = block.seed + number
    if block.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=block.n_startup_trials)


def _pruner(block: TuningBlock) -> BasePruner:
    from optuna.pruners import MedianPruner, NopPruner

    if block.pruner == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=block.n_startup_trials, n_warmup_steps=block.n_warm_up_epochs)


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that ended, in their order; interrupted ones have no reason for their failure."""
    trials = study.get_trials(deepcopy=False)
    return [each for each in trials if each.state.is_finished() and (each.values or _FAILURE in each.user_attrs)]


def _ended(search: Search, study: optuna.Study) -> list[Trial]:
    return [_trial(search, number, frozen) for number, frozen in enumerate(_counted(study))]


def _trial(search: Search, number: int, frozen: FrozenTrial) -> Trial:
    states: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    return Trial(
        number=number,
        values=search.space.values(frozen.params),
        state=states[frozen.state.name],
        value=math.nan if frozen.value is None else frozen.value,
        n_epochs=frozen.user_attrs[_N_EPOCHS],
        seconds=frozen.user_attrs[_SECONDS],
        reason=frozen.user_attrs.get(_FAILURE, ""),
    )


def _tuned(search: Search, study: optuna.Study) -> Tuned:
    import optuna

    trials = _ended(search, study)
    complete = [each for each in trials if each.state == "complete"]
    if not complete:
        raise TrainingError(
            f"{search.development.cell}: none of {len(trials)} trials was completed. The first: {trials[0].reason}"
        )
    sign = 1.0 if _DIRECTIONS[search.block.metric] == "maximize" else -1.0
    counted = optuna.create_study(direction=_DIRECTIONS[search.block.metric])
    counted.add_trials(_counted(study))
    return Tuned(tuple(trials), max(complete, key=lambda each: sign * each.value), counted)
