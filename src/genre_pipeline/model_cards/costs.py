"""What a network costs: its parameters, and the operations that one segment takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from genre_pipeline.model_cards.presets import Preset
from genre_pipeline.models import NetworkSpec
from genre_pipeline.training.checkpoints import count_parameters

N_CLASSES = 10
"""Genres of the papers' main dataset, GTZAN, for which their parameter counts are."""


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        n_parameters: Trainable parameters.
        n_flop: Floating-point operations of the forward pass of one segment: two for each multiplication with its
            addition, in convolutions and matrix products; what is done number by number (activations, normalisation,
            pooling) is not counted.
    """

    n_parameters: int
    n_flop: int


def measure_cost(preset: Preset) -> Cost | None:
    """Count what a network costs with ten genres; none for estimators, whose size depends on the data.

    Args:
        preset: The preset.
    """
    from torch.utils.flop_counter import FlopCounterMode

    spec = preset.model.spec
    if not isinstance(spec, NetworkSpec):
        return None
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = spec.build(preset.model.architecture, preset.shape, N_CLASSES).eval()
    # Shapes are enough, but for routing, which looks at numbers. On this device recurrent layers are counted too: on
    # others a library computes them as a whole.
    device = torch.device("cpu" if network.n_experts else "meta")
    network = network.to_empty(device=device)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    segment = torch.zeros(1, preset.shape.n_bins, preset.shape.n_frames, device=device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(segment)
    return Cost(count_parameters(network), int(counter.get_total_flops()))
