"""Lists the trainings that failed at the end of a session."""

from __future__ import annotations

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline


class FailuresHook:
    """Reports the repeats that could not be trained.

    A session with some of them ends well, with a warning, because its other numbers are good; one in which every
    training failed ends with an error, after the report was written.
    """

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log which trainings failed, in this session or, where nothing has changed since, in an earlier one.

        Args:
            pipeline: What was run.
            catalog: The session's catalog.

        Raises:
            TrainingError: If all did.
        """
        from genre_pipeline.freshness import report_failures
        from genre_pipeline.pipelines.description import entry_of

        found = {name: entry_of(name, catalog) for name in pipeline.all_outputs() if name.endswith(".checkpoints")}
        report_failures(
            {name: entry for name, entry in found.items() if entry is not None},
            hint="The reasons are in the report and in MLflow (tag 'failure').",
        )
