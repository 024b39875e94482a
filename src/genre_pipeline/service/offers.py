"""The models that the service offers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genre_pipeline.configuration import ConfigLoader
from genre_pipeline.errors import CheckpointError, StoreError
from genre_pipeline.experiment import Experiment
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.results.cell import number, summary_row
from genre_pipeline.service.answering import ModelSource
from genre_pipeline.stores.store import FeatureStore


@dataclass(frozen=True)
class Offer:
    """A model that requests can name.

    Attributes:
        name: Its cell, ``dataset.protocol.feature.model``.
        is_champion: Whether it is the model for use: that of the leading cell.
        genres: The genres.
        leaky: Whether its numbers are inflated.
        accuracy: Share of the test tracks that it was right about.
        ci_low: Lower end of the interval of that; ``None`` if there is none.
        ci_high: Upper end.
        source: Where it is.
    """

    name: str
    is_champion: bool
    genres: tuple[str, ...]
    leaky: bool
    accuracy: float
    ci_low: float | None
    ci_high: float | None
    source: ModelSource


class Offers:
    """The models as they are now.

    Args:
        read: Reads them, the one for use first.
    """

    def __init__(self, read: Callable[[], Sequence[Offer]]) -> None:
        self._read = read
        self._offers = {offer.name: offer for offer in read()}

    def renew(self) -> bool:
        """Read them again; return whether another model is the one for use now, or the same was trained again."""
        before = self.champion
        self._offers = {offer.name: offer for offer in self._read()}
        # Not the whole offers: stores that were opened anew are never equal.
        return (self.champion.name, self.champion.source.mark) != (before.name, before.source.mark)

    @property
    def all(self) -> Sequence[Offer]:
        """The models, the one for use first."""
        return tuple(self._offers.values())

    @property
    def champion(self) -> Offer:
        """The model for use."""
        return self.all[0]

    def find(self, name: str) -> Offer | None:
        """Return the model of a cell; ``None`` if it is not offered."""
        return self._offers.get(name)


def read_offers(loader: ConfigLoader, experiment: Experiment) -> list[Offer]:
    """Read which models an experiment has.

    Args:
        loader: The configuration.
        experiment: The experiment.

    Returns:
        The model of the leading cell, then those of the other cells.

    Raises:
        CheckpointError: If nothing was compared yet.
    """
    from kedro.io import DataCatalog

    catalog: Any = DataCatalog.from_config(loader["catalog"])
    folder = catalog.load("trained_models")
    leader = catalog.load(f"{experiment.settings.datasets[0]}.leader_if_any")
    if not leader:
        raise CheckpointError(
            f"The experiment {experiment.settings.name} has no model for use, because nothing was compared. First run: "
            f"kedro run --pipelines train_all{loader.options}"
        )
    max_error = experiment.predict.max_error
    mark = fingerprint("leader", 1, leader=leader)
    source = ModelSource(folder, None, leader, max_error, mark, *_labelled(catalog, leader["cell"]))
    offers = [_offer(leader["cell"], leader, leader["accuracy"], leader, source)]
    for cell in experiment.cells:
        is_trained = cell.name != leader["cell"] and folder.joinpath(*cell.name.split(".")).exists()
        result = catalog.load(f"{cell.name}.results_if_any") if is_trained else None
        if result:
            mark = fingerprint("result", 1, result=result)
            known = {"thresholds": result.get("thresholds")}
            source = ModelSource(folder, cell.name, known, max_error, mark, *_labelled(catalog, cell.name))
            row = summary_row(result, unit="track", metric="accuracy")
            offers.append(_offer(cell.name, result, row["mean"], row, source))
    return offers


def _offer(
    name: str, facts: Mapping[str, Any], accuracy: float, interval: Mapping[str, Any], source: ModelSource
) -> Offer:
    ends = (number(interval[key]) for key in ("ci_low", "ci_high"))
    low, high = (None if math.isnan(end) else end for end in ends)
    return Offer(name, source.cell is None, tuple(facts["genres"]), bool(facts["leaky"]), accuracy, low, high, source)


def _labelled(catalog: Any, cell: str) -> tuple[FeatureStore | None, dict[str, str]]:
    """Return the features of a cell's dataset and the genres of its tracks, if they are still there."""
    from kedro.io import DatasetError

    dataset, _, feature, _ = cell.split(".")
    try:
        store, tracks = catalog.load(f"{dataset}.{feature}.features"), catalog.load(f"{dataset}.tracks")
    except (DatasetError, StoreError):
        return None, {}
    return store, dict(zip(tracks["track_id"], tracks["genre"], strict=True))
