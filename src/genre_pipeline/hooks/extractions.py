"""Tells the nodes that extract features which of them the session will run, so that they can share decodes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

if TYPE_CHECKING:
    from genre_pipeline.features import FeatureBlock


class ExtractionsHook:
    """Looks through what a session is about to run, and forgets it afterwards."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Gather the features that will be extracted.

        Args:
            pipeline: What will run.
            catalog: The session's catalog, for the features' parameters.
        """
        from genre_pipeline.experiment import parse_feature
        from genre_pipeline.pipelines.features.together import begin_extractions

        wanted: defaultdict[str, dict[str, FeatureBlock]] = defaultdict(dict)
        for entry in pipeline.all_outputs():
            if entry.endswith(".features"):
                dataset, feature, _ = entry.split(".")
                wanted[dataset][feature] = parse_feature(feature, catalog.load(f"params:features.{feature}"))
        begin_extractions(wanted)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Forget them."""
        self.on_pipeline_error()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Forget them."""
        from genre_pipeline.pipelines.features.together import begin_extractions

        begin_extractions({})
