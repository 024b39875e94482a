"""What each node's results depend on, read off its signature, for the planner of a refresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from genre_pipeline.blocks import Block
from genre_pipeline.catalog.place_dataset import PlaceDataset
from genre_pipeline.catalog.session_datasets import SessionDataset
from genre_pipeline.catalog.whole_file_datasets import OptionalMixin
from genre_pipeline.ops.refresh.graph import Entry, Graph, Source, Step
from genre_pipeline.pipelines.binding import arguments_of, known_of
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.stages import Stage, stage_of

Parameters = Mapping[str, Any]

_PARAMETER = "params:"


def describe_pipeline(pipeline: Pipeline, catalog: DataCatalog, parameters: Parameters, *, key: str = "") -> Graph:
    """Describe what every node of a pipeline depends on.

    Args:
        pipeline: The pipeline. A node is no step if a result of it, or an input, is in no file, or if it reads nothing
            but parameters, as ``predict`` does: no record could say whether it is up to date. What the session lends
            or takes, and what a stage keeps for itself, counts neither way.
        catalog: The catalog, which says where results are.
        parameters: Merged parameters.
        key: What the graph was made from: see :func:`genre_pipeline.ops.refresh.graph.graph_key`.

    Raises:
        TypeError: If a node's function is no stage.
    """
    entries = {name: entry_of(name, catalog) for name in pipeline.datasets() if not _is_parameter(name)}
    optional = {
        name: entry.place
        for name, entry in entries.items()
        if entry is not None and isinstance(catalog.get(name), OptionalMixin)
    }
    taken = {name for name in pipeline.all_outputs() if isinstance(catalog.get(name), SessionDataset | PlaceDataset)}
    steps = [_step(node, parameters, catalog, optional, taken) for node in pipeline.nodes]
    known = {name: entry for name, entry in entries.items() if entry is not None}
    recorded = [
        step
        for step in steps
        if known.keys() >= {*step.inputs, *step.outputs} and (step.inputs or step.files or step.source is not None)
    ]
    names = {step.name for step in recorded}
    return Graph(
        key=key,
        steps=tuple(recorded),
        entries=known,
        unrecorded=tuple(step.name for step in steps if step.name not in names),
    )


def _is_parameter(name: str) -> bool:
    return name == "parameters" or name.startswith(_PARAMETER)


def entry_of(name: str, catalog: DataCatalog) -> Entry | None:
    """Return where a catalog entry is; None for one that is in no file.

    Args:
        name: The entry.
        catalog: The catalog.
    """
    dataset: Any = catalog.get(name)
    if not hasattr(dataset, "_filepath"):
        return None
    return Entry(
        path=PROJECT_ROOT / str(dataset._filepath),
        versioned=dataset._version is not None,
        copy_path=getattr(dataset, "newest_path", None),
        volatile=tuple((dataset.metadata or {}).get("volatile", ())),
    )


class _Argument(NamedTuple):
    """An argument of a node: its name, the entry or parameter that it takes, and the parameter's value."""

    name: str
    entry: str
    value: Any = None


def _step(
    node: Node, parameters: Parameters, catalog: DataCatalog, optional: Mapping[str, Path], taken: Set[str]
) -> Step:
    """Describe a node. What may be missing is a file that is read, not an input, which would have to be made first."""
    stage = stage_of(node.func)
    arguments = list(_arguments(node, stage, parameters))
    blocks = [each.value for each in arguments if isinstance(each.value, Block)]
    deciding = [each for each in arguments if each.name not in stage.logged]
    facts = stage.facts(
        (each.name, each.entry.removeprefix(_PARAMETER), each.value) for each in deciding if _is_parameter(each.entry)
    )
    read = {each.entry: stage.reads.get(each.name) for each in deciding if not _is_parameter(each.entry)}
    return Step(
        name=node.name,
        versions=facts.versions,
        parameters={name: value for name, value in (facts.parameters | _bound(node)).items() if value != {}},
        inputs={entry: part and part.parts for entry, part in read.items() if entry not in optional},
        outputs=tuple(entry for entry in node.outputs if entry not in taken),
        files=(
            *(file for block in blocks for file in block.user_files),
            *(optional[entry] for entry in read if entry in optional),
        ),
        source=_source(node, stage, arguments, catalog) if stage.lists else None,
    )


def _arguments(node: Node, stage: Stage, parameters: Parameters) -> Iterator[_Argument]:
    """Map each argument of a node's function to its inputs."""
    for name, entries in arguments_of(node).items():
        for entry in (entries,) if isinstance(entries, str) else entries:
            value = _value(parameters, entry.removeprefix(_PARAMETER)) if _is_parameter(entry) else None
            if name in stage.blocks:
                value = stage.blocks[name].parse(value, key=entry.removeprefix(_PARAMETER))
            yield _Argument(name, entry, value)


def _bound(node: Node) -> dict[str, Any]:
    """Return what the wiring gives a node's function besides its inputs. A cell is left out: its entries name it."""
    # Here, because it imports audio libraries, which some commands need not wait for.
    from genre_pipeline.registry import Pretraining

    return {
        name: list(value) if isinstance(value, Pretraining) else value
        for name, value in known_of(node).items()
        if isinstance(value, str | int | float | Pretraining)
    }


def _value(parameters: Parameters, name: str) -> Any:
    value: Any = parameters
    for part in name.split("."):
        value = value[part]
    return value


def _source(node: Node, stage: Stage, arguments: list[_Argument], catalog: DataCatalog) -> Source:
    argument = next(each for each in arguments if each.name == stage.lists)
    (cache,) = (place.place for each in node.inputs if isinstance(place := catalog.get(each), PlaceDataset))
    dataset = argument.entry.rpartition(".")[2]
    tracks, quality = node.outputs
    return Source(
        dataset=dataset,
        kind=argument.value.kind,
        parameters=argument.value.dump(),
        cache=cache,
        tracks=tracks,
        quality=quality,
    )
