"""Commands of the project, for ``genre-pipeline`` and ``kedro``: ``refresh``, ``leaderboard``, ``compare``, ``stores``.

What a command needs is imported when it runs: ``genre-pipeline --help`` imports no Kedro.
"""

from __future__ import annotations

import copy
import functools
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from genre_pipeline.errors import ConfigError, GenrePipelineError
from genre_pipeline.project import DEFAULT_EXPERIMENT, EXPERIMENT_VARIABLE, PROJECT_ROOT
from genre_pipeline.runtime_parameters import read_parameters
from genre_pipeline.storage import storage_fault
from genre_pipeline.work.processes import Ended, ends_on_signals

if TYPE_CHECKING:
    from genre_pipeline.configuration import ConfigLoader
    from genre_pipeline.experiment import Experiment
    from genre_pipeline.ops.airflow_dag import Every
    from genre_pipeline.ops.refresh.graph import Entry
    from genre_pipeline.results.run_changes import SessionRecord
    from genre_pipeline.tracking import RunHistory

# Commands of other modules, which are imported when the command is run or its own help is asked for: where it is, and
# the first sentence of its help.
_ELSEWHERE = {
    "export": (
        "genre_pipeline.exporting:export",
        "Write the experiment's best model with its front-end to FILE: from a waveform to probabilities.",
    ),
    "predict": (
        "genre_pipeline.predicting:predict",
        "Classify music with the experiment's best model, or another one.",
    ),
    "run": ("genre_pipeline.running:run", "Run a pipeline."),
    "serve": (
        "genre_pipeline.service.command:serve",
        "Answer requests over HTTP with the experiment's models, and serve a page for them.",
    ),
    "tag": ("genre_pipeline.tagging:tag", "Write the genres that a model names into the tags of music files."),
}
# Environment variables that the tasks of a DAG need as well.
_PASSED_ON = ("MLFLOW_TRACKING_URI", "KEDRO_ENV", EXPERIMENT_VARIABLE, "OMP_NUM_THREADS", "DO_NOT_TRACK")


def for_people(action: Callable[..., Any]) -> Callable[..., Any]:
    """Show what a person can put right as one message; any other error keeps its traceback.

    SIGTERM and SIGHUP end the command as Ctrl-C does: with a message, and 128 and the signal's number as exit code.
    """

    @functools.wraps(action)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            with ends_on_signals():
                return action(*args, **kwargs)
        except GenrePipelineError as error:
            raise click.ClickException(str(error)) from error
        except (click.UsageError, click.exceptions.Exit):
            raise
        except OSError as error:
            # Such as of a standard output on a full disk; where nobody reads it any more, click ends the command.
            fault = storage_fault(error, ())
            if fault is None:
                raise
            raise click.ClickException(str(fault)) from error
        except Exception as error:
            message = _kedros_message(error)
            if message is None:
                raise
            raise click.ClickException(message) from error
        except KeyboardInterrupt as error:
            ended = error if isinstance(error, Ended) else Ended(signal.SIGINT)
            # The terminal may be closed.
            with suppress(OSError):
                click.echo(str(ended), err=True)
            raise click.exceptions.Exit(ended.exit_code) from None

    return wrapper


def _kedros_message(error: Exception) -> str | None:
    """Return what a person can put right of Kedro's errors; ``None`` for any other error."""
    from kedro.config import MissingConfigException
    from kedro.framework.cli.utils import KedroCliError
    from kedro.framework.context import KedroContextError
    from kedro.io import DatasetError

    if isinstance(error, KedroCliError):
        # Its own way of showing itself speaks of an option that few commands have.
        return error.message
    return str(error) if isinstance(error, DatasetError | KedroContextError | MissingConfigException) else None


# Of the option --experiment.
EXPERIMENT_HELP: dict[str, Any] = {
    "metavar": "NAME",
    "help": "What is compared: conf/base/experiments/NAME.yml, conf/local/experiments/NAME.yml, or a new name for what "
    f"--params chooses. Default: the variable {EXPERIMENT_VARIABLE}, or {DEFAULT_EXPERIMENT}.",
}


# A year: the longest pause between two looks, far below what the system can wait for.
MAX_PAUSE_S = 366 * 24 * 3600.0


