"""Moves the bar of a session from node to node."""

from __future__ import annotations

from kedro.framework.hooks import hook_impl
from kedro.pipeline.node import Node

from genre_pipeline.progress import step_begins, step_ended


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
