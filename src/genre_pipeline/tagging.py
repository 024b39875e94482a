"""``genre-pipeline tag``: write the genres that a model names into the tags of files, or take that back."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genre_pipeline.cli import Choice
from genre_pipeline.predicting import PATHS_HELP, choosing_model, list_existing, named_paths, open_model_for, read_share

if TYPE_CHECKING:
    from genre_pipeline.library.tags import Journal


@click.command(epilog=PATHS_HELP)
@choosing_model
@click.option(
    "--min-confidence",
    callback=read_share,
    default="0.7",
    show_default=True,
    metavar="SHARE",
    help="The least probability of a genre that is written.",
)
@click.option("--only-missing", is_flag=True, help="Only files without a genre.")
@click.option(
    "--map",
    "map_path",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="YAML: what to write for a genre of the model, such as 'hiphop: Hip-Hop'; for one that is null, nothing.",
)
@click.option("--undo", is_flag=True, help="Take back the last change of each file, or of those named.")
@click.option(
    "--write/--dry-run", "writes", default=False, help="Change files, or only show what would change (default)."
)
@click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path(path_type=Path, allow_dash=True))
def tag(
    choice: Choice,
    name: str | None,
    min_confidence: float,
    only_missing: bool,
    map_path: Path | None,
    undo: bool,
    writes: bool,
    paths: tuple[Path, ...],
) -> None:
    """Write the genres that a model names into the tags of music files.

    Without --write, nothing is changed. The audio stays as it is, each change is written down first, and --undo makes a
    file to the byte what it was. Exits with 1 if a file cannot be classified or changed.
    """
    from genre_pipeline.library.tags import Journal, require_mutagen
    from genre_pipeline.project import data_root

    require_mutagen()
    journal = Journal(Path(data_root(), "07_model_output", "tags.jsonl"))
    if undo:
        _undo(journal, named_paths(paths), writes=writes)
    elif paths:
        _tag(
            choice,
            name,
            journal,
            named_paths(paths),
            map_path,
            min_confidence,
            only_missing=only_missing,
            writes=writes,
        )
    else:
        raise click.UsageError("Missing argument 'PATH...'.")


def _tag(
    choice: Choice,
    name: str | None,
    journal: Journal,
    named: Sequence[Path],
    map_path: Path | None,
    min_confidence: float,
    *,
    only_missing: bool,
    writes: bool,
) -> None:
    from genre_pipeline.audio.tags import read_tags
    from genre_pipeline.errors import AudioError, StorageError
    from genre_pipeline.library.tags import is_read_only, write_genre
    from genre_pipeline.reporting.wording import percent

    listing = list_existing(named)
    opened = open_model_for(choice, name)
    written_as = _read_map(map_path, opened.model.genres)
    left: Counter[str] = Counter()
    rows, faults, unchanged = [], [], []
    for answer in opened.answers(listing):
        if answer.error:
            faults.append(answer.error)
            continue
        row = opened.model.row(answer)
        before, genre = read_tags(answer.path)["genre"], written_as.get(row["genre"], row["genre"])
        if row["probability"] < min_confidence:
            left[f"below {percent(min_confidence)} %"] += 1
        elif only_missing and before:
            left["with a genre"] += 1
        elif genre is None:
            left["of genres that are mapped to nothing"] += 1
        elif genre == before:
            left["with that genre already"] += 1
        elif is_read_only(answer.path):
            left["that are read-only"] += 1
        else:
            try:
                if writes:
                    write_genre(
                        answer.path, genre, genre_before=before, model=opened.model.fingerprint, journal=journal
                    )
            except (AudioError, StorageError) as error:
                unchanged.append(str(error))
                continue
            rows.append([row["path"], before, genre, percent(row["probability"])])
    notes = [f"left as they are: {n} {reason}" for reason, n in sorted(left.items())]
    _show(rows, faults, unchanged, notes, writes=writes)


def _read_map(path: Path | None, genres: Sequence[str]) -> Mapping[str, str | None]:
    """Read what to write for the model's genres."""
    import yaml

    from genre_pipeline.errors import ConfigError

    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())}). Expected YAML.") from error
    if not isinstance(content, dict) or not all(
        value is None or (isinstance(value, str) and value.strip() and value.isprintable())
        for value in content.values()
    ):
        raise ConfigError(f"{path}: expected a line for each genre, such as 'hiphop: Hip-Hop', or null for nothing.")
    if unknown := sorted(str(key) for key in content.keys() - set(genres)):
        raise ConfigError(
            f"{path}: the model does not know {', '.join(unknown)}. Its genres: {', '.join(genres)}. Correct the file."
        )
    return content


def _undo(journal: Journal, named: Sequence[Path], *, writes: bool) -> None:
    from genre_pipeline.errors import AudioError, StorageError
    from genre_pipeline.library.listing import list_music
    from genre_pipeline.library.tags import follow_moved, last_change, take_back

    changes = journal.changes()
    chosen, n_unknown = set(changes), 0
    if named:
        meant = {os.path.realpath(path) for path in list_music(named, allow_empty=True).paths}
        changes = follow_moved(changes, meant)
        chosen = meant & changes.keys()
        n_unknown = len(meant - chosen)
    rows, unchanged, n_same = [], [], 0
    for path in sorted(chosen):
        try:
            change = last_change(Path(path), changes[path])
            if change is None:
                n_same += 1
                continue
            if writes:
                take_back(change)
        except (AudioError, StorageError) as error:
            unchanged.append(str(error))
            continue
        rows.append([path, change.genre, change.genre_before, ""])
    notes = [f"left as they are: {n_same} that were taken back already, or changed by others since"] if n_same else []
    if n_unknown:
        notes.append(f"of {n_unknown} that were named, no change is known")
    _show(rows, [], unchanged, notes, writes=writes)


def _show(
    rows: Sequence[Any], faults: Sequence[str], unchanged: Sequence[str], notes: Sequence[str], *, writes: bool
) -> None:
    """Show what changes, what is left as it is, and what went wrong; end with 1 if something did."""
    from genre_pipeline.reporting.document import Paragraph, Section, Table, format_terminal, numeric, texts
    from genre_pipeline.reporting.prediction import describe_faults
    from genre_pipeline.reporting.wording import plural

    table = Table("", "", [*texts("file", "genre", "becomes"), *numeric("probability")], list(rows))
    done = "changed" if writes else f"would change{': --write does it' if rows else ''}"
    summary = "; ".join([f"{plural(len(rows), 'file')} {done}", *notes])
    sections = [Section("", "", [table])] if rows else []
    sections += [
        *describe_faults(faults),
        *describe_faults(unchanged, "Not changed"),
        Section("", "", [Paragraph(f"{summary}.")]),
    ]
    click.echo(format_terminal(sections, is_terminal=sys.stdout.isatty()))
    if faults or unchanged:
        raise click.exceptions.Exit(1)
