"""What is stale, and why: the present facts of each step against the record of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genre_pipeline.errors import ConfigError
from genre_pipeline.ops.refresh.content import WHOLE
from genre_pipeline.ops.refresh.graph import Graph, Step
from genre_pipeline.ops.refresh.listing import ListingCheck, check_listing
from genre_pipeline.ops.refresh.records import Record, damage, file_stamps, read_parts, read_record
from genre_pipeline.registry import suggestion

# Hashes of the parts that an entry will hold: no hash where that is not known yet; none at all where nothing is known.
Expected = Mapping[str, str | None] | None

# Parts of a quality report that can change with the metadata though no genre does.
_METADATA_PARTS = frozenset({"genres"})
# The cause of a step that never ran.
NOT_MADE = "there is no result of it yet"
# That of one whose results cannot be trusted.
NO_RECORD = (
    "its result has no record of what it was made from: its run failed or was interrupted, or is of an old release"
)
# [?] Causes and steps in a summary; --explain shows all of a cell or step.
_MAX_CAUSES = 10
_MAX_STEPS = 30
# [?] Names in a message; the others are counted.
_MAX_NAMED = 5


@dataclass(frozen=True)
class Cause:
    """Why a step is stale.

    Attributes:
        text: In words.
        origin: The step that makes what has changed, or may; empty where it is no result.
        is_certain: Whether it is known before the origin runs.
        is_first: Whether nothing else caused it: no result of another step is another one.
    """

    text: str
    origin: str = ""
    is_certain: bool = True
    is_first: bool = True


@dataclass(frozen=True)
class Plan:
    """What has to be run.

    Attributes:
        graph: All steps.
        causes: Why each stale step is stale, by its name, in the order in which they would run.
        listings: What has happened to the files of each dataset.
    """

    graph: Graph
    causes: Mapping[str, tuple[Cause, ...]]
    listings: Mapping[str, ListingCheck] = field(default_factory=dict)

    @property
    def stale(self) -> list[str]:
        """Names of the stale steps, in the order in which they would run."""
        return list(self.causes)

    @property
    def signature(self) -> tuple[object, ...]:
        """A key of the state of files, parameters and results, valid within this process."""
        digests = tuple(check.digest for check in self.listings.values())
        return (self.graph.key, digests, tuple(self.causes.items()))

    @property
    def n_tracks(self) -> int:
        """Tracks whose files were checked."""
        return sum(check.n_tracks for check in self.listings.values())

    def summary(self, *, is_short: bool = False) -> str:
        """Describe what is stale: what caused it, then the steps; of many, the first ones.

        Args:
            is_short: Whether to leave out the steps.
        """
        checked = f"{len(self.graph.steps):,} steps, {self.n_tracks:,} tracks"
        if not self.causes:
            return f"Nothing is stale ({checked})."
        width = max(map(len, self.causes))
        n_steps = Counter(cause.text for causes in self.causes.values() for cause in {*causes} if cause.is_first)
        found = [f"  {n:,} step{'' if n == 1 else 's'}: {text}" for text, n in n_steps.most_common()]
        lines = [f"  {name:<{width}}  {'; '.join(map(_text, causes))}" for name, causes in self.causes.items()]
        causes = ["Causes:", *_cut(found, _MAX_CAUSES)] if found else []
        steps = [] if is_short else [*(["Steps:"] if found else []), *_cut(lines, _MAX_STEPS)]
        return "\n".join([f"Stale: {len(lines)} of {checked}.", *causes, *steps])

    def explain(self, name: str) -> list[str]:
        """Explain why a cell or a step is stale, back to the file, parameter or code that changed.

        Args:
            name: A cell, a step, or any namespace, such as a dataset.

        Raises:
            ConfigError: If there is none of that name.
        """
        steps = [step.name for step in self.graph.steps if step.name == name or step.name.startswith(f"{name}.")]
        if not steps:
            known = {step.name for step in self.graph.steps} | {
                step.name.rpartition(".")[0] for step in self.graph.steps if "." in step.name
            }
            raise ConfigError(f"There is no cell or step '{name}'. {suggestion(name, known)}")
        lines: list[str] = []
        told: set[str] = set()
        for step in steps:
            lines += self._chain(step, 0, told)
        return lines

    def _chain(self, name: str, depth: int, told: set[str]) -> Iterator[str]:
        indent = "  " * depth
        causes = self.causes.get(name)
        if causes is None:
            yield f"{indent}{name}: up to date"
            return
        if name in told:
            yield f"{indent}{name}: stale, see above"
            return
        told.add(name)
        yield f"{indent}{name}: stale"
        for cause in causes:
            yield f"{indent}  - {_text(cause)}"
            if cause.origin in self.causes:
                yield from self._chain(cause.origin, depth + 2, told)


def make_plan(graph: Graph, *, check_content: bool = False) -> Plan:
    """Find out what is stale. Nothing is run, and nothing is written but times of change of files that were copied.

    Args:
        graph: The steps.
        check_content: Whether to read the datasets' files and the results, for changes that size and time of change do
            not show.

    Returns:
        The stale steps, and why they are. A step that reads what another one remakes is stale if that may change
        what it reads; once the other has run, :func:`assess` knows.
    """
    made = {entry for step in graph.steps for entry in step.outputs}
    # What is read and not made here is what it is.
    expected = recorded_parts(graph, sorted({entry for step in graph.steps for entry in step.inputs} - made))
    causes: dict[str, tuple[Cause, ...]] = {}
    listings: dict[str, ListingCheck] = {}
    for step in graph.steps:
        listing = None
        if step.source is not None:
            tracks = graph.entries[step.source.tracks].newest()
            listing = check_listing(step.source, tracks, check_content=check_content)
            listings[step.source.dataset] = listing
        found, missing = assess(step, graph, expected, listing, check_content=check_content)
        if found or missing:
            causes[step.name] = (*found, *missing)
        expected |= _outcome(step, graph, found, listing)
    return Plan(graph, causes, listings)


def assess(
    step: Step,
    graph: Graph,
    expected: Mapping[str, Expected],
    listing: ListingCheck | None = None,
    *,
    check_content: bool = False,
) -> tuple[list[Cause], list[Cause]]:
    """Compare a step's present facts with the records of its results.

    Args:
        step: The step.
        graph: All steps.
        expected: What each entry that it reads will hold.
        listing: What has happened to the dataset's files, where it reads those.
        check_content: Whether to read its results, for changes that size and time of change do not show.

    Returns:
        Why its results will be others; and why it has to run all the same, although they will not: results that are
        gone or damaged.
    """
    records = {entry: read_record(graph.entries[entry].record) for entry in step.outputs}
    missing = [
        Cause(f"{graph.entries[entry].path.name} is not there")
        for entry in step.outputs
        if graph.entries[entry].newest() is None
    ]
    record = next((each for each in records.values()), None)
    if record is None or not all(records.values()):
        return [Cause(NOT_MADE if missing else NO_RECORD)], []
    missing += [
        Cause(text)
        for entry, each in records.items()
        if each is not None and graph.entries[entry].newest() is not None
        if (text := damage(entry, graph.entries[entry], each, check_content=check_content))
    ]
    found = [
        *_changed_values("code", record.versions, step.versions),
        *_changed_values("", _declared(record.parameters, step.parameters), step.parameters),
        *_changed_files(record, step),
        *_changed_inputs(record, step, graph, expected),
    ]
    if listing is not None:
        found += [Cause(text) for text in listing.differences()]
    return found, missing


def recorded_parts(graph: Graph, entries: Sequence[str]) -> dict[str, Expected]:
    """Return what entries hold according to their records; none of one that has no record.

    Args:
        graph: All steps.
        entries: The entries.
    """
    return {entry: record.parts if (record := read_record(graph.entries[entry].record)) else None for entry in entries}


def _outcome(step: Step, graph: Graph, found: Sequence[Cause], listing: ListingCheck | None) -> dict[str, Expected]:
    """Return what a step's results will hold once it has run, if it has to."""
    if not found:
        return recorded_parts(graph, step.outputs)
    outcome: dict[str, Expected] = dict.fromkeys(step.outputs)
    source = step.source
    if source is None or listing is None or listing.columns is None or len(found) > len(listing.metadata):
        return outcome
    # Nothing but the metadata has changed, and it is known without running anything.
    known = recorded_parts(graph, step.outputs)
    outcome[source.tracks] = {**(known[source.tracks] or {}), **listing.columns}
    if "genre" not in listing.metadata:
        quality = known[source.quality] or {}
        outcome[source.quality] = {part: None if part in _METADATA_PARTS else value for part, value in quality.items()}
    return outcome


