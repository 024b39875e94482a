"""``kedro prune``: find what no experiment, report or registered model needs, in all environments, and delete it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.errors import StorageError
from genre_pipeline.experiment import Experiment, load_experiment, parse_feature
from genre_pipeline.features import FEATURES
from genre_pipeline.features.inventory import StoreSummary, summarise_stores, unused_stores
from genre_pipeline.features.store import spec_hash
from genre_pipeline.project import PROJECT_ROOT, tracking_uri
from genre_pipeline.retention import Leftover, old_versions, orphaned_checkpoints
from genre_pipeline.splits import PROTOCOLS


def find_leftovers(keep: int) -> tuple[list[Leftover], list[StoreSummary]]:
    """Find what may be deleted. Nothing is changed.

    Args:
        keep: How many versions of each catalog entry are kept, at least one.

    Returns:
        Old versions and orphaned checkpoints; unused feature stores.

    Raises:
        ConfigError: If a parameter of an environment is wrong.
        StorageError: If a report's leaderboard cannot be read.
        TrackingError: If the MLflow server does not answer, so that registered models are not known.
    """
    templates: set[str] = set()
    needed: dict[Path, dict[tuple[str, Cell], int]] = {}
    stores: set[Path] = set()
    for loader in _environments():
        experiment = load_experiment(loader["parameters"])
        stores.add(experiment.storage.features)
        catalog = loader["catalog"]
        templates |= {str(entry["filepath"]) for entry in catalog.values() if entry.get("versioned")}
        cells = needed.setdefault(experiment.storage.models, {})
        for key, n_repeats in _cells(experiment, Path(str(catalog["leaderboard"]["filepath"]))):
            cells[key] = max(n_repeats, cells.get(key, 0))
    leftovers = old_versions(templates, keep=keep)
    registered = _registered()
    for models, cells in needed.items():
        leftovers += orphaned_checkpoints(models, cells, registered=registered)
    used = used_stores()
    return leftovers, [store for folder in sorted(stores) for store in unused_stores(summarise_stores(folder), used)]


def used_stores() -> set[tuple[str, str, str]]:
    """Return dataset, feature and specification of all that any environment defines: they share their stores."""
    used: set[tuple[str, str, str]] = set()
    for loader in _environments():
        parameters = loader["parameters"]
        for feature, values in parameters["features"].items():
            block = parse_feature(feature, values)
            specification = spec_hash(FEATURES[block.kind], block)
            used.update((dataset, feature, specification) for dataset in parameters["datasets"])
    return used


def _environments() -> Iterator[Any]:
    """Read the configuration of every environment, the default one first."""
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(PROJECT_ROOT)
    conf = PROJECT_ROOT / settings.CONF_SOURCE
    base = settings.CONFIG_LOADER_ARGS["base_env"]
    for env in [None, *sorted(folder.name for folder in conf.iterdir() if folder.is_dir() and folder.name != base)]:
        yield settings.CONFIG_LOADER_CLASS(conf_source=str(conf), env=env, **settings.CONFIG_LOADER_ARGS)


def _cells(experiment: Experiment, leaderboard: Path) -> Iterator[tuple[tuple[str, Cell], int]]:
    """Return the repeats of an experiment's cells, and of those in its last report, which may have had others."""
    name = experiment.settings.name
    for cell in experiment.cells:
        block = experiment.protocols[cell.protocol]
        yield (name, cell), PROTOCOLS[block.kind].n_repeats(block)
    if leaderboard.exists():
        for cell, n_repeats in _reported(leaderboard):
            yield (name, cell), n_repeats


def _reported(leaderboard: Path) -> list[tuple[Cell, int]]:
    """Return the cells of a report, with their repeats.

    Raises:
        StorageError: If it cannot be read: what is left over cannot be told then.
    """
    try:
        rows = pd.read_csv(leaderboard)[["dataset", "protocol", "feature", "model", "n_repeats"]]
        return [(Cell(*map(str, cell)), int(n_repeats)) for *cell, n_repeats in rows.itertuples(index=False)]
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(
            f"{leaderboard} cannot be read ({' '.join(str(error).split())}), and says which models the last report "
            "shows. Nothing is deleted. Run 'kedro refresh', which makes it again, or delete it."
        ) from error


def _registered() -> set[str]:
    """Return the fingerprints of all registered models; none where MLflow's database was never made."""
    import mlflow

    from genre_pipeline.tracking import check_server
    from genre_pipeline.tracking.model_registry import registered_fingerprints

    uri = tracking_uri()
    check_server(uri)
    file = uri.removeprefix("sqlite:///")
    if file != uri and not Path(file).exists():
        return set()
    return registered_fingerprints(mlflow.MlflowClient(uri))
