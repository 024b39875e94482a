"""What a feature looks like: one track of each genre, as a figure."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.stores.store import FeatureStore

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# [?] About the pixels of a preview; more would only make the file larger.
_MAX_FRAMES, _MAX_BINS = 300, 128
_COLUMNS = 2
_ROW_PIXELS = 220


def example_figure(store: FeatureStore, tracks: pd.DataFrame, *, title: str) -> Figure:
    """Draw the feature of the first track of each genre, by track id.

    Args:
        store: The feature store.
        tracks: The track table; tracks that are not in the store are passed over.
        title: The figure's title.

    Returns:
        A Plotly figure with a heat map for each genre: frames from left to right, bins from bottom to top. Large
        features are averaged over neighbouring frames and bins.
    """
    from plotly.graph_objects import Heatmap
    from plotly.subplots import make_subplots

    stored = tracks[tracks["track_id"].isin(store.index["track_id"])].sort_values("track_id")
    examples = stored.drop_duplicates("genre").sort_values("genre")
    names = [
        f"{html.escape(genre)}: {html.escape(track)}" for genre, track in examples[["genre", "track_id"]].to_numpy()
    ]
    n_rows = max(1, -(-len(names) // _COLUMNS))
    figure: Figure = make_subplots(rows=n_rows, cols=_COLUMNS, subplot_titles=names, vertical_spacing=0.3 / n_rows)
    for place, track_id in enumerate(examples["track_id"]):
        levels = _reduced(store.read(track_id))
        # As doubles: rounded single precision has ten digits in JSON.
        heat_map = Heatmap(
            z=levels.astype(np.float64).round(2).tolist(), coloraxis="coloraxis", hovertemplate="%{z}<extra></extra>"
        )
        figure.add_trace(heat_map, row=1 + place // _COLUMNS, col=1 + place % _COLUMNS)
    figure.update_layout(
        title=html.escape(title),
        height=_ROW_PIXELS * n_rows + 100,
        coloraxis={"colorscale": "Magma"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    return figure


def _reduced(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average neighbouring bins and frames until there are few enough of both."""
    for axis, limit in ((0, _MAX_BINS), (1, _MAX_FRAMES)):
        group = -(-values.shape[axis] // limit)
        if group > 1:
            starts = np.arange(0, values.shape[axis], group)
            sizes = np.diff(np.append(starts, values.shape[axis]))
            values = np.add.reduceat(values, starts, axis=axis) / np.expand_dims(sizes, 1 - axis)
    return values.astype(np.float32)
