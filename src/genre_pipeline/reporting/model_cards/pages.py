"""The cards as Markdown: a page for each paper, a section for each preset, and an index of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from genre_pipeline.evaluation.published import PublishedFigure, published_figures
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.models.costs import Cost
from genre_pipeline.reporting.model_cards.costs import N_CLASSES, PASSES, ExperimentCost
from genre_pipeline.reporting.model_cards.papers import OTHERS, PAPERS, Paper
from genre_pipeline.reporting.model_cards.presets import Preset
from genre_pipeline.training import TrainingBlock

_HEAD = "<!-- Made by `python docs/make_model_cards.py`: edit the YAML or the docstrings, not this. -->\n"
_TAGS = (
    "Tags: [P] stated in the paper, [C] read from its authors' code or logs, [D] derived (mostly from parameter "
    "counts), [I] inferred, [?] said nowhere and chosen here. What is open, and the evidence: "
    "[ambiguities.md](ambiguities.md)."
)
_COST = (
    f"Parameters are the trainable ones with {N_CLASSES} genres. A GFLOP is 10^9 floating-point operations of the "
    "forward pass of one segment, two for each multiplication with its addition (half as many GMAC), in convolutions "
    "and matrix products alone."
)
_INDEX = (
    "Each model has a card. It gives the paper and its row, the reported figure with its unit, split and statistic, "
    "and marks every value as stated, derived, inferred or chosen. What the papers leave open is in "
    "[ambiguities.md](ambiguities.md)."
)
# Where and how something is computed, and what every preset has alike.
_NOT_SHOWN = frozenset({"device", "n_threads", "micro_batch_size"})
_ALWAYS_SHOWN = frozenset({"optimiser", "learning_rate", "batch_size", "max_epochs", "selection"})

# [P] 100 epochs of 800 tracks, 3 x 7.0 GFLOP each, in half an hour.
_GPU_RATE = 100 * 800 * 3 * 7.0e9 / 1800
_GPU_SOURCE = (
    "the half an hour that Heakl et al. report for 100 epochs of their 4-block network on GTZAN, on a Quadro RTX 5000 "
    "with Keras [P]."
)

Costs = Mapping[str, Cost | None]


def pages(presets: Sequence[Preset], costs: Costs, experiments: Mapping[str, ExperimentCost]) -> dict[str, str]:
    """Write the cards.

    Args:
        presets: All presets.
        costs: What each of them costs, by name.
        experiments: What the papers' experiments cost, by name.

    Returns:
        Content of each page, by its file's name.
    """
    by_paper = _by_paper(presets)
    return {f"{paper.name}.md": _page(paper, of_paper, costs, experiments) for paper, of_paper in by_paper}


def model_table(presets: Sequence[Preset], costs: Costs) -> str:
    """Write the index of the cards: a table of the models of each paper.

    Args:
        presets: All presets.
        costs: What each of them costs, by name.
    """
    lines = [_HEAD, "# Models", "", _INDEX, "", _COST, ""]
    for paper, of_paper in _by_paper(presets):
        noun = "model" if len(of_paper) == 1 else "models"
        lines += [
            f"## {paper.title}: {len(of_paper)} {noun}",
            "",
            "| model | row in the paper (table) | parameters | GFLOP | input |",
            "|---|---|--:|--:|---|",
            *(_table_row(preset, costs[preset.name], f"{paper.name}.md") for preset in of_paper),
            "",
        ]
    return "\n".join(lines)


def _by_paper(presets: Sequence[Preset]) -> list[tuple[Paper, list[Preset]]]:
    by_file: dict[str, list[Preset]] = {}
    for preset in presets:
        by_file.setdefault(preset.file, []).append(preset)
    others = sorted(by_file.keys() - {file for paper in PAPERS for file in paper.files})
    papers = (*PAPERS, replace(OTHERS, files=tuple(others))) if others else PAPERS
    return [(paper, [preset for file in paper.files for preset in by_file.get(file, ())]) for paper in papers]


def _table_row(preset: Preset, cost: Cost | None, page: str) -> str:
    figures = [figure for figure in published_figures() if figure.model == preset.name]
    tables: dict[str, dict[str, None]] = {}
    for figure in figures:
        tables.setdefault(figure.row, {})[figure.table] = None
    rows = ", ".join(f"{row} ({', '.join(each)})" for row, each in tables.items())
    cells = [f"[`{preset.name}`]({page}#{preset.name})", rows or "-", *_cost_cells(cost), _input(preset)]
    return f"| {' | '.join(cells)} |"


def _cost_cells(cost: Cost | None) -> tuple[str, str]:
    return ("-", "-") if cost is None else (f"{cost.n_parameters:,}", _gflop(cost))


def _gflop(cost: Cost) -> str:
    # Two digits: versions of torch may split a layer into other operations.
    return f"{float(f'{cost.n_flop / 1e9:.2g}'):g}"


def _input(preset: Preset) -> str:
    length = "the clip" if preset.segment_s is None else f"{preset.segment_s:.1f} s"
    return f"`{preset.model.feature}`, {preset.shape.n_bins} x {preset.shape.n_frames} ({length})"


def _page(paper: Paper, presets: Sequence[Preset], costs: Costs, experiments: Mapping[str, ExperimentCost]) -> str:
    families = list({preset.model.family: preset.model for preset in presets}.values())
    lines = [_HEAD, f"# {paper.title}", "", f"{paper.citation}.", ""]
    if paper.code:
        lines += [f"Code of the authors: {paper.code}", ""]
    if paper.experiments:
        noun = "experiment" if len(paper.experiments) == 1 else "experiments"
        commands = [f"`kedro run --pipelines train_all --experiment {each}`" for each in paper.experiments]
        lines += [f"The {noun}: {', '.join(commands)}.", ""]
    lines += [_TAGS, "", _COST, ""]
    if paper.timed:
        lines += ["## What it takes", "", *_bill(paper, costs, experiments), ""]
    if paper.figures:
        lines += ["## Reported", "", *_reported(paper), ""]
    for preset in presets:
        lines += [f"## {preset.name}", ""]
        if paper.name == OTHERS.name:
            reference = preset.model.spec.reference
            lines += [f"Paper of the family: {reference}." if reference else "No paper.", ""]
        lines += [*_card(preset, costs[preset.name]), ""]
    lines += ["## The parameters", ""]
    for model in families:
        lines += [f"### {model.family}", "", *_described(type(model.architecture)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _bill(paper: Paper, costs: Costs, experiments: Mapping[str, ExperimentCost]) -> list[str]:
    assert paper.timed is not None
    name, per_second = paper.timed
    cost = costs[name]
    assert cost is not None
    rate = per_second * PASSES * cost.n_flop
    lines = [
        "| experiment | dataset | protocol | cells | trainings | PFLOP | hours, two cores | hours, one GPU |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    efforts = [(each, *item) for each in paper.experiments for item in experiments[each].efforts.items()]
    for experiment, (dataset, protocol), effort in efforts:
        hours = [_rounded(effort.n_flop / each / 3600.0) for each in (rate, _GPU_RATE)]
        numbers = [str(effort.n_cells), str(effort.n_trainings), _rounded(effort.n_flop / 1e15), *hours]
        lines.append(f"| {' | '.join([f'`{experiment}`', dataset, protocol, *numbers])} |")
    features = max(experiments[each].feature_bytes for each in paper.experiments)
    weights = sum(effort.n_bytes for _, _, effort in efforts)
    disk = (
        f"Beside the audio, {_rounded(features / 1e9)} GB of features and {_rounded(weights / 1e9)} GB of weights on "
        "disk. Networks alone are counted, to the last epoch of their recipe: some stop earlier, and estimators take "
        f"minutes. A training step is {PASSES} forward passes, a validation one; the operations of a preset are taken "
        "in proportion to the size of a segment."
    )
    rates = (
        f"Two cores do {_rounded(rate / 1e9)} GFLOP/s: {per_second:g} segments of `{name}` per second in float32, "
        "measured on two AMD cores ([performance](../performance.md#training)). One GPU is taken to do "
        f"{_rounded(_GPU_RATE / 1e9)} GFLOP/s: {_GPU_SOURCE} None was at hand here. Newer ones are faster; by how much "
        "was not measured."
    )
    return [*lines, "", disk, "", rates, "", f"Measured here: {paper.measured}", "", f"The rest needs: {paper.needed}"]


def _rounded(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"


def _reported(paper: Paper) -> list[str]:
    lines = [
        "In %. *Comparable* says whether our number under that protocol, unit and statistic means the same.",
        "",
        "| table | row | preset | dataset | feature | protocol | unit | statistic | validation | test | comparable |",
        "|---|---|---|---|---|---|---|---|--:|--:|---|",
    ]
    rows: dict[str, dict[str, PublishedFigure]] = {}
    for figure in published_figures():
        if figure.paper in paper.figures:
            preset = f"`{figure.model}`" if figure.model else "-"
            what = [figure.table, figure.row, preset, figure.dataset, figure.feature or "-", figure.protocol]
            rows.setdefault(" | ".join([*what, figure.unit, figure.statistic]), {})[figure.split] = figure
    notes: dict[str, int] = {}
    for place, figures in rows.items():
        one = next(iter(figures.values()))
        mark = f" [{notes.setdefault(one.note, len(notes) + 1)}]" if one.note else ""
        scores = [_percent(figures.get(split)) for split in ("validation", "test")]
        lines.append(f"| {' | '.join([place, *scores, one.comparable + mark])} |")
    if notes:
        lines += ["", *(f"- [{number}] {note}" for note, number in notes.items())]
    return lines


def _percent(figure: PublishedFigure | None) -> str:
    return "-" if figure is None else f"{figure.accuracy:g}"


def _card(preset: Preset, cost: Cost | None) -> list[str]:
    n_parameters, gflop = _cost_cells(cost)
    size = "fitted to the data" if cost is None else f"{n_parameters} parameters, {gflop} GFLOP"
    lines = [f"{_input(preset)}; {size}.", ""]
    reported = [each for each in published_figures() if each.model == preset.name and each.split == "test"]
    if reported:
        best = ", ".join(
            dict.fromkeys(
                f"{each.accuracy:g} ({each.dataset}, {each.feature}, {each.protocol}, unit {each.unit}, statistic "
                f"{each.statistic})"
                for each in reported
            )
        )
        lines += [f"Reported: {best}.", ""]
    lines += ["```yaml", preset.text, "```", "", f"Architecture: {_values(preset.model.architecture.dump())}."]
    if not isinstance(preset.model.spec, EstimatorSpec):
        recipe = _changed(preset.model.training.dump(), TrainingBlock().dump(), always=_ALWAYS_SHOWN)
        lines += ["", f"Training: {_values(recipe)}."]
    return lines


def _changed(
    values: Mapping[str, Any], defaults: Mapping[str, Any], *, always: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return what is not as it is by default, in nested mappings too."""
    changed: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults.get(key)
        if key in _NOT_SHOWN or (value == default and key not in always):
            continue
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            changed[key] = _changed(value, default)
        else:
            changed[key] = value
    return changed


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in values.items()) or "no parameters"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({_values(value)})"
    if isinstance(value, list | tuple):
        return " ".join(_value(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described(block: type) -> list[str]:
    """Return the attributes of a block's docstring, as a list."""
    text = inspect.cleandoc(block.__doc__ or "")
    _, _, attributes = text.partition("Attributes:\n")
    lines: list[str] = []
    for line in attributes.splitlines():
        if line.startswith("    ") and not line.startswith("     "):
            name, _, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}")
        elif line.strip():
            lines[-1] += f" {line.strip()}"
    return [line.replace("``", "`") for line in lines]
