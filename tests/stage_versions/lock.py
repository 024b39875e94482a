"""The lock of the stages: the version of each, and a hash of the code that it runs.

``make stages`` brings it up to date. A stage whose version was raised is written down as it is. Where the code of one
changed and its version did not, the results of the small experiments (:mod:`golden`) are made by the code that the lock
was written for and by the present one: only if they are equal, and the experiments run what was changed, is the new
code written down. A new member of a registry, such as another dataset, changes no result that is stored.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stage_versions.code_reached import Code, Name
from stage_versions.golden import differences, measure

PROJECT = Path(__file__).resolve().parents[2]
LOCK = Path(__file__).with_name("stages.json")
# What writes messages, waits for others, or logs: no result depends on it.
_IGNORED = ("errors", "locks", "logs", "progress", "stages", "tracking")


@dataclass(frozen=True)
class Locked:
    """What is written down of a stage: its version, and a hash of the code that it runs."""

    version: int
    code: str


def read_code(project: Path, *, members_of: Code | None = None) -> Code:
    """Read the package of a project's folder; see :class:`~stage_versions.code_reached.Code`."""
    ignored = [f"genre_pipeline.{each}" for each in _IGNORED]
    return Code(project / "src" / "genre_pipeline", ignored=ignored, members_of=members_of)


def lock(code: Code) -> dict[str, Locked]:
    """Return what is to be written down of each stage, by its name."""
    return {name: Locked(each.version, code.hash(each.entry)) for name, each in sorted(code.stages.items())}


def read_lock(path: Path) -> dict[str, Locked]:
    """Read a lock."""
    return {name: Locked(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}


def unraised(before: Mapping[str, Locked], now: Mapping[str, Locked]) -> list[str]:
    """Return the stages whose code changed and whose version did not."""
    return [
        name
        for name, each in now.items()
        if name in before and each.code != before[name].code and each.version == before[name].version
    ]


def complaints(code: Code, before: Mapping[str, Locked]) -> list[str]:
    """Return what is wrong with the stages, a line each: nothing where the lock holds."""
    now = lock(code)
    lines = [
        f"The code of `{name}` changed and its version did not: raise it, or run `make stages`, which writes the new "
        "code down if it gives the same results."
        for name in unraised(before, now)
    ]
    for name, each in code.stages.items():
        used = code.used(each.entry)
        if used != each.uses and not each.entry.name.startswith("<"):
            lines.append(f"`{name}` runs the stages {sorted(used)}, and declares uses={sorted(each.uses)}.")
    raised = {name for name in now.keys() & before.keys() if now[name].version != before[name].version}
    for what, names in (
        ("is new", now.keys() - before.keys()),
        ("is gone", before.keys() - now.keys()),
        ("has another version", raised),
    ):
        lines += [f"`{name}` {what}: write that down with `make stages`." for name in sorted(names)]
    return lines


def changed_names(before: Code, now: Code, stages: Iterable[str]) -> list[Name]:
    """Return the names whose code some stages run, and which changed or came."""
    names: set[Name] = set()
    for stage in stages:
        old = before.reached(before.stages[stage].entry)
        new = now.reached(now.stages[stage].entry)
        names |= {name for name, text in new.items() if old.get(name) != text}
    return sorted(names)


def not_run(code: Code, names: Iterable[Name], lines: Mapping[str, set[int]]) -> list[Name]:
    """Return the functions and methods of which no line ran.

    Args:
        code: The code.
        names: Names of it.
        lines: The lines that ran, by file relative to the package.
    """
    missed = []
    for name in names:
        for function in code.functions(name):
            body = range(function.body[0].lineno, (function.end_lineno or 0) + 1)
            if not lines.get(code.file_of(name), set()) & set(body):
                missed.append(name)
    return missed


def update() -> int:
    """Bring the lock up to date, if what changed without a new version gives the same results."""
    code, before = read_code(PROJECT), read_lock(LOCK) if LOCK.exists() else {}
    now = lock(code)
    changed = unraised(before, now)
    if changed:
        commit = _git("log", "-1", "--format=%H", "--", str(LOCK)).strip()
        with tempfile.TemporaryDirectory() as folder:
            old = Path(folder, "old")
            _git("worktree", "add", "--detach", str(old), commit)
            try:
                lines = _not_shown_to_be_equal(old, before)
            finally:
                _git("worktree", "remove", "--force", str(old))
        if lines:
            sys.stderr.write("\n".join([*lines, "Raise the versions: the results are not shown to be the same.\n"]))
            return 1
    content = {name: vars(each) for name, each in now.items()}
    LOCK.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{LOCK.relative_to(PROJECT)}: {len(now)} stages.\n")
    return 0


def _not_shown_to_be_equal(old: Path, before: Mapping[str, Locked]) -> list[str]:
    """Compare the results of the old and the present code; return what differs or was not run, a line each."""
    then = read_code(old)
    # No stored result is of a new dataset: what is registered now for the first time changes none.
    code = read_code(PROJECT, members_of=then)
    changed = unraised(before, lock(code))
    if not changed:
        return []
    sys.stdout.write(f"Comparing results: the code of {', '.join(changed)} changed, the version did not.\n")
    present = measure(PROJECT, trace=True)
    missed = not_run(code, changed_names(then, code, changed), present.lines)
    found = differences(measure(old).results, present.results)
    return [*found, *(f"not run by the small experiments: {name}" for name in missed)]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", PROJECT, *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(update())
