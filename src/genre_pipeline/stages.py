"""Stages: functions whose results are stored, with the version of their code and what they read of their inputs.

A stage is handed what its signature declares and no more, and what its result depends on is read off the same
signature: there is no second list to keep in step.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_type_hints

from typing_extensions import override

from genre_pipeline.blocks import Block

F = TypeVar("F", bound=Callable[..., Any])


class _Declared(dict[str, Any]):
    """The declared keys of a mapping. ``get`` fails for another key: its default would pass for the value."""

    def __init__(self, values: Mapping[str, Any], keys: Collection[str]) -> None:
        super().__init__(values)
        self._keys = keys

    @override
    def get(self, key: str, default: Any = None) -> Any:
        if key not in self._keys:
            raise KeyError(f"'{key}' is read and not declared: add it to the argument's Reads(...).")
        return super().get(key, default)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self._keys)


@dataclass(frozen=True, init=False)
class Reads:
    """The columns of a table, or the keys of a mapping, that a stage reads, as ``Annotated[Table, Reads("genre")]``.

    Args:
        *parts: Their names.
    """

    parts: tuple[str, ...]

    def __init__(self, *parts: str) -> None:
        object.__setattr__(self, "parts", parts)

    def of(self, value: Any) -> Any:
        """Return a table or mapping without what is not declared, or several of them.

        Args:
            value: The table or mapping, or a list of them. A key that it lacks is lacking afterwards too.

        Raises:
            KeyError: If a table lacks a column; later, if the stage gets a key that is not declared.
        """
        if isinstance(value, list | tuple):
            return type(value)(map(self.of, value))
        if isinstance(value, Mapping):
            return _Declared({part: value[part] for part in self.parts if part in value}, self.parts)
        return value[list(self.parts)]


LOGGED = "logged"
"""Marks an argument on which no result depends: ``Annotated[str, LOGGED]``.

It is only logged, says where intermediate results are kept, or is lent by the session: a function that writes logs, the
run before, the command. What nobody lends arrives as ``None``, and the stage gets its default.
"""
SETTINGS = "settings"
"""Marks a block of which only the parameters count: ``Annotated[FeatureBlock, SETTINGS]``.

The stage does not run the code that the block chooses: a new version of a feature's extractor does not make it stale.
"""


class Facts(NamedTuple):
    """What a stage's result depends on beside its inputs.

    Attributes:
        versions: Versions of the code that the stage runs, that of its blocks included.
        parameters: The parameters that decide, by key, in plain JSON types.
    """

    versions: dict[str, int | str]
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """What is declared of a stage.

    Attributes:
        name: The function's name.
        version: Version of its code, raised whenever its results change.
        uses: Other stages whose code it runs, and which have versions of their own.
        reads: For some arguments, the parts that it reads; all of the others.
        blocks: For arguments that are parameter blocks, their class.
        logged: Arguments on which no result depends.
        settings: Arguments whose block's parameters count, and not the code that it chooses.
        lists: The argument whose dataset's files it lists, if it does.
    """

    name: str
    version: int
    uses: tuple[Stage, ...] = ()
    reads: Mapping[str, Reads] = field(default_factory=dict)
    blocks: Mapping[str, type[Block]] = field(default_factory=dict)
    logged: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    lists: str = ""

    @property
    def versions(self) -> dict[str, int]:
        """The versions of the code that it runs, by the name of the stage."""
        return {self.name: self.version} | {name: n for used in self.uses for name, n in used.versions.items()}

    def facts(self, parameters: Iterable[tuple[str, str, Any]]) -> Facts:
        """Return what a result depends on, given the parameters: the same for records and for what stages keep.

        Args:
            parameters: Of each parameter the argument's name, the key to call it by, and its value.
        """
        counted = [each for each in parameters if each[0] not in self.logged]
        run = [value for name, _, value in counted if name not in self.settings and isinstance(value, Block)]
        return Facts(
            versions={**self.versions, **{name: n for block in run for name, n in block.code.items()}},
            parameters={key: value.deciding() if isinstance(value, Block) else value for _, key, value in counted},
        )


def stage(*, version: int, uses: tuple[Callable[..., Any], ...] = (), lists: str = "") -> Callable[[F], F]:
    """Declare a function to be a stage.

    Arguments annotated with :class:`Reads` arrive as that projection; those annotated with a block class arrive as
    blocks, whether they are given as such or as plain mappings.

    Args:
        version: Version of its code, raised whenever its results change.
        uses: Other stages whose code it runs.
        lists: The argument whose dataset's files it lists, if it does.

    Example:
        >>> from typing import Annotated
        >>> @stage(version=1)
        ... def count_genres(tracks: Annotated[dict, Reads("genre")]) -> int:
        ...     return len(set(tracks["genre"]))
        >>> count_genres({"genre": ["jazz", "rock"], "artist": ["A", "B"]})
        2
        >>> stage_of(count_genres).versions
        {'count_genres': 1}
    """

    def declare(function: F) -> F:
        if isinstance(function, type):
            return _declared(function, Stage(function.__name__, version))
        signature = inspect.signature(function)
        every_hint = get_type_hints(function, include_extras=True)
        hints = {name: every_hint[name] for name in signature.parameters if name in every_hint}
        reads = {name: each for name, hint in hints.items() for each in get_args(hint) if isinstance(each, Reads)}
        logged, settings = (
            frozenset(name for name, hint in hints.items() if mark in get_args(hint)) for mark in (LOGGED, SETTINGS)
        )
        types = {name: get_args(hint)[0] if name in logged | settings else hint for name, hint in hints.items()}
        blocks = {name: each for name, each in types.items() if isinstance(each, type) and issubclass(each, Block)}
        used = tuple(map(stage_of, uses))
        declared = Stage(function.__name__, version, used, reads, blocks, logged, settings, lists)
        defaults = {name: each.default for name, each in signature.parameters.items() if name in logged}
        lent = {name: default for name, default in defaults.items() if default is not inspect.Parameter.empty}
        if not (reads or blocks or lent):
            return _declared(function, declared)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs)
            for name, value in given.arguments.items():
                if name in reads:
                    given.arguments[name] = reads[name].of(value)
                elif name in blocks and isinstance(value, Mapping):
                    given.arguments[name] = blocks[name].parse(value, key=name)
                elif name in lent and value is None:
                    given.arguments[name] = lent[name]
            return function(*given.args, **given.kwargs)

        # What Kedro hands over. Of a block's class it would make the base class, which knows nothing of the kind.
        run.__annotations__ = {name: dict[str, Any] if name in blocks else hint for name, hint in every_hint.items()}
        return cast("F", _declared(run, declared))

    return declare


def _declared(function: F, declared: Stage) -> F:
    cast("Any", function).stage = declared
    return function


def stage_of(function: Callable[..., Any]) -> Stage:
    """Return what is declared of a stage.

    Args:
        function: The stage, or a partial application of it.

    Raises:
        TypeError: If it is no stage.
    """
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    declared = getattr(target, "stage", None)
    if not isinstance(declared, Stage):
        raise TypeError(f"{getattr(target, '__qualname__', target)} has no version: declare it with @stage(version=1).")
    return declared
