"""Registries: named choices (datasets, features, models, protocols) that YAML refers to by name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from genre_pipeline.errors import UnknownNameError


class Named(Protocol):
    """Anything with a ``name``."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...


T = TypeVar("T", bound=Named)


# [?] Names that a message lists: all models are fewer, all nodes of an experiment are hundreds.
_N_LISTED = 60
# [?] Of more, those that are nearest.
_N_NEAREST = 8


def suggestion(name: str, known: Iterable[str]) -> str:
    """Suggest the known name that was probably meant, and list the names: of many, the nearest.

    Args:
        name: The name that was given.
        known: The names that exist.

    Returns:
        One sentence or two, for the end of an error message.

    Example:
        >>> suggestion("net3", ["net1", "svm"])
        "Did you mean 'net1'? Known: net1, svm."
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    if len(names) > _N_LISTED:
        nearest = difflib.get_close_matches(name, names, n=_N_NEAREST, cutoff=0.0)
        return f"{hint}Known: {len(names)}, of which the nearest are {', '.join(nearest)}."
    return f"{hint}Known: {', '.join(names) if names else 'none'}."


class Registry(Generic[T]):
    """A collection of named things of one kind.

    Modules register what they define when they are imported; :meth:`load` imports every module of a package, so
    that adding a member needs no list to be edited.

    Args:
        kind: What the members are, in the singular, for messages: ``"model"``.
        package: Package whose modules register the members, imported on first look-up.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Shape:
        ...     name: str
        >>> shapes = Registry[Shape]("shape")
        >>> _ = shapes.register(Shape("circle"))
        >>> shapes["circel"]
        Traceback (most recent call last):
        ...
        genre_pipeline.errors.UnknownNameError: Unknown shape 'circel'. Did you mean 'circle'? Known: circle.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._members: dict[str, T] = {}

    def register(self, member: T) -> T:
        """Add a member and return it.

        Raises:
            ValueError: If the name is taken.
        """
        if member.name in self._members:
            raise ValueError(f"The {self.kind} '{member.name}' is registered twice.")
        self._members[member.name] = member
        return member

    def load(self) -> None:
        """Import every module of the registry's package once."""
        if self._package is None:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
        self._package = None

    def names(self) -> list[str]:
        """Return the registered names in alphabetical order."""
        self.load()
        return sorted(self._members)

    def __getitem__(self, name: str) -> T:
        """Return the member of that name.

        Raises:
            UnknownNameError: If there is none; the message names the nearest and all known ones.
        """
        self.load()
        try:
            return self._members[name]
        except KeyError:
            message = f"Unknown {self.kind} '{name}'. {suggestion(name, self._members)}"
            raise UnknownNameError(message) from None

    def __contains__(self, name: object) -> bool:
        """Whether the name is registered."""
        self.load()
        return name in self._members

    def __iter__(self) -> Iterator[T]:
        """Iterate over the members in alphabetical order of their names."""
        return iter([self._members[name] for name in self.names()])

    def __len__(self) -> int:
        """Return how many members there are."""
        self.load()
        return len(self._members)


class Pretraining(NamedTuple):
    """What is to know of a pretrained network that a feature or a model is made of, for model card and report.

    Attributes:
        licence: Of its weights.
        trained_on: The data that it was trained on.
        overlap: Whether that data may hold test tracks or their artists, in a sentence.
        part: What is made of it: the ``feature``, or the model (``network``), which is trained further.
    """

    licence: str
    trained_on: str
    overlap: str
    part: str = "feature"
