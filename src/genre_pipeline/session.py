"""Kedro's session, with a clean end for signals and errors that say what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import gettempdir
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog, DatasetError
from kedro.io.core import VersionNotFoundError
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner

from genre_pipeline.blocks import parse_block
from genre_pipeline.configuration import ConfigLoader
from genre_pipeline.errors import ConfigError, GenrePipelineError, causes, own_error
from genre_pipeline.ops.refresh.place import refresh_folder
from genre_pipeline.ops.retention import abandoned_files, remove
from genre_pipeline.progress import begin_steps, end_steps
from genre_pipeline.project import data_root, tracking_uri
from genre_pipeline.registry import suggestion
from genre_pipeline.storage import atomic_file, storage_fault
from genre_pipeline.work.processes import Ended

if TYPE_CHECKING:
    from genre_pipeline.ops.refresh.graph import Graph

logger = logging.getLogger(__name__)

# Options of a run that choose of its pipelines, as typed, and what they name.
_CHOICES = {
    "node_names": ("--nodes", "node"),
    "from_nodes": ("--from-nodes", "node"),
    "to_nodes": ("--to-nodes", "node"),
    "tags": ("--tags", "tag"),
    "namespaces": ("--namespaces", "namespace"),
    "from_inputs": ("--from-inputs", "dataset"),
    "to_outputs": ("--to-outputs", "dataset"),
    "load_versions": ("--load-versions", "dataset"),
}
# Pipelines that are the whole experiment, and its last result.
_WHOLE = frozenset({"__default__", "train_all"})
_REPORT = "report"
# What kedro.io.core.generate_timestamp writes.
_SESSION_ID = "%Y-%m-%dT%H.%M.%S.%fZ"


class InterruptibleSession(KedroSession):
    """A session that closes its MLflow runs on Ctrl-C, too, and tidies up after those that were killed.

    Kedro calls hooks for exceptions only, not for an interruption: the MLflow runs would stay open for ever.
    """

    # Which pipelines are asked for; unknown before the run.
    _pipeline_names: Sequence[str] | None = None
    # What of them, as options of the run.
    _choice: Mapping[str, Any] = MappingProxyType({})

    def run(
        self,
        pipeline_name: str | None = None,
        pipeline_names: list[str] | None = None,
        *args: Any,
        fresh: bool = False,
        confirm: Callable[[str], object] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the nodes of pipelines whose results are not up to date.

        If all are up to date, nothing is begun or written, and no MLflow run is made. Nodes that have no record, such
        as ``predict``, always run.

        Args:
            pipeline_name: A pipeline.
            pipeline_names: Pipelines.
            *args: As for :meth:`kedro.framework.session.KedroSession.run`.
            fresh: Whether to run all nodes that are asked for, up to date or not. So does asking for versions of what
                is read (``load_versions``): records are about the newest.
            confirm: Asks a person whether to begin what takes long, and raises an exception if not.
            **kwargs: As for :meth:`kedro.framework.session.KedroSession.run`.

        Returns:
            The datasets that are no node's input, by name, as Kedro returns them; none if nothing had to run.

        Raises:
            KeyboardInterrupt: On Ctrl-C (:class:`~genre_pipeline.work.processes.Ended` on other signals as well,
                where a command obeys them), after the runs of MLflow were closed as killed.
            ConfigError: If there is no pipeline of that name.
            GenrePipelineError: What the project reports, also where Kedro wraps it because a catalog entry raised it.
            StorageError: If the disk is full or the like, whichever library found out.
            TrainingError: If every training failed.
            TrackingError: If MLflow, or its database, refuses what is logged.
        """
        self._pipeline_names = [pipeline_name] if pipeline_name else pipeline_names or []
        self._choice = kwargs
        skips = not (fresh or kwargs.get("load_versions"))
        try:
            graph, steps = self._steps_to_run(skips=skips)
            if skips and graph is not None and not steps:
                self._report_up_to_date(graph)
                return {}
            if graph is not None:
                self._require(graph, steps)
                self._look_ahead(graph, steps, kwargs.get("runner"), confirm)
            # It becomes the version of every result.
            self._store["session_id"] = _after_the_last(self.store["session_id"])
            kwargs["runner"] = _prepare(kwargs.get("runner") or SequentialRunner(), skips=skips)
            results = super().run(pipeline_name, pipeline_names, *args, **kwargs)
            end_steps()
            if _REPORT in results:
                self._conclude(self.store["session_id"])
            else:
                _log_changes(results)
            return results
        except GenrePipelineError:
            raise
        except KeyboardInterrupt as error:
            end_steps()
            self._close_runs(error)
            # The command itself names the signal.
            how = "" if isinstance(error, Ended) else "Interrupted. "
            logger.warning("%sFinished work is kept. Rerun the command to resume.", how)
            raise
        except Exception as error:
            fault = _fault(error)
            if fault is error:
                raise
            raise fault from (None if isinstance(error, DatasetError) else error)
        finally:
            end_steps()

    def _close_runs(self, interruption: KeyboardInterrupt) -> None:
        """Have the project's hooks close what is open. Those of plug-ins expect an error of the pipeline."""
        hooks = self._hook_manager
        others = [each for each in hooks.get_plugins() if each not in settings.HOOKS]
        end = hooks.subset_hook_caller("on_pipeline_error", others)
        end(error=interruption, run_params={}, pipeline=Pipeline([]), catalog=DataCatalog())

    def _steps_to_run(self, *, skips: bool) -> tuple[Graph | None, list[str]]:
        """Find what will run of what is asked for, before anything is begun.

        Args:
            skips: Whether what is up to date is skipped.

        Returns:
            What is asked for, unless it is a part of the experiment that is not checked, and the names of its steps.

        Raises:
            ConfigError: If a parameter is wrong, or there is no pipeline of a name.
        """
        from genre_pipeline.freshness import experiment_graph, pipeline_graph
        from genre_pipeline.ops.refresh.planning import make_plan

        loader = self._get_config_loader()
        names = self._pipeline_names or []
        if {*names} <= _WHOLE and not any(self._choice.get(key) for key in _CHOICES):
            # Its graph is kept: building the pipelines takes seconds.
            graph = experiment_graph(loader)
        elif skips:
            graph = pipeline_graph(self._chosen(loader["parameters"]), loader)
        else:
            self._chosen(loader["parameters"])
            return None, []
        stale = make_plan(graph).stale if skips else [step.name for step in graph.steps]
        return graph, [*stale, *graph.unrecorded]

    def _require(self, graph: Graph, steps: Sequence[str]) -> None:
        """Check that what features to be computed and models to be trained need beside data, such as weights, is there.

        Raises:
            ConfigError: If it is not.
        """
        from genre_pipeline.features import FEATURES, FeatureBlock

        def keys(names: Iterable[str], group: str) -> list[str]:
            used = {key for name in names if name in graph.by_name for key in graph.by_name[name].parameters}
            return sorted(key for key in used if key.startswith(f"{group}."))

        def values(key: str) -> Any:
            group, _, name = key.partition(".")
            return self._get_config_loader()["parameters"][group][name]

        computing = [name for name in steps if name.endswith(".extract") or ".ask_" in name]
        for key in keys(computing, "features"):
            block = FeatureBlock.parse(values(key), key=key)
            FEATURES[block.kind].require(block)
        trained = keys(steps, "models")
        if trained:
            # It needs torch, which takes seconds to import.
            from genre_pipeline.training import ModelBlock

            for key in trained:
                ModelBlock.parse(values(key), key=key).require()

    def _look_ahead(
        self, graph: Graph, steps: Sequence[str], runner: object, confirm: Callable[[str], object] | None
    ) -> None:
        """Log how much will be trained and how long that takes, ask about it if it is long, and begin the bar."""
        from genre_pipeline.runner import StaleRunner

        sizes: Mapping[str, tuple[float, int]] = dict.fromkeys(steps, (1.0, 1))
        # A refresh has looked ahead already.
        if any(".train_" in name for name in steps) and not isinstance(runner, StaleRunner):
            # It needs torch, which takes seconds to import.
            from genre_pipeline.ops.estimating import look_ahead

            sizes = look_ahead(self._get_config_loader()["parameters"], graph, steps, confirm).sizes
        begin_steps(sizes)

    def _report_up_to_date(self, graph: Graph) -> None:
        """Log that nothing is new, and what the experiment came to."""
        from genre_pipeline.freshness import report_failures

        logger.info("Nothing new: every result is up to date.")
        if _REPORT in graph.entries:
            self._conclude()
        report_failures(
            {name: graph.entries[name] for step in graph.steps for name in step.outputs},
            hint="'--fresh' trains them again; finished repeats are kept.",
        )

    def _conclude(self, session_id: str = "") -> None:
        """Log what the experiment came to."""
        from genre_pipeline.freshness import conclude, experiment_graph

        loader = self._get_config_loader()
        for line in conclude(experiment_graph(loader).entries, session_id):
            logger.info("%s", line)
        logger.info("Its table: kedro leaderboard%s", loader.options)

    def _get_config_loader(self) -> ConfigLoader:
        # The one that settings.py names.
        return cast("ConfigLoader", super()._get_config_loader())

    def _chosen(self, parameters: Mapping[str, Any]) -> Pipeline:
        """Return what is asked for.

        Raises:
            ConfigError: If a parameter is wrong, there is no pipeline, node, tag or dataset of a name, or nothing is
                left.
        """
        from genre_pipeline.pipeline_registry import choose_pipelines

        chosen = sum(choose_pipelines(self._pipeline_names or [], parameters).values(), Pipeline([]))
        return _choose(chosen, self._choice) if any(self._choice.get(key) for key in _CHOICES) else chosen

    def load_context(self) -> KedroContext:
        """Make the context, and for a run say where results go and remove what killed processes left.

        Raises:
            ConfigError: If a parameter is wrong.
            ComputeError: If what a pipeline needs is not installed.
        """
        # It needs torch, which takes seconds to import.
        from genre_pipeline.experiment import StorageBlock
        from genre_pipeline.tuning import check_optuna

        context = super().load_context()
        if self._pipeline_names is None:
            return context
        parameters = context.config_loader["parameters"]
        loader = self._get_config_loader()
        if loader.experiment not in loader.experiments:
            logger.info("Experiment %s: as --params describes it; conf/ has no file of that name.", loader.experiment)
        for name, place in parse_block(StorageBlock, parameters["storage"], key="storage").elsewhere().items():
            logger.info("storage.%s: written outside of the data folder, to %s", name, place)
        _remove_abandoned([Path(folder) for folder in parameters["storage"].values() if isinstance(folder, str)])
        if "tune" in self._pipeline_names:
            check_optuna()
        return context


