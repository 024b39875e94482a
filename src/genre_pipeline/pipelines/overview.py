"""The first picture of Kedro-Viz: a pipeline as its stages, each a box that opens."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from typing_extensions import override

from genre_pipeline.pipelines.binding import gather

# What each stage hands on, as one box; the catalog gives it the layer.
_HANDED_ON = {
    "ingest": "all_tracks",
    "split": "all_splits",
    "segment": "all_segments",
    "features": "all_features",
    "train": "all_checkpoints",
    "evaluate": "all_results",
}
_LAST = "compare"
_STAGES = (*_HANDED_ON, _LAST)
# What people open of the last stage. Its other tables and figures are in its box.
_OPENED = ("leaderboard", "report")


def group_by_stage(pipeline: Pipeline, catalog: DataCatalog) -> Pipeline:
    """Put the nodes of a pipeline into boxes for Kedro-Viz, one per stage; the result is only to be looked at.

    Nodes keep the names by which ``kedro run --nodes`` finds them. Between two stages is one box for all that the first
    hands on. What Kedro-Viz has no layer for, and other formats of an entry (``format_of``), are left out.

    Args:
        pipeline: The nodes; each has its stage as a tag.
        catalog: The catalog.
    """
    shown = {name for name in pipeline.all_outputs() if _is_shown(getattr(catalog.get(name), "metadata", None))}
    nodes = [node for node in pipeline.nodes if shown & set(node.outputs)]
    made_in = {name: _stage(node) for node in nodes for name in node.outputs}
    # What another stage reads, or no node.
    read = {(_stage(node), name) for node in nodes for name in node.inputs}
    ends = [
        name for name in made_in if name in shown and {stage for stage, each in read if each == name} != {made_in[name]}
    ]
    n_nodes = Counter((_stage(node), node.namespace) for node in nodes)

    def entry_in(stage: str, name: str) -> Iterator[str]:
        if name.startswith("params:"):
            yield name
        elif name in shown:
            yield name if made_in[name] == stage else _HANDED_ON[made_in[name]]

    # Kedro-Viz lists boxes by name.
    boxes = {stage: f"{number}_{stage}" for number, stage in enumerate(_STAGES, start=1)}
    boxed: list[Node] = []
    # Kedro warns of dotted names outside their namespace.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for node in nodes:
            stage = _stage(node)
            several = node.namespace and n_nodes[stage, node.namespace] > 1
            boxed.append(
                _Shown(
                    node.func,
                    name=node.name,
                    label=node.name.rpartition(".")[2] if several else node.name,
                    box=f"{boxes[stage]}.{node.namespace.replace('.', '-')}"
                    if several and node.namespace
                    else boxes[stage],
                    inputs=list(dict.fromkeys(entry for each in node.inputs for entry in entry_in(stage, each))),
                    outputs=[each for each in node.outputs if each in shown],
                    tags=node.tags,
                )
            )
        for stage in dict.fromkeys(map(_stage, nodes)):
            own = [node for node in nodes if _stage(node) == stage]
            boxed.append(_hand_on(stage, boxes[stage], own, [name for name in ends if made_in[name] == stage]))
    return Pipeline(boxed)


def hand_on(*entries: Any) -> tuple[Any, ...]:
    """Stand for all results of a stage in this picture; a run hands each of them on by itself.

    Args:
        *entries: The results.
    """
    return entries


class _Shown(Node):
    """A node in the box of its stage, which is no part of its name.

    Args:
        func: The node's function.
        name: The node's full name.
        label: What is written on it.
        box: Namespace of the box.
        inputs: The inputs to show.
        outputs: The outputs to show.
        tags: The node's tags.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        *,
        name: str,
        label: str,
        box: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        tags: set[str],
    ) -> None:
        self._full_name = name
        function, entries = gather(func, {"entries": inputs})
        super().__init__(function, entries, list(outputs) or None, name=label, namespace=box, tags=tags)

    @override
    def __str__(self) -> str:
        # Kedro-Viz takes nodes with the same text for one, also those of other pipelines, which have other boxes.
        return f"{self.namespace}: {super().__str__()}"

    @property
    @override
    def name(self) -> str:
        return self._full_name


def _hand_on(stage: str, box: str, nodes: Sequence[Node], ends: Sequence[str]) -> Node:
    """Make the node that leads out of a box. Its name is what ``kedro run --nodes`` takes for the whole stage."""
    last = stage == _LAST
    return _Shown(
        hand_on,
        # A comma at the end: the name of a single node is taken.
        name="".join(f"{node.name}," for node in nodes),
        label="tables_and_figures" if last else "hand_on",
        box=box,
        inputs=[name for name in ends if not last or name not in _OPENED],
        outputs=[] if last else [_HANDED_ON[stage]],
        tags={stage},
    )


def _stage(node: Node) -> str:
    return next(stage for stage in _STAGES if stage in node.tags)


def _is_shown(metadata: dict[str, Any] | None) -> bool:
    return "layer" in (metadata or {}).get("kedro-viz", {}) and "format_of" not in (metadata or {})
