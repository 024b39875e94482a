"""Whether results are up to date: one check for ``kedro run``, ``kedro refresh``, Airflow's tasks and notebooks."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from kedro.config import AbstractConfigLoader, MissingConfigException
from kedro.pipeline import Pipeline

from genre_pipeline.errors import TrainingError
from genre_pipeline.ops.refresh.graph import Entry, Graph, graph_key, load_graph
from genre_pipeline.ops.refresh.listing import check_listing
from genre_pipeline.ops.refresh.place import refresh_folder
from genre_pipeline.ops.refresh.planning import Cause, assess, recorded_parts

logger = logging.getLogger(__name__)


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
        return [Cause("it always runs: whether its result is up to date is not recorded")]
    step = graph.by_name[name]
    listing = None
    if step.source is not None:
        listing = check_listing(step.source, graph.entries[step.source.tracks].newest())
    found, missing = assess(step, graph, recorded_parts(graph, list(step.inputs)), listing)
    return [*found, *missing]


def conclude(entries: Mapping[str, Entry], session_id: str = "") -> list[str]:
    """Say what an experiment came to: what changed in accuracy, who leads, and where the report is.

    Args:
        entries: Its results.
        session_id: The session that has just ended: only cells that it compared with their run before have changed.

    Returns:
        Lines for people.
    """
    import pandas as pd

    from genre_pipeline.reporting.leaderboard import conclude as conclude_leaderboard
    from genre_pipeline.reporting.run_changes import conclude as conclude_changes

    newest = {name: entry.newest() for name, entry in entries.items() if name.endswith(".change")}
    changes = [json.loads(path.read_bytes()) for path in newest.values() if path and path.parent.name == session_id]
    lines = conclude_changes(changes)
    names = ("leaderboard", "paired_comparisons")
    tables = [path for name in names if name in entries and (path := entries[name].newest()) is not None]
    if len(tables) == len(names):
        lines += conclude_leaderboard(*map(pd.read_csv, tables)).splitlines()
    return [*lines, f"Report: {entries['report'].place}"] if "report" in entries else lines


def report_failures(entries: Mapping[str, Entry], *, hint: str) -> None:
    """Log which trainings failed. Their cells have results: nothing but ``--fresh`` trains them again.

    Args:
        entries: Results, those of trainings among them. Only the files that list the checkpoints are read.
        hint: What to do.

    Raises:
        TrainingError: If all trainings failed.
    """
    failed: list[str] = []
    n_trainings = 0
    for name, entry in sorted(entries.items()):
        cell, _, kind = name.rpartition(".")
        if kind == "checkpoints" and (path := entry.newest()) is not None:
            # As CheckpointsDataset writes them, which needs torch.
            repeats = json.loads(path.read_bytes())
            failed += [f"{cell}, repeat {each['failed']['repeat']}" for each in repeats if "failed" in each]
            n_trainings += len(repeats)
    if not failed:
        return
    summary = f"{len(failed)} of {n_trainings} trainings failed: {'; '.join(failed)}. {hint}"
    if len(failed) == n_trainings:
        raise TrainingError(summary)
    logger.warning(summary)