def _log_changes(results: Mapping[str, Any]) -> None:
    """Log what became of cells of which no report is written."""
    changes = [entry.load() for name, entry in results.items() if name.endswith(".change")]
    if changes:
        from genre_pipeline.reporting.run_changes import conclude

        for line in conclude(changes):
            logger.info("%s", line)


def _prepare(runner: AbstractRunner, *, skips: bool) -> AbstractRunner:
    """Have a runner use this project's threads or processes and, if asked for, skip nodes that are up to date."""
    from genre_pipeline.runner import NodeProcesses, NodeThreads, StaleRunner, skips_fresh_nodes

    if isinstance(runner, ThreadRunner):
        # Kedro's own would do all that is planned before it ends.
        runner._get_executor = NodeThreads  # type: ignore[method-assign]
    elif isinstance(runner, ParallelRunner):
        runner._get_executor = NodeProcesses  # type: ignore[method-assign]
    return skips_fresh_nodes(runner) if skips and not isinstance(runner, StaleRunner) else runner


def _fault(error: Exception) -> BaseException:
    """Return what is behind an error: the project's own, a full disk or the like, MLflow, or nothing else than it."""
    from genre_pipeline.tracking import tracking_fault

    own = own_error(error)
    if own is not error:
        return own
    if any(isinstance(each, VersionNotFoundError) for each in causes(error)):
        return _missing(str(error).partition(":")[0])
    folders = (Path(data_root()), Path(gettempdir()))
    return tracking_fault(error, tracking_uri()) or storage_fault(error, folders) or error


