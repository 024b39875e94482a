"""Checks the parameters when a session begins, and builds the pipelines from them."""

from __future__ import annotations

import logging

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

logger = logging.getLogger(__name__)


class ParametersHook:
    """Stops a run with a bad parameter before any work, and gives the registry the parameters of this session."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the merged parameters (environment and ``--params`` included).

        Args:
            context: The session's context.

        Raises:
            ConfigError: If a parameter is wrong; the message names the key, the value and what is allowed.
        """
        from genre_pipeline.experiment import load_experiment
        from genre_pipeline.pipeline_registry import use_parameters

        # Not context.params: reading it would build the pipelines, which need the parameters first.
        parameters = context.config_loader["parameters"]
        for name, place in load_experiment(parameters).storage.elsewhere().items():
            logger.info("storage.%s: written outside of the data folder, to %s", name, place)
        use_parameters(parameters)
