"""The runner of ``kedro refresh``: it runs the nodes whose results are stale, and no others."""

from __future__ import annotations

import logging
from typing import Any

from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner, Task

from genre_pipeline.errors import GenrePipelineError, RefreshError, own_error
from genre_pipeline.refresh import Graph
from genre_pipeline.refresh.journal import Journal
from genre_pipeline.refresh.listing import check_listing
from genre_pipeline.refresh.place import journal_path, one_refresh_at_a_time
from genre_pipeline.refresh.planning import Cause, assess, recorded_parts

logger = logging.getLogger(__name__)


class StaleRunner(SequentialRunner):
    """Runs a pipeline's nodes in order, and passes over those whose results are up to date.

    Whether they are is asked of each node when its turn has come: what an earlier one made anew may turn out to be what
    it was. Where a node fails, those that need nothing of it go on. What was done is written to the journal.
    """

    def _run(self, pipeline: Pipeline, catalog: Any, hook_manager: Any = None, run_id: str | None = None) -> None:
        """Run what is stale.

        Raises:
            RefreshError: If another process refreshes, or a node failed.
        """
        from genre_pipeline.pipelines.dependencies import describe_pipeline

        graph = describe_pipeline(pipeline, catalog, catalog.load("parameters"))
        with one_refresh_at_a_time():
            journal = Journal.begin(journal_path())
            for node in pipeline.nodes:
                if lost := [entry for entry in node.inputs if entry in journal.unmade]:
                    logger.warning("%s: not run, because %s could not be made", node.name, ", ".join(lost))
                    journal.blocked(node.name, node.outputs, lost)
                elif causes := _causes(node.name, graph):
                    logger.info("%s: %s", node.name, "; ".join(cause.text for cause in causes))
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
            n_steps = "1 step" if len(failures) == 1 else f"{len(failures)} steps"
            raise RefreshError(
                "\n".join([f"{n_steps} failed; what does not need their results is up to date.", *failures])
            )


def _causes(name: str, graph: Graph) -> list[Cause]:
    """Say why a node has to run, as things are now; one whose results lie in no file always has to."""
    if name not in graph.by_name:
        return [Cause("has a result that is not kept")]
    step = graph.by_name[name]
    listing = None
    if step.source is not None:
        listing = check_listing(step.source, graph.entries[step.source.tracks].newest())
    found, missing = assess(step, graph, recorded_parts(graph, list(step.inputs)), listing)
    return [*found, *missing]
