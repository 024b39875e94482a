"""What presets cost with the genres of the papers' main dataset, and what whole experiments cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genre_pipeline.cells import Cell
from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.models import InputShape, NetworkSpec
from genre_pipeline.models.costs import Cost, network_cost
from genre_pipeline.reporting.model_cards.presets import Preset
from genre_pipeline.splits import PROTOCOLS, ProtocolBlock
from genre_pipeline.splits.folds import KFoldBlock
from genre_pipeline.training import ModelBlock

N_CLASSES = 10
"""Genres of the papers' main dataset, GTZAN, for which their parameter counts are."""

# [P] Tracks of the papers' datasets that can be read, and seconds of a clip. ISMIR2004's are excerpts.
_TRACKS = {
    "gtzan": (1000, 30.0),
    "homburg": (1886, 10.0),
    "extended_ballroom": (4180, 30.0),
    "extended_ballroom_9": (3992, 30.0),
    "ismir2004": (1444, 30.0),
    "fma_small": (7997, 30.0),
}
# [P] Share of tracks that train, and that validate, where a list says so; ISMIR2004's halves have no validation part.
_LISTS = {
    ("gtzan", "fault_filtered"): (0.443, 0.197),
    ("ismir2004", "official"): (724 / 1444 * 0.9, 724 / 1444 * 0.1),
}
PASSES = 3
"""Forward passes that a training step costs: a backward pass is worth two [D]."""

_WEIGHT_BYTES = 4


@dataclass(frozen=True)
class Effort:
    """What the cells of one dataset and protocol cost together.

    Attributes:
        n_cells: Cells whose model is a network.
        n_trainings: Trainings of all their repeats.
        n_flop: Floating-point operations of all trainings to the last epoch, and of their validations.
        n_bytes: Size of all weights.
    """

    n_cells: int = 0
    n_trainings: int = 0
    n_flop: float = 0.0
    n_bytes: int = 0


def measure_cost(preset: Preset) -> Cost | None:
    """Count what a network costs with ten genres; ``None`` for estimators, whose size depends on the data.

    Args:
        preset: The preset.
    """
    spec = preset.model.spec
    if not isinstance(spec, NetworkSpec):
        return None
    return network_cost(spec, preset.model.architecture, preset.shape, N_CLASSES)


@dataclass(frozen=True)
class ExperimentCost:
    """What an experiment costs.

    Attributes:
        efforts: Dataset and protocol to what their cells cost.
        feature_bytes: Size of the features on disk.
    """

    efforts: Mapping[tuple[str, str], Effort]
    feature_bytes: int


def measure_experiment(
    cells: Sequence[Cell],
    *,
    presets: Sequence[Preset],
    costs: Mapping[str, Cost | None],
    models: Mapping[str, ModelBlock],
    features: Mapping[str, FeatureBlock],
    protocols: Mapping[str, ProtocolBlock],
) -> ExperimentCost:
    """Count what an experiment costs; estimators, which are fitted in seconds to minutes, are left out.

    A network's operations are those of its preset, in proportion to the size of a segment.

    Args:
        cells: Its cells.
        presets: All presets.
        costs: What each of them costs, by name.
        models: The experiment's models, by name.
        features: Its features, by name.
        protocols: Its protocols, by name.
    """
    sizes = {preset.name: _size(preset.shape) for preset in presets}
    efforts: dict[tuple[str, str], Effort] = {}
    for cell in cells:
        cost = costs[cell.model]
        if cost is None:
            continue
        feature, protocol = features[cell.feature], protocols[cell.protocol]
        n_tracks, clip_s = _TRACKS[cell.dataset]
        train, validation = _shares(cell, protocol)
        segment = feature.segment
        n_segments = n_tracks * (1 + (_n_frames(feature, clip_s) - segment.n_frames) // segment.hop_frames)
        n_flop = cost.n_flop * _size(_shape(feature)) / sizes[cell.model]
        passes = models[cell.model].training.max_epochs * (PASSES * train + validation)
        n_repeats = PROTOCOLS[protocol.kind].n_repeats(protocol)
        total = efforts.get((cell.dataset, cell.protocol), Effort())
        efforts[cell.dataset, cell.protocol] = Effort(
            n_cells=total.n_cells + 1,
            n_trainings=total.n_trainings + n_repeats,
            n_flop=total.n_flop + n_repeats * passes * n_segments * n_flop,
            n_bytes=total.n_bytes + n_repeats * _WEIGHT_BYTES * cost.n_parameters,
        )
    return ExperimentCost(efforts, _feature_bytes(cells, features))


def _feature_bytes(cells: Iterable[Cell], features: Mapping[str, FeatureBlock]) -> int:
    total = 0
    for dataset, name in {(cell.dataset, cell.feature) for cell in cells}:
        feature = features[name]
        n_tracks, clip_s = _TRACKS[dataset]
        width = np.dtype(feature.dtype).itemsize
        total += n_tracks * _shape(feature).n_bins * _n_frames(feature, clip_s) * width
    return total


def _shape(feature: FeatureBlock) -> InputShape:
    return InputShape(FEATURES[feature.kind].n_bins(feature), feature.segment.n_frames)


def _size(shape: InputShape) -> int:
    return shape.n_bins * shape.n_frames


def _n_frames(feature: FeatureBlock, clip_s: float) -> int:
    return feature.n_frames(round(clip_s * feature.sample_rate))


def _shares(cell: Cell, protocol: ProtocolBlock) -> tuple[float, float]:
    """Return the shares of the tracks, or of their segments, that train and that validate."""
    if (cell.dataset, cell.protocol) in _LISTS:
        return _LISTS[cell.dataset, cell.protocol]
    if isinstance(protocol, KFoldBlock):
        return 1.0 - 2.0 / protocol.n_folds, 1.0 / protocol.n_folds
    values = protocol.dump()
    return 1.0 - values["validation_ratio"] - values["test_ratio"], values["validation_ratio"]