def _missing(entry: str) -> ConfigError:
    """Return the error of a result that another pipeline makes first."""
    makers = [name for name in pipelines if entry in pipelines[name].all_outputs()]
    advice = "Run the pipeline that makes it"
    if makers:
        advice = f"Run 'kedro run --pipelines {makers[0]}' with the same options first, or all with train_all"
    return ConfigError(f"{entry} was not made yet, and this pipeline reads it. {advice}.")


def _remove_abandoned(folders: Sequence[Path]) -> None:
    """Remove the temporary files of killed processes."""
    found = abandoned_files(Path(data_root()), folders)
    for each in found:
        remove(each)
    if found:
        logger.info("Removed temporary files that killed processes left: %d.", len(found))


def _choose(pipeline: Pipeline, choice: Mapping[str, Any]) -> Pipeline:
    """Return what is chosen of a pipeline.

    Raises:
        ConfigError: If it is not there, or if nothing is left.
    """
    nodes = [node.name for node in pipeline.nodes]
    parts = [(node.namespace or "").split(".") for node in pipeline.nodes]
    namespaces = {".".join(each[:end]) for each in parts for end in range(1, len(each) + 1)} - {""}
    tags = {tag for node in pipeline.nodes for tag in node.tags}
    known = {"node": nodes, "namespace": namespaces, "tag": tags, "dataset": pipeline.datasets()}
    for key, (option, kind) in _CHOICES.items():
        for name in choice.get(key) or ():
            if name not in known[kind]:
                raise ConfigError(f"{option}: the pipeline has no {kind} '{name}'. {suggestion(name, known[kind])}")
    filters = {key: choice.get(key) for key in _CHOICES if key not in {"namespaces", "load_versions"}}
    try:
        return pipeline.filter(**filters, node_namespaces=choice.get("namespaces"))
    except ValueError as error:
        given = ", ".join(option for key, (option, _) in _CHOICES.items() if choice.get(key))
        raise ConfigError(f"{given}: they leave nothing to run. {str(error).splitlines()[0]}") from None


