"""``kedro prune``: find old versions of results, and feature stores that nothing uses, of all experiments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from genre_pipeline.cells import check_name
from genre_pipeline.configuration import DEFAULT_EXPERIMENT, ConfigLoader, load_configuration
from genre_pipeline.errors import ConfigError
from genre_pipeline.experiment import load_experiment, parse_feature
from genre_pipeline.features import FEATURES
from genre_pipeline.ops.retention import Leftover, abandoned_files, old_versions, trained_features
from genre_pipeline.project import data_root
from genre_pipeline.stores.inventory import StoreSummary, summarise_stores, unused_stores
from genre_pipeline.stores.store import spec_hash


def find_leftovers(keep: int) -> tuple[list[Leftover], list[StoreSummary]]:
    """Find what may be deleted. Nothing is changed.

    No checkpoint is among it: which run made it, with which ``--params``, is not known, and nothing can make it again
    in less time than it took.

    Args:
        keep: How many versions of each catalog entry are kept, at least one.

    Returns:
        Old versions, and temporary files of processes that are gone; unused feature stores.

    Raises:
        ConfigError: If a parameter of an experiment is wrong.
    """
    templates: set[str] = set()
    stores: set[Path] = set()
    models: set[Path] = set()
    reports: set[Path] = set()
    names: set[str] = set()
    for loader in _configurations():
        storage = load_experiment(loader["parameters"]).storage
        stores.add(storage.features)
        models.add(storage.models)
        reports.add(storage.reports.parent)
        names.add(loader.experiment)
        templates |= _versioned(loader)
    # Experiments that have no file left their results all the same.
    names |= {folder.name for place in reports for folder in place.glob("*") if _is_name(folder.name)}
    for name in names:
        templates |= _versioned(load_configuration(experiment=name))
    leftovers = old_versions(templates, keep=keep)
    leftovers += abandoned_files(Path(data_root()), stores | models, unmarked=True)
    return leftovers, [store for folder in sorted(stores) for store in find_unused_stores(folder)]


def find_unused_stores(folder: Path) -> list[StoreSummary]:
    """Find the feature stores that no experiment defines and no trained cell read, and damaged ones.

    Args:
        folder: Folder of all stores.

    Raises:
        ConfigError: If a parameter of an experiment is wrong.
    """
    defined: set[tuple[str, str, str]] = set()
    trained: set[tuple[str, str]] = set()
    for loader in _configurations():
        parameters = loader["parameters"]
        trained |= trained_features(load_experiment(parameters).storage.models)
        for feature, values in parameters["features"].items():
            block = parse_feature(feature, values)
            specification = spec_hash(FEATURES[block.kind], block)
            defined.update((dataset, feature, specification) for dataset in parameters["datasets"])
    return unused_stores(summarise_stores(folder), defined, trained)


def _configurations() -> Iterator[ConfigLoader]:
    """Return the configuration of every experiment, and of the default one in every environment."""
    default = load_configuration()
    for name in default.experiments:
        yield load_configuration(experiment=name)
    for env in sorted(folder.name for folder in Path(default.conf_source).iterdir() if folder.is_dir()):
        if env != default.base_env:
            yield load_configuration(env, experiment=DEFAULT_EXPERIMENT)


def _versioned(loader: ConfigLoader) -> set[str]:
    """Return the paths of versioned entries, with placeholders such as ``{dataset}``."""
    return {str(entry["filepath"]) for entry in loader["catalog"].values() if entry.get("versioned")}


def _is_name(name: str) -> bool:
    try:
        check_name(name, kind="experiment")
    except ConfigError:
        return False
    return True