class FiniteRange(click.FloatRange):
    """A range of finite numbers: click takes NaN, which is neither below nor above any bound, for one within."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, got {value}.", param, ctx)
        return number


# Of the option --yes of commands that train.
YES_HELP = "Begin without asking, also what takes over an hour. Where there is no terminal, nothing is asked."


def asking(*, yes: bool) -> Callable[[str], object] | None:
    """Return what asks the person at the terminal whether to begin, and aborts if not; ``None`` if nobody is asked."""
    return functools.partial(click.confirm, abort=True) if sys.stdin.isatty() and not yes else None


@dataclass(frozen=True)
class Choice:
    """What the options of a command choose.

    Attributes:
        env: Name of the environment; ``None`` means the default.
        experiment: Name of the experiment; ``None`` means the default.
        params: The text of ``--params``.
    """

    env: str | None
    experiment: str | None
    params: str

    def configuration(self) -> ConfigLoader:
        """Return the configuration."""
        from genre_pipeline.configuration import load_configuration

        return load_configuration(self.env, read_parameters(self.params), experiment=self.experiment)

    def read(self) -> Experiment:
        """Read the parameters, and check them.

        Raises:
            ConfigError: If one is wrong.
        """
        from genre_pipeline.experiment import load_experiment

        return load_experiment(self.configuration()["parameters"])


def choosing(action: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--env``, ``--experiment`` and ``--params``, and their choice as first argument."""

    @functools.wraps(action)
    def wrapper(*, env: str | None, experiment: str | None, params: str, **options: Any) -> Any:
        return action(Choice(env, experiment, params), **options)

    params = click.option("--params", default="", callback=_check_parameters, help="Parameters, as for kedro run.")
    env = click.option("--env", "-e", help="Environment, a folder of conf/. Default: the variable KEDRO_ENV, or local.")
    return env(click.option("--experiment", **EXPERIMENT_HELP)(params(wrapper)))


class _Commands(click.Group):
    """The project's commands, and those of Kedro and its plugins for a project: Kedro looks for all of them here first.

    Every command reports errors in one way: while its options are read, and while it runs.
    """

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = _import_command(cmd_name) if cmd_name in _ELSEWHERE else super().get_command(ctx, cmd_name)
        if command is None and ctx.obj is not None:
            command = _kedros_command(ctx, cmd_name)
        if command is None:
            return None
        guarded = copy.copy(command)
        for method in ("make_context", "invoke"):
            setattr(guarded, method, for_people(functools.partial(getattr(type(command), method), guarded)))
        return guarded

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        helps = {name: command.get_short_help_str(limit=200) for name, command in self.commands.items()}
        helps |= {name: text for name, (_, text) in _ELSEWHERE.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(helps.items()))


def _import_command(name: str) -> click.Command:
    module, _, attribute = _ELSEWHERE[name][0].partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


