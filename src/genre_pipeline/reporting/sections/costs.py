"""What the models cost, and which of them are worth it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.evaluation.leaderboard import honest_results
from genre_pipeline.reporting.cost_figure import COSTS, CostKind, cost_comparison, costs_and_quality, pareto_front
from genre_pipeline.reporting.document import Column, Entry, FigureView, Table, count_entry, figure_view
from genre_pipeline.reporting.sections.base import Looks, ReportData, Section, label, marks, setting_name
from genre_pipeline.reporting.wording import NONE, PERCENT, duration, enumerated, mean_and_sd
from genre_pipeline.results import CellResult, cell_of, part_name


def _build(data: ReportData) -> Mapping[str, Any]:
    # What a model costs hardly depends on the protocol: the honest one of each dataset is enough for a picture.
    honest = {(dataset, cell_of(group[0]).protocol): group for dataset, group in honest_results(data.results).items()}
    shown = honest or data.groups
    return {"figures": [_figure(setting, group, data.looks) for setting, group in shown.items()], "table": _table(data)}


def _figure(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> FigureView:
    return figure_view(
        cost_comparison(group, looks=looks),
        key=f"costs-{'-'.join(setting)}",
        title=setting_name(group),
        captions={kind.title: _caption(group, kind, looks) for kind in COSTS},
        height=360,
        menu="Cost",
    )


def _caption(group: Sequence[CellResult], kind: CostKind, looks: Looks) -> str:
    points = costs_and_quality(group, kind)
    front = pareto_front(points)
    if not front:
        return f"{kind.title}: counted for none of these models."
    worth = enumerated(
        f"{label(group[index], looks)} ({100 * points[index][1]:.1f}{PERCENT} at {_shown(points[index][0], kind)})"
        for index in front
    )
    missing = [label(result, looks) for result, (cost, _) in zip(group, points, strict=True) if math.isnan(cost)]
    unknown = f" Not counted for {enumerated(missing)}." if missing else ""
    return f"{kind.title}: no other model beats {worth}. Accuracy of test tracks, mean over repeats.{unknown}"


def _shown(cost: float, kind: CostKind) -> str:
    if kind.key == "n_parameters":
        return f"{cost:,.0f}"
    return f"{_digits(cost)} GFLOP" if kind.key == "gflop_per_clip" else _seconds(cost)


def _digits(value: float) -> str:
    """Show two digits: versions of torch may split a layer into other operations, and times are never sharper."""
    return f"{float(f'{value:.2g}'):,g}"


def _seconds(value: float) -> str:
    return f"{_digits(1000 * value)} ms" if value < 1.0 else duration(value)


def _table(data: ReportData) -> Table:
    titles = ("Accuracy (%)", "Parameters", "GFLOP per clip", "Training", "Inference per clip")
    columns = [
        *(Column(title) for title in ("Model", "Dataset", "Protocol", "Feature")),
        *(Column(title, numeric=True) for title in titles),
    ]
    rows = [
        [
            Entry(row["model"], badge=" · ".join(marks(row))),
            *(Entry(text) for text in (part_name(row["dataset"], row["subset"]), row["protocol"], row["feature"])),
            Entry(mean_and_sd(row["track_accuracy_mean"], row["track_accuracy_sd"]), sort=row["track_accuracy_mean"]),
            count_entry(row["n_parameters"]),
            *(
                Entry(NONE if math.isnan(row[key]) else show(row[key]), sort=row[key])
                for key, show in (
                    ("gflop_per_clip", _digits),
                    ("training_s", duration),
                    ("inference_s_per_clip", _seconds),
                )
            ),
        ]
        for row in data.frame.to_dict("records")
    ]
    caption = (
        "Accuracy of test tracks, mean ± sd over repeats. Parameters are the trainable ones. A GFLOP is 10^9 "
        "operations of the forward passes that a clip takes on average, in convolutions and matrix products. "
        "Training is the sum over repeats, inference the mean over validation and test clips, both wall-clock time of "
        "the machine at hand, without the feature."
    )
    return Table(caption, columns, rows)


SECTION = Section("costs", "Quality against cost", _build, nav="Cost")
