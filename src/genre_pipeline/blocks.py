"""Parameter blocks: frozen, typed views of the YAML, checked before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Self

from genre_pipeline.errors import ConfigError, UnknownNameError
from genre_pipeline.registry import Named, Registry, suggestion

# Every number has bounds on both sides, so that a slip (a zero too many, 1e12) is named before any work. They are far
# beyond what papers and presets use [?], and keep the memory and time of one step to what a large machine has. Those
# that many blocks share are here; the others stand at their fields.

# Units or channels of a layer: two such layers have 67 million weights between them, 1 GB while they are trained.
Width = Annotated[int, Field(ge=1, le=8192)]
# Layers, blocks, or experts, each with weights of its own.
Depth = Annotated[int, Field(ge=1, le=256)]
# Epochs, or steps of a search: beyond any training.
Epochs = Annotated[int, Field(ge=1, le=100_000)]
# Repeats of a protocol, each a training of its own, and folds.
Repeats = Annotated[int, Field(ge=1, le=1000)]
Repeat = Annotated[int, Field(ge=0, le=999)]
# Seeds of numpy and scikit-learn have 32 bits [D]; half of them leave room for one that is added to.
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
# Positive weights and rates of which only the scale matters; single precision holds them [D].
Positive = Annotated[float, Field(gt=0.0, le=1e12)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e12)]
# Durations: a day is longer than any file.
Seconds = Annotated[float, Field(ge=0.0, le=86_400.0)]


class Block(BaseModel):
    """Base of every parameter block: immutable; unknown keys, infinity and NaN are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants", protected_namespaces=()
    )

    @classmethod
    def parse(cls, values: object, *, key: str) -> Self:
        """Check raw parameter values and freeze them: see :func:`parse_block`."""
        return parse_block(cls, values, key=key)

    def dump(self) -> dict[str, Any]:
        """Return plain JSON types, for fingerprints, checkpoints and MLflow parameters."""
        return self.model_dump(mode="json")

    def deciding(self) -> dict[str, Any]:
        """Return the parameters that decide a result, in plain JSON types: not where and how fast it is computed."""
        return self.dump()

    @property
    def code(self) -> dict[str, int | str]:
        """Versions of the code that the block chooses, such as its extractor's, by name."""
        return {}

    @property
    def user_files(self) -> tuple[Path, ...]:
        """Files and folders of the user that the block names, and whose content decides a result."""
        return ()


B = TypeVar("B", bound=Block)
T = TypeVar("T", bound=Named)


def parse_block(block_type: type[B], values: object, *, key: str) -> B:
    """Check raw parameter values and freeze them.

    Args:
        block_type: The block's class.
        values: What the YAML holds: a mapping.
        key: The parameters' dotted path, for messages: ``"models.net1.training"``.

    Returns:
        The frozen block.

    Raises:
        ConfigError: If a value is missing, unknown, of the wrong type or out of range. Every fault is listed, with
            its key, the value given and what is allowed.

    Example:
        >>> class Fade(Block):
        ...     fade_s: float
        >>> parse_block(Fade, {"fade": 1}, key="demo")
        Traceback (most recent call last):
        ...
        genre_pipeline.errors.ConfigError: 2 bad parameters:
          demo.fade_s: is missing (Field required).
          demo.fade: is not a parameter. Did you mean 'fade_s'? Known: fade_s.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}: expected a mapping of parameters, got {_shown(values)}.")
    try:
        return block_type.model_validate(dict(values))
    except ValidationError as error:
        faults = [_fault(block_type, key, dict(fault)) for fault in error.errors()]
        head = "1 bad parameter" if len(faults) == 1 else f"{len(faults)} bad parameters"
        raise ConfigError("\n  ".join([f"{head}:", *faults])) from None


def registered(registry: Registry[T], values: object, *, key: str) -> T:
    """Return the member of a registry that a block's ``kind`` names.

    Args:
        registry: The registry.
        values: The block's raw values.
        key: The parameters' dotted path, for messages.

    Raises:
        ConfigError: If there is no kind, or none of that name.
    """
    if not isinstance(values, Mapping) or "kind" not in values:
        raise ConfigError(f"{key}.kind: is missing. {suggestion('', registry.names())}")
    try:
        return registry[str(values["kind"])]
    except UnknownNameError as error:
        raise ConfigError(f"{key}.kind: {error}") from None


def _shown(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _fault(block_type: type[Block], key: str, fault: dict[str, Any]) -> str:
    location = ".".join([key, *(str(part) for part in fault["loc"])])
    if fault["type"] == "missing":
        return f"{location}: is missing ({fault['msg']})."
    if fault["type"] == "extra_forbidden":
        owner = _owner(block_type, fault["loc"])
        return f"{location}: is not a parameter. {suggestion(str(fault['loc'][-1]), owner.model_fields)}"
    # Pydantic's own prefix for what a check of the project says.
    reason = fault["msg"].removeprefix("Value error, ").removesuffix(".")
    return f"{location}: got {_shown(fault['input'])}. {reason}."


def _owner(block_type: type[Block], location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the (nested) block class that holds the last part of a location."""
    owner: type[BaseModel] = block_type
    for part in location[:-1]:
        field = owner.model_fields.get(str(part))
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            owner = field.annotation
    return owner
