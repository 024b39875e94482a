"""Runners: nodes whose results are up to date are skipped; and one runner has a cluster train cells at once."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any

from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import AbstractRunner, SequentialRunner, Task, ThreadRunner
from typing_extensions import override

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, GenrePipelineError, RefreshError, own_error
from genre_pipeline.freshness import causes_of
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refresh.place import journal_path, one_refresh_at_a_time
from genre_pipeline.ops.refresh.planning import NOT_MADE, Cause
from genre_pipeline.progress import step_ended
from genre_pipeline.work.processes import begin_worker, worker_context

logger = logging.getLogger(__name__)


def skips_fresh_nodes(runner: AbstractRunner) -> AbstractRunner:
    """Return a runner that skips nodes whose results are up to date.

    Each node is checked when its turn comes: what an earlier node made again may be the same as before.

    Args:
        runner: One of Kedro's runners, or of this project's. One of threads or processes is changed in place.
    """
    if type(runner) is SequentialRunner:
        return SkippingRunner(runner._is_async)
    make_executor = runner._get_executor

    def get_executor(max_workers: int) -> Executor | None:
        executor = make_executor(max_workers)
        if executor is not None:
            submit = executor.submit

            def submit_stale(task: Task) -> Future[Node]:
                if _is_stale(task.node, task.catalog):
                    # A process of the runner has no bar to move.
                    running = submit(task)
                    running.add_done_callback(lambda _: step_ended(task.node.name))
                    return running
                skipped: Future[Node] = Future()
                skipped.set_result(task.node)
                return skipped

            executor.submit = submit_stale  # type: ignore[method-assign, assignment]
        return executor

    runner._get_executor = get_executor  # type: ignore[method-assign]
    return runner


def _is_stale(node: Node, catalog: Any) -> bool:
    """Check whether a node has to run, and log why."""
    from genre_pipeline.pipelines.description import describe_pipeline

    causes = causes_of(node.name, describe_pipeline(Pipeline([node]), catalog, catalog.load("parameters")))
    _log_causes(node.name, causes)
    return bool(causes)


def _log_causes(name: str, causes: Sequence[Cause]) -> None:
    """Log why a node runs, or pass over it.

    That it never ran, that it need not, or that an earlier node has changed what it reads is no news: there are dozens
    of such nodes.
    """
    if not causes:
        step_ended(name)
    is_news = any(cause.is_first and cause.text != NOT_MADE for cause in causes)
    text = "; ".join(cause.text for cause in causes) or "up to date"
    logger.log(logging.INFO if is_news else logging.DEBUG, "%s: %s", name, text)


class SkippingRunner(SequentialRunner):
    """Runs a pipeline's nodes in order, and skips those whose results are up to date when their turn comes."""

    @override
    def _run(self, pipeline: Pipeline, catalog: Any, hook_manager: Any = None, run_id: str | None = None) -> None:
        for node in pipeline.nodes:
            if _is_stale(node, catalog):
                Task(node, catalog, is_async=self._is_async, hook_manager=hook_manager, run_id=run_id).execute()


class StaleRunner(SequentialRunner):
    """Runs a pipeline's nodes in order, and passes over those whose results are up to date.

    This is checked for each node when its turn comes: what an earlier one remade may turn out to be what
    it was. Where a node fails, those that need nothing of it go on. What was done is written to the journal.
    """

    def _run(self, pipeline: Pipeline, catalog: Any, hook_manager: Any = None, run_id: str | None = None) -> None:
        """Run what is stale.

        Raises:
            RefreshError: If another process refreshes, or a node failed.
        """
        from genre_pipeline.pipelines.description import describe_pipeline

        graph = describe_pipeline(pipeline, catalog, catalog.load("parameters"))
        with one_refresh_at_a_time():
            journal = Journal.begin(journal_path())
            for node in pipeline.nodes:
                if lost := [entry for entry in node.inputs if entry in journal.unmade]:
                    logger.debug("%s: not run, because %s could not be made", node.name, ", ".join(lost))
                    journal.blocked(node.name, node.outputs, lost)
                    continue
                causes = causes_of(node.name, graph)
                _log_causes(node.name, causes)
                if causes:
                    try:
                        Task(node, catalog, is_async=False, hook_manager=hook_manager, run_id=run_id).execute()
                    except (GenrePipelineError, DatasetError) as error:
                        reason = str(own_error(error))
                        logger.error("%s failed: %s", node.name, reason)
                        journal.failed(node.name, node.outputs, reason)
                    else:
                        journal.ran(node.name)
        if journal.failures:
            failures = [f"{name}: {reason}" for name, reason in journal.failures.items()]
            text = "1 step failed" if len(failures) == 1 else f"{len(failures)} steps failed"
            if journal.steps_blocked:
                text += f", and {len(journal.steps_blocked)} that need their results did not run"
            raise RefreshError("\n".join([f"{text}; the others are up to date.", *failures]))


