"""Commands of the project: ``run`` with messages for people, ``refresh``, ``leaderboard``, ``compare`` and more."""

from __future__ import annotations

import copy
import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro import KedroDeprecationWarning
from kedro.config import MissingConfigException
from kedro.framework.cli.cli import project_commands
from kedro.framework.cli.hooks import cli_hook_impl, get_cli_hook_manager
from kedro.framework.cli.project import _resolve_runner_kwargs
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError, env_option, load_entry_points
from kedro.framework.context import KedroContextError
from kedro.io import DatasetError

from genre_pipeline.configuration import (
    DEFAULT_EXPERIMENT,
    EXPERIMENT_VARIABLE,
    ConfigLoader,
    load_configuration,
    with_experiment,
)
from genre_pipeline.errors import ConfigError, GenrePipelineError
from genre_pipeline.registry import suggestion
from genre_pipeline.runtime_parameters import read_parameters
from genre_pipeline.work.processes import Ended, ends_on_signals

if TYPE_CHECKING:
    from genre_pipeline.experiment import Experiment
    from genre_pipeline.ops.airflow_dag import Every

_RUNNERS = (
    "ParallelRunner",
    "SequentialRunner",
    "ThreadRunner",
    "genre_pipeline.runner.ClusterRunner",
    "genre_pipeline.runner.StaleRunner",
)
# Environment variables that the tasks of a DAG need as well.
_PASSED_ON = ("MLFLOW_TRACKING_URI", "KEDRO_ENV", EXPERIMENT_VARIABLE, "OMP_NUM_THREADS", "DO_NOT_TRACK")


def _for_people(action: Callable[..., Any]) -> Callable[..., Any]:
    """Show what a person can put right as one message; any other error keeps its traceback.

    SIGTERM and SIGHUP end the command as Ctrl-C does: with a message, and 128 and the signal's number as exit code.
    """

    @functools.wraps(action)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            with ends_on_signals():
                return action(*args, **kwargs)
        except KedroCliError as error:
            # Its own way of showing itself speaks of an option that few commands have.
            raise click.ClickException(error.message) from error
        except (GenrePipelineError, DatasetError, KedroContextError, MissingConfigException) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt as error:
            ended = error if isinstance(error, Ended) else Ended(signal.SIGINT)
            # The terminal may be closed.
            with suppress(OSError):
                click.echo(str(ended), err=True)
            raise click.exceptions.Exit(ended.exit_code) from None

    return wrapper


# Of the option --experiment.
_EXPERIMENT_HELP: dict[str, Any] = {
    "metavar": "NAME",
    "help": "What is compared: conf/base/experiments/NAME.yml, conf/local/experiments/NAME.yml, or a new name for what "
    f"--params chooses. Default: the variable {EXPERIMENT_VARIABLE}, or {DEFAULT_EXPERIMENT}.",
}


@dataclass(frozen=True)
class _Choice:
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
        return load_configuration(self.env, read_parameters(self.params), experiment=self.experiment)

    def read(self) -> Experiment:
        from genre_pipeline.experiment import load_experiment

        return load_experiment(self.configuration()["parameters"])


