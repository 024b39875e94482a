"""Pictures of the mistakes of a cell."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pandas as pd

from genre_pipeline.errors import AudioError
from genre_pipeline.reporting.clip_pictures import draw_clip
from genre_pipeline.results.mistakes import CellMistakes


def draw_mistakes(found: CellMistakes, tracks: pd.DataFrame) -> CellMistakes:
    """Add the spectrogram of each mistake, or why there is none.

    Args:
        found: The mistakes.
        tracks: The track table, for where each clip begins in its file and how long it is.
    """
    clips = tracks.set_index("track_id")[["start_sample", "n_samples"]]
    for mistake in found["mistakes"]:
        start_sample, n_samples = map(int, clips.loc[mistake["track_id"]])
        try:
            drawn = draw_clip(Path(mistake["path"]), start_sample=start_sample, n_samples=n_samples)
        except AudioError as error:
            mistake["fault"] = str(error)
        else:
            mistake["picture"] = {
                "png": b64encode(drawn.png).decode("ascii"),
                "width": drawn.width,
                "height": drawn.height,
                "words": drawn.words,
            }
    return found
