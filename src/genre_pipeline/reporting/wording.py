"""How numbers, and the marks of doubtful ones, are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from genre_pipeline.results.cell import PretrainingFacts, is_missing, number, unknown_share

if TYPE_CHECKING:
    import pandas as pd

    from genre_pipeline.evaluation.abstention import Abstention

MISSING = "-"
LEAKY = "LEAKY"
# Digits of a hash that distinguish the few splits of an experiment [?]; the CSV file has all of them.
SHORT_HASH = 8
FAILED_NOTE = "repeats that could not be trained, and are in no number. The report says why."
REGRESSION_NOTE = "less accurate than in the run before, beyond the interval of the difference; see kedro compare."
UNKNOWN_NOTE = "Whether artists are on both sides cannot be checked; then numbers are inflated."
LEAKY_NOTE = "Inflated: tracks, recordings or artists on both sides, or a choice by test score."
NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
# A space at which lines do not break.
PERCENT = "\N{NO-BREAK SPACE}%"


def pretrained_text(facts: PretrainingFacts) -> str:
    """State what a network was trained on before, and whether that may be the test tracks.

    Example:
        >>> facts = {"licence": "ISC", "trained_on": "much music", "overlap": "It may hold test tracks."}
        >>> pretrained_text({**facts, "part": "feature"})
        'The feature is of a network that was trained on much music. It may hold test tracks.'
    """
    what = "The model began as" if facts.get("part") == "network" else "The feature is of"
    return f"{what} a network that was trained on {facts['trained_on']}. {facts['overlap']}"


def percent(share: float, missing: str = MISSING) -> str:
    """Show a share between 0 and 1 as a percentage with one decimal, without the sign.

    Example:
        >>> percent(0.8276), percent(float("nan"))
        ('82.8', '-')
    """
    return missing if math.isnan(share) else f"{100 * share:.1f}"


def mean_and_sd(mean: float, sd: float) -> str:
    """Show a mean and its standard deviation over repeats in percent, the mean alone where there is one repeat.

    Example:
        >>> mean_and_sd(0.75, 0.032), mean_and_sd(0.75, float("nan"))
        ('75.0 ± 3.2', '75.0')
    """
    return percent(mean) if math.isnan(sd) else f"{percent(mean)} ± {percent(sd)}"


def interval(low: float, high: float, missing: str = MISSING) -> str:
    """Show an interval of shares in percent.

    Example:
        >>> interval(0.78, 0.883)
        '78.0 to 88.3'
    """
    return missing if math.isnan(low) or math.isnan(high) else f"{percent(low)} to {percent(high)}"


def accuracy_text(mean: float, low: float | None, high: float | None) -> str:
    """Show an accuracy in percent, with its interval if there is one.

    Example:
        >>> accuracy_text(0.8276, 0.78, 0.883), accuracy_text(0.8276, None, None)
        ('82.8 % (78.0 to 88.3)', '82.8 %')
    """
    known = interval(number(low), number(high), "")
    return f"{percent(mean)} %{f' ({known})' if known else ''}"


def points(share: float) -> str:
    """Show a difference of shares in points, with its sign.

    Example:
        >>> points(0.034), points(0.0)
        ('+3.4', '0.0')
    """
    text = f"{abs(100 * share):.1f}"
    return text if text == "0.0" else f"{'+' if share > 0 else MINUS}{text}"


def points_interval(low: float, high: float) -> str:
    """Show an interval of a difference of shares in points, with its signs."""
    return NONE if math.isnan(low) else f"{points(low)} to {points(high)}"


def duration(seconds: float) -> str:
    """Show a duration for people, with a precision of about one percent.

    Example:
        >>> duration(0.42), duration(75.2), duration(750), duration(9000)
        ('0.4 s', '75 s', '12.5 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(value: Any, missing: str = MISSING) -> str:
    """Show a count with thousands separated, a mean over repeats with one decimal.

    Example:
        >>> count(1234567), count(44.5), count(None)
        ('1,234,567', '44.5', '-')
    """
    if is_missing(value):
        return missing
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.1f}"


def plural(n: int, noun: str) -> str:
    """Count things in words.

    Example:
        >>> plural(1, "cell"), plural(2000, "cell")
        ('1 cell', '2,000 cells')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def enumerated(names: Iterable[str]) -> str:
    """Join names as a sentence does.

    Example:
        >>> enumerated(["net1", "net2", "svm"])
        'net1, net2 and svm'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def shortened(names: Iterable[str], n_named: int = 6) -> str:
    """Join names as a sentence does, and only count those after the first few.

    Args:
        names: The names.
        n_named: How many are named at most [?].

    Example:
        >>> shortened(["net1", "net2", "svm", "lgnet"], 2)
        'net1, net2 and 2 more'
    """
    names = list(names)
    more = [f"{len(names) - n_named:,} more"] if len(names) > n_named else []
    return enumerated([*names[:n_named], *more])


def common(values: pd.Series[Any]) -> str:
    """Join the distinct values of a column, in their order.

    Example:
        >>> import pandas as pd
        >>> common(pd.Series(["5 folds", "5 folds", "one fold"]))
        '5 folds, one fold'
    """
    return ", ".join(dict.fromkeys(str(value) for value in values))


def split_marks(marked: Mapping[Any, Any]) -> list[str]:
    """Return what makes the numbers of a split doubtful.

    Args:
        marked: A result, a split's report, or a row of a table: ``leaky`` and ``artists_unknown``.

    Example:
        >>> split_marks({"leaky": True, "artists_unknown": 0.081})
        ['LEAKY', 'artists unknown: 8.1 %']
    """
    marks = [LEAKY] if marked.get("leaky") else []
    if share := unknown_share(marked):
        marks.append(f"artists unknown: {unknown_text(share)}")
    return marks


