"""``kedro run`` with messages for people, and checks of what is typed for programs that have none."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import click
from kedro.framework import project
from kedro.framework.cli.hooks import cli_hook_impl
from kedro.framework.cli.project import _resolve_runner_kwargs
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError
from kedro.framework.project import configure_project
from kedro.framework.startup import ProjectMetadata

from genre_pipeline.cli import EXPERIMENT_HELP, YES_HELP, Choice, asking, for_people, split_parameters
from genre_pipeline.configuration import with_experiment
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.registry import suggestion

_PACKAGE = "genre_pipeline"
_RUNNERS = (
    "ParallelRunner",
    "SequentialRunner",
    "ThreadRunner",
    "genre_pipeline.runner.ClusterRunner",
    "genre_pipeline.runner.StaleRunner",
)


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
    "params": split_parameters,
    "runner": _check_runner,
    "runner_params": split_parameters,
}


def _run_options() -> list[click.Parameter]:
    """Return the options of Kedro's ``run``, each with a message for what it cannot be."""
    options = [copy.copy(option) for option in kedro_run.params]
    for option in options:
        option.callback = _CALLBACKS.get(option.name, option.callback)
    fresh = click.Option(
        ["--fresh"], is_flag=True, help="Run every node that is asked for, also those whose results are up to date."
    )
    yes = click.Option(["--yes"], is_flag=True, help=YES_HELP)
    return [*options, click.Option(["--experiment"], **EXPERIMENT_HELP), fresh, yes]


def _run(
    *,
    fresh: bool,
    yes: bool,
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
    """Run as Kedro's own command does, which has no ``--fresh``, ``--experiment`` or ``--yes``."""
    from kedro.utils import load_obj

    from genre_pipeline.session import InterruptibleSession

    # Its options are among the others by now.
    del choice["config"]
    if pipeline and pipelines:
        raise KedroCliError("Options '--pipeline' and '--pipelines' cannot be used together.")
    name = runner or "SequentialRunner"
    try:
        made = load_obj(name, "kedro.runner")(**_resolve_runner_kwargs(is_async, runner_params))
    except (TypeError, ValueError) as error:
        raise click.BadParameter(f"{name} does not take them: {error}", param_hint="'--runner-params'") from None
    # Unless Kedro's command line did: again, it would forget the pipelines.
    if project.PACKAGE_NAME is None:
        configure_project(_PACKAGE)
    session: Any
    given = with_experiment(params, experiment)
    with InterruptibleSession.create(PROJECT_ROOT, env=env, conf_source=conf_source, runtime_params=given) as session:
        return session.run(
            pipeline_names=[pipeline] if pipeline else list(dict.fromkeys(pipelines)),
            runner=made,
            fresh=fresh,
            confirm=asking(yes=yes),
            **choice,
        )


class _OtherPrograms:
    """Checks what is typed for commands whose own programs would show a traceback; no other command passes here."""

    @cli_hook_impl
    def before_command_run(self, project_metadata: ProjectMetadata | None, command_args: list[str]) -> None:
        """Check environment, parameters and pipeline.

        Args:
            project_metadata: The project in which ``kedro`` was started, if any: it may be another one.
            command_args: What was typed after ``kedro``.
        """
        from argparse import ArgumentParser

        if project_metadata is None or project_metadata.package_name != _PACKAGE:
            return
        if not {*command_args[:1]} & {"ipython", "jupyter", "viz"} or "--load-file" in command_args:
            return
        parser = ArgumentParser(add_help=False, allow_abbrev=False)
        for names in (("--env", "-e"), ("--params",), ("--pipeline", "-p")):
            parser.add_argument(*names, nargs="?")
        given, _ = parser.parse_known_args(command_args)
        try:
            for_people(_check_choice)(Choice(given.env, None, given.params or ""), given.pipeline)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)


# An entry point in pyproject.toml: Kedro calls it before each of its commands.
other_programs = _OtherPrograms()


def _check_choice(choice: Choice, pipeline: str | None) -> None:
    from genre_pipeline.pipeline_registry import choose_pipelines

    parameters = choice.configuration()["parameters"]
    choose_pipelines([pipeline] if pipeline else [], parameters)


run = click.Command(
    "run",
    params=_run_options(),
    callback=_run,
    help=(
        "Run a pipeline. Rerun an interrupted command to resume it. Nodes whose results are up to date are skipped, "
        "also those chosen by --nodes, --tags and the like; --fresh runs them too."
    ),
)
