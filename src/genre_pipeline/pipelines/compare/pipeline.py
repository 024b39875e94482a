"""Wiring of the comparison stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.compare.nodes import (
    collect_dataset,
    collect_protocol,
    draw_comparison,
    rank_cells,
    write_report,
)


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make the nodes that gather every cell's result, protocol by protocol and dataset by dataset, and compare them.

    Each namespace ends in one summary, so that Kedro-Viz shows a collapsed dataset as one box with one output.
    """
    return Pipeline(
        [
            *_collect_protocols(experiment),
            *(_collect_dataset(experiment, dataset) for dataset in experiment.datasets),
            _compare(experiment),
        ]
    )


def _collect_protocols(experiment: Experiment) -> list[Pipeline]:
    results: dict[tuple[str, str], list[str]] = {}
    for cell in experiment.cells:
        results.setdefault((cell.dataset, cell.protocol), []).append(f"{cell.name}.results")
    return [
        _collect(collect_protocol, f"{dataset}.{protocol}", [f"{dataset}.{protocol}.audit", *cells])
        for (dataset, protocol), cells in results.items()
    ]


def _collect_dataset(experiment: Experiment, dataset: str) -> Pipeline:
    cells = [cell for cell in experiment.cells if cell.dataset == dataset]
    summaries = dict.fromkeys(f"{dataset}.{cell.protocol}.summary" for cell in cells)
    extractions = dict.fromkeys(f"{dataset}.{cell.feature}.extraction" for cell in cells)
    return _collect(collect_dataset, dataset, [f"{dataset}.quality", *summaries, *extractions])


def _collect(function: Callable[..., object], namespace: str, entries: Iterable[str]) -> Pipeline:
    names = _plain(entries)
    node = Node(function, inputs=list(names), outputs="summary", name="collect", tags="compare")
    return Pipeline([node], namespace=namespace, inputs=names)


def _compare(experiment: Experiment) -> Pipeline:
    names = _plain(f"{dataset}.summary" for dataset in experiment.datasets)
    summaries = list(names)
    nodes = [
        Node(rank_cells, inputs=summaries, outputs="leaderboard", name="rank_cells", tags="compare"),
        Node(
            draw_comparison,
            inputs=summaries,
            outputs=["accuracy_comparison", "learning_curves", "confusion_matrices", "reliability_diagrams"],
            name="draw_comparison",
            tags="compare",
        ),
        Node(
            write_report,
            inputs=["params:experiment", "params:evaluation", *summaries],
            outputs=["report", "report_markdown"],
            name="write_report",
            tags="compare",
        ),
    ]
    return Pipeline(nodes, inputs=names, parameters={"params:experiment", "params:evaluation"})


def _plain(entries: Iterable[str]) -> dict[str, str]:
    """Give dotted catalog names plain ones, which is what Kedro wants inside a node."""
    return {entry.replace(".", "__"): entry for entry in entries}
