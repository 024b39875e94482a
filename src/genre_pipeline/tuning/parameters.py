"""Parameters of tuning, checked before any work starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from genre_pipeline.blocks import Block, Epochs, Repeat, Seed, parse_block
from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError
from genre_pipeline.registry import suggestion
from genre_pipeline.tuning.space import SearchSpace, parse_space


class TuningBlock(Block):
    """How a model's parameters are searched.

    Attributes:
        cell: The cell to tune, ``dataset.protocol.feature.model``; empty for the experiment's first cell whose model
            has a search space.
        repeat: The repeat whose training split models train on, and whose validation split compares them.
        n_trials: Trials in all, including those that an earlier session finished.
        metric: The value of a trial: ``validation_accuracy`` or ``validation_loss`` of its selected epoch (segments).
        sampler: How parameters are drawn: ``tpe`` (tree-structured Parzen estimator, J. Bergstra et al., NIPS 2011)
            or ``random``.
        n_startup_trials: Random trials at the start; until they end, no trial is cut short.
        pruner: Which trials are cut short: ``median`` (those whose best epoch so far is worse than the median of the
            earlier trials at this epoch) or ``none``.
        n_warm_up_epochs: Epochs that every trial gets.
        seed: Seed of the sampler.
        spaces: Search space of each model that has one: the model's block, with a dimension instead of each searched
            value.
    """

    cell: str = ""
    repeat: Repeat = 0
    n_trials: Epochs = 20
    metric: Literal["validation_accuracy", "validation_loss"] = "validation_accuracy"
    sampler: Literal["tpe", "random"] = "tpe"
    n_startup_trials: Epochs = 5
    pruner: Literal["median", "none"] = "median"
    n_warm_up_epochs: int = Field(default=2, ge=0, le=100_000)
    seed: Seed = 0
    spaces: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Return the parameters that decide how a trial is drawn and valued."""
        return self.model_dump(mode="json", exclude={"cell", "repeat", "n_trials", "spaces"})


@dataclass(frozen=True)
class Tuning:
    """All parameters of tuning, checked.

    Attributes:
        block: How parameters are searched.
        spaces: The search space of each model that has one.
    """

    block: TuningBlock
    spaces: Mapping[str, SearchSpace]

    def choose_cell(self, cells: Iterable[Cell]) -> Cell | None:
        """Return the cell to tune: the one named, or the first whose model has a search space.

        Args:
            cells: The experiment's cells.
        """
        if self.block.cell:
            return Cell.parse(self.block.cell)
        return next((cell for cell in cells if cell.model in self.spaces), None)


def parse_tuning(values: object, models: Mapping[str, Any], defaults: object) -> Tuning:
    """Check the tuning parameters and every search space.

    Args:
        values: The parameters from the YAML.
        models: The parameters of all models.
        defaults: Training parameters that models share.

    Raises:
        ConfigError: If a parameter is wrong, a space is of no model or does not fit it, or the model to tune has none.
    """
    block = parse_block(TuningBlock, values, key="tuning")
    spaces = {}
    for name, space in block.spaces.items():
        if name not in models:
            raise ConfigError(f"tuning.spaces.{name}: there is no such model. {suggestion(name, models)}")
        spaces[name] = parse_space(name, space, models[name], defaults)
    if block.cell and (model := Cell.parse(block.cell).model) not in spaces:
        raise ConfigError(f"tuning.cell: '{model}' has no search space (tuning.spaces). {suggestion(model, spaces)}")
    return Tuning(block, spaces)
