"""The project's pipelines, built from the parameters: those of a session, or as environment variables choose them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

if TYPE_CHECKING:
    from genre_pipeline.cells import Cell
    from genre_pipeline.experiment import Experiment


class ParametrisedContext(KedroContext):
    """A context that builds Kedro's ``pipelines`` from its own parameters (environment and ``--params`` included).

    Whatever makes a session makes a context: ``kedro run``, notebooks, ``kedro catalog``, and Kedro-Viz, which leaves
    out the hooks, and gets the pipelines of several stages in boxes of their stages.

    Raises:
        ConfigError: If a parameter is wrong; the message names the key, the value and what is allowed.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # What Kedro's session said it will run, before it made the context.
        built = build_pipelines(self.config_loader["parameters"], only=pipelines._requested_pipelines)
        if type(self._hook_manager).__module__.startswith("kedro_viz"):
            built = _for_viz(built, self.config_loader["catalog"])
        # Without a module, Kedro does not build them itself.
        pipelines.configure(None)
        pipelines.update(built)


def _for_viz(built: Mapping[str, Pipeline], catalog: Mapping[str, Any]) -> dict[str, Pipeline]:
    """Group pipelines that train, which have all stages; the others are shown as they are run."""
    from kedro.io import DataCatalog

    from genre_pipeline.pipelines.overview import group_by_stage

    entries = DataCatalog.from_config(dict(catalog))
    grouped = {
        name: group_by_stage(pipeline, entries)
        for name, pipeline in built.items()
        if name == "__default__" or name.startswith("train_")
    }
    # First: Kedro-Viz leaves an entry in the box in which it finds it first.
    return {**grouped, **{name: pipeline for name, pipeline in built.items() if name not in grouped}}


def register_pipelines() -> dict[str, Pipeline]:
    """Build all pipelines where there is no session (``kedro registry list``).

    ``KEDRO_ENV`` and ``GENRE_PIPELINE_EXPERIMENT`` choose the parameters.

    Returns:
        As :func:`build_pipelines`.
    """
    from genre_pipeline.configuration import load_configuration

    return build_pipelines(load_configuration()["parameters"])


def choose_pipelines(names: Collection[str], parameters: Mapping[str, Any]) -> dict[str, Pipeline]:
    """Build the pipelines of some names.

    Args:
        names: Names of pipelines; without any, ``__default__`` is meant.
        parameters: Merged parameters of a run.

    Raises:
        ConfigError: If there is no pipeline of a name, or a parameter is wrong.
    """
    from genre_pipeline.errors import ConfigError
    from genre_pipeline.registry import suggestion

    built = build_pipelines(parameters, only=names)
    for name in names:
        if name not in built:
            # All of them, to suggest the nearest.
            raise ConfigError(f"There is no pipeline '{name}'. {suggestion(name, build_pipelines(parameters))}")
    return {name: built[name] for name in names or ["__default__"]}


def build_pipelines(parameters: Mapping[str, Any], *, only: Collection[str] | None = None) -> dict[str, Pipeline]:
    """Build all pipelines.

    Args:
        parameters: Merged parameters of a run.
        only: Names of the pipelines that will be used; ``None`` means any. Most of the time goes into ``train_<model>``
            of models outside the experiment, which are then left out unless they are named.

    Returns:
        ``ingest``, ``split``, ``segment``, ``features``, ``train_<model>`` for each model of the parameters (with
        all that it needs, from audio to its metrics; on the experiment's datasets and protocols), ``evaluate``,
        ``compare``, ``robustness``, ``unseen_genres``, ``few_labels``, ``explain``, ``predict``, ``tune`` (from audio
        to one model's best parameters; only if a model of the experiment has a search space), ``train_all``
        (everything, from audio to the report), and ``__default__``, which is ``train_all``.

    Raises:
        ConfigError: If a parameter is wrong.
    """
    from genre_pipeline.experiment import load_experiment
    from genre_pipeline.pipelines import (
        compare,
        evaluate,
        explain,
        features,
        few_labels,
        ingest,
        predict,
        robustness,
        segment,
        split,
        train,
        tune,
        unseen,
    )

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
        if model not in one_model and (only is None or f"train_{model}" in only):
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
        "unseen_genres": unseen.create_pipeline(experiment),
        "few_labels": few_labels.create_pipeline(experiment),
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
