"""The HTML report that a person opens from disk, and its short Markdown sister for code review."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation import figures
from genre_pipeline.evaluation.comparison import (
    FAILED_NOTE,
    LEAKY_NOTE,
    CellResult,
    blocks,
    by_setting,
    cell_of,
    chance_levels,
    common,
    confusion_counts,
    count,
    dataset_name,
    duration,
    failed_mark,
    genre_means,
    interval,
    leaderboard,
    mean_and_sd,
    number,
    part_name,
    percent,
    scored,
    shown_numbers,
    statistic,
    summary_row,
)
from genre_pipeline.evaluation.paired import PAIR_COLUMNS, Verdict, verdicts

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# A page with thousands of faults helps nobody; all of them are in the ingest report [?].
_MAX_FAULTS = 300
_NONE = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
# A space at which lines do not break.
_PERCENT = "\N{NO-BREAK SPACE}%"
Looks = Mapping[tuple[str, str], figures.Style]

_SPLITS: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")
_INTERVALS = {
    "corrected resampled t": (
        "the corrected resampled t interval (Nadeau and Bengio 2003): repeats share training tracks, so that the plain "
        "one would be too narrow"
    ),
    "t": "the t interval over training seeds: it says nothing of other test tracks",
    "clustered bootstrap": (
        "the bootstrap over artists, and over seeds where repeats are seeds, where it is the widest: tracks of one "
        "artist are alike"
    ),
    "wilson": "the Wilson score interval of the number of tested tracks, where it is wider or there is a single repeat",
    "none": "none, because there is one repeat",
}
_SPLIT_NUMBERS = (
    ("track", "Shared tracks"),
    ("file", "Shared files"),
    ("audio", "Shared audio"),
    ("recording", "Shared recordings"),
    ("artist", "Shared artists"),
    ("album", "Shared albums"),
)


@dataclass(frozen=True)
class Glyph:
    """A small drawing in a table: a mean, its interval and the chance level, each between 0 and 1."""

    mean: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Entry:
    """A table's entry: what is read, what it sorts by (the text by default), and decoration."""

    text: str
    sort: float | str | None = None
    badge: str = ""
    glyph: Glyph | None = None

    @property
    def sort_key(self) -> str:
        """The value that the page's script sorts by; empty values come last."""
        if self.sort is None:
            return self.text
        return "" if isinstance(self.sort, float) and math.isnan(self.sort) else str(self.sort)


@dataclass(frozen=True)
class Column:
    """A table's column; numbers are aligned to the right and sorted as numbers."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table, whose rows' first entries are headers."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]


@dataclass(frozen=True)
class Option:
    """One choice of a figure's menu: what Plotly changes, and the sentence that then describes the figure."""

    label: str
    caption: str
    args: Sequence[Any]


