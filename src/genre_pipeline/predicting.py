"""``genre-pipeline predict``: classify files, folders and whole libraries, once or whenever something is new."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from genre_pipeline.cli import MAX_PAUSE_S, Choice, FiniteRange, choosing, shown_path, stated_entry

if TYPE_CHECKING:
    from rich.console import Console

    from genre_pipeline.configuration import ConfigLoader
    from genre_pipeline.evaluation.answers import FileAnswer, FileClassifier
    from genre_pipeline.library.classifying import NewFiles
    from genre_pipeline.library.index import AnswerIndex
    from genre_pipeline.library.listing import Listing
    from genre_pipeline.work.backends import Workers

Form = Literal["table", "json", "jsonl", "csv"]


def read_share(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read a share: 0.2, 20% or 20 %."""
    del context, parameter
    if value is None:
        return None
    try:
        number = float(value.strip().removesuffix("%"))
    except ValueError:
        raise click.BadParameter(f"expected a share such as 20% or 0.2, got '{value}'.") from None
    share = number / 100 if value.strip().endswith("%") else number
    # A NaN is in no range.
    if not 0.0 <= share <= 1.0:
        raise click.BadParameter(f"expected a share from 0 to 1, or 0% to 100%, got '{value}'.")
    return share


PATHS_HELP = (
    "PATH is an audio file, a folder, a pattern such as 'Music/**/*.flac', a playlist (.m3u, .m3u8, .pls), or - for a "
    "list on the standard input, one path per line or ended by NUL."
)
_MODEL_HELP = (
    "champion (in MLflow), an experiment, the id of a cell's run in MLflow, the folder of a trained cell, or a file "
    "that 'export' wrote (.onnx). Default: the experiment's leading model."
)
_ONNX = ".onnx"


