"""Search spaces: the searched parameters of a model, and their values."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.registry import suggestion
from genre_pipeline.training import ModelBlock, parse_model

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# The parts of a model's block that affect its result.
_PARTS = ("architecture", "training")


class Dimension(Block):
    """One searched parameter."""

    @abstractmethod
    def ends(self) -> tuple[Any, ...]:
        """Return the values to check so that all values are allowed: both ends, or every choice."""

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """Return the dimension as an Optuna distribution."""

    def value(self, drawn: Any) -> Any:
        """Return the parameter's value for a value drawn by Optuna."""
        return drawn


class FloatRange(Dimension):
    """Any number of a range.

    Attributes:
        kind: ``float``.
        low: The least value.
        high: The greatest value.
        log: Whether values are drawn evenly on a logarithmic scale.
    """

    kind: Literal["float"]
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> FloatRange:
        _check_range(self.low, self.high, log=self.log)
        return self

    def ends(self) -> tuple[float, float]:
        """Return both ends."""
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """Return the range as an Optuna distribution."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)


class IntegerRange(Dimension):
    """Any whole number of a range.

    Attributes:
        kind: ``integer``.
        low: The least value.
        high: The greatest value.
        log: Whether values are drawn evenly on a logarithmic scale.
    """

    kind: Literal["integer"]
    low: int
    high: int
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> IntegerRange:
        _check_range(self.low, self.high, log=self.log)
        return self

    def ends(self) -> tuple[int, int]:
        """Return both ends."""
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """Return the range as an Optuna distribution."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log)


class Choice(Dimension):
    """One of several values of any YAML type: numbers, texts, lists, whole blocks.

    Attributes:
        kind: ``choice``.
        values: The values.
    """

    kind: Literal["choice"]
    values: tuple[Any, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _are_different(self) -> Choice:
        if len(set(self._labels())) < len(self.values):
            raise ValueError("A value is there twice")
        return self

    def _labels(self) -> list[str]:
        # Optuna stores plain values only.
        return [json.dumps(value, sort_keys=True) for value in self.values]

    def ends(self) -> tuple[Any, ...]:
        """Return every value."""
        return self.values

    def distribution(self) -> BaseDistribution:
        """Return the choice as an Optuna distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self._labels())

    def value(self, drawn: Any) -> Any:
        """Return the value whose label Optuna drew."""
        return self.values[self._labels().index(drawn)]


def _check_range(low: float, high: float, *, log: bool) -> None:
    if low >= high:
        raise ValueError(f"low={low:g} must be less than high={high:g}")
    if log and low <= 0:
        raise ValueError(f"A logarithmic range begins above zero, and low is {low:g}")


DIMENSIONS: Mapping[str, type[Dimension]] = {"float": FloatRange, "integer": IntegerRange, "choice": Choice}


@dataclass(frozen=True)
class SearchSpace:
    """The search space of one model.

    Attributes:
        model: The model's name.
        dimensions: The searched parameters by their dotted place in the model's block:
            ``training.learning_rate``.
    """

    model: str
    dimensions: Mapping[str, Dimension]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space as Optuna distributions."""
        return {place: dimension.distribution() for place, dimension in self.dimensions.items()}

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each parameter, by its place, for the values drawn by Optuna."""
        return {place: dimension.value(drawn[place]) for place, dimension in self.dimensions.items()}

    def dump(self) -> dict[str, Any]:
        """Return plain JSON types, for fingerprints."""
        return {place: dimension.dump() for place, dimension in self.dimensions.items()}


def parse_space(name: str, values: object, model: Mapping[str, Any], defaults: object) -> SearchSpace:
    """Check a model's search space: its form, and that every value is valid for the model.

    Args:
        name: The model's name.
        values: The space from the YAML: the model's block, with a dimension instead of each searched value.
        model: The model's own parameters.
        defaults: Training parameters that models share.

    Returns:
        The space.

    Raises:
        ConfigError: If a dimension is wrong, or one of its ends is not valid for the model's parameter; the message
            names the key.

    Example:
        >>> learning_rate = {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True}
        >>> values = {"training": {"learning_rate": learning_rate}}
        >>> space = parse_space("net", values, {"family": "crnn", "feature": "log_mel_100"}, {})
        >>> space.dimensions["training.learning_rate"].ends()
        (0.0001, 0.01)
    """
    key = f"tuning.spaces.{name}"
    dimensions = dict(_dimensions(values, key, ()))
    if not dimensions:
        raise ConfigError(f"{key}: has no dimension. Give at least one parameter a kind ({', '.join(DIMENSIONS)}).")
    for place, dimension in dimensions.items():
        if place.split(".")[0] not in _PARTS:
            raise ConfigError(f"{key}.{place}: is not searched. {suggestion(place.split('.')[0], _PARTS)}")
        for end in dimension.ends():
            _check_value(name, place, end, model, defaults)
    return SearchSpace(name, dimensions)


def with_values(model: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's parameters with some values replaced, merged like a Kedro environment's.

    Args:
        model: The model's own parameters, nested. Not changed.
        values: Values by dotted place; a mapping is merged key by key with the existing one.

    Example:
        >>> with_values({"training": {"batch_size": 8, "max_epochs": 2}}, {"training.batch_size": 16})
        {'training': {'batch_size': 16, 'max_epochs': 2}}
    """
    changed = dict(model)
    for place, value in values.items():
        head, _, rest = place.partition(".")
        inner = {rest: value} if rest else value
        changed[head] = with_values(changed.get(head) or {}, inner) if isinstance(inner, Mapping) else inner
    return changed


def _dimensions(values: object, key: str, path: tuple[str, ...]) -> Iterator[tuple[str, Dimension]]:
    here = ".".join([key, *path])
    if not isinstance(values, Mapping):
        kinds = ", ".join(DIMENSIONS)
        raise ConfigError(
            f"{here}: expected a dimension, such as {{kind: float, low: 0.1, high: 1.0}} ({kinds}), got {values!r}."
        )
    kind = values.get("kind")
    # A mapping below "kind" is the dimension of a parameter of that name.
    if not isinstance(kind, str):
        for name, inner in values.items():
            yield from _dimensions(inner, key, (*path, str(name)))
    elif kind in DIMENSIONS:
        yield ".".join(path), parse_block(DIMENSIONS[kind], values, key=here)
    else:
        raise ConfigError(f"{here}.kind: '{kind}' is no kind of dimension. {suggestion(kind, DIMENSIONS)}")


def _check_value(name: str, place: str, value: Any, model: Mapping[str, Any], defaults: object) -> None:
    try:
        block: ModelBlock = parse_model(name, with_values(model, {place: value}), defaults)
    except ConfigError as error:
        raise ConfigError(f"tuning.spaces.{name}.{place}: {value!r} is no value of the parameter. {error}") from None
    # A model that itself selects by the test split is an error only when it is tuned; here it may be part of an
    # experiment.
    if block.selects_by_test and not parse_model(name, model, defaults).selects_by_test:
        raise ConfigError(
            f"tuning.spaces.{name}.{place}: {value!r} would use the test split, which tuning must not use."
        )
