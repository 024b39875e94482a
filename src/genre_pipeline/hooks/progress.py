"""Moves the bar of a session from node to node, and names the node that a bug stopped."""

from __future__ import annotations

import logging

from kedro.framework.hooks import hook_impl
from kedro.pipeline.node import Node

from genre_pipeline.errors import GenrePipelineError, own_error
from genre_pipeline.progress import step_begins, step_ended

logger = logging.getLogger(__name__)


class ProgressHook:
    """Reports which node runs, and which have run."""

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Report that a node begins.

        Args:
            node: The node.
        """
        step_begins(node.name)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Report that a node has run.

        Args:
            node: The node.
        """
        step_ended(node.name)

    @hook_impl
    def on_node_error(self, error: Exception, node: Node) -> None:
        """Name the node whose error is a bug; what a person can put right, the command shows once, at its end.

        Args:
            error: The error.
            node: The node.
        """
        if not isinstance(own_error(error), GenrePipelineError):
            logger.error("%s failed: %s", node.name, type(error).__name__)
