"""Commands of the project: ``run`` with messages for people, ``refresh``, ``leaderboard``, ``compare``, ``stores``."""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import env_option
from kedro.io import DatasetError

from genre_pipeline.errors import GenrePipelineError

# What shells report for a program that Ctrl-C ended: 128 + SIGINT.
_INTERRUPTED = 130


def _for_people(command: Callable[..., Any]) -> Callable[..., Any]:
    """Show errors of the project and of the catalog's files as one message; any other error keeps its traceback."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (GenrePipelineError, DatasetError) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None

    return wrapper


def _split_parameters(context: click.Context, option: click.Parameter, value: str) -> dict[str, Any]:
    """Read ``a.b=1,c=[x,y]``. Unlike Kedro's own reading, a comma inside brackets does not end a value."""
    from omegaconf import OmegaConf

    items: list[str] = []
    depth = 0
    for piece in value.split(",") if value else []:
        if depth > 0:
            items[-1] += f",{piece}"
        else:
            items.append(piece)
        depth += sum(piece.count(bracket) for bracket in "[{") - sum(piece.count(bracket) for bracket in "]}")
    for item in items:
        if "=" not in item:
            raise click.BadParameter(f"'{item}' must be a key and a value with '=' between them.", context, option)
    merged = OmegaConf.from_dotlist([item.strip() for item in items])
    return cast("dict[str, Any]", OmegaConf.to_container(merged))


def _run_options() -> list[click.Parameter]:
    """Return the options of Kedro's ``run``, with lists allowed in ``--params``."""
    options = [copy.copy(option) for option in kedro_run.params]
    for option in options:
        if option.name == "params":
            option.callback = _split_parameters
    return options


@click.group(name="genre_pipeline")
def cli() -> None:
    """Train and honestly compare music genre classifiers."""


cli.add_command(
    click.Command(
        "run",
        params=_run_options(),
        callback=_for_people(kedro_run.callback or kedro_run),
        help="Run a pipeline. Finished work is kept: the same command goes on after an interruption.",
    )
)


