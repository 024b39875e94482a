"""Wiring of the comparison stage."""

from __future__ import annotations

from collections.abc import Callable

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind, gather, plain
from genre_pipeline.pipelines.compare.nodes import (
    choose_model,
    collect_dataset,
    collect_protocol,
    compare_settings,
    draw_comparison,
    draw_stills,
    join_pairs,
    list_mistakes,
    pair_cells,
    rank_cells,
    register_model,
    tabulate_metrics,
    write_report,
)

_FIGURES = (
    "accuracy_comparison",
    "learning_curves",
    "confusion_matrices",
    "reliability_diagrams",
    "risk_coverage",
    "critical_difference",
    "quality_and_cost",
    "paper_comparison",
    "protocol_gap",
)


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make the nodes that gather every cell's result, protocol by protocol and dataset by dataset, and compare them.

    Each namespace ends in one summary, so that Kedro-Viz shows a collapsed dataset as one box with one output.
    """
    return Pipeline(
        [
            *_pair_cells(experiment),
            *(_list_mistakes(cell) for cell in experiment.cells),
            *_collect_protocols(experiment),
            *(_collect_dataset(experiment, dataset) for dataset in experiment.datasets),
            *(_choose_model(experiment, dataset) for dataset in experiment.datasets),
            _compare(experiment),
            _draw_stills(),
        ]
    )


def _settings(experiment: Experiment) -> dict[tuple[str, str], list[Cell]]:
    """Group the cells by dataset and protocol."""
    settings: dict[tuple[str, str], list[Cell]] = {}
    for cell in experiment.cells:
        settings.setdefault((cell.dataset, cell.protocol), []).append(cell)
    return settings


def _pair_cells(experiment: Experiment) -> list[Pipeline]:
    pipelines = []
    for (dataset, protocol), cells in _settings(experiment).items():
        before = plain([f"{dataset}.{protocol}.audit", f"{dataset}.tracks"])
        results, predictions = (plain(f"{cell.name}.{entry}" for cell in cells) for entry in ("results", "predictions"))
        audit, tracks = before
        arguments = {
            "audit": audit,
            "tracks": tracks,
            "evaluation": "params:evaluation",
            "results": list(results),
            "predictions": list(predictions),
        }
        pipelines.append(
            Pipeline(
                [Node(*gather(pair_cells, arguments), outputs="pairs", name="pair_cells", tags="compare")],
                namespace=f"{dataset}.{protocol}",
                inputs=before | results | predictions,
                parameters={"params:evaluation"},
            )
        )
    return pipelines


def _list_mistakes(cell: Cell) -> Pipeline:
    inputs = {
        "predictions": f"{cell.name}.predictions",
        "results": f"{cell.name}.results",
        "segments": f"{cell.dataset}.{cell.feature}.segments",
        "tracks": f"{cell.dataset}.tracks",
        "split": f"{cell.dataset}.{cell.protocol}.split",
        "features": f"{cell.dataset}.{cell.feature}.features",
    }
    parameters = {
        "params:dataset": f"params:datasets.{cell.dataset}",
        "params:track_average": "params:evaluation.track_average",
    }
    node = Node(
        bind(list_mistakes, cell=cell),
        inputs=[*inputs, *parameters],
        outputs="mistakes",
        name="list_mistakes",
        tags="compare",
    )
    return Pipeline([node], namespace=cell.name, inputs=inputs, parameters=parameters)


def _collect_protocols(experiment: Experiment) -> list[Pipeline]:
    return [
        _collect(
            collect_protocol,
            f"{dataset}.{protocol}",
            audit=f"{dataset}.{protocol}.audit",
            results=[f"{cell.name}.results" for cell in cells],
            changes=[f"{cell.name}.change" for cell in cells],
        )
        for (dataset, protocol), cells in _settings(experiment).items()
    ]


def _collect_dataset(experiment: Experiment, dataset: str) -> Pipeline:
    cells = [cell for cell in experiment.cells if cell.dataset == dataset]
    return _collect(
        collect_dataset,
        dataset,
        quality=f"{dataset}.quality",
        protocols=list(dict.fromkeys(f"{dataset}.{cell.protocol}.summary" for cell in cells)),
        extractions=list(dict.fromkeys(f"{dataset}.{cell.feature}.extraction" for cell in cells)),
    )


def _choose_model(experiment: Experiment, dataset: str) -> Pipeline:
    """Make the nodes that choose a dataset's model for use, and register it."""
    cells = [cell for cell in experiment.cells if cell.dataset == dataset]
    name = experiment.settings.name
    before = {
        "summary": f"{dataset}.summary",
        "tracks": f"{dataset}.tracks",
        "session_registry": "session_registry",
        **plain(f"{dataset}.{protocol}.pairs" for protocol in dict.fromkeys(cell.protocol for cell in cells)),
        **plain(f"{cell.name}.checkpoints" for cell in cells),
        **plain(f"{cell.name}.predictions" for cell in cells),
    }

    def all_of(entry: str) -> list[str]:
        return [plain_name for plain_name, full_name in before.items() if full_name.endswith(f".{entry}")]

    chosen = {"summary": "summary", "pairs": all_of("pairs"), "checkpoints": all_of("checkpoints")}
    nodes = [
        Node(
            *gather(bind(choose_model, cells=cells, experiment=name), chosen),
            outputs=["leader", "model_card", "model_card_markdown"],
            name="choose_model",
            tags="compare",
        )
    ]
    parameters = {"params:evaluation": "params:evaluation", "params:margin": "params:registry.margin"}
    if experiment.registry.enabled:
        registered = {
            "leader": "leader",
            "card": "model_card_markdown",
            "predictions": all_of("predictions"),
            "tracks": "tracks",
            "evaluation": "params:evaluation",
            "margin": "params:margin",
            "register": "session_registry",
        }
        known = {"cells": cells, "name": name if len(experiment.datasets) == 1 else f"{name}.{dataset}"}
        nodes.append(
            Node(
                *gather(bind(register_model, "register", **known), registered),
                outputs="registration",
                name="register",
                tags="compare",
            )
        )
    used = {entry for node in nodes for entry in node.inputs}
    return Pipeline(
        nodes,
        namespace=dataset,
        inputs={name: entry for name, entry in before.items() if name in used},
        parameters={name: entry for name, entry in parameters.items() if name in used},
    )


