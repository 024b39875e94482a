"""The cost of a network: its parameters, and the operations for one segment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from genre_pipeline.blocks import Block
from genre_pipeline.models.base import GenreNetwork, InputShape, NetworkSpec


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        n_parameters: Trainable parameters.
        n_flop: Floating-point operations of the forward pass of one segment: two for each multiplication with its
            addition, in convolutions and matrix products; elementwise operations (activations, normalisation, pooling)
            are not counted.
    """

    n_parameters: int
    n_flop: int


def network_cost(spec: NetworkSpec, architecture: Block, shape: InputShape, n_classes: int) -> Cost:
    """Count the cost of a network without running it.

    Args:
        spec: The family.
        architecture: Its parameters.
        shape: Shape of one segment.
        n_classes: Number of genres.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = spec.build(architecture, shape, n_classes).eval()
    # Shapes are enough, except for routing, which depends on numbers. On this device recurrent layers are counted too;
    # on others a library computes them as a whole.
    device = torch.device("cpu" if network.n_experts else "meta")
    network = network.to_empty(device=device)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    segment = torch.zeros(1, shape.n_bins, shape.n_frames, device=device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(segment)
    return Cost(count_parameters(network), int(counter.get_total_flops()))


def count_parameters(network: GenreNetwork) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