def _after_the_last(session_id: str) -> str:
    """Return a session's id, or the one after the last session's if the clock has been set back since.

    Kedro loads the version of a result that comes last by name: new results would be passed over for old ones.
    """
    path = refresh_folder() / "last_session"
    last = _last_session(path)
    if last is not None and session_id <= _named(last):
        session_id = _named(last + timedelta(milliseconds=1))
        logger.warning("The clock was set back: this session's results are named %s, after the last ones.", session_id)
    with atomic_file(path) as temporary:
        temporary.write_text(session_id, encoding="utf-8")
    return session_id


def _last_session(path: Path) -> datetime | None:
    """Read when the last session began; ``None`` if unknown."""
    try:
        moment = datetime.strptime(path.read_text(encoding="utf-8"), _SESSION_ID).replace(tzinfo=timezone.utc)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning(
            "%s cannot be read (%s), and is rewritten. If the clock was set back since the last session, run "
            "'kedro refresh' once it is right.",
            path,
            error,
        )
        return None
    # The last year that there is leaves no room for a later session.
    return moment if moment.year < datetime.max.year else None


def _named(moment: datetime) -> str:
    """Return a session's id, as Kedro writes it."""
    return f"{moment:%Y-%m-%dT%H.%M.%S}.{moment.microsecond // 1000:03d}Z"
