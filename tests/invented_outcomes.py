"""Right and wrong answers of two invented models, to see how often intervals and tests are mistaken."""

import numpy as np
import pandas as pd


def invent_outcomes(rng, *, n_artists, n_each, n_repeats=1, design="seeds", advantage=0.0, taste=0.8, luck=0.0):
    """Let models ``a`` and ``b`` answer for tracks that differ in difficulty.

    Each model likes some artists more than others (``taste``) and has better and worse trainings (``luck``), all
    standard deviations of a margin that must be above zero; ``advantage`` is added to that of ``a``. Seeds test all
    tracks, folds their part of the artists.
    """
    artist = np.repeat(np.arange(n_artists), n_each)
    n = len(artist)
    easy = rng.normal(0.5, 1.0, n) + 0.5 * rng.normal(size=n_artists)[artist]
    likes = {model: taste * rng.normal(size=n_artists)[artist] for model in "ab"}
    tables = []
    for repeat in range(n_repeats):
        tested = artist % n_repeats == repeat if design == "kfold" else np.ones(n, dtype=bool)
        table = {"repeat": repeat, "track_id": np.arange(n)[tested], "cluster": artist[tested]}
        for model in "ab":
            margin = easy + likes[model] + luck * rng.normal() + rng.normal(0, 0.5, n)
            table[f"right_{model}"] = (margin + (advantage if model == "a" else 0.0) > 0)[tested]
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)
