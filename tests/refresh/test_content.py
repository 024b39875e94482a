"""What counts as a change of a result."""

from plotly.graph_objects import Figure, Scatter

from genre_pipeline.ops.refresh.content import content_parts


def test_a_figure_changes_with_what_it_shows():
    one, same, other = (content_parts(Figure(Scatter(x=[1, 2], y=y))) for y in ([1, 2], [1, 2], [1, 3]))
    assert one == same != other
    assert len(one) == 1
