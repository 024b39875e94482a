"""Prepares extractions: features that the session needs of the same audio share decodes; damaged stores are mended."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

if TYPE_CHECKING:
    from genre_pipeline.features import FeatureBlock
    from genre_pipeline.stores.joint_extraction import Extractions

_LENT = "session_extractions"


class ExtractionsHook:
    """Looks through what a session is about to run, lends its nodes what extracts features, and publishes them."""

    _extractions: Extractions | None = None
    _url: str | None = None

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Gather the features that will be extracted, and mend stores that are damaged.

        Args:
            pipeline: What will run.
            catalog: The session's catalog, for the features' parameters, and where their stores are.

        Raises:
            StoreError: If a store is damaged, and another process writes to it.
            StorageError: If a damaged store cannot be written.
        """
        from genre_pipeline.experiment import parse_feature
        from genre_pipeline.ops.refresh.records import damage, read_record
        from genre_pipeline.pipelines.description import entry_of
        from genre_pipeline.stores.inventory import mend_store
        from genre_pipeline.stores.joint_extraction import Extractions

        wanted: defaultdict[str, dict[str, FeatureBlock]] = defaultdict(dict)
        for entry in pipeline.all_outputs():
            if entry.endswith(".features"):
                dataset, feature, _ = entry.split(".")
                wanted[dataset][feature] = parse_feature(feature, catalog.load(f"params:features.{feature}"))
                place = entry_of(entry, catalog)
                if place is None or not place.record.exists():
                    # A session that was killed leaves no record, and nothing to mend.
                    continue
                record = read_record(place.record)
                if record is None or damage(entry, place, record):
                    for folder in [place.path.stem] if record is None else record.folders:
                        mend_store(place.path.parent / folder)
        self._url = catalog.load("params:storage").get("features_url")
        self._extractions = Extractions(wanted, self._url)

    @hook_impl
    def before_node_run(self, node: Node) -> dict[str, Any]:
        """Lend a node what extracts features.

        Args:
            node: The node.
        """
        return {_LENT: self._extractions} if _LENT in node.inputs else {}

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Publish features that were extracted, if there is a place for it.

        Args:
            outputs: What a node returned, by catalog entry.
        """
        from genre_pipeline.stores.remote import publish

        for entry, content in outputs.items():
            if self._url and entry.endswith(".features"):
                dataset, feature, _ = entry.split(".")
                publish(content, f"{self._url}/{dataset}/{feature}")

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Forget what the session needed."""
        self.on_pipeline_error()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Forget what the session needed."""
        self._extractions = self._url = None