@cli.command()
@env_option
@_for_people
def leaderboard(env: str | None) -> None:
    """Print the leaderboard of the last comparison, and where to look further."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from genre_pipeline.project import PROJECT_ROOT

    bootstrap_project(PROJECT_ROOT)
    session = KedroSession.create(project_path=PROJECT_ROOT, env=env)
    click.echo(_leaderboard_text(session.load_context().catalog, env))


def _leaderboard_text(catalog: Any, env: str | None) -> str:
    from genre_pipeline.errors import EvaluationError
    from genre_pipeline.evaluation.comparison import format_leaderboard

    if not catalog.exists("leaderboard"):
        option = f" --env {env}" if env else ""
        raise EvaluationError(f"There is no leaderboard yet. Make one: kedro run --pipelines train_all{option}")
    report = Path(str(catalog.get("report")._filepath))
    prefix = f"KEDRO_ENV={env} " if env else ""
    return "\n".join(
        [
            format_leaderboard(catalog.load("leaderboard")),
            "",
            f"Report:    {_shown(report)}",
            f"MLflow:    {prefix}make mlflow    then open http://127.0.0.1:5000 (Model training > Experiments)",
            f"Kedro-Viz: {prefix}make viz       then open http://127.0.0.1:4141",
        ]
    )


def _shown(path: Path) -> str:
    """Return a path relative to the current folder where that is shorter."""
    return str(min((str(path), os.path.relpath(path)), key=len))


@cli.command()
@env_option
@click.option("--params", default="", help="Parameters, as for kedro run.")
@click.option("--dry-run", is_flag=True, help="Only say what is stale, and why.")
@click.option("--explain", metavar="CELL", help="Only say what made a cell or a step stale, back to the beginning.")
@click.option(
    "--check-content", is_flag=True, help="Read all music: find changes that left size and time as they were."
)
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C or SIGTERM.")
@click.option("--interval", "interval_s", default=60.0, show_default=True, help="Seconds between two looks.")
@click.option("--settle", "settle_s", default=10.0, show_default=True, help="Seconds for which files must be at rest.")
@click.pass_context
@_for_people
def refresh(
    context: click.Context,
    env: str | None,
    params: str,
    dry_run: bool,
    explain: str | None,
    check_content: bool,
    watch: bool,
    interval_s: float,
    settle_s: float,
) -> None:
    """Bring everything up to date: run what is stale, and only that."""
    from genre_pipeline.refreshing import Request, plan_refresh, refresh_once, stops_cleanly, watch_and_refresh

    request = Request(env, params, _split_parameters(context, context.command.params[1], params), check_content)
    if explain is not None:
        click.echo("\n".join(plan_refresh(request).explain(explain)))
    elif dry_run:
        click.echo(plan_refresh(request).summary())
    else:
        with stops_cleanly():
            if not watch:
                refresh_once(request, say=click.echo)
                return
            try:
                watch_and_refresh(request, say=click.echo, interval_s=interval_s, settle_s=settle_s)
            except KeyboardInterrupt:
                click.echo("Stopped.")


@cli.command()
@click.argument("runs", nargs=-1, metavar="[RUN RUN...]")
@env_option
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
@_for_people
def compare(runs: tuple[str, ...], env: str | None, pattern: str, all_metrics: bool, form: str) -> None:
    """Say what changed from run to run: data, parameters, code, and the numbers with their uncertainty.

    RUN is latest, previous, latest~2 (the second before the latest), the first digits of a run's id in MLflow, or a
    run's name; by default, previous and latest. The run of a single cell is compared alone.
    """
    from genre_pipeline.evaluation.changes import compare_sessions
    from genre_pipeline.evaluation.changes_text import describe, format_json, format_markdown, format_terminal

    if len(runs) == 1:
        raise click.UsageError(f"Expected two runs or more, got one: '{runs[0]}'.")
    confidence = _experiment(env).evaluation.confidence
    sessions = [_session_of(reference, env, pattern) for reference in runs or ("previous", "latest")]
    steps = [compare_sessions(before, after, confidence=confidence) for before, after in pairwise(sessions)]
    if form == "json":
        click.echo(format_json(steps, confidence=confidence))
        return
    blocks = describe(steps, confidence=confidence, all_metrics=all_metrics)
    click.echo(
        format_markdown(blocks) if form == "markdown" else format_terminal(blocks, is_terminal=sys.stdout.isatty())
    )


def _session_of(reference: str, env: str | None, pattern: str) -> Any:
    from genre_pipeline.errors import TrackingError

    session = _history(env).find(reference, env or os.environ.get("KEDRO_ENV") or "base")
    cells = {cell: record for cell, record in session.cells.items() if fnmatchcase(cell.name, pattern)}
    if not cells:
        known = ", ".join(sorted(cell.name for cell in session.cells)) or "none"
        raise TrackingError(f"The run '{reference}' evaluated no cell like '{pattern}'. It evaluated: {known}.")
    return replace(session, cells=cells)


def _history(env: str | None) -> Any:
    from genre_pipeline.tracking import RunHistory

    settings = _configuration(env)["mlflow"]
    return RunHistory.open(settings["server"]["mlflow_tracking_uri"], settings["tracking"]["experiment"]["name"])


@cli.group()
def stores() -> None:
    """List, check and clear away feature stores."""


@stores.command(name="list")
@env_option
@_for_people
def list_stores(env: str | None) -> None:
    """List all feature stores with their sizes."""
    from genre_pipeline.features.inventory import summarise_stores

    click.echo(_stores_table(summarise_stores(_stores_folder(env))))


@stores.command(name="verify")
@env_option
@_for_people
def verify_stores(env: str | None) -> None:
    """Read all feature stores and check their bytes."""
    from genre_pipeline.errors import StoreError
    from genre_pipeline.features.inventory import summarise_stores

    found = summarise_stores(_stores_folder(env), verify=True)
    faults = [store.fault for store in found if store.fault]
    if faults:
        raise StoreError("\n".join([f"Damaged feature stores: {len(faults)} of {len(found)}", *faults]))
    click.echo(f"Feature stores, all intact: {len(found)}")


@stores.command(name="prune")
@env_option
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@_for_people
def prune_stores(env: str | None, dry_run: bool, yes: bool) -> None:
    """Delete feature stores that no environment's datasets and features use, and damaged ones."""
    from rich.filesize import decimal

    from genre_pipeline.features.inventory import remove_store, summarise_stores, unused_stores

    unused = unused_stores(summarise_stores(_stores_folder(env)), _used_stores())
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


def _configuration(env: str | None) -> Any:
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project

    from genre_pipeline.project import PROJECT_ROOT

    bootstrap_project(PROJECT_ROOT)
    conf = str(PROJECT_ROOT / settings.CONF_SOURCE)
    return settings.CONFIG_LOADER_CLASS(conf_source=conf, env=env, **settings.CONFIG_LOADER_ARGS)


def _parameters(env: str | None) -> Any:
    return _configuration(env)["parameters"]


def _experiment(env: str | None) -> Any:
    from genre_pipeline.experiment import load_experiment

    return load_experiment(_parameters(env))


def _stores_folder(env: str | None) -> Path:
    return Path(_experiment(env).storage.features)


def _used_stores() -> set[tuple[str, str, str]]:
    """Return dataset, feature and specification of all that any environment defines: they share their stores."""
    from kedro.framework.project import settings

    from genre_pipeline.experiment import parse_feature
    from genre_pipeline.features import FEATURES
    from genre_pipeline.features.store import spec_hash
    from genre_pipeline.project import PROJECT_ROOT

    _parameters(None)
    used: set[tuple[str, str, str]] = set()
    for folder in sorted((PROJECT_ROOT / settings.CONF_SOURCE).iterdir()):
        if not folder.is_dir() or folder.name == settings.CONFIG_LOADER_ARGS["base_env"]:
            continue
        parameters = _parameters(folder.name)
        for feature, values in parameters["features"].items():
            block = parse_feature(feature, values)
            specification = spec_hash(FEATURES[block.kind], block)
            used.update((dataset, feature, specification) for dataset in parameters["datasets"])
    return used


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