def unknown_tag(marked: Mapping[Any, Any]) -> dict[str, str]:
    """Return the tag that a run of MLflow has where artists are unknown, and nothing where none are.

    Example:
        >>> unknown_tag({"artists_unknown": 1.0}), unknown_tag({"artists_unknown": 0.0})
        ({'artists_unknown': '100 %'}, {})
    """
    share = unknown_share(marked)
    return {"artists_unknown": unknown_text(share)} if share else {}


def unknown_text(share: float) -> str:
    """Show a share of unknown artists, so that neither all nor none of them are where it is not so.

    Example:
        >>> unknown_text(1.0), unknown_text(0.9999), unknown_text(0.0001)
        ('100 %', 'over 99.9 %', 'under 0.1 %')
    """
    if share == 1.0:
        return "100 %"
    return "over 99.9 %" if share > 0.999 else "under 0.1 %" if share < 0.001 else f"{percent(share)} %"


def marks_of(group: Iterable[Mapping[Any, Any]]) -> list[str]:
    """Return what makes the numbers of a group of results, or rows, doubtful: see :func:`split_marks`."""
    return list(dict.fromkeys(mark for each in group for mark in split_marks(each)))


def mark_suffix(group: Iterable[Mapping[Any, Any]]) -> str:
    """Return what is put behind the name of what results, or rows, have in common.

    Example:
        >>> mark_suffix([{"leaky": True, "artists_unknown": 0.0}, {"leaky": False, "artists_unknown": 0.0}])
        ' (LEAKY)'
    """
    marks = marks_of(group)
    return f" ({', '.join(marks)})" if marks else ""


def failed_mark(row: Mapping[Any, Any]) -> str:
    """Return how many repeats of a row of the leaderboard could not be trained.

    Example:
        >>> failed_mark({"n_repeats": 4, "n_failed": 1}), failed_mark({"n_repeats": 5, "n_failed": 0})
        ('FAILED 1 of 5', '')
    """
    return f"FAILED {row['n_failed']} of {row['n_repeats'] + row['n_failed']}" if row["n_failed"] else ""


def regression_mark(row: Mapping[Any, Any]) -> str:
    """Return whether a row of the leaderboard became worse since the last finished run.

    Example:
        >>> regression_mark({"since_previous": "regression"}), regression_mark({"since_previous": "unchanged"})
        ('REGRESSION', '')
    """
    return "REGRESSION" if row["since_previous"] == "regression" else ""


def row_badge(row: Mapping[Any, Any]) -> str:
    """Return the badge of a row of the leaderboard: everything that makes it doubtful."""
    return " · ".join(filter(None, (*split_marks(row), failed_mark(row), regression_mark(row))))


def split_badge(marked: Mapping[Any, Any]) -> str:
    """Return the badge of a result, a split or a row of which only the split matters."""
    return " · ".join(split_marks(marked))


def share_of_tests(accuracy: float, known: Mapping[str, Any], averaged: str) -> str:
    """State on what share of the test tracks a model was right.

    Args:
        accuracy: The share.
        known: Its interval, ``ci_low`` and ``ci_high``, which may be null.
        averaged: What it is the mean of.

    Example:
        >>> share_of_tests(0.75, {"ci_low": 0.6, "ci_high": 0.9}, "mean of 5 folds").replace(PERCENT, " %")
        '75.0 % of the test tracks (60.0 to 90.0), mean of 5 folds'
    """
    text = interval(number(known["ci_low"]), number(known["ci_high"]), "")
    return f"{percent(accuracy)}{PERCENT} of the test tracks{f' ({text})' if text else ''}, {averaged}"


def abstention_text(abstention: Abstention | None) -> str:
    """State when a model is not sure, and how many of its answers were kept and wrong.

    Args:
        abstention: When it is not sure; ``None`` if that is not known.

    Example:
        >>> from genre_pipeline.evaluation.abstention import Abstention
        >>> abstention_text(Abstention(0.2, 0.55, 0.6, 0.15, 0.35)).replace(PERCENT, " %")
        'Sure from 55.0 % on, which the validation tracks chose so that at most 20 % of such answers are wrong; it \
was sure of 60.0 % of the test tracks, and wrong about 15.0 % of those.'
    """
    if abstention is None:
        return "From which probability on it is sure is not known: evaluate the cell again."
    allowed, all_wrong = f"{100 * abstention.max_error:g}{PERCENT}", f"{percent(abstention.error_of_all)}{PERCENT}"
    if math.isinf(abstention.threshold):
        return (
            f"It is sure of nothing: no threshold of the probability reaches an error rate of {allowed}. It was wrong "
            f"about {all_wrong} of the test tracks."
        )
    if abstention.threshold == 0.0:
        return (
            "It is sure of everything, however low the probability: it was wrong about "
            f"{all_wrong} of the test tracks, and {allowed} are allowed."
        )
    wrong = "" if math.isnan(abstention.error) else f", and wrong about {percent(abstention.error)}{PERCENT} of those"
    return (
        f"Sure from {percent(abstention.threshold)}{PERCENT} on, which the validation tracks chose so that at most "
        f"{allowed} of such answers are wrong; it was sure of {percent(abstention.kept)}{PERCENT} of the test "
        f"tracks{wrong}."
    )