def choosing_model(action: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of :func:`~genre_pipeline.cli.choosing`, and ``--model`` as ``name``."""
    return choosing(click.option("--model", "name", metavar="MODEL", help=_MODEL_HELP)(action))


@click.command(epilog=PATHS_HELP)
@choosing_model
@click.option(
    "--max-error",
    callback=read_share,
    metavar="SHARE",
    help="How many of its answers may be wrong, such as 20% or 0.2.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="jsonl writes each file's line as soon as those before it are written; csv has all genres.",
)
@click.option("--top", "n_shown", type=click.IntRange(min=1), help="How many genres are named for a file. Default: 3.")
@click.option("--timeline", is_flag=True, help="Show the genres of each file over time.")
@click.option("--incremental", is_flag=True, help="Classify only what is new or changed since the last such call.")
@click.option("--watch", is_flag=True, help="Go on with what is new or changed, until Ctrl-C or SIGTERM.")
@click.option(
    "--interval",
    "interval_s",
    type=FiniteRange(0, MAX_PAUSE_S, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds between two looks of --watch; a file must have stayed as it is for as long.",
)
@click.option(
    "--label-next",
    "n_next",
    type=click.IntRange(min=1),
    metavar="N",
    help="Instead, list the N songs that are worth labelling next, and write a table and a page that plays them.",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path, allow_dash=True))
def predict(
    choice: Choice,
    name: str | None,
    max_error: float | None,
    form: Form,
    n_shown: int | None,
    timeline: bool,
    incremental: bool,
    watch: bool,
    interval_s: float,
    n_next: int | None,
    paths: tuple[Path, ...],
) -> None:
    """Classify music with the experiment's best model, or another one.

    It is "not sure" of a file where its probability is low: --max-error 10% makes it say so more often, 100% never.
    --params predict.cell=NAME chooses another cell. Exits with 1 if a file cannot be classified.
    """
    from genre_pipeline.library.listing import Listing

    if watch and form == "json":
        raise click.UsageError("--watch never ends, and --format json is one document: take jsonl.")
    if n_next is not None and (incremental or watch or timeline or form != "table"):
        raise click.UsageError("--label-next cannot be combined with --incremental, --watch, --timeline or --format.")
    if n_shown is not None and form == "csv":
        raise click.UsageError("--top: a csv has all genres, so that its columns are always the same. Leave it out.")
    named = named_paths(paths)
    # Before the model, which takes seconds to load.
    listing = Listing((), ()) if watch else list_existing(named)
    opened = open_model_for(choice, name, max_error, has_bar=form != "jsonl" or not sys.stdout.isatty())
    is_whole = True

    from genre_pipeline.reporting.prediction import N_SHOWN

    with ExitStack() as stack:
        if incremental:
            opened = replace(opened, index=stack.enter_context(open_index()))
        output = _Output(opened, form, n_shown or N_SHOWN, timeline)
        if n_next is not None:
            is_whole = _label_next(opened, listing, n_next)
        elif watch:
            _watch(output, named, interval_s)
        else:
            is_whole = output.show(listing)
    if not is_whole:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class Opened:
    """A model and what is to know of it.

    Attributes:
        model: The model.
        known: How good it is, or nothing.
        loader: The configuration; ``None`` for a model that needs none.
        workers: Who classifies.
        console: Where a bar is shown; ``None`` for nowhere.
        index: Where answers are kept; ``None`` for nowhere.
    """

    model: FileClassifier
    known: Mapping[str, Any]
    loader: ConfigLoader | None
    workers: Workers
    console: Console | None
    index: AnswerIndex | None = None

    def answers(self, listing: Listing, *, described: bool = False) -> Iterator[FileAnswer]:
        """Classify files: see :meth:`~genre_pipeline.library.classifying.Library.answers`."""
        from genre_pipeline.library.classifying import Library

        return Library(self.model, self.workers, self.index, self.console, described).answers(listing)


def open_model_for(choice: Choice, name: str | None, max_error: float | None = None, *, has_bar: bool = True) -> Opened:
    """Load the model that the options of a command choose.

    Args:
        choice: The environment, experiment and parameters.
        name: What ``--model`` names; ``None`` for the experiment's leading model.
        max_error: What ``--max-error`` allows; ``None`` for the experiment's.
        has_bar: Whether a bar is shown where the standard error stream is a terminal.

    Raises:
        CheckpointError: If it is not trained, or damaged.
        ConfigError: If there is no such model.
    """
    from rich.console import Console

    console = Console(stderr=True) if has_bar else None
    if name is not None and name.endswith(_ONNX):
        if max_error is not None or choice != Choice(None, None, ""):
            raise click.UsageError(
                f"--model {name} holds its configuration and its threshold: leave out --env, --experiment, --params "
                "and --max-error, or export it again with them."
            )
        return _open_exported(Path(name), console)
    from genre_pipeline.blocks import parse_block
    from genre_pipeline.experiment import PredictBlock, load_experiment
    from genre_pipeline.serving import open_experiment, open_named

    loader = choice.configuration()
    if name in loader.experiments:
        loader, name = replace(choice, experiment=name).configuration(), None
    experiment = load_experiment(loader["parameters"])
    if max_error is not None:
        allowed = parse_block(PredictBlock, {**experiment.predict.dump(), "max_error": max_error}, key="predict")
        experiment = replace(experiment, predict=allowed)
    model, known = (
        open_experiment(loader, experiment, experiment.predict)
        if name is None
        else open_named(name, loader, experiment)
    )
    return Opened(model, known, loader, experiment.compute.extraction, console)


def _open_exported(path: Path, console: Console | None) -> Opened:
    from genre_pipeline.exports.running import ExportedModel
    from genre_pipeline.work.backends import Workers, usable_cores

    model = ExportedModel.open(path)
    known = {} if model.card.get("accuracy") is None else model.card
    return Opened(model, known, None, Workers("auto", usable_cores()), console)


def list_existing(named: Sequence[Path]) -> Listing:
    """List the files that a command line names, and say what is left out.

    Raises:
        AudioError: If none of them is there.
        DatasetError: If a folder cannot be listed.
    """
    from genre_pipeline.datasets.reading.files import count_left_out, describe_left_out
    from genre_pipeline.errors import AudioError
    from genre_pipeline.library.listing import list_music
    from genre_pipeline.spelling import printable

    listing = list_music(named)
    if listing.left_out:
        click.echo(f"Left out: {describe_left_out(count_left_out(listing.left_out))}.", err=True)
    if not any(map(os.path.lexists, listing.paths)):
        paths = listing.paths
        raise AudioError(
            f"{printable(paths[0])}: there is no such file."
            if len(paths) == 1
            else f"None of the {len(paths):,} files is there, such as {printable(paths[0])}."
        )
    return listing


def named_paths(paths: Sequence[Path]) -> list[Path]:
    """Return the paths of a command line, with those of the standard input in the place of ``-``."""
    from genre_pipeline.library.listing import read_list

    listed = read_list(sys.stdin.buffer.read()) if Path("-") in paths else []
    if Path("-") in paths and not listed:
        raise click.UsageError("The list on the standard input (-) names no file.")
    return [path for each in paths for path in (listed if each == Path("-") else [each])]


def open_index() -> AnswerIndex:
    """Open the index of answers in the data folder."""
    from genre_pipeline.library.index import AnswerIndex
    from genre_pipeline.project import data_root

    return AnswerIndex(Path(data_root(), "07_model_output", "library.sqlite"))


class _Output:
    """Writes answers to the standard output.

    Args:
        opened: The model.
        form: How.
        n_shown: How many genres are named for a file.
        with_timeline: Whether the genres over time are written.
    """

    def __init__(self, opened: Opened, form: Form, n_shown: int, with_timeline: bool) -> None:
        self.opened = opened
        self._form = form
        self._n_shown = n_shown
        self._with_timeline = with_timeline
        self._has_header = False

    def show(self, listing: Listing) -> bool:
        """Classify files and write the answers; return whether there is one for each."""
        is_whole = True

        def watched() -> Iterator[FileAnswer]:
            nonlocal is_whole
            for answer in self.opened.answers(listing):
                is_whole = is_whole and not answer.error
                yield answer

        write = {"table": self._table, "json": self._json, "jsonl": self._lines, "csv": self._csv}[self._form]
        write(watched())
        return is_whole

    def _table(self, answers: Iterable[FileAnswer]) -> None:
        from genre_pipeline.reporting.document import format_terminal
        from genre_pipeline.reporting.prediction import describe

        sections = describe(
            list(answers),
            self.opened.model,
            self.opened.known,
            n_shown=self._n_shown,
            with_timeline=self._with_timeline,
        )
        click.echo(format_terminal(sections, is_terminal=sys.stdout.isatty()))

    def _json(self, answers: Iterable[FileAnswer]) -> None:
        from genre_pipeline.reporting.prediction import model_facts

        files = [self._facts(answer) for answer in answers]
        click.echo(json.dumps({"model": model_facts(self.opened.model, self.opened.known), "files": files}, indent=1))

    def _lines(self, answers: Iterable[FileAnswer]) -> None:
        from genre_pipeline.reporting.prediction import model_facts

        facts = model_facts(self.opened.model, self.opened.known)
        for answer in answers:
            click.echo(json.dumps({**self._facts(answer), "model": facts}))

    def _facts(self, answer: FileAnswer) -> dict[str, Any]:
        from genre_pipeline.reporting.prediction import answer_facts

        self._report(answer)
        return answer_facts(answer, self.opened.model, n_shown=self._n_shown, with_timeline=self._with_timeline)

    def _csv(self, answers: Iterable[FileAnswer]) -> None:
        from genre_pipeline.spelling import printable

        model = self.opened.model
        facts = {"model": model.cell, "model_accuracy": self.opened.known.get("accuracy")}
        for answer in answers:
            self._report(answer)
            rows = model.tabulate([answer])
            if self._with_timeline:
                failed = rows[["path", "error"]]
                rows = failed if answer.error else model.timeline(answer).assign(path=printable(answer.path))
                rows = rows.reindex(columns=["path", "start_s", "end_s", "genre", "probability", "error"])
            text = rows.assign(**facts).to_csv(index=False, header=not self._has_header, lineterminator="\n")
            self._has_header = True
            click.echo(text, nl=False)

    def _report(self, answer: FileAnswer) -> None:
        """Name a file that could not be classified where its place in the output is not read by a person."""
        if answer.error:
            click.echo(f"Not classified: {answer.error}", err=True)


def _watch(output: _Output, named: Sequence[Path], interval_s: float) -> None:
    """Classify what is there, and then what is new or has changed, until a signal ends the waiting."""
    from genre_pipeline.library.classifying import Lookout
    from genre_pipeline.library.listing import list_music
    from genre_pipeline.ops.refresh.watching import watch

    lookout = Lookout(lambda: list_music(named, allow_empty=True))

    def run(found: NewFiles) -> None:
        output.show(found.listing)
        lookout.pass_by(found)

    if (found := lookout.find()).stale:
        run(found)
    click.echo(f"Watching; a look every {interval_s:g} s. Ctrl-C ends it.", err=True)
    watch(lookout.find, run, wait=threading.Event().wait, interval_s=interval_s, settle_s=interval_s)


def _label_next(opened: Opened, listing: Listing, n_songs: int) -> bool:
    """Show and write which songs to label next; return whether every song could be classified."""
    if opened.loader is None:
        raise click.UsageError("--label-next needs a model that was trained here: an ONNX file gives no features.")
    from kedro.io import DataCatalog

    from genre_pipeline.evaluation.label_next import choose_of_answers, describe_labelled
    from genre_pipeline.reporting.document import Section, format_terminal
    from genre_pipeline.reporting.prediction import build_next_page, describe_faults, describe_next
    from genre_pipeline.storage import atomic_file

    model: Any = opened.model
    dataset, _, feature, _ = model.cell.split(".")
    store: Any = DataCatalog.from_config(opened.loader["catalog"]).load(f"{dataset}.{feature}.features")
    labelled = describe_labelled(model, store)
    answers = list(opened.answers(listing, described=True))
    faults = [each.error for each in answers if each.error]
    chosen = choose_of_answers(model, answers, labelled, n_songs)
    if chosen.empty:
        click.echo(
            f"None of the {len(answers) - len(faults)} songs is worth labelling: they are copies of labelled ones, or "
            "the model is wholly sure of them."
        )
        return not faults
    report = stated_entry("report", opened.loader).place
    page, table = report.with_name("label_next.html"), report.with_name("label_next.csv")
    with atomic_file(page) as temporary:
        temporary.write_text(build_next_page(chosen, model, faults=faults, folder=page.parent), encoding="utf-8")
    with atomic_file(table) as temporary:
        chosen.drop(columns="error").to_csv(temporary, index=False)
    sections = [Section("", "", [describe_next(chosen, model)]), *describe_faults(faults)]
    click.echo(format_terminal(sections, is_terminal=sys.stdout.isatty()))
    click.echo(f"\nTo play them: {shown_path(page)}\nAs a table:   {shown_path(table)}")
    return not faults