def _choosing(action: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--env``, ``--experiment`` and ``--params``, and their choice as first argument."""

    @functools.wraps(action)
    def wrapper(*, env: str | None, experiment: str | None, params: str, **options: Any) -> Any:
        return action(_Choice(env, experiment, params), **options)

    params = click.option("--params", default="", callback=_check_parameters, help="Parameters, as for kedro run.")
    return env_option(click.option("--experiment", **_EXPERIMENT_HELP)(params(wrapper)))  # type: ignore[no-any-return]


class _Commands(click.Group):
    """The project's commands, and those of Kedro and its plugins for a project: Kedro looks for all of them here first.

    Every command reports errors in one way: while its options are read, and while it runs.
    """

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return a command; Kedro's own need its description of the project, which is the context's object."""
        command = super().get_command(context, name)
        if command is None and context.obj is not None:
            kedros = [*load_entry_points("project"), project_commands]
            command = next((found for group in kedros if (found := group.get_command(context, name))), None)
        if command is None:
            return None
        guarded = copy.copy(command)
        for method in ("make_context", "invoke"):
            setattr(guarded, method, _for_people(functools.partial(getattr(type(command), method), guarded)))
        return guarded


def _split_parameters(context: click.Context | None, option: click.Parameter | None, value: Any) -> dict[str, Any]:
    """Read ``--params``; a file of ``--config`` may hold a mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return read_parameters(value or "")
    except ConfigError as error:
        raise click.BadParameter(str(error), context, option) from None


def _check_parameters(context: click.Context, option: click.Parameter, value: str) -> str:
    """Return the text of ``--params`` if it can be read: another command gets it."""
    _split_parameters(context, option, value)
    return value


def _check_runner(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from kedro.runner import AbstractRunner
    from kedro.utils import load_obj

    if not value:
        return value
    try:
        found = load_obj(value, "kedro.runner")
    except (ImportError, AttributeError, ValueError):
        found = None
    if not isinstance(found, type) or not issubclass(found, AbstractRunner) or found is AbstractRunner:
        raise click.BadParameter(f"There is no runner '{value}'. {suggestion(value, _RUNNERS)}", context, option)
    return value


def _read_run_options(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """Read the file of ``--config``: Kedro would refuse the options that only this project has."""
    from omegaconf import OmegaConf

    if not value:
        return value
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(value))
        given = dict(content["run"])
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise click.BadParameter(
            f"{value} cannot be read. Expected YAML with options of kedro run below 'run:' ({reason}).", context, option
        ) from None
    known = {each.name for each in context.command.params if each.name} - {"config"}
    for name in given:
        if name not in known:
            raise click.BadParameter(f"{value}: kedro run has no option '{name}'. {suggestion(name, known)}")
    context.default_map = {**(context.default_map or {}), **given}
    return value


# What is read otherwise than Kedro reads it.
_CALLBACKS: dict[str | None, Callable[..., Any]] = {
    "config": _read_run_options,
    "params": _split_parameters,
    "runner": _check_runner,
    "runner_params": _split_parameters,
}


def _run_options() -> list[click.Parameter]:
    """Return the options of Kedro's ``run``, each with a message for what it cannot be."""
    options = [copy.copy(option) for option in kedro_run.params]
    for option in options:
        option.callback = _CALLBACKS.get(option.name, option.callback)
    fresh = click.Option(
        ["--fresh"], is_flag=True, help="Run every node that is asked for, also those whose results are up to date."
    )
    return [*options, click.Option(["--experiment"], **_EXPERIMENT_HELP), fresh]


def _run(
    *,
    fresh: bool,
    env: str | None,
    experiment: str | None,
    conf_source: str | None,
    params: dict[str, Any],
    runner: str | None,
    runner_params: dict[str, Any],
    is_async: bool,
    pipeline: str | None,
    pipelines: list[str],
    **choice: Any,
) -> Any:
    """Run as Kedro's own command does, which has no ``--fresh`` and no ``--experiment``."""
    from kedro.utils import load_obj

    from genre_pipeline.session import InterruptibleSession

    # Its options are among the others by now.
    del choice["config"]
    if pipeline and pipelines:
        raise KedroCliError("Options '--pipeline' and '--pipelines' cannot be used together.")
    if pipeline:
        warnings.warn("Option '--pipeline' is deprecated: use '--pipelines'.", KedroDeprecationWarning, stacklevel=2)
    name = runner or "SequentialRunner"
    try:
        made = load_obj(name, "kedro.runner")(**_resolve_runner_kwargs(is_async, runner_params))
    except (TypeError, ValueError) as error:
        raise click.BadParameter(f"{name} does not take them: {error}", param_hint="'--runner-params'") from None
    session: Any
    given = with_experiment(params, experiment)
    with InterruptibleSession.create(env=env, conf_source=conf_source, runtime_params=given) as session:
        return session.run(
            pipeline_names=[pipeline] if pipeline else list(dict.fromkeys(pipelines)),
            runner=made,
            fresh=fresh,
            **choice,
        )


class _OtherPrograms:
    """Checks what is typed for commands whose own programs would show a traceback; no other command passes here."""

    @cli_hook_impl
    def before_command_run(self, command_args: list[str]) -> None:
        """Check environment, parameters and pipeline."""
        from argparse import ArgumentParser

        if not {*command_args[:1]} & {"ipython", "jupyter", "viz"} or "--load-file" in command_args:
            return
        parser = ArgumentParser(add_help=False, allow_abbrev=False)
        for names in (("--env", "-e"), ("--params",), ("--pipeline", "-p")):
            parser.add_argument(*names, nargs="?")
        given, _ = parser.parse_known_args(command_args)
        try:
            _for_people(_check_choice)(_Choice(given.env, None, given.params or ""), given.pipeline)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)


get_cli_hook_manager().register(_OtherPrograms())


