"""Whose order holds on more than one dataset."""

from __future__ import annotations

from genre_pipeline.evaluation.ranking import Ranking
from genre_pipeline.reporting.document import (
    Block,
    Figure,
    Paragraph,
    Section,
    Span,
    Table,
    TableEntry,
    Text,
    Value,
    figure,
    numeric,
    texts,
)
from genre_pipeline.reporting.ranking_figure import critical_difference_diagram
from genre_pipeline.reporting.sections.base import ReportData
from genre_pipeline.reporting.wording import enumerated, mark_suffix, percent
from genre_pipeline.results.cell import part_name

# Below these the chi-squared distribution is a rough one: Demšar 2006, section 3.2.1 [P].
_MANY_DATASETS, _MANY_MODELS = 10, 5


def section(data: ReportData) -> Section:
    """Show the mean ranks of the models, or why they are not ranked."""
    ranking = data.ranking
    blocks: list[Block]
    if isinstance(ranking, str):
        blocks = [Paragraph(ranking)]
    else:
        reading: Text = [
            (
                f"{_reading(ranking)} Models that a vertical bar joins cannot be told apart; small dots are the ranks "
                "on single datasets ("
            ),
            Span("Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006", "cite"),
            ").",
        ]
        blocks = [Paragraph(reading), _figure(ranking), _table(ranking)]
    return Section("ranks", "Ranks over datasets", blocks, nav="Ranks")


def brief(data: ReportData) -> list[Section]:
    """Show the table, where the models are ranked."""
    ranking = data.ranking
    if isinstance(ranking, str):
        return []
    reading = Paragraph(f"{_reading(ranking)} {_groups(ranking)}")
    return [Section("", "Ranks over datasets", [reading, _table(ranking)])]


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


def _figure(ranking: Ranking) -> Figure:
    means = ranking.means
    first, last = means.index[0], means.index[-1]
    caption = (
        f"Mean ranks over {len(ranking.ranks)} datasets, from {first} ({means[first]:.2f}) to {last} "
        f"({means[last]:.2f}). {_groups(ranking)}"
    )
    drawn = critical_difference_diagram(ranking)
    return figure(drawn, key="ranks-figure", title="Mean ranks", captions=caption, height=drawn.layout.height - 100)


def _table(ranking: Ranking) -> Table:
    rows = ranking.table
    titles = [
        f"{part_name(str(dataset), str(subset))} · {protocol}{mark_suffix(group.to_dict('records'))}"
        for (dataset, subset, protocol), group in rows.groupby(["dataset", "subset", "protocol"], sort=False)
    ]
    accuracies = rows["mean"].to_numpy().reshape(ranking.ranks.shape)
    entries: list[list[Value]] = [
        [
            str(name),
            TableEntry(f"{ranking.means[name]:.2f}", sort=float(ranking.means[name])),
            *(
                TableEntry(f"{rank:g} ({percent(accuracy)})", sort=float(rank))
                for rank, accuracy in zip(ranking.ranks[name], accuracies[:, index], strict=True)
            ),
        ]
        for index, name in enumerate(ranking.ranks.columns)
    ]
    caption = "Rank on each dataset, and in brackets the mean track accuracy of the test split in %."
    return Table("ranks-table", caption, [*texts("Model"), *numeric("Mean rank", *titles)], entries)