class ClusterRunner(ThreadRunner):
    """Runs nodes that do not need each other at once, so that a Dask cluster trains the repeats of many cells.

    Each training node hands its repeats to the cluster and waits for them; the other nodes do their work here. Ctrl-C
    ends the trainings, which go on where they were when the same command is given again. After an error nothing new is
    begun, and what was begun is finished.

    Args:
        max_workers: Nodes at once: as many cells can have repeats on the cluster.
        is_async: As for Kedro's ThreadRunner, which knows no other way than its own.

    Example:
        ``kedro run --pipelines train_all --runner genre_pipeline.runner.ClusterRunner --params
        "compute.training_backend=dask,compute.address=tcp://head:8786"``
    """

    # Cells of five repeats then keep 160 workers busy. Chosen here [?].
    _DEFAULT_WORKERS = 32

    def __init__(self, max_workers: int | None = None, is_async: bool = False) -> None:
        super().__init__(max_workers or self._DEFAULT_WORKERS, is_async)

    @override
    def _run(self, pipeline: Pipeline, catalog: Any, hook_manager: Any = None, run_id: str | None = None) -> None:
        """Run the nodes.

        Raises:
            ConfigError: If trainings are not on a cluster that is there already.
        """
        # It needs torch, which takes seconds to import.
        from genre_pipeline.experiment import ComputeBlock

        compute = parse_block(ComputeBlock, catalog.load("params:compute"), key="compute")
        if compute.training_backend != "dask" or compute.address is None:
            raise ConfigError(
                "ClusterRunner has a Dask cluster train several cells at once: expected compute.training_backend=dask "
                f"and the scheduler's compute.address, got training_backend={compute.training_backend} and "
                f"address={compute.address}. Give both, or leave the runner out."
            )
        super()._run(pipeline, catalog, hook_manager, run_id)

    @override
    def _get_executor(self, max_workers: int) -> Executor:
        return NodeThreads(max_workers)


class NodeThreads(ThreadPoolExecutor):
    """Threads for nodes: after an error or Ctrl-C no others are begun; Ctrl-C ends trainings with their epoch."""

    def __init__(self, max_workers: int) -> None:
        # It needs torch, which takes seconds to import.
        from genre_pipeline.training.workers import WAITING, Waiting

        self._waiting = Waiting()
        super().__init__(max_workers, initializer=WAITING.set, initargs=(self._waiting,))

    @override
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        if isinstance(exc_val, Exception):
            logger.error("%s What was begun is finished first.", own_error(exc_val))
            self.shutdown(cancel_futures=True)
        elif exc_val is not None:
            self._waiting.end()
            self.shutdown(cancel_futures=True)
        return super().__exit__(exc_type, exc_val, exc_tb)


class NodeProcesses(ProcessPoolExecutor):
    """Processes for nodes, which track to this session's runs: after an error or Ctrl-C no others are begun.

    They are forked from a server, because this process has threads; ``KEDRO_MP_CONTEXT`` chooses another way. Ctrl-C
    ends them; finished epochs are kept.
    """

    def __init__(self, max_workers: int) -> None:
        import mlflow
        from kedro.framework.project import LOGGING, PACKAGE_NAME

        method = os.environ.get("KEDRO_MP_CONTEXT")
        is_known = method in multiprocessing.get_all_start_methods()
        super().__init__(
            max_workers,
            mp_context=multiprocessing.get_context(method) if is_known else worker_context(),
            initializer=partial(
                _begin_node_process,
                PACKAGE_NAME or "",
                LOGGING.data,
                [vars(hook) for hook in _hooks_with_a_state()],
                mlflow.get_tracking_uri(),
            ),
        )

    @override
    def submit(self, task: Task) -> Future[Node]:  # type: ignore[override]
        return super().submit(_run_here, task)

    @override
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        if isinstance(exc_val, Exception):
            logger.error("%s What was begun is finished first.", own_error(exc_val))
        elif exc_val is not None:
            for process in self._processes.values():
                process.terminate()
        self.shutdown(cancel_futures=exc_val is not None)
        return super().__exit__(exc_type, exc_val, exc_tb)


def _hooks_with_a_state() -> list[Any]:
    """Return the hooks that keep something of a session: the project's, and that of kedro-mlflow."""
    from kedro.framework.project import settings
    from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook

    return [*settings.HOOKS, mlflow_hook]


def _begin_node_process(package: str, log: dict[str, Any], states: list[dict[str, Any]], uri: str) -> None:
    """Prepare a process for nodes as the session prepared its own."""
    import mlflow
    from kedro.framework.project import configure_logging, configure_project

    begin_worker()
    configure_project(package)
    configure_logging(log)
    mlflow.set_tracking_uri(uri)
    for hook, state in zip(_hooks_with_a_state(), states, strict=True):
        vars(hook).update(state)


def _run_here(task: Task) -> Node:
    """Run a node in this process.

    Args:
        task: The node. Kedro would configure the project again here; from the second node of a process on its
            configuration of the log then holds itself (seen in 1.7).
    """
    task.parallel = False
    task.hook_manager = Task._run_node_synchronization()
    try:
        return task.execute()
    except DatasetError as error:
        # What it came from would not reach the session's process.
        raise own_error(error) from None
