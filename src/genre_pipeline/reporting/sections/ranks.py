"""Whose order holds on more than one dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.evaluation.ranks import Ranking
from genre_pipeline.reporting.document import Column, Entry, FigureView, Table, figure_view, markdown_table
from genre_pipeline.reporting.rank_figure import critical_difference_diagram
from genre_pipeline.reporting.sections.base import ReportData, Section
from genre_pipeline.reporting.wording import enumerated, mark_suffix, percent
from genre_pipeline.results import part_name

# Below these the chi-squared distribution is a rough one: Demšar 2006, section 3.2.1 [P].
_MANY_DATASETS, _MANY_MODELS = 10, 5


def _build(data: ReportData) -> Mapping[str, Any]:
    ranking = data.ranking
    if isinstance(ranking, str):
        return {"why_not": ranking}
    return {"why_not": "", "reading": _reading(ranking), "figure": _figure(ranking), "table": _table(ranking)}


def _write_markdown(data: ReportData) -> Sequence[str]:
    ranking = data.ranking
    if isinstance(ranking, str):
        return []
    return [
        "",
        "## Ranks over datasets",
        "",
        f"{_reading(ranking)} {_groups(ranking)}",
        "",
        *markdown_table(_table(ranking)),
    ]


def _reading(ranking: Ranking) -> str:
    n_datasets, n_models = ranking.ranks.shape
    found = "some models are better than others" if ranking.p_value <= ranking.level else "no difference is shown"
    rough = "" if n_datasets > _MANY_DATASETS and n_models > _MANY_MODELS else ", roughly with so few of them"
    return (
        f"{n_models} models on {n_datasets} datasets, ranked by mean track accuracy of the test split under each "
        f"dataset's honest protocol. Friedman's test at {100 * ranking.level:g} %: {found} (p = {ranking.p_value:.3f}"
        f"{rough}). Critical difference of the Nemenyi test: {ranking.critical_difference:.2f} ranks."
    )


def _groups(ranking: Ranking) -> str:
    groups = [enumerated(group) for group in ranking.groups]
    return f"Cannot be told apart: {'; or '.join(groups)}." if groups else "Every two can be told apart."


def _figure(ranking: Ranking) -> FigureView:
    means = ranking.means
    first, last = means.index[0], means.index[-1]
    caption = (
        f"Mean ranks over {len(ranking.ranks)} datasets, from {first} ({means[first]:.2f}) to {last} "
        f"({means[last]:.2f}). {_groups(ranking)}"
    )
    figure = critical_difference_diagram(ranking)
    return figure_view(
        figure, key="ranks-figure", title="Mean ranks", captions=caption, height=figure.layout.height - 100
    )


def _table(ranking: Ranking) -> Table:
    rows = ranking.table
    titles = [
        f"{part_name(str(dataset), str(subset))} · {protocol}{mark_suffix(group.to_dict('records'))}"
        for (dataset, subset, protocol), group in rows.groupby(["dataset", "subset", "protocol"], sort=False)
    ]
    columns = [Column("Model"), Column("Mean rank", numeric=True), *(Column(title, numeric=True) for title in titles)]
    accuracies = rows["mean"].to_numpy().reshape(ranking.ranks.shape)
    entries = [
        [
            Entry(str(name)),
            Entry(f"{ranking.means[name]:.2f}", sort=float(ranking.means[name])),
            *(
                Entry(f"{rank:g} ({percent(accuracy)})", sort=float(rank))
                for rank, accuracy in zip(ranking.ranks[name], accuracies[:, index], strict=True)
            ),
        ]
        for index, name in enumerate(ranking.ranks.columns)
    ]
    return Table(
        "Rank on each dataset, and in brackets the mean track accuracy of the test split in %.", columns, entries
    )


SECTION = Section("ranks", "Ranks over datasets", _build, _write_markdown, nav="Ranks")