def __getattr__(name: str) -> click.Command:
    """Return ``run``: Kedro looks for it by this name in an installed package."""
    if name == "run":
        return _import_command(name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _kedros_command(context: click.Context, name: str) -> click.Command | None:
    """Return a command of Kedro or a plugin, which needs Kedro's description of the project: the context's object."""
    from kedro.framework.cli.cli import project_commands
    from kedro.framework.cli.utils import load_entry_points

    groups = [*load_entry_points("project"), project_commands]
    return next((found for group in groups if (found := group.get_command(context, name))), None)


def split_parameters(context: click.Context | None, option: click.Parameter | None, value: Any) -> dict[str, Any]:
    """Read ``--params``; a file of ``--config`` may hold a mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return read_parameters(value or "")
    except ConfigError as error:
        raise click.BadParameter(str(error), context, option) from None


def _check_parameters(context: click.Context, option: click.Parameter, value: str) -> str:
    """Return the text of ``--params`` if it can be read: another command gets it."""
    split_parameters(context, option, value)
    return value


@click.group(name="genre_pipeline", cls=_Commands)
def cli() -> None:
    """Train and honestly compare music genre classifiers."""


def _merged(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    merged = {}
    for value in values:
        genre, _, other = (part.strip() for part in value.partition("="))
        if not genre or not other:
            raise click.BadParameter(f"'{value}': expected GENRE=OTHER, such as 'Hip Hop=Rap'.", context, option)
        merged[genre] = other
    return merged


def _ask_for_merges(small: list[str], large: list[str]) -> dict[str, str]:
    others = click.Choice(["", *large], case_sensitive=False)
    asked = {
        genre: click.prompt(
            f"Count {genre} as which genre ({', '.join(large)})? Press Enter to leave it out",
            default="",
            show_default=False,
            type=others,
            show_choices=False,
        )
        for genre in small
    }
    return {genre: other for genre, other in asked.items() if other}


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the experiment. Default: the folder's name.")
@click.option(
    "--minutes",
    type=FiniteRange(min=0),
    default=10.0,
    show_default=True,
    help="How long features and trainings may take.",
)
@click.option(
    "--genres-from",
    type=click.Choice(["folders", "tags"]),
    default="folders",
    show_default=True,
    help="Where genres are; a metadata.csv in FOLDER (path, genre, artist) wins over both.",
)
@click.option("--merge", multiple=True, metavar="GENRE=OTHER", callback=_merged, help="Count a genre as another one.")
@click.option("--leave-out", multiple=True, metavar="GENRE", help="Leave a genre out.")
@click.option("--yes", is_flag=True, help="Leave out genres that are too small without asking.")
def train(
    folder: Path,
    name: str | None,
    minutes: float,
    genres_from: str,
    merge: dict[str, str],
    leave_out: tuple[str, ...],
    yes: bool,
) -> None:
    """Train classifiers on the music in FOLDER, compare them, and say how to use the best.

    Artists are read from the files' tags, or a metadata.csv in FOLDER; no artist that is known is in both training and
    test. Where none is known, numbers are marked LEAKY. Rerunning resumes.
    """
    from genre_pipeline.ops import own_music

    tags: Any = "genres" if genres_from == "tags" else "artists"
    music = own_music.OwnMusic(folder, name or own_music.name_of(folder), tags, merge, frozenset(leave_out))
    click.get_current_context().with_resource(own_music.only_here(music))
    found = own_music.survey(music)
    if found.short:
        click.echo(found.describe_short())
        if not yes and not sys.stdin.isatty():
            raise click.UsageError("Add music, or say what to do: --leave-out GENRE, --merge GENRE=OTHER, or --yes.")
        large = [genre for genre in found.n_units if genre not in found.short]
        merged = {} if yes else _ask_for_merges(found.short, large)
        left_out = frozenset(found.short) - merged.keys()
        music = replace(music, merge={**music.merge, **merged}, leave_out=music.leave_out | left_out)
        found = own_music.survey(music)
    click.echo(found.describe())
    click.echo("Measuring how long each model takes on this machine.")
    plan = own_music.plan(music, found, minutes=minutes)
    click.echo(plan.describe())
    own_music.run(music)
    loader = Choice(None, music.name, "").configuration()
    click.echo(f"\n{_leaderboard_text(loader)}\n")
    click.echo(f"Classify songs: genre-pipeline predict --experiment {music.name} FILE...")


@cli.command()
@choosing
def leaderboard(choice: Choice) -> None:
    """Print the leaderboard of the last comparison, and where to look further."""
    click.echo(_leaderboard_text(choice.configuration()))


def _leaderboard_text(loader: ConfigLoader) -> str:
    import pandas as pd

    from genre_pipeline.errors import EvaluationError
    from genre_pipeline.ops.refresh.records import check_intact
    from genre_pipeline.reporting.leaderboard import format_leaderboard

    table, report = (stated_entry(name, loader) for name in ("leaderboard", "report"))
    newest = table.newest()
    if newest is None:
        # Says so if there is no such experiment.
        loader["parameters"]
        raise EvaluationError(f"There is no leaderboard yet. Make one: {_how_to_run(loader)}")
    check_intact("leaderboard", table)
    try:
        frame = pd.read_csv(newest)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{newest} cannot be read ({error}). Delete it, and run 'kedro refresh'.") from error
    chosen = {"KEDRO_ENV": loader.env, "EXPERIMENT": loader.experiment}
    defaults = {None, loader.default_run_env, DEFAULT_EXPERIMENT}
    words = "".join(f" {name}={value}" for name, value in chosen.items() if value not in defaults)
    return "\n".join(
        [
            format_leaderboard(frame).rstrip("\n"),
            "",
            f"Report:    {shown_path(report.place)}",
            _mlflow_line(loader),
            f"Kedro-Viz: make viz{words}    then open http://127.0.0.1:4141",
        ]
    )


def _mlflow_line(loader: ConfigLoader) -> str:
    from genre_pipeline.tracking import runs_page

    page = runs_page(*tracked(loader))
    return f"MLflow:    make mlflow    then open {page}"


def tracked(loader: ConfigLoader) -> tuple[str, str]:
    """Return the tracking URI, and the name of the MLflow experiment."""
    settings = loader["mlflow"]
    return settings["server"]["mlflow_tracking_uri"], settings["tracking"]["experiment"]["name"]


def stated_entry(name: str, loader: ConfigLoader) -> Entry:
    """Return where a result of the experiment is, as the catalog's file states it: Kedro's entries take long to import.

    Args:
        name: The name of an entry that is no pattern.
        loader: The configuration.
    """
    from genre_pipeline.ops.refresh.graph import Entry

    stated = loader["catalog"][name]
    path = PROJECT_ROOT / stated["filepath"]
    # As WholeFileMixin keeps it.
    copy_path = path.parents[1] / path.name if stated.get("keep_newest") else None
    return Entry(path=path, versioned=stated.get("versioned", False), copy_path=copy_path)


def shown_path(path: Path) -> str:
    """Return a path relative to the current folder where that is shorter."""
    return str(min((str(path), os.path.relpath(path)), key=len))


@cli.command()
@choosing
@click.option("--open", "is_opened", is_flag=True, help="Open it in the browser.")
def report(choice: Choice, is_opened: bool) -> None:
    """Print where the report of the last comparison is."""
    from genre_pipeline.errors import EvaluationError

    loader = choice.configuration()
    place = stated_entry("report", loader).place
    if not place.is_file():
        raise EvaluationError(f"There is no report yet. Make one: {_how_to_run(loader)}")
    click.echo(shown_path(place))
    if is_opened:
        click.launch(str(place))


@cli.command()
@choosing
def status(choice: Choice) -> None:
    """Show which model leads, what has changed since, and where to look."""
    from genre_pipeline.freshness import conclude
    from genre_pipeline.ops.refreshing import Request, plan_refresh

    loader, experiment = choice.configuration(), choice.read()
    click.echo(f"{experiment.settings.title} (experiment {experiment.settings.name})")
    plan = plan_refresh(Request(choice.env, choice.experiment, choice.params, read_parameters(choice.params)))
    entries = plan.graph.entries
    is_compared = entries["leaderboard"].newest() is not None
    click.echo("\n".join(conclude(entries)) if is_compared else f"Nothing was compared yet: {_how_to_run(loader)}")
    click.echo(plan.summary(is_short=True))


def _how_to_run(loader: ConfigLoader) -> str:
    return f"kedro run --pipelines train_all{loader.options}"


@cli.command()
@choosing
@click.option("--dry-run", is_flag=True, help="Only show what is stale, and why.")
@click.option("--explain", metavar="CELL", help="Only show what made a cell or a step stale, back to the first cause.")
@click.option(
    "--check-content", is_flag=True, help="Read music and results: find changes that left size and time as they were."
)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--watch", is_flag=True, help="Check repeatedly, until Ctrl-C or SIGTERM.")
@click.option(
    "--interval",
    "interval_s",
    type=FiniteRange(0, MAX_PAUSE_S, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds between two checks.",
)
@click.option(
    "--settle",
    "settle_s",
    type=FiniteRange(0, MAX_PAUSE_S),
    default=10.0,
    show_default=True,
    help="Seconds without changes before a refresh.",
)
def refresh(
    choice: Choice,
    dry_run: bool,
    explain: str | None,
    check_content: bool,
    yes: bool,
    watch: bool,
    interval_s: float,
    settle_s: float,
) -> None:
    """Bring everything up to date: run what is stale, and only that."""
    # It sets up logging.
    import kedro.framework.project  # noqa: F401

    from genre_pipeline.ops.refreshing import Request, plan_refresh, refresh_once, watch_and_refresh
    from genre_pipeline.progress import log_in_lines

    log_in_lines()
    request = Request(choice.env, choice.experiment, choice.params, read_parameters(choice.params), check_content)
    if explain is not None:
        click.echo("\n".join(plan_refresh(request).explain(explain)))
    elif dry_run:
        click.echo(plan_refresh(request).summary())
    elif not watch:
        refresh_once(request, say=click.echo, confirm=asking(yes=yes))
    else:
        watch_and_refresh(request, say=click.echo, interval_s=interval_s, settle_s=settle_s)


@cli.command()
@choosing
@click.argument("runs", nargs=-1, metavar="[RUN RUN...]")
@click.option("--cell", "pattern", default="*", metavar="PATTERN", help="Only such cells, like demo.*.*.net1")
@click.option("--all-metrics", is_flag=True, help="All metrics of the test split, not only the accuracy of tracks.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    show_default=True,
    help="JSON has all metrics, and values in full.",
)
def compare(choice: Choice, runs: tuple[str, ...], pattern: str, all_metrics: bool, form: str) -> None:
    """Show what changed from run to run: data, parameters, code, and the numbers with their uncertainty.

    By default, each cell's last run is compared with its own run before, whatever ran between the two. RUN is latest,
    previous, latest~2 (the second before the latest), the first digits of a run's id in MLflow, or a run's name. The
    run of a single cell is compared alone.
    """
    from genre_pipeline.evaluation.run_changes import compare_sessions
    from genre_pipeline.reporting.document import format_markdown, format_terminal
    from genre_pipeline.reporting.run_changes import describe, format_json
    from genre_pipeline.tracking import RunHistory

    if len(runs) == 1:
        raise click.UsageError(f"Expected two runs or more, got one: '{runs[0]}'.")
    confidence = choice.read().evaluation.confidence
    loader = choice.configuration()
    history = RunHistory.open(*tracked(loader))
    if runs:
        pairs: Any = pairwise([_session_of(reference, history, loader.experiment, pattern) for reference in runs])
    else:
        pairs = history.last_pairs(loader.experiment, pattern)
    steps = [compare_sessions(before, after, confidence=confidence) for before, after in pairs]
    if form == "json":
        click.echo(format_json(steps, confidence=confidence))
        return
    blocks = describe(steps, confidence=confidence, all_metrics=all_metrics)
    click.echo(
        format_markdown(blocks) if form == "markdown" else format_terminal(blocks, is_terminal=sys.stdout.isatty())
    )


def _session_of(reference: str, history: RunHistory, experiment: str, pattern: str) -> SessionRecord:
    from genre_pipeline.errors import TrackingError

    session = history.find(reference, experiment)
    cells = {cell: record for cell, record in session.cells.items() if fnmatchcase(cell.name, pattern)}
    if not cells:
        known = ", ".join(sorted(cell.name for cell in session.cells)) or "none"
        raise TrackingError(f"The run '{reference}' evaluated no cell like '{pattern}'. It evaluated: {known}.")
    return replace(session, cells=cells)


@cli.group()
def runs() -> None:
    """Take sessions from one MLflow server to another, as a file."""


_EXPORTED = click.Path(dir_okay=False, path_type=Path)


@runs.command(name="export")
@choosing
@click.argument("path", metavar="FILE", type=_EXPORTED)
@click.option("--run", "reference", default="latest", show_default=True, help="A session, as for compare.")
def export_runs(choice: Choice, path: Path, reference: str) -> None:
    """Write a session to FILE: its runs, their files and models."""
    from genre_pipeline.tracking import RunHistory
    from genre_pipeline.tracking.transfer import export_session

    loader = choice.configuration()
    uri, name = tracked(loader)
    session = RunHistory.open(uri, name).find(reference, loader.experiment)
    export_session(uri, name, session.run_id, path)
    click.echo(f"{session.name}, {session.started}: written to {shown_path(path)}")


@runs.command(name="import")
@choosing
@click.argument("path", metavar="FILE", type=_EXPORTED)
def import_runs(choice: Choice, path: Path) -> None:
    """Copy the session in FILE to the MLflow server of this project; one that is there already is left alone."""
    from genre_pipeline.project import artifact_location
    from genre_pipeline.tracking import check_server, open_database
    from genre_pipeline.tracking.transfer import import_sessions

    uri, name = tracked(choice.configuration())
    check_server(uri)
    open_database(uri)
    names = import_sessions(uri, name, path, artifact_location())
    click.echo("\n".join(f"{each}: imported" for each in names) or "Nothing new: the session is there already.")


@cli.group()
def stores() -> None:
    """List, check and clear away feature stores."""


@stores.command(name="list")
@choosing
def list_stores(choice: Choice) -> None:
    """List all feature stores with their sizes."""
    from genre_pipeline.stores.inventory import summarise_stores

    click.echo(_stores_table(summarise_stores(choice.read().storage.features)))


@stores.command(name="verify")
@choosing
def verify_stores(choice: Choice) -> None:
    """Read all feature stores and check their bytes."""
    from genre_pipeline.errors import StoreError
    from genre_pipeline.stores.inventory import summarise_stores

    found = summarise_stores(choice.read().storage.features, verify=True)
    faults = [store.fault for store in found if store.fault]
    if faults:
        raise StoreError("\n".join([f"Damaged feature stores: {len(faults)} of {len(found)}", *faults]))
    click.echo(f"Feature stores, all intact: {len(found)}")


@stores.command(name="prune")
@choosing
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
def prune_stores(choice: Choice, dry_run: bool, yes: bool) -> None:
    """Delete feature stores that no experiment defines and no trained model read, and damaged ones."""
    from rich.filesize import decimal

    from genre_pipeline.ops.pruning import find_unused_stores
    from genre_pipeline.stores.inventory import remove_store

    unused = find_unused_stores(choice.read().storage.features)
    if not unused:
        click.echo("Every feature store is used.")
        return
    click.echo(_stores_table(unused))
    size = decimal(sum(store.n_bytes for store in unused))
    if dry_run:
        click.echo(f"{size} would be freed.")
        return
    if not yes:
        click.confirm(f"Delete them, and free {size}?", abort=True)
    for store in unused:
        remove_store(store.folder)
    click.echo(f"{size} freed.")


@cli.command()
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Versions of each catalog entry to keep.")
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
def prune(keep: int, dry_run: bool, yes: bool) -> None:
    """Delete old versions of results, and feature stores that nothing uses.

    What somebody trained is kept, however it was started: no checkpoint is deleted, and no feature store that a trained
    model read. While a refresh runs, nothing is deleted.
    """
    from contextlib import nullcontext

    from rich.filesize import decimal

    from genre_pipeline.ops.pruning import find_leftovers
    from genre_pipeline.ops.refresh.place import one_refresh_at_a_time
    from genre_pipeline.ops.retention import remove
    from genre_pipeline.stores.inventory import remove_store

    with nullcontext() if dry_run else one_refresh_at_a_time():
        leftovers, stores = find_leftovers(keep)
        lines = [(each.path, each.n_bytes, each.reason) for each in leftovers]
        lines += [
            (store.folder, store.n_bytes, "damaged" if store.fault else "no experiment or model uses it")
            for store in stores
        ]
        if not lines:
            click.echo("Nothing is left over.")
            return
        for path, n_bytes, reason in lines:
            click.echo(f"{decimal(n_bytes):>10}  {shown_path(path)}  ({reason})")
        size = decimal(sum(n_bytes for _, n_bytes, _ in lines))
        if dry_run:
            click.echo(f"{size} would be freed.")
            return
        if not yes:
            click.confirm(f"Delete them, and free {size}?", abort=True)
        for leftover in leftovers:
            remove(leftover)
        for store in stores:
            remove_store(store.folder)
        click.echo(f"{size} freed.")


@cli.command(name="airflow-dags")
@choosing
@click.option("--every", type=click.Choice(["hourly", "daily", "weekly"]), help="How often to look for changed files.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Airflow's folder of DAGs.")
def airflow_dags(choice: Choice, every: Every | None, output: Path | None) -> None:
    """Write the experiment's DAGs for Airflow 3 (one asset per dataset, one task per stage and per cell)."""
    import sys

    from genre_pipeline.ops.airflow_dag import Project, airflow_dag
    from genre_pipeline.project import data_root
    from genre_pipeline.storage import atomic_file

    experiment = choice.read()
    name = experiment.settings.name
    given = {each: os.environ[each] for each in _PASSED_ON if os.environ.get(each)}
    project = Project(
        root=PROJECT_ROOT,
        # Not resolved: the link is what makes it the virtual environment's.
        python=Path(sys.executable).absolute(),
        env=choice.env,
        experiment=choice.experiment,
        params=choice.params,
        variables={**given, "GENRE_PIPELINE_DATA": data_root()},
    )
    n_tasks = experiment.compute.airflow_tasks
    dag = airflow_dag(project, experiment=name, cells=experiment.cells, every=every, n_tasks=n_tasks)
    if output is None:
        click.echo(dag)
        return
    path = output / f"genre_pipeline_{name}.py"
    with atomic_file(path) as temporary:
        temporary.write_text(dag, encoding="utf-8")
    click.echo(f"Written: {path}")


def _stores_table(found: Any) -> str:
    from rich.filesize import decimal

    heads = ("dataset", "feature", "tracks", "size", "waste", "specification")
    rows = [
        (
            store.dataset,
            store.feature,
            f"{store.n_tracks:,}",
            decimal(store.n_bytes),
            f"{store.waste:.0%}",
            "DAMAGED" if store.fault else store.spec_hash,
        )
        for store in found
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    total = f"Feature stores: {len(rows)}, {decimal(sum(store.n_bytes for store in found))}"
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [heads, *rows]
    ]
    return "\n".join([*lines, "", total])
