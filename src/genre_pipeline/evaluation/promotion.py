"""Whether a model that was trained again takes the place of the one that is in use."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from genre_pipeline.evaluation.bootstrap import N_RESAMPLES, clusters_of
from genre_pipeline.evaluation.paired import compare

Alias = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Decision:
    """Whether a new model becomes the champion.

    Attributes:
        alias: What it is from now on.
        reason: Why, for people.
        comparison: What :func:`~genre_pipeline.evaluation.paired.compare` found, of the new model minus the champion;
            empty where nothing was compared.
    """

    alias: Alias
    reason: str
    comparison: dict[str, Any] = field(default_factory=dict)


def decide(
    challenger: pd.Series[bool],
    champion: pd.Series[bool],
    *,
    artists: pd.Series[str],
    design: str,
    test_ratio: float,
    confidence: float = 0.95,
    margin: float | None = None,
    n_resamples: int = N_RESAMPLES,
) -> Decision:
    """Decide whether a new model takes the champion's place.

    Both are compared on the tracks that both were tested with in the same repeat, which neither has trained on. The new
    one takes the place unless the paired tests show that it is worse. They cannot show much on few tracks: a ``margin``
    asks for more, that the difference's interval excludes a loss of that much (a test of non-inferiority: Walker and
    Nowacki, Journal of General Internal Medicine 26, 2011), which also keeps many small losses from adding up unseen.

    Args:
        challenger: Whether the new model was right, by ``repeat`` and ``track_id``, of test tracks.
        champion: The same of the present one.
        artists: Artist by track id, empty where unknown.
        design: How repeats relate: ``kfold``, ``resampled`` or ``seeds``.
        test_ratio: Test tracks over training tracks.
        confidence: Coverage of the interval; one minus it is the level of the tests.
        margin: The loss of accuracy, as a share, that must be excluded; ``None`` requires only the tests.
        n_resamples: Number of resamples.

    Returns:
        The decision.

    Example:
        >>> import numpy as np
        >>> tracks = pd.MultiIndex.from_product([range(2), map(str, range(30))], names=["repeat", "track_id"])
        >>> champion = pd.Series(np.arange(60) % 3 > 0, index=tracks)
        >>> nobody = pd.Series(dtype=str)
        >>> better = decide(champion | True, champion, artists=nobody, design="kfold", test_ratio=0.25, n_resamples=99)
        >>> better.alias, better.reason
        ('champion', 'better than the champion on 30 common test tracks: +33.3 points (p = 0.0297)')
    """
    both = challenger.rename("right_a").to_frame().join(champion.rename("right_b"), how="inner").reset_index()
    if both.empty:
        return Decision(
            "challenger",
            "it has no test track in common with the champion (the tracks were split anew, or are others): they cannot "
            "be compared",
        )
    both["cluster"] = clusters_of(both["track_id"], artists)
    found = compare(both, design=design, test_ratio=test_ratio, confidence=confidence, n_resamples=n_resamples)
    difference, p = found["difference"], found["p"]
    on = f"the champion on {found['n_tracks']:,} common test tracks: {100 * difference:+.1f} points"
    if math.isnan(p):
        return Decision("challenger", f"no test can compare it with {on}; too few artists or repeats", found)
    shown = f"{on} (p = {p:.3g})"
    if p <= 1.0 - confidence and difference < 0:
        return Decision("challenger", f"worse than {shown}", found)
    if margin is not None and found["ci_low"] < -margin:
        excluded = f"a loss of {100 * margin:g} points is not excluded (interval from {100 * found['ci_low']:+.1f})"
        return Decision("challenger", f"{excluded}, compared with {shown}", found)
    word = "better than" if p <= 1.0 - confidence else "not shown to be worse than"
    return Decision("champion", f"{word} {shown}", found)
