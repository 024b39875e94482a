"""Writes down beside each result what it was made from, for ``kedro refresh``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

if TYPE_CHECKING:
    from genre_pipeline.ops.refresh.records import Recorder


class RecordsHook:
    """Keeps the records of every session, whoever started it and whichever process runs the node."""

    @cached_property
    def _recorder(self) -> Recorder:
        from genre_pipeline.ops.refresh.records import Recorder

        return Recorder()

    @hook_impl(trylast=True)
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Take back the records of what the node is about to replace.

        Args:
            node: The node.
            catalog: The session's catalog.
        """
        from genre_pipeline.pipelines.description import describe_pipeline

        graph = describe_pipeline(Pipeline([node]), catalog, catalog.load("parameters"))
        for step in graph.steps:
            self._recorder.begin(step, graph.entries)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Record the node's results once all are saved.

        Args:
            dataset_name: The catalog entry.
            data: What was saved.
            node: The node.
        """
        self._recorder.saved(node.name, dataset_name, data)
