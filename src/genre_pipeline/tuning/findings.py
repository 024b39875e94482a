"""Results of a search for the user: a table, two figures, and a block of parameters to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from genre_pipeline.tuning.space import with_values
from genre_pipeline.tuning.study import Search, Tuned

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def trials_table(tuned: Tuned) -> pd.DataFrame:
    """Return one row per trial: number, state, value, epochs, seconds, its parameters, and why it failed."""
    return pd.DataFrame(
        [
            {
                "trial": each.number,
                "state": each.state,
                "value": each.value,
                "n_epochs": each.n_epochs,
                "seconds": each.seconds,
                **{place: _plain(value) for place, value in each.values.items()},
                "reason": each.reason,
            }
            for each in tuned.trials
        ]
    )


def best_parameters(search: Search, tuned: Tuned) -> str:
    """Return the best trial's parameters as YAML for an environment, with a note of their origin.

    Args:
        search: The search.
        tuned: Its result.

    Returns:
        The text: a comment, the same for ``--params`` in a comment, and a block ``models: <name>: ...``.
    """
    best, model = tuned.best, search.space.model
    states = [each.state for each in tuned.trials]
    key = f"models.{model}"
    flat = ",".join(f"{key}.{place}={_plain(value)}" for place, value in best.values.items())
    repeat, elsewhere = search.development.repeat, search.development.n_tested_elsewhere
    others = f"{states.count('pruned')} cut short, {states.count('failed')} failed"
    lines = [
        f"Trial {best.number} of {search.development.cell}, the best of {len(states)} ({others}).",
        f"{_name(search)} {best.value:.4f} (of segments, repeat {repeat}): too good, because it chose the trial.",
        "The test split was not looked at.",
    ]
    if elsewhere:
        lines.append(f"Other repeats test on {elsewhere} of the tracks that were used: test on this repeat only.")
    lines += ["Put this file into conf/local/parameters/, or run with", f'--params "{flat}"']
    block = {"models": {model: with_values({}, best.values)}}
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(block, sort_keys=False)


def draw_history(search: Search, tuned: Tuned) -> Figure:
    """Draw the value of each trial, and the best so far."""
    from optuna.visualization import plot_optimization_history

    figure = plot_optimization_history(tuned.study, target_name=_name(search))
    return _titled(figure, f"Trials of {search.development.cell}")


def draw_importance(search: Search, tuned: Tuned) -> Figure:
    """Draw how much of the differences between completed trials each parameter explains (functional ANOVA).

    F. Hutter, H. Hoos and K. Leyton-Brown, ICML 2014. With fewer than two completed trials there are no differences.
    """
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.visualization import plot_param_importances
    from plotly.graph_objects import Figure

    title = f"What matters to {_name(search)} in {search.development.cell}"
    if len({each.value for each in tuned.trials if each.state == "complete"}) < 2:
        figure = Figure()
        figure.add_annotation(text="Fewer than two different results of completed trials", showarrow=False)
    else:
        evaluator = FanovaImportanceEvaluator(seed=search.block.seed)
        figure = plot_param_importances(tuned.study, evaluator=evaluator, target_name=_name(search))
    return _titled(figure, title)


def _titled(figure: Figure, title: str) -> Figure:
    figure.update_layout(title=title, template="plotly_white", height=420)
    return figure


def _name(search: Search) -> str:
    return search.block.metric.replace("_", " ")


def _plain(value: Any) -> Any:
    """Return a number unchanged, and everything else as YAML on one line."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip()
