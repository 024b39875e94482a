"""Nodes of the tuning stage."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pandas as pd
from plotly.graph_objects import Figure
from typing_extensions import override

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import StorageBlock
from genre_pipeline.features import FeatureBlock
from genre_pipeline.pipelines.train.nodes import cell_folder, log_epoch
from genre_pipeline.stages import LOGGED, SETTINGS, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.tracking import CellRun, current_tracker
from genre_pipeline.training import EpochRecord
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.tuning import Development, Observer, Search, Trial, TuningBlock, hold_out_test, parse_space, tune
from genre_pipeline.tuning.findings import best_parameters, draw_history, draw_importance, trials_table

logger = logging.getLogger(__name__)


@stage(version=1, uses=(CellData,))
def hold_out(
    split: pd.DataFrame, segments: pd.DataFrame, features: FeatureStore, tuning: TuningBlock, *, cell: Cell
) -> Development:
    """Gather the training and validation data; the test split is not passed on.

    Args:
        split: The split table.
        segments: The segment table.
        features: The feature store.
        tuning: How parameters are searched, for the repeat.
        cell: The cell.

    Returns:
        The training and the validation segments.
    """
    features.verify()
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    return hold_out_test(data, tuning.repeat)


@stage(version=1)
def tune_model(
    development: Development,
    feature: Annotated[FeatureBlock, SETTINGS],
    model: dict[str, Any],
    training: dict[str, Any],
    tuning: TuningBlock,
    experiment_name: Annotated[str, LOGGED],
    seed: int,
    storage: StorageBlock,
    *,
    cell: Cell,
) -> tuple[pd.DataFrame, str, Figure, Figure]:
    """Search for the model's parameters, and log every trial.

    Args:
        development: The training and the validation segments.
        feature: The feature's parameters.
        model: The model's parameters.
        training: Training parameters that models share.
        tuning: How parameters are searched.
        experiment_name: The experiment's name.
        seed: Seed of the first repeat.
        storage: Where intermediate results live.
        cell: The cell.

    Returns:
        The trials, the best parameters as YAML, the figures of the search and of the parameters' importance.
    """
    search = Search(
        development=development,
        space=parse_space(cell.model, tuning.spaces[cell.model], model, training),
        block=tuning,
        model=model,
        defaults=training,
        feature=feature,
        seed=seed + development.repeat,
    )
    run = current_tracker().cell_run(cell, level="study")
    tags = {"metric": tuning.metric, "tested_elsewhere": development.n_tested_elsewhere}
    run.set_tags(tags)
    run.log_params({"tuning": {**tuning.settings(), "repeat": development.repeat}, "space": search.space.dump()})
    folder = cell_folder(storage, experiment_name, cell) / "tuning"
    tuned = tune(search, folder, _TrackedTrials(run))
    table, text = trials_table(tuned), best_parameters(search, tuned)
    history, importance = draw_history(search, tuned), draw_importance(search, tuned)
    run.log_metrics({f"best_{tuning.metric}": tuned.best.value})
    run.log_params({"best": dict(tuned.best.values)})
    for name, content in {"best_parameters.yml": text, "trials.csv": table.to_csv(index=False)}.items():
        run.log_text(content, name)
    run.log_figure(history, "tuning_history.html")
    run.log_figure(importance, "parameter_importance.html")
    run.finish()
    logger.info("%s: the best parameters so far:\n%s", cell.name, text)
    return table, text, history, importance


class _TrackedTrials(Observer):
    """Gives each trial a run of its own."""

    def __init__(self, run: CellRun) -> None:
        self._run = run

    @override
    def epoch(self, trial: int, record: EpochRecord) -> None:
        log_epoch(self._run, trial, record)

    @override
    def ended(self, trial: Trial) -> None:
        self._run.log_params(dict(trial.values), repeat=trial.number)
        tags = {"state": trial.state}
        if trial.state == "failed":
            self._run.fail_repeat(trial.number, trial.reason, tags)
        else:
            self._run.log_repeat(trial.number, {"value": trial.value, "n_epochs": trial.n_epochs}, tags)
