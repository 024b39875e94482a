"""Whether results are up to date: one check for ``kedro run``, ``kedro refresh``, Airflow's tasks and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedro.config import AbstractConfigLoader, MissingConfigException
from kedro.pipeline import Pipeline

from genre_pipeline.ops.refresh import Cause, Graph
from genre_pipeline.ops.refresh.graph import graph_key, load_graph
from genre_pipeline.ops.refresh.listing import check_listing
from genre_pipeline.ops.refresh.place import refresh_folder
from genre_pipeline.ops.refresh.planning import assess, recorded_parts


def experiment_graph(loader: AbstractConfigLoader) -> Graph:
    """Return the steps of ``train_all``, from the file that keeps them while parameters, catalog and code are the same.

    Args:
        loader: Loader of the configuration.

    Raises:
        ConfigError: If a parameter is wrong.
        StorageError: If the graph cannot be kept.
    """
    parameters, catalog = loader["parameters"], loader["catalog"]
    key = graph_key({"parameters": parameters, "catalog": catalog}, loader.env or "")
    experiment = parameters.get("experiment")
    name = experiment.get("name") if isinstance(experiment, Mapping) else ""
    path = refresh_folder() / f"graph_{name}.json"
    graph = load_graph(path, key)
    if graph is None:
        graph = _make_graph(loader, parameters, key)
        graph.save(path)
    return graph


def _make_graph(loader: AbstractConfigLoader, parameters: Mapping[str, Any], key: str) -> Graph:
    """Build the pipelines, for which every model's code is imported."""
    from genre_pipeline.pipeline_registry import build_pipelines

    return pipeline_graph(build_pipelines(parameters, only=())["__default__"], loader, key=key)


def pipeline_graph(pipeline: Pipeline, loader: AbstractConfigLoader, *, key: str = "") -> Graph:
    """Return the steps of a pipeline.

    Args:
        pipeline: The pipeline.
        loader: Loader of the configuration.
        key: What the graph was made from.
    """
    from kedro.io import DataCatalog

    from genre_pipeline.pipelines.description import describe_pipeline

    try:
        credentials = loader["credentials"]
    except MissingConfigException:
        credentials = {}
    catalog = DataCatalog.from_config(loader["catalog"], credentials)
    return describe_pipeline(pipeline, catalog, loader["parameters"], key=key)


def causes_of(name: str, graph: Graph) -> list[Cause]:
    """Say why a node has to run, as things are now.

    Args:
        name: The node. One that has no record always runs.
        graph: The steps of its pipeline.

    Returns:
        The causes; none if its results are up to date.
    """
    if name not in graph.by_name:
        return [Cause("has no record of what it reads or writes")]
    step = graph.by_name[name]
    listing = None
    if step.source is not None:
        listing = check_listing(step.source, graph.entries[step.source.tracks].newest())
    found, missing = assess(step, graph, recorded_parts(graph, list(step.inputs)), listing)
    return [*found, *missing]
