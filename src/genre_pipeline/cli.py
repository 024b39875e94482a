"""Commands of the project: ``kedro run`` with messages for people, and ``kedro leaderboard``."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable
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