def _check_choice(choice: _Choice, pipeline: str | None) -> None:
    from genre_pipeline.pipeline_registry import choose_pipelines

    parameters = choice.configuration()["parameters"]
    choose_pipelines([pipeline] if pipeline else [], parameters)


@click.group(name="genre_pipeline", cls=_Commands)
def cli() -> None:
    """Train and honestly compare music genre classifiers."""


# Kedro looks for it by this name in an installed package.
run = click.Command(
    "run",
    params=_run_options(),
    callback=_run,
    help=(
        "Run a pipeline. Rerun an interrupted command to resume it. Nodes whose results are up to date are skipped, "
        "also those chosen by --nodes, --tags and the like; --fresh runs them too."
    ),
)
cli.add_command(run)


@cli.command()
@_choosing
def leaderboard(choice: _Choice) -> None:
    """Print the leaderboard of the last comparison, and where to look further."""
    click.echo(_leaderboard_text(choice.configuration()))


def _leaderboard_text(loader: ConfigLoader) -> str:
    from kedro.io import DataCatalog

    from genre_pipeline.errors import EvaluationError
    from genre_pipeline.ops.refresh.records import check_intact
    from genre_pipeline.pipelines.description import entry_of
    from genre_pipeline.reporting.leaderboard import format_leaderboard

    catalog: Any = DataCatalog.from_config(loader["catalog"])
    if not catalog.exists("leaderboard"):
        # Says so if there is no such experiment.
        loader["parameters"]
        raise EvaluationError(f"There is no leaderboard yet. Make one: kedro run --pipelines train_all{loader.options}")
    table, report = entry_of("leaderboard", catalog), entry_of("report", catalog)
    assert table is not None, "the catalog keeps it in a file"
    assert report is not None, "the catalog keeps it in a file"
    check_intact("leaderboard", table)
    chosen = {"KEDRO_ENV": loader.env, EXPERIMENT_VARIABLE: loader.experiment}
    defaults = {None, loader.default_run_env, DEFAULT_EXPERIMENT}
    prefix = "".join(f"{name}={value} " for name, value in chosen.items() if value not in defaults)
    return "\n".join(
        [
            format_leaderboard(catalog.load("leaderboard")),
            "",
            f"Report:    {_shown(report.place)}",
            _mlflow_line(loader),
            f"Kedro-Viz: {prefix}make viz    then open http://127.0.0.1:4141",
        ]
    )


def _mlflow_line(loader: ConfigLoader) -> str:
    from genre_pipeline.tracking import runs_page

    page = runs_page(*_tracked(loader))
    return f"MLflow:    make mlflow    then open {page}"


def _tracked(loader: ConfigLoader) -> tuple[str, str]:
    """Return the tracking URI, and the name of the MLflow experiment."""
    settings = loader["mlflow"]
    return settings["server"]["mlflow_tracking_uri"], settings["tracking"]["experiment"]["name"]


def _shown(path: Path) -> str:
    """Return a path relative to the current folder where that is shorter."""
    return str(min((str(path), os.path.relpath(path)), key=len))


@cli.command()
@_choosing
@click.option("--dry-run", is_flag=True, help="Only show what is stale, and why.")
@click.option("--explain", metavar="CELL", help="Only show what made a cell or a step stale, back to the first cause.")
@click.option(
    "--check-content", is_flag=True, help="Read music and results: find changes that left size and time as they were."
)
@click.option("--watch", is_flag=True, help="Check repeatedly, until Ctrl-C or SIGTERM.")
@click.option("--interval", "interval_s", default=60.0, show_default=True, help="Seconds between two checks.")
@click.option("--settle", "settle_s", default=10.0, show_default=True, help="Seconds without changes before a refresh.")
def refresh(
    choice: _Choice,
    dry_run: bool,
    explain: str | None,
    check_content: bool,
    watch: bool,
    interval_s: float,
    settle_s: float,
) -> None:
    """Bring everything up to date: run what is stale, and only that."""
    from genre_pipeline.ops.refreshing import Request, plan_refresh, refresh_once, watch_and_refresh

    request = Request(choice.env, choice.experiment, choice.params, read_parameters(choice.params), check_content)
    if explain is not None:
        click.echo("\n".join(plan_refresh(request).explain(explain)))
    elif dry_run:
        click.echo(plan_refresh(request).summary())
    elif not watch:
        refresh_once(request, say=click.echo)
    else:
        watch_and_refresh(request, say=click.echo, interval_s=interval_s, settle_s=settle_s)


