"""What the models cost, and which of them are worth it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genre_pipeline.evaluation.leaderboard import honest_results
from genre_pipeline.reporting.cost_figure import COSTS, CostKind, cost_comparison, costs_and_quality, pareto_front
from genre_pipeline.reporting.document import (
    Figure,
    Group,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    count_entry,
    figure,
    number_entry,
    numeric,
    texts,
)
from genre_pipeline.reporting.sections.base import Looks, ReportData, label, setting_name
from genre_pipeline.reporting.wording import PERCENT, duration, enumerated, mean_and_sd, row_badge
from genre_pipeline.results.cell import CellResult, cell_of, part_name


def section(data: ReportData) -> Section:
    """Show quality against cost, and all costs in a table."""
    # What a model costs hardly depends on the protocol: the honest one of each dataset is enough for a picture.
    honest = {(dataset, cell_of(group[0]).protocol): group for dataset, group in honest_results(data.results).items()}
    shown = honest or data.groups
    reading = (
        "The dotted line joins the models that no other beats: none that costs less is as good. Hollow diamonds are "
        "leaky. The scale of costs is logarithmic."
    )
    drawn = [_figure(setting, group, data.looks) for setting, group in shown.items()]
    return Section(
        "costs", "Quality against cost", [Paragraph(reading), Group("grid", drawn), _table(data)], nav="Cost"
    )


def _figure(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> Figure:
    return figure(
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
    columns = [
        *texts("Model", "Dataset", "Protocol", "Feature"),
        *numeric("Accuracy (%)", "Parameters", "GFLOP per clip", "Training", "Inference per clip"),
    ]
    rows: list[list[Value]] = [
        [
            TableEntry(row["model"], badge=row_badge(row)),
            *(part_name(row["dataset"], row["subset"]), row["protocol"], row["feature"]),
            TableEntry(
                mean_and_sd(row["track_accuracy_mean"], row["track_accuracy_sd"]), sort=row["track_accuracy_mean"]
            ),
            count_entry(row["n_parameters"]),
            *(
                number_entry(row[key], show)
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
    return Table("costs-table", caption, columns, rows)