def _collect(function: Callable[..., object], namespace: str, **arguments: str | list[str]) -> Pipeline:
    collect, entries = gather(function, arguments)
    names = plain(entries)
    node = Node(collect, inputs=list(names), outputs="summary", name="collect", tags="compare")
    return Pipeline([node], namespace=namespace, inputs=names)


def _compare(experiment: Experiment) -> Pipeline:
    names = plain(f"{dataset}.summary" for dataset in experiment.datasets)
    pairs = plain(f"{dataset}.{protocol}.pairs" for dataset, protocol in _settings(experiment))
    registrations = plain(f"{dataset}.registration" for dataset in experiment.datasets if experiment.registry.enabled)
    summaries = list(names)
    mistakes = plain(f"{cell.name}.mistakes" for cell in experiment.cells)
    parameters = {
        "params:title": "params:experiment.title",
        "params:confidence": "params:evaluation.confidence",
    }
    nodes = [
        Node(
            rank_cells,
            inputs=summaries,
            outputs=["leaderboard", "leaderboard_parquet"],
            name="rank_cells",
            tags="compare",
        ),
        Node(tabulate_metrics, inputs=summaries, outputs="metrics", name="tabulate_metrics", tags="compare"),
        Node(
            compare_settings,
            inputs=["params:confidence", *summaries],
            outputs=["ranks", "protocol_gaps", "papers_and_measured"],
            name="compare_settings",
            tags="compare",
        ),
        Node(
            draw_comparison,
            inputs=["params:confidence", *summaries],
            outputs=list(_FIGURES),
            name="draw_comparison",
            tags="compare",
        ),
        Node(join_pairs, inputs=list(pairs), outputs="paired_comparisons", name="join_pairs", tags="compare"),
        Node(
            *gather(
                write_report,
                {
                    "title": "params:title",
                    "confidence": "params:confidence",
                    "pairs": "paired_comparisons",
                    "robustness": "robustness",
                    "unseen_genres": "unseen_genres",
                    "few_labels": "few_labels",
                    "explanations": "explanations",
                    "folder": "report_folder",
                    "session": "session",
                    "registrations": list(registrations),
                    "pages": "session_pages",
                    "summaries": summaries,
                    "mistakes": list(mistakes),
                },
            ),
            outputs=["report", "report_markdown"],
            name="write_report",
            tags="compare",
        ),
    ]
    return Pipeline(nodes, inputs=names | pairs | mistakes | registrations, parameters=parameters)


def _draw_stills() -> Pipeline:
    """Make the node that draws all figures as PNG and SVG, in a namespace: one box for all of them in Kedro-Viz."""
    stills = [f"{figure}_{form}" for figure in _FIGURES for form in ("png", "svg")]
    node = Node(draw_stills, inputs=list(_FIGURES), outputs=stills, name="draw_stills", tags="compare")
    return Pipeline([node], namespace="stills", inputs=set(_FIGURES))