def _changed_values(prefix: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Cause]:
    return [Cause(text) for text in _differences(prefix, before, now)]


def _declared(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded parameters as they are declared now: of a block that was taken whole, maybe single values."""
    declared: dict[str, Any] = {}
    for name, value in recorded.items():
        parts = [key for key in now if key.startswith(f"{name}.")]
        if name in now or not parts or not isinstance(value, Mapping):
            declared[name] = value
        else:
            declared |= {key: value.get(key.removeprefix(f"{name}.")) for key in parts}
    return declared


def _differences(prefix: str, before: Any, now: Any) -> Iterator[str]:
    """Name the values of nested mappings that differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted(before.keys() | now.keys()):
            name = f"{prefix}.{key}" if prefix else str(key)
            yield from _differences(name, before.get(key), now.get(key))
    elif before != now:
        yield f"{prefix}: {_shown(before)} is now {_shown(now)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _changed_files(record: Record, step: Step) -> list[Cause]:
    stamps = file_stamps(step.files)
    return [
        Cause(f"the file {path} changed")
        for path in sorted(record.files.keys() | stamps.keys())
        if record.files.get(path) != stamps.get(path)
    ]


def _changed_inputs(record: Record, step: Step, graph: Graph, expected: Mapping[str, Expected]) -> list[Cause]:
    causes = [
        Cause(f"{entry} is new here", _origin(graph, entry), is_first=False)
        for entry in step.inputs.keys() - record.inputs.keys()
    ]
    causes += [Cause(f"{entry} is no part of it any more") for entry in record.inputs.keys() - step.inputs.keys()]
    causes.sort(key=lambda cause: cause.text)
    for entry in step.inputs:
        if entry not in record.inputs:
            continue
        parts = expected[entry]
        # A record of earlier code may hold parts that are not read any more.
        before = read_parts(record.inputs[entry], step, entry)
        now = None if parts is None else read_parts(parts, step, entry)
        if now is None:
            causes.append(Cause(f"{entry} is remade", _origin(graph, entry), is_certain=False, is_first=False))
            continue
        changed = sorted(
            part
            for part in before.keys() | now.keys()
            if now.get(part, "") is not None and before.get(part, "") != now.get(part, "")
        )
        open_parts = sorted(part for part, value in now.items() if value is None)
        if changed:
            causes.append(Cause(f"{entry} changed{_in_parts(changed)}", _origin(graph, entry), is_first=False))
        if open_parts:
            text = f"{entry} is remade{_in_parts(open_parts)}"
            causes.append(Cause(text, _origin(graph, entry), is_certain=False, is_first=False))
    return causes


def _cut(lines: Sequence[str], n_shown: int) -> list[str]:
    more = [f"  … and {len(lines) - n_shown:,} more"] if len(lines) > n_shown else []
    return [*lines[:n_shown], *more]


def _in_parts(parts: Sequence[str]) -> str:
    named = [part for part in parts if part != WHOLE]
    if not named:
        return ""
    more = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    return f" ({', '.join(named[:_MAX_NAMED])}{more})"


def _origin(graph: Graph, entry: str) -> str:
    return graph.producers.get(entry, "")


def _text(cause: Cause) -> str:
    return cause.text if cause.is_certain else f"{cause.text}, and may change"
