"""The project's pipelines, built from the parameters of the chosen environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kedro.pipeline import Pipeline

if TYPE_CHECKING:
    from genre_pipeline.cells import Cell
    from genre_pipeline.experiment import Experiment

_parameters: Mapping[str, Any] | None = None
_only: Collection[str] | None = None


def use_parameters(parameters: Mapping[str, Any] | None, *, only: Collection[str] | None = None) -> None:
    """Choose the parameters that the pipelines are built from, and forget those built before.

    Args:
        parameters: Merged parameters of a run (its environment and ``--params`` included), or none to read the
            configuration again.
        only: Names of the pipelines that will be used; ``None`` means any. Most of the time goes into ``train_<model>``
            of models outside the experiment, which are then left out unless they are named.
    """
    from kedro.framework.project import pipelines

    global _parameters, _only
    _parameters, _only = parameters, only
    pipelines.configure(__name__)


def check_pipelines(names: Collection[str], parameters: Mapping[str, Any]) -> None:
    """Check that there are pipelines of some names, and build the pipelines from the parameters.

    Args:
        names: Names of pipelines.
        parameters: Merged parameters of a run.

    Raises:
        ConfigError: If there is no pipeline of a name, or a parameter is wrong.
    """
    from kedro.framework.project import pipelines

    from genre_pipeline.errors import ConfigError
    from genre_pipeline.registry import suggestion

    use_parameters(parameters, only=names)
    for name in names:
        if name not in pipelines:
            # All of them, to suggest the nearest.
            use_parameters(parameters)
            raise ConfigError(f"There is no pipeline '{name}'. {suggestion(name, pipelines)}")


def register_pipelines() -> dict[str, Pipeline]:
    """Build all pipelines.

    Returns:
        ``ingest``, ``split``, ``segment``, ``features``, ``train_<model>`` for each model of the parameters (with
        all that it needs, from audio to its metrics; on the experiment's datasets and protocols; those that
        :func:`use_parameters` leaves out are missing), ``evaluate``, ``compare``, ``robustness``, ``explain``,
        ``predict``, ``tune`` (from audio to one model's best parameters; only if a model of the experiment has a search
        space), ``train_all`` (everything, from audio to the report), and ``__default__``, which is ``train_all``.
    """
    from genre_pipeline.experiment import load_experiment
    from genre_pipeline.pipelines import (
        compare,
        evaluate,
        explain,
        features,
        ingest,
        predict,
        robustness,
        segment,
        split,
        train,
        tune,
    )

    parameters = _parameters if _parameters is not None else _read_parameters()
    experiment = load_experiment(parameters)
    stages = {
        "ingest": ingest.create_pipeline(experiment),
        "split": split.create_pipeline(experiment),
        "segment": segment.create_pipeline(experiment),
        "features": features.create_pipeline(experiment),
        "evaluate": evaluate.create_pipeline(experiment),
        "compare": compare.create_pipeline(experiment),
    }
    training = {model: train.create_pipeline(experiment, model=model) for model in experiment.models}
    everything = Pipeline([*stages.values(), *training.values()])
    one_model = {model: _training(experiment, everything, model) for model in experiment.models}
    for model in parameters["models"]:
        if model not in one_model and (_only is None or f"train_{model}" in _only):
            alone = load_experiment(for_model(parameters, model))
            parts = [stage.create_pipeline(alone) for stage in (ingest, split, segment, features, evaluate)]
            one_model[model] = _training(alone, Pipeline([*parts, train.create_pipeline(alone, model=model)]), model)
    tuned = experiment.tuning.choose_cell(experiment.cells)
    tuning = {}
    if tuned is not None:
        alone = load_experiment(for_cell(parameters, tuned))
        parts = [stage.create_pipeline(alone) for stage in (ingest, split, segment, features)]
        tuning["tune"] = Pipeline([*parts, tune.create_pipeline(tuned)])
    return {
        **stages,
        **{f"train_{model}": pipeline for model, pipeline in one_model.items()},
        **tuning,
        "robustness": robustness.create_pipeline(experiment),
        "explain": explain.create_pipeline(experiment),
        "predict": predict.create_pipeline(experiment),
        "train_all": everything,
        "__default__": everything,
    }


def for_model(parameters: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return parameters whose experiment has one model, on its own feature, whether it was part of it or not.

    Args:
        parameters: Merged parameters of a run.
        model: A model of the parameters.
    """
    alone = {**parameters["experiment"], "models": [model], "features": {}, "exclude": []}
    return {**parameters, "experiment": alone}


def for_cell(parameters: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """Return parameters whose experiment is one cell, whether it was part of it or not.

    Args:
        parameters: Merged parameters of a run.
        cell: A dataset, protocol, feature and model of the parameters.
    """
    alone = for_model(parameters, cell.model)
    chosen = {"datasets": [cell.dataset], "protocols": [cell.protocol], "features": {cell.model: [cell.feature]}}
    return {**alone, "experiment": {**alone["experiment"], **chosen}}


def _training(experiment: Experiment, pipeline: Pipeline, model: str) -> Pipeline:
    """Return what leads to the metrics of a model's cells, and to what became of them since the run before."""
    cells = [cell for cell in experiment.cells if cell.model == model]
    return pipeline.to_outputs(*(f"{cell.name}.{entry}" for cell in cells for entry in ("results", "change")))


def _read_parameters() -> Mapping[str, Any]:
    """Read the parameters where no session did (``kedro registry list``, ``kedro viz``); follows ``KEDRO_ENV``."""
    from genre_pipeline.configuration import load_configuration

    parameters: Mapping[str, Any] = load_configuration()["parameters"]
    return parameters
