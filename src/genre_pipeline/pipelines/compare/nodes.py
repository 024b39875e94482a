"""Nodes of the comparison stage."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import sys
from datetime import datetime, timezone
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure

from genre_pipeline.blocks import parse_block
from genre_pipeline.evaluation.comparison import CellResult, leaderboard
from genre_pipeline.evaluation.figures import (
    accuracy_comparison,
    confusion_matrices,
    learning_curves,
    reliability_diagrams,
)
from genre_pipeline.evaluation.report import build_markdown, build_report
from genre_pipeline.experiment import EvaluationBlock
from genre_pipeline.tracking import current_tracker

_VERSIONED = ("genre-pipeline", "torch", "librosa", "scikit-learn", "numpy", "kedro", "mlflow")


def collect_protocol(audit: dict[str, Any], *results: CellResult) -> dict[str, Any]:
    """Gather what was found under one protocol of a dataset.

    Args:
        audit: The split's report.
        *results: The result of each cell under the protocol.

    Returns:
        ``audit`` and ``results``.
    """
    return {"audit": audit, "results": list(results)}


def collect_dataset(quality: dict[str, Any], *reports: dict[str, Any]) -> dict[str, Any]:
    """Gather what was found on one dataset.

    Args:
        quality: The ingest stage's report.
        *reports: What each protocol found, and the report of each feature's extraction.

    Returns:
        ``quality``, ``protocols`` and ``extractions``.
    """
    return {
        "quality": quality,
        "protocols": [each for each in reports if "audit" in each],
        "extractions": [each for each in reports if "audit" not in each],
    }


def rank_cells(*summaries: dict[str, Any]) -> pd.DataFrame:
    """Set the cells side by side.

    Args:
        *summaries: What was found on each dataset.

    Returns:
        The leaderboard.
    """
    return leaderboard(_results(summaries))


def draw_comparison(*summaries: dict[str, Any]) -> tuple[Figure, Figure, Figure, Figure]:
    """Draw the cells side by side.

    Args:
        *summaries: What was found on each dataset.

    Returns:
        Accuracies with their intervals, learning curves, confusion matrices, reliability diagrams.
    """
    results = _results(summaries)
    return (
        accuracy_comparison(results),
        learning_curves(results),
        confusion_matrices(results),
        reliability_diagrams(results),
    )


def write_report(experiment: dict[str, Any], evaluation: dict[str, Any], *summaries: dict[str, Any]) -> tuple[str, str]:
    """Write the report of the experiment, and attach it to the session's MLflow run.

    Args:
        experiment: The experiment's parameters, for its title.
        evaluation: How numbers are summarised.
        *summaries: What was found on each dataset.

    Returns:
        The HTML report, and its short form in Markdown.
    """
    results = _results(summaries)
    html = build_report(
        results,
        [each["quality"] for each in summaries],
        [protocol["audit"] for each in summaries for protocol in each["protocols"]],
        title=str(experiment["title"]),
        command=_command(),
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _VERSIONED},
        },
        confidence=parse_block(EvaluationBlock, evaluation, key="evaluation").confidence,
    )
    markdown = build_markdown(results)
    current_tracker().log_artifacts({"report.html": html, "report.md": markdown})
    return html, markdown


def _results(summaries: tuple[dict[str, Any], ...]) -> list[CellResult]:
    return [result for each in summaries for protocol in each["protocols"] for result in protocol["results"]]


def _command() -> str:
    """Return the command as a person would type it."""
    program, *arguments = sys.argv
    return shlex.join([program.rsplit("/", 1)[-1], *arguments])