@dataclass(frozen=True)
class FigureView:
    """A figure of the page with its text alternative."""

    key: str
    title: str
    caption: str
    content: Mapping[str, Any]
    options: Sequence[Option] = ()
    menu: str = ""

    @property
    def payload(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {**self.content, "options": [[option.caption, *option.args] for option in self.options]}


@dataclass(frozen=True)
class Finding:
    """The best cell of a dataset and protocol, and how sure that is."""

    dataset: str
    protocol: str
    model: str
    feature: str
    accuracy: str
    interval: str
    leaky: bool
    sentences: Sequence[str]


@dataclass(frozen=True)
class PairsView:
    """What the comparison of every two cells of a dataset and protocol found."""

    reading: str
    matrix: Table
    details: Table


@dataclass(frozen=True)
class DatasetView:
    """A dataset's quality."""

    name: str
    title: str
    facts: Mapping[str, str]
    genres: Table
    fault_counts: str
    faults: Table
    n_faults_left_out: int = 0


def build_report(
    results: Sequence[CellResult],
    datasets: Sequence[Mapping[str, Any]],
    splits: Sequence[Mapping[str, Any]],
    *,
    pairs: pd.DataFrame | None = None,
    title: str,
    command: str,
    created: str,
    versions: Mapping[str, str],
    confidence: float = 0.95,
) -> str:
    """Write the report as one HTML page that needs no network.

    Args:
        results: One result a cell.
        datasets: The quality report of each dataset: ``dataset`` (its name), ``subset`` (with ``name``), ``title``,
            ``citation``, ``licence``, ``n_clips``, ``n_usable``, ``n_quarantined``, ``total_duration_s``, ``genres``
            (genre to ``clips``, ``usable`` and ``artists``) and ``faults`` (with ``track_id``, ``path``, ``fault``,
            ``detail`` and ``quarantined``).
        splits: The report of each split, as in :class:`~genre_pipeline.splits.splitting.SplitResult`. Keys that it
            lacks are shown as unknown.
        pairs: What :func:`~genre_pipeline.evaluation.paired.compare_pairs` found, of all datasets and protocols; none
            where nothing was compared.
        title: The page's title.
        command: What to type to get the same numbers.
        created: When the report was made, as it should be read.
        versions: Program to version.
        confidence: Coverage of the results' intervals.

    Returns:
        The page. Everything that comes from data is escaped, and a content security policy forbids all loading. It
        links to the cards of datasets and splits, in ``data_cards/`` and ``splits/`` beside it.

    Raises:
        EvaluationError: If there is no result, or one of them is incomplete.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    frame = leaderboard(results)
    looks = figures.styles(results)
    groups = by_setting(results)
    compared = _verdicts(pairs, groups)
    environment = Environment(
        loader=PackageLoader("genre_pipeline.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=title,
        command=command,
        created=created,
        versions=dict(sorted(versions.items())),
        n_cells=_plural(len(frame), "cell"),
        scope=_scope(frame),
        leaky=[_full_name(result) for result in results if result["leaky"]],
        leaky_note=LEAKY_NOTE,
        failures=_failures(results),
        confidence=f"{100 * confidence:g}{_PERCENT}",
        reading=_reading(results),
        findings=[_finding(group, looks, compared[setting]) for setting, group in groups.items()],
        pairs=[
            _pairs_view(pairs, group, looks, compared[setting])
            for setting, group in groups.items()
            if pairs is not None and compared[setting]
        ],
        leaderboard=_leaderboard_table(frame, f"{100 * confidence:g}{_PERCENT}"),
        accuracy_figures=[_accuracy_view(setting, group, looks) for setting, group in groups.items()],
        curve_figures=[
            _curves_view(setting, trained, looks)
            for setting, group in groups.items()
            if (trained := [result for result in group if result["history"]])
        ],
        reliability_figures=[_reliability_view(setting, group, looks) for setting, group in groups.items()],
        genre_tables=[_genre_table(group, looks) for group in groups.values()],
        confusion_figures=[_confusion_view(groups, unit) for unit in ("track", "segment") if groups],
        datasets=[_dataset_view(report) for report in datasets],
        splits=_splits_table(splits),
        leak_examples=_leak_examples(splits),
        cells=_cells_table(groups),
        plotly_js=get_plotlyjs(),
    )


def build_markdown(results: Sequence[CellResult], *, pairs: pd.DataFrame | None = None) -> str:
    """Write the leaderboard as Markdown, short enough for a code review.

    Args:
        results: One result a cell.
        pairs: See :func:`build_report`.

    Returns:
        A heading, a line on how to read it, and a table for each dataset and protocol; then, where cells were compared
        in pairs, a matrix for each.

    Raises:
        EvaluationError: If there is no result, or one of them is incomplete.
    """
    frame = leaderboard(results)
    reading = (
        "All metrics are of the test split, in %, as mean ± sd over repeats; accuracy, balanced accuracy and macro-F1 "
        "are of tracks."
    )
    lines = ["# Leaderboard", "", f"{_scope(frame)} {reading}"]
    if frame["leaky"].any():
        lines += ["", f"**LEAKY. {LEAKY_NOTE}**"]
    failures = _failures(results)
    if failures:
        lines += ["", f"**FAILED: {FAILED_NOTE}**", "", *(f"- {_markdown(each)}" for each in failures)]
    for dataset, protocol, rows in blocks(frame):
        chance = f"always the largest genre: {common(rows['chance_largest_class'].map(percent))} %"
        lines += ["", f"## {_markdown(dataset)} · {_markdown(protocol)}", ""]
        split = f"split `{common(rows['split_hash'])}`"
        lines += [f"{common(rows['statistic'])}; {common(rows['n_genres'])} genres; {chance}; {split}.", ""]
        lines += [
            "| model | feature | accuracy | interval | balanced | macro-F1 | segments | parameters | training |",
            "|---|---|--:|--:|--:|--:|--:|--:|--:|",
            *(_markdown_row(row) for row in rows.to_dict("records")),
        ]
    groups, looks = by_setting(results), figures.styles(results)
    for setting, compared in _verdicts(pairs, groups).items():
        if pairs is None or not compared:
            continue
        view = _pairs_view(pairs, groups[setting], looks, compared)
        lines += ["", f"## Is A really better than B? {_markdown(_setting(groups[setting]))}", "", view.reading, ""]
        lines.append(f"| {' | '.join(_markdown(column.title) for column in view.matrix.columns)} |")
        lines.append(f"|---|{'--:|' * (len(view.matrix.columns) - 1)}")
        lines += [f"| {' | '.join(_markdown(entry.text) for entry in row)} |" for row in view.matrix.rows]
    return "\n".join([*lines, ""])


def _markdown_row(row: Mapping[Any, Any]) -> str:
    entries = [
        " ".join([*(f"**{mark}**" for mark in _marks(row)), _markdown(row["model"])]),
        _markdown(row["feature"]),
        *shown_numbers(row),
    ]
    return f"| {' | '.join(entries)} |"


def _marks(row: Mapping[Any, Any]) -> list[str]:
    return [mark for mark in ("LEAKY" if row["leaky"] else "", failed_mark(row)) if mark]


def _failures(results: Sequence[CellResult]) -> list[str]:
    return [
        f"{_full_name(result)}, repeat {failure['repeat']} (seed {failure['seed']}): {failure['reason']}"
        for result in results
        for failure in result["failures"]
    ]


def _markdown(text: str) -> str:
    for character in "\\`*[]<>|":
        text = text.replace(character, f"\\{character}")
    return text


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _scope(frame: pd.DataFrame) -> str:
    numbers = [(frame[column].nunique(), column) for column in ("model", "feature", "dataset", "protocol")]
    return f"{_plural(len(frame), 'cell')}: {_enumerated(_plural(n, noun) for n, noun in numbers)}."


def _enumerated(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _reading(results: Sequence[CellResult]) -> str:
    methods = dict.fromkeys(
        summary_row(result, unit="track", metric="accuracy")["interval"] for result in scored(results)
    )
    return "; or ".join(_INTERVALS.get(method, method) for method in methods)


def _accuracy(result: CellResult) -> tuple[float, float, float]:
    row = summary_row(result, unit="track", metric="accuracy")
    return number(row["mean"]), number(row["ci_low"]), number(row["ci_high"])


def _full_name(result: CellResult) -> str:
    cell = cell_of(result)
    return " · ".join([dataset_name(result), cell.protocol, cell.model, cell.feature])


def _name(result: CellResult, looks: Looks) -> str:
    return looks[cell_of(result).model, cell_of(result).feature].label


def _chance(group: Sequence[CellResult]) -> str:
    return f"{percent(max(chance_levels(result)[0] for result in group))}{_PERCENT}"


def _verdicts(
    pairs: pd.DataFrame | None, groups: Mapping[tuple[str, str], Sequence[CellResult]]
) -> dict[tuple[str, str], dict[tuple[Cell, Cell], Verdict]]:
    table = pd.DataFrame(columns=list(PAIR_COLUMNS)) if pairs is None else pairs
    return {setting: verdicts(table, *setting) for setting in groups}


def _certainty(group: Sequence[CellResult], looks: Looks, compared: Mapping[tuple[Cell, Cell], Verdict]) -> str:
    best, *others = group
    _, low, _ = _accuracy(best)
    if not others and not math.isnan(low):
        return "It is the only model here."
    if compared:
        rivals = [_name(each, looks) for each in others if compared[cell_of(best), cell_of(each)].word != "better"]
        if rivals:
            return f"No difference from {_enumerated(rivals)} that these tracks can show: the order is not settled."
        return "Better than every other in paired tests."
    rivals = [_name(result, looks) for result in others if _accuracy(result)[2] >= low]
    if math.isnan(low):
        return "There is no interval: the order may be chance."
    if rivals:
        return f"Its interval overlaps with {_enumerated(rivals)}: the order is not settled."
    return "No other interval reaches its own."


def _pairs_view(
    pairs: pd.DataFrame, group: Sequence[CellResult], looks: Looks, compared: Mapping[tuple[Cell, Cell], Verdict]
) -> PairsView:
    first = cell_of(group[0])
    rows = pairs[(pairs["dataset"] == first.dataset) & (pairs["protocol"] == first.protocol)]
    level = f"{100 * (1 - float(rows['confidence'].iloc[0])):g}{_PERCENT}"
    tracks = common(rows["n_tracks"].map(count))
    artists = common(rows["n_clusters"].map(count))
    reading = (
        f"{_setting(group)}: accuracy of {tracks} test tracks of {artists} artists (a track of unknown artist counts "
        f"as one), {statistic(group[0])}, row minus column in points. “No difference shown”: none that these {tracks} "
        f"tracks can show at {level}, corrected for {_plural(len(rows), 'pair')}; there may be one."
    )
    names = {cell_of(result): _name(result, looks) for result in group}
    matrix = [
        [Entry(name), *(_verdict_entry(compared.get((cell, other))) for other in names)] for cell, name in names.items()
    ]
    return PairsView(
        reading,
        Table(reading, [Column("A"), *(Column(f"against {name}", numeric=True) for name in names.values())], matrix),
        _pairs_table(rows, names),
    )


def _verdict_entry(verdict: Verdict | None) -> Entry:
    if verdict is None:
        return Entry(_NONE, sort=math.nan)
    return Entry(f"{_points(verdict.difference)} {verdict.word}", sort=verdict.difference)


def _pairs_table(rows: pd.DataFrame, names: Mapping[Cell, str]) -> Table:
    columns = [
        *(Column(name) for name in ("A", "B")),
        *(Column(name, numeric=True) for name in ("A minus B (points)", "Interval (points)", "Only A right")),
        *(Column(name, numeric=True) for name in ("Only B right", "p: bootstrap", "p: corrected t", "p: McNemar")),
        Column("p after Holm", numeric=True),
        Column("Better"),
    ]
    tests = ("p_bootstrap", "p_corrected_t", "p_mcnemar", "p_holm")
    entries = []
    for row in rows.to_dict("records"):
        a, b = (
            names[Cell(row["dataset"], row["protocol"], row[f"feature_{side}"], row[f"model_{side}"])] for side in "ab"
        )
        low, high = row["ci_low"], row["ci_high"]
        ends = _NONE if math.isnan(low) else f"{_points(low)} to {_points(high)}"
        entries.append(
            [
                *(Entry(a), Entry(b)),
                Entry(_points(row["difference"]), sort=row["difference"]),
                Entry(ends, sort=low),
                *(_count_entry(row[key]) for key in ("only_a", "only_b")),
                *(Entry(_NONE if math.isnan(row[key]) else f"{row[key]:.3f}", sort=row[key]) for key in tests),
                Entry({"a": a, "b": b}.get(row["better"], "no difference shown")),
            ]
        )
    caption = (
        "Every pair. Interval and first p-value: bootstrap over artists (and over seeds, where repeats are seeds). "
        "Corrected t: Nadeau and Bengio 2003, for folds and resampled splits. McNemar: exact, for single runs. A "
        "difference counts if every test sees it after Holm's correction for the number of pairs."
    )
    return Table(caption, columns, entries)


def _points(share: float) -> str:
    """Show a difference of shares in points, with its sign."""
    text = f"{abs(100 * share):.1f}"
    return text if text == "0.0" else f"{'+' if share > 0 else _MINUS}{text}"


def _finding(group: Sequence[CellResult], looks: Looks, compared: Mapping[tuple[Cell, Cell], Verdict]) -> Finding:
    best = group[0]
    mean, low, high = _accuracy(best)
    return Finding(
        dataset=dataset_name(best),
        protocol=cell_of(best).protocol,
        model=cell_of(best).model,
        feature=cell_of(best).feature,
        accuracy=percent(mean),
        interval=interval(low, high, ""),
        leaky=any(result["leaky"] for result in group),
        sentences=[
            f"Track accuracy, {statistic(best)}; largest genre {_chance(group)}.",
            _certainty(group, looks, compared),
        ],
    )


def _leaderboard_table(frame: pd.DataFrame, confidence: str) -> Table:
    columns = [
        Column("Model"),
        Column("Dataset"),
        Column("Protocol"),
        Column("Feature"),
        Column("Accuracy (%)", numeric=True),
        Column(f"{confidence} interval (%)", numeric=True),
        Column("Balanced acc. (%)", numeric=True),
        Column("Macro-F1 (%)", numeric=True),
        Column("Top-2 (%)", numeric=True),
        Column("Calibration error (points)", numeric=True),
        Column("Segment acc. (%)", numeric=True),
        Column("Chance (%)", numeric=True),
        Column("Mean over"),
        Column("Parameters", numeric=True),
        Column("Training", numeric=True),
    ]
    rows = [_leaderboard_row(row) for row in frame.to_dict("records")]
    caption = (
        "Test split. All but the segment accuracy is of tracks. ± is the standard deviation over repeats; top-2: the "
        "true genre is among the two most probable ones; calibration error: how far confidence and accuracy are apart "
        "(expected calibration error, 15 bins); chance is always answering the largest genre; training time is the sum "
        "over repeats."
    )
    return Table(caption, columns, rows)


def _leaderboard_row(row: Mapping[Any, Any]) -> list[Entry]:
    mean, low, high = (row[f"track_accuracy_{key}"] for key in ("mean", "ci_low", "ci_high"))
    metrics = ("balanced_accuracy", "macro_f1", "top_2_accuracy", "ece")
    shares = (*(f"track_{metric}_mean" for metric in metrics), "segment_accuracy_mean", "chance_largest_class")
    return [
        Entry(row["model"], badge=" · ".join(_marks(row))),
        Entry(part_name(row["dataset"], row["subset"])),
        Entry(row["protocol"]),
        Entry(row["feature"]),
        Entry(mean_and_sd(mean, row["track_accuracy_sd"]), sort=mean),
        Entry(interval(low, high, _NONE), sort=low, glyph=Glyph(mean, low, high, row["chance_largest_class"])),
        *(_share_entry(row[key]) for key in shares),
        Entry(row["statistic"].removeprefix("mean of ")),
        _count_entry(row["n_parameters"]),
        Entry(duration(row["training_s"]), sort=row["training_s"]),
    ]


def _share_entry(share: float) -> Entry:
    return Entry(percent(share, _NONE), sort=share)


def _count_entry(value: Any) -> Entry:
    return Entry(count(value, _NONE), sort=math.nan if value is None or pd.isna(value) else float(value))


def _view(
    figure: Figure, *, key: str, title: str, captions: Mapping[str, str] | str, height: int, menu: str = ""
) -> FigureView:
    """Take a figure's title and menu out of it: the page has its own, which are text and reachable by keyboard."""
    content = json.loads(figure.to_json())
    layout = content["layout"]
    menus = layout.pop("updatemenus", [])
    layout.pop("title", None)
    layout["annotations"] = []
    layout["height"] = height
    layout["margin"] = {"l": 8, "r": 24, "t": 12, "b": 8}
    options = []
    if not isinstance(captions, str):
        for button in menus[0]["buttons"]:
            data, changes = button["args"]
            changes = {name: value for name, value in changes.items() if not name.startswith("title")}
            options.append(Option(button["label"], captions[button["label"]], [data, changes]))
    caption = captions if isinstance(captions, str) else options[0].caption
    return FigureView(key, title, caption, {"data": content["data"], "layout": layout}, options, menu)


def _setting(group: Sequence[CellResult]) -> str:
    leaky = " (LEAKY)" if any(result["leaky"] for result in group) else ""
    return f"{dataset_name(group[0])} · {cell_of(group[0]).protocol}{leaky}"


def _accuracy_view(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> FigureView:
    (mean, low, high), worst = _accuracy(group[0]), group[-1]
    known = "" if math.isnan(low) else f" (interval {interval(low, high)})"
    sentence = f"{_name(group[0], looks)} has the highest mean track accuracy, {percent(mean)}{_PERCENT}{known}"
    if len(group) > 1:
        sentence += f"; {_name(worst, looks)} the lowest, {percent(_accuracy(worst)[0])}{_PERCENT}"
    caption = f"{sentence}. Always answering the largest genre gives {_chance(group)}."
    return _view(
        figures.accuracy_comparison(group, looks=looks),
        key=f"accuracy-{'-'.join(setting)}",
        title=_setting(group),
        captions=caption,
        height=34 * len(group) + 80,
    )


def _curves_view(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> FigureView:
    return _view(
        figures.learning_curves(group, looks=looks),
        key=f"curves-{'-'.join(setting)}",
        title=_setting(group),
        captions={quantity.title: _curves_caption(group, quantity, looks) for quantity in figures.QUANTITIES},
        height=360,
        menu="Quantity",
    )


def _curves_caption(group: Sequence[CellResult], quantity: figures.Quantity, looks: Looks) -> str:
    endings = []
    for result in group:
        epochs, means = figures.mean_curve(result, quantity)
        known = [(epoch, mean) for epoch, mean in zip(epochs, means, strict=True) if mean is not None]
        if known:
            epoch, mean = known[-1]
            shown = f"{mean:.1f}{_PERCENT}" if quantity.upper else f"{mean:.2f} nats"
            after = f" after {epoch:,} epochs" if len(epochs) > 1 else ""
            endings.append(f"{_name(result, looks)} {shown}{after}")
    if not endings:
        return f"{quantity.title}: not recorded."
    return f"{quantity.title}, mean over repeats: {_enumerated(endings)}."


def _reliability_view(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> FigureView:
    errors = []
    for result in group:
        bars = result["reliability"]["track"]
        sure = sum(bar["n"] * bar["confidence"] for bar in bars) / sum(bar["n"] for bar in bars)
        ece = number(summary_row(result, unit="track", metric="ece")["mean"])
        errors.append(f"{_name(result, looks)} {percent(ece)} (sure by {percent(sure)}{_PERCENT} on average)")
    return _view(
        figures.reliability_diagrams(group, looks=looks),
        key=f"reliability-{'-'.join(setting)}",
        title=_setting(group),
        captions=f"Expected calibration error in points, mean over repeats: {_enumerated(errors)}.",
        height=380,
    )


def _genre_table(group: Sequence[CellResult], looks: Looks) -> Table:
    genres = sorted({genre for result in group for genre in result["genres"]})
    rows = []
    for result in group:
        means = genre_means(result).reindex(genres)
        rows_of_genre = {genre: [float(means[key][genre]) for key in means] for genre in genres}
        entries = [
            Entry(_NONE if all(map(math.isnan, shares)) else " / ".join(map(_whole, shares)), sort=shares[-1])
            for shares in rows_of_genre.values()
        ]
        rows.append([Entry(_name(result, looks), badge="LEAKY" if result["leaky"] else ""), *entries])
    caption = (
        f"{_setting(group)}: precision / recall / F1 of the tracks of each genre in %, mean over repeats. Precision is "
        "the share of what was taken for the genre that is of it, recall the share of the genre that was found. "
        "Columns sort by F1."
    )
    return Table(caption, [Column("Model"), *(Column(genre, numeric=True) for genre in genres)], rows)


def _whole(share: float) -> str:
    return _NONE if math.isnan(share) else f"{100 * share:.0f}"


def _confusion_view(groups: Mapping[tuple[str, str], Sequence[CellResult]], unit: str) -> FigureView:
    ordered = [result for group in groups.values() for result in group]
    figure = figures.confusion_matrices(ordered, unit=unit)
    figure.update_layout(coloraxis_showscale=False)
    labels = [button["label"] for button in figure.to_plotly_json()["layout"]["updatemenus"][0]["buttons"]]
    captions = {label: _confusion_caption(result, unit) for label, result in zip(labels, ordered, strict=True)}
    title = f"{unit.capitalize()}s"
    return _view(figure, key=f"confusion-{unit}", title=title, captions=captions, height=480, menu="Cell")


def _confusion_caption(result: CellResult, unit: str) -> str:
    counts = confusion_counts(result, unit)
    right = f"{int(np.trace(counts)):,} of {_plural(int(counts.sum()), unit)} right (sum over repeats)"
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return f"{cell_of(result).model}: {right}, no confusion."
    shares = np.nan_to_num(figures.confusion_percent(result, unit)) * (wrong > 0)
    true, predicted = np.unravel_index(int(shares.argmax()), shares.shape)
    genres = result["genres"]
    pair = f"{genres[true]} was taken for {genres[predicted]} most often, {shares[true, predicted]:.1f}{_PERCENT}"
    return f"{cell_of(result).model}: {right}; {pair} ({_plural(int(counts[true, predicted]), unit)})."


def _dataset_view(report: Mapping[str, Any]) -> DatasetView:
    faults = report["faults"]
    kinds = Counter(fault["fault"] for fault in faults)
    genres = [
        [Entry(genre), *(_count_entry(numbers[key]) for key in ("clips", "usable", "artists"))]
        for genre, numbers in report["genres"].items()
    ]
    found = [
        [
            Entry(fault["track_id"]),
            Entry(fault["fault"]),
            Entry("quarantined" if fault["quarantined"] else "reported only"),
            Entry(fault["path"]),
            Entry(fault["detail"]),
        ]
        for fault in faults[:_MAX_FAULTS]
    ]
    return DatasetView(
        name=part_name(report["dataset"], report["subset"]["name"]),
        title=report["title"],
        facts={
            "Clips": count(report["n_clips"]),
            "Usable": count(report["n_usable"]),
            "Quarantined": count(report["n_quarantined"]),
            "Audio": duration(report["total_duration_s"]),
            "Licence": report["licence"],
            "Citation": report["citation"],
        },
        genres=Table(
            f"Clips of {report['dataset']} by genre",
            [Column("Genre"), *(Column(name, numeric=True) for name in ("Clips", "Usable", "Artists"))],
            genres,
        ),
        fault_counts=", ".join(f"{kind}: {n:,}" for kind, n in kinds.most_common()),
        faults=Table(
            f"Faults and duplicates found in {report['dataset']}",
            [Column(name) for name in ("Track", "Fault", "Consequence", "File", "Detail")],
            found,
        ),
        n_faults_left_out=len(faults) - len(found),
    )


def _splits_table(splits: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("Protocol"),
        Column("Dataset"),
        Column("Design"),
        Column("Promises apart"),
        Column("Repeats", numeric=True),
        Column("Tracks", numeric=True),
        *(Column(title, numeric=True) for _, title in _SPLIT_NUMBERS),
        Column("Artist unknown", numeric=True),
        *(Column(f"Imbalance of {split} (points)", numeric=True) for split in _SPLITS),
        Column("Split hash"),
    ]
    caption = (
        "Different values found on two sides of a split in any repeat; near-duplicates are one recording. Imbalance: "
        "the largest difference, over repeats and genres, between a genre's percentage of that side and of all sides."
    )
    return Table(caption, columns, [_split_row(report) for report in splits])


def _split_row(report: Mapping[str, Any]) -> list[Entry]:
    shared = report.get("leaks", {}).get("overall", {})
    imbalance = report.get("stratification_imbalance", {})
    return [
        Entry(report["protocol"], badge="LEAKY" if report.get("leaky") else ""),
        Entry(_split_name(report)),
        Entry(report.get("design", _NONE)),
        Entry(", ".join(report.get("promises", [])) or _NONE),
        _count_entry(report.get("n_repeats")),
        _count_entry(report.get("n_tracks")),
        *(_count_entry(shared.get(kind)) for kind, _ in _SPLIT_NUMBERS),
        _count_entry(report.get("unknown_artist_tracks")),
        *(_share_entry(number(imbalance.get(split))) for split in _SPLITS),
        Entry(report.get("split_hash", _NONE)),
    ]


def _split_name(report: Mapping[str, Any]) -> str:
    return part_name(report["dataset"], report.get("subset", ""))


def _leak_examples(splits: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{_split_name(report)} · {report['protocol']}, repeat {example['repeat']}: {kind} “{example['value']}” is in "
        f"{example['splits'][0]} ({example['track_ids'][0]}) and {example['splits'][1]} ({example['track_ids'][1]})."
        for report in splits
        for kind, examples in report.get("leaks", {}).get("examples", {}).items()
        for example in examples
    ]


def _cells_table(groups: Mapping[tuple[str, str], Sequence[CellResult]]) -> Table:
    words = ("Model", "Dataset", "Protocol", "Feature", "Epoch chosen", "Precision")
    numbers = ("Genres", *(f"{split} {unit}" for unit in ("tracks", "segments") for split in _SPLITS))
    more = ("Segment (s)", "Seed", "Parameters", "Training", "Inference", "Shared artists")
    columns = [
        *(Column(name) for name in words),
        *(Column(name, numeric=True) for name in (*numbers, *more)),
        *(Column(name) for name in ("Interval", "Split hash", "Feature hash", "Paper")),
    ]
    rows = [_cell_row(result) for group in groups.values() for result in group]
    return Table("What each cell was made of. Tracks and segments are means over repeats.", columns, rows)


def _cell_row(result: CellResult) -> list[Entry]:
    cell = cell_of(result)
    words = (result["selection"], result["precision"])
    return [
        Entry(cell.model, badge="LEAKY" if result["leaky"] else ""),
        *(Entry(text) for text in (dataset_name(result), cell.protocol, cell.feature, *words)),
        _count_entry(len(result["genres"])),
        *(_count_entry(result["n_tracks"][split]) for split in _SPLITS),
        *(_count_entry(result["n_segments"][split]) for split in _SPLITS),
        Entry(f"{result['segment_duration_s']:.2f}", sort=result["segment_duration_s"]),
        Entry(str(result["seed"])),
        _count_entry(result["n_parameters"]),
        Entry(duration(result["cost"]["training_s"]), sort=result["cost"]["training_s"]),
        Entry(duration(result["cost"]["inference_s"]), sort=result["cost"]["inference_s"]),
        _count_entry(result["leaks"].get("artists")),
        Entry(summary_row(result, unit="track", metric="accuracy")["interval"]),
        Entry(result["split_hash"]),
        Entry(result["feature_hash"]),
        Entry(result["reference"]),
    ]
