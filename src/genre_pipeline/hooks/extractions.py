"""Prepares extractions: which features the session will compute, so that they share decodes, and stores to mend."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

if TYPE_CHECKING:
    from genre_pipeline.features import FeatureBlock


class ExtractionsHook:
    """Looks through what a session is about to run, and forgets it afterwards."""

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
        from genre_pipeline.pipelines.features.together import begin_extractions
        from genre_pipeline.stores.inventory import mend_store

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
