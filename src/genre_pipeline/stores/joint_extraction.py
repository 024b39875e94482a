"""Compute the features of one dataset that a session needs together: the first requested one brings the others.

In the graph each feature is a node of its own, so that ``train_<model>`` needs no more than its own. Decoding is most
of the work, though, and several features can come out of it. So the session says beforehand which nodes it will run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.features.segments import tracks_with_segments
from genre_pipeline.stores.extraction import ExtractionResult, Target, extract_together
from genre_pipeline.stores.remote import fetch
from genre_pipeline.work.backends import Workers


class Extractions:
    """The extractions of one session.

    A copy in another process computes each feature alone: two processes would compute the same ones.

    Args:
        wanted: The features that the session will need, by dataset and name.
        url: Where finished stores are fetched from that are not there; ``None`` means nowhere.
    """

    def __init__(self, wanted: Mapping[str, Mapping[str, FeatureBlock]], url: str | None = None) -> None:
        self._wanted = wanted
        self._url = url
        self._results: dict[tuple[str, str], ExtractionResult] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Extractions, ({}, self._url)

    def extract(
        self,
        tracks: pd.DataFrame,
        segments: pd.DataFrame,
        dataset: str,
        feature: str,
        block: FeatureBlock,
        *,
        root: Path,
        library: Path,
        workers: Workers,
    ) -> ExtractionResult:
        """Bring a feature's store up to date, and those of the other wanted features of the same tracks with it.

        Args:
            tracks: The dataset's track table.
            segments: The feature's segment table: only tracks with a segment are extracted.
            dataset: The dataset's name.
            feature: The feature's name.
            block: The feature's parameters.
            root: The dataset's root folder.
            library: Folder of all feature stores.
            workers: Who decodes and computes.

        Returns:
            The store of the feature, and the report of the extraction that brought it.

        Raises:
            FeatureError: As :func:`~genre_pipeline.stores.extraction.extract_together`, and so do the others.
        """
        with self._lock:
            if (dataset, feature) not in self._results:
                usable = tracks[tracks["track_id"].isin(segments["track_id"])]
                blocks = {feature: block, **self._peers(tracks, usable, dataset, block)}
                targets = [Target(FEATURES[each.kind], each, library / dataset / name) for name, each in blocks.items()]
                for target in targets:
                    if self._url and not target.folder.exists():
                        fetch(f"{self._url}/{dataset}/{target.folder.name}", target.folder)
                results = extract_together(usable, targets, root=root, workers=workers, library=library)
                self._results.update(zip([(dataset, name) for name in blocks], results, strict=True))
            # Once: a second request must see what has changed since.
            return self._results.pop((dataset, feature))

    def _peers(
        self, tracks: pd.DataFrame, usable: pd.DataFrame, dataset: str, block: FeatureBlock
    ) -> dict[str, FeatureBlock]:
        """Return the wanted features that are computed from the same audio of the same tracks."""
        if FEATURES[block.kind].load is not None:
            return {}
        return {
            name: peer
            for name, peer in self._wanted.get(dataset, {}).items()
            if (dataset, name) not in self._results
            and FEATURES[peer.kind].load is None
            and tracks_with_segments(tracks, peer).index.equals(usable.index)
        }
