"""Lists the trainings that failed at the end of a session."""

from __future__ import annotations

import logging
from typing import Any

from kedro.framework.hooks import hook_impl

from genre_pipeline.errors import TrainingError

logger = logging.getLogger(__name__)


class FailuresHook:
    """Gathers the repeats that could not be trained.

    A session with some of them ends well, with a warning, because its other numbers are good; one in which every
    training failed ends with an error, after the report was written.
    """

    def __init__(self) -> None:
        self._failed: list[str] = []
        self._n_trained = 0

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Begin anew."""
        self._failed, self._n_trained = [], 0

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Look for failed repeats in what a node returned.

        Args:
            outputs: What it returned, by catalog entry.
        """
        for entry, content in outputs.items():
            cell, _, kind = entry.rpartition(".")
            if kind == "checkpoints":
                failures = [each for each in content if hasattr(each, "reason")]
                self._failed += [f"{cell}, repeat {each.repeat}" for each in failures]
                self._n_trained += len(content) - len(failures)

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Log which trainings failed.

        Raises:
            TrainingError: If all did.
        """
        if not self._failed:
            return
        summary = (
            f"{len(self._failed)} of {len(self._failed) + self._n_trained} trainings failed: "
            f"{'; '.join(self._failed)}. The reasons are above, in the report, and in MLflow (tag 'failure')."
        )
        if not self._n_trained:
            raise TrainingError(summary)
        logger.warning(summary)