@cli.command()
@_choosing
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
def compare(choice: _Choice, runs: tuple[str, ...], pattern: str, all_metrics: bool, form: str) -> None:
    """Show what changed from run to run: data, parameters, code, and the numbers with their uncertainty.

    RUN is latest, previous, latest~2 (the second before the latest), the first digits of a run's id in MLflow, or a
    run's name; by default, previous and latest. The run of a single cell is compared alone.
    """
    from genre_pipeline.evaluation.run_changes import compare_sessions
    from genre_pipeline.reporting.document import format_markdown, format_terminal
    from genre_pipeline.reporting.run_changes import describe, format_json

    if len(runs) == 1:
        raise click.UsageError(f"Expected two runs or more, got one: '{runs[0]}'.")
    confidence = choice.read().evaluation.confidence
    loader = choice.configuration()
    sessions = [_session_of(reference, loader, pattern) for reference in runs or ("previous", "latest")]
    steps = [compare_sessions(before, after, confidence=confidence) for before, after in pairwise(sessions)]
    if form == "json":
        click.echo(format_json(steps, confidence=confidence))
        return
    blocks = describe(steps, confidence=confidence, all_metrics=all_metrics)
    click.echo(
        format_markdown(blocks) if form == "markdown" else format_terminal(blocks, is_terminal=sys.stdout.isatty())
    )


def _session_of(reference: str, loader: ConfigLoader, pattern: str) -> Any:
    from genre_pipeline.errors import TrackingError
    from genre_pipeline.tracking import RunHistory

    history = RunHistory.open(*_tracked(loader))
    session = history.find(reference, loader.experiment)
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
@_choosing
@click.argument("path", metavar="FILE", type=_EXPORTED)
@click.option("--run", "reference", default="latest", show_default=True, help="A session, as for compare.")
def export_runs(choice: _Choice, path: Path, reference: str) -> None:
    """Write a session to FILE: its runs, their files and models."""
    from genre_pipeline.tracking import RunHistory
    from genre_pipeline.tracking.transfer import export_session

    loader = choice.configuration()
    uri, name = _tracked(loader)
    session = RunHistory.open(uri, name).find(reference, loader.experiment)
    export_session(uri, name, session.run_id, path)
    click.echo(f"{session.name}, {session.started}: written to {_shown(path)}")


@runs.command(name="import")
@_choosing
@click.argument("path", metavar="FILE", type=_EXPORTED)
def import_runs(choice: _Choice, path: Path) -> None:
    """Copy the session in FILE to the MLflow server of this project; one that is there already is left alone."""
    from genre_pipeline.project import artifact_location
    from genre_pipeline.tracking import check_server, open_database
    from genre_pipeline.tracking.transfer import import_sessions

    uri, name = _tracked(choice.configuration())
    check_server(uri)
    open_database(uri)
    names = import_sessions(uri, name, path, artifact_location())
    click.echo("\n".join(f"{each}: imported" for each in names) or "Nothing new: the session is there already.")


@cli.group()
def stores() -> None:
    """List, check and clear away feature stores."""


@stores.command(name="list")
@_choosing
def list_stores(choice: _Choice) -> None:
    """List all feature stores with their sizes."""
    from genre_pipeline.stores.inventory import summarise_stores

    click.echo(_stores_table(summarise_stores(choice.read().storage.features)))


@stores.command(name="verify")
@_choosing
def verify_stores(choice: _Choice) -> None:
    """Read all feature stores and check their bytes."""
    from genre_pipeline.errors import StoreError
    from genre_pipeline.stores.inventory import summarise_stores

    found = summarise_stores(choice.read().storage.features, verify=True)
    faults = [store.fault for store in found if store.fault]
    if faults:
        raise StoreError("\n".join([f"Damaged feature stores: {len(faults)} of {len(found)}", *faults]))
    click.echo(f"Feature stores, all intact: {len(found)}")


@stores.command(name="prune")
@_choosing
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
def prune_stores(choice: _Choice, dry_run: bool, yes: bool) -> None:
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
            click.echo(f"{decimal(n_bytes):>10}  {_shown(path)}  ({reason})")
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
@_choosing
@click.option("--every", type=click.Choice(["hourly", "daily", "weekly"]), help="How often to look for changed files.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Airflow's folder of DAGs.")
def airflow_dags(choice: _Choice, every: Every | None, output: Path | None) -> None:
    """Write the experiment's DAGs for Airflow 3 (one asset per dataset, one task per stage and per cell)."""
    import sys

    from genre_pipeline.ops.airflow_dag import Project, airflow_dag
    from genre_pipeline.project import PROJECT_ROOT, data_root
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
