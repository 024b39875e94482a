"""``kedro prune``: find old versions of results, and feature stores that nothing uses, of all experiments."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from genre_pipeline.cells import check_name
from genre_pipeline.configuration import ConfigLoader, load_configuration
from genre_pipeline.errors import ConfigError
from genre_pipeline.experiment import load_experiment, parse_feature
from genre_pipeline.features import FEATURES
from genre_pipeline.ops.retention import Leftover, abandoned_files, leftover, old_versions, trained_features
from genre_pipeline.project import DEFAULT_EXPERIMENT, data_root
from genre_pipeline.stores.inventory import StoreSummary, summarise_stores, unused_stores
from genre_pipeline.stores.store import spec_hash

# The catalog's entry of the folder in which a cell is trained.
_TRAINING = "{dataset}.{protocol}.{feature}.{model}.training"


def find_leftovers(keep: int) -> tuple[list[Leftover], list[StoreSummary]]:
    """Find what may be deleted. Nothing is changed.

    The checkpoints that a cell uses are not among it: which run made them, with which ``--params``, is not known, and
    nothing can make them again in less time than it took. Those that later trainings replaced go with the last version
    that names them.

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
    leftovers += replaced_checkpoints(models, gone={each.path for each in leftovers})
    leftovers += abandoned_files(Path(data_root()), stores | models, unmarked=True)
    return leftovers, [store for folder in sorted(stores) for store in find_unused_stores(folder)]


def replaced_checkpoints(models: Iterable[Path], *, gone: Collection[Path]) -> list[Leftover]:
    """Find checkpoints that later trainings replaced, and that no version of a cell's checkpoints names.

    Args:
        models: Folders of all checkpoints, ``<experiment>/<dataset>/<protocol>/<feature>/<model>``.
        gone: Versions that do not count, because they are deleted, too.
    """
    from genre_pipeline.training.checkpoints import kept_folder, replaced_folders

    found: list[Leftover] = []
    for cell in (cell for folder in models for cell in folder.glob("*/*/*/*/*/")):
        pointers = [path for path in cell.glob("versions/checkpoints.json/*/*.json") if path.parent not in gone]
        try:
            named = {
                kept_folder(cell / Path(each["folder"]).name, each["fingerprint"])
                for path in pointers
                for each in json.loads(path.read_bytes())
                if "folder" in each
            }
        except (OSError, ValueError, KeyError, TypeError):
            # What a damaged version names is not known: nothing of the cell is listed.
            continue
        found += [leftover(path, "no version names it") for path in replaced_folders(cell) if path not in named]
    return found


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
        # Of all experiments, also those that are no more.
        experiment, template = parameters["experiment"]["name"], loader["catalog"][_TRAINING]["filepath"]
        trained |= trained_features("/{experiment}/".join(template.rsplit(f"/{experiment}/", 1)))
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
