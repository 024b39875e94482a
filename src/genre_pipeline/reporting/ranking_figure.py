"""The critical-difference diagram: mean ranks over datasets, and which of them cannot be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genre_pipeline.evaluation.ranking import Ranking
from genre_pipeline.reporting.figures import AXIS_TITLE, GREY, PALETTE, empty_figure, escape_html, style_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Ranks between the bars of groups, and of the room to their left and right [?].
_BAR_GAP = 0.35


def critical_difference_diagram(ranking: Ranking | str) -> Figure:
    """Draw the mean rank of each model, as Demšar (2006) does, turned so that names stand below each other.

    Args:
        ranking: The ranking, or why there is none, which the figure then says.

    Returns:
        One line per model, best on top: its ranks on the datasets as small marks, their mean as a large one. A vertical
        bar at the right joins models that cannot be told apart; the ruler above is the critical difference.
    """
    from plotly.graph_objects import Figure, Scatter

    if isinstance(ranking, str):
        return empty_figure(ranking)
    names = [escape_html(name) for name in ranking.ranks.columns]
    means, places = ranking.means.to_list(), list(range(len(names)))
    figure = Figure()
    for dataset, ranks in ranking.ranks.iterrows():
        figure.add_trace(
            Scatter(
                x=ranks.to_list(),
                y=places,
                mode="markers",
                marker={"color": PALETTE[0], "size": 7, "opacity": 0.35},
                text=names,
                hovertemplate=f"%{{text}}: rank %{{x:~g}} on {escape_html(str(dataset))}<extra></extra>",
                meta="dataset",
            )
        )
    figure.add_trace(
        Scatter(
            x=means,
            y=places,
            mode="markers",
            marker={"color": PALETTE[0], "size": 13},
            text=names,
            hovertemplate="<b>%{text}</b>: mean rank %{x:.2f}<extra></extra>",
            meta="mean",
        )
    )
    widest = max(len(names), 1.0 + ranking.critical_difference)
    line = {"color": GREY, "width": 5}
    for index, group in enumerate(ranking.groups):
        at = widest + (index + 1) * _BAR_GAP
        first = list(ranking.ranks.columns).index(group[0])
        text = f"cannot be told apart: {escape_html(', '.join(group))}"
        bar = Scatter(x=[at, at], y=[first - 0.2, first + len(group) - 0.8], mode="lines", line=line, meta="group")
        figure.add_trace(bar.update(text=text, hovertemplate="%{text}<extra></extra>"))
    ruler = [1.0, 1.0 + ranking.critical_difference]
    figure.add_trace(
        Scatter(
            x=ruler,
            y=[-1.0, -1.0],
            mode="lines+markers",
            line={"color": GREY, "width": 2},
            marker={"symbol": "line-ns", "size": 10, "color": GREY, "line": {"width": 2, "color": GREY}},
            hovertemplate=f"critical difference {ranking.critical_difference:.2f}<extra></extra>",
            meta="ruler",
        )
    )
    style_figure(figure, height=34 * (len(names) + 1) + 160)
    right = widest + (len(ranking.groups) + 1) * _BAR_GAP
    figure.update_xaxes(
        {
            "range": [0.7, right],
            "tickvals": list(range(1, len(names) + 1)),
            "title": {"text": "rank (1 is best)", **AXIS_TITLE},
        }
    )
    labels = [f"critical difference {ranking.critical_difference:.2f}", *names]
    figure.update_yaxes(
        {"range": [len(names) - 0.4, -1.6], "tickvals": [-1, *places], "ticktext": labels, "showgrid": False}
    )
    n = len(ranking.ranks)
    return figure.update_layout(
        title={"text": f"Ranks by track accuracy on {n} datasets, test split"}, showlegend=False
    )
