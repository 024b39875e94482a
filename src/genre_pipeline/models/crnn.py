"""A convolutional recurrent network: two 2-D convolutions, a recurrent layer over time, two dense layers.

The paper gives the order of the layers [P]; their sizes were in a figure that is missing, so they are parameters with
chosen defaults [?]. On 130 frames of 100 mel bins and 10 genres the defaults (32 and 64 filters, 64 recurrent and 64
dense units) give 343,690 parameters, counted as Keras counts them.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.blocks import Block, Width
from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec

_KERNEL = 3  # [?] the usual choice; the figure with the sizes is missing
_POOL = 2  # [?]
_N_POOLINGS = 2  # [P] two convolutions, each followed by pooling and batch normalisation
_NORM_EPS = 1e-3  # [I] Keras' default
_REFERENCE = "E. Paesano and G. Pizzuti, Music genre recognition, NAML report, Politecnico di Milano 2023"


class CrnnBlock(Block):
    """Architecture of the convolutional recurrent network.

    Attributes:
        cell: Recurrent layer: ``gru`` (the paper's main result) or ``lstm`` (its comparison) [P].
        n_filters: Filters of the two convolutions [?].
        n_recurrent: Units of the recurrent layer [?].
        n_dense: Units of the hidden dense layer [?].
        norm_momentum: Share of batch normalisation's running statistics that each batch replaces, in torch's sense.
            Keras' default of .99 is .01 here [I]; evaluation needs some hundred batches before these statistics settle,
            so very short runs do better with torch's .1.
    """

    cell: Literal["gru", "lstm"] = "gru"
    n_filters: tuple[Width, Width] = (32, 64)
    n_recurrent: Width = 64
    n_dense: Width = 64
    norm_momentum: float = Field(default=0.01, gt=0.0, le=1.0)


class Crnn(GenreNetwork):
    """The network; batch normalisation, recurrence and initial weights as in Keras [I].

    Args:
        block: The architecture.
        shape: Shape of one segment; its number of bins is fixed, its number of frames may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: CrnnBlock, shape: InputShape, n_classes: int) -> None:
        super().__init__()
        first, second = block.n_filters
        self.conv1 = nn.Conv2d(1, first, _KERNEL, padding=_KERNEL // 2)
        self.norm1 = nn.BatchNorm2d(first, momentum=block.norm_momentum, eps=_NORM_EPS)
        self.conv2 = nn.Conv2d(first, second, _KERNEL, padding=_KERNEL // 2)
        self.norm2 = nn.BatchNorm2d(second, momentum=block.norm_momentum, eps=_NORM_EPS)
        n_inputs = second * (shape.n_bins // _POOL**_N_POOLINGS)
        recurrent = nn.GRU if block.cell == "gru" else nn.LSTM
        self.recurrent: nn.RNNBase = recurrent(n_inputs, block.n_recurrent, batch_first=True)
        self.dense = nn.Linear(block.n_recurrent, block.n_dense)
        self.output = nn.Linear(block.n_dense, n_classes)
        self._initialise()

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        maps = features.unsqueeze(1)
        # The paper activates before pooling. A ReLU commutes with max pooling, to the bit and in its gradients too, and
        # after pooling it has only a quarter of the values to process.
        maps = self.norm1(functional.relu(functional.max_pool2d(self.conv1(maps), _POOL)))
        maps = self.norm2(functional.relu(functional.max_pool2d(self.conv2(maps), _POOL)))
        steps = maps.permute(0, 3, 1, 2).flatten(start_dim=2)
        outputs, _ = self.recurrent(steps)
        logits: Tensor = self.output(functional.relu(self.dense(outputs[:, -1])))
        return logits

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.get_parameter("bias"))
        nn.init.xavier_uniform_(self.recurrent.get_parameter("weight_ih_l0"))
        nn.init.orthogonal_(self.recurrent.get_parameter("weight_hh_l0"))
        input_bias = nn.init.zeros_(self.recurrent.get_parameter("bias_ih_l0"))
        recurrent_bias = nn.init.zeros_(self.recurrent.get_parameter("bias_hh_l0"))
        if isinstance(self.recurrent, nn.LSTM):
            # Keras' LSTM has one bias where torch adds two: the second stays zero. The forget gate's bias starts at
            # one.
            recurrent_bias.requires_grad_(False)
            with torch.no_grad():
                input_bias.chunk(4)[1].fill_(1.0)


def build_crnn(block: CrnnBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make the convolutional recurrent network.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Returns:
        The network, initialised.

    Raises:
        ConfigError: If segments are too small for the two poolings.

    Example:
        >>> network = build_crnn(CrnnBlock(), InputShape(n_bins=100, n_frames=130), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        343690
    """
    smallest = _POOL**_N_POOLINGS
    if min(shape.n_bins, shape.n_frames) < smallest:
        raise ConfigError(
            f"The CRNN needs segments of at least {smallest} bins and {smallest} frames, because it halves both "
            f"{_N_POOLINGS} times; the feature gives {shape.n_bins} bins and {shape.n_frames} frames."
        )
    return Crnn(block, shape, n_classes)


MODELS.register(NetworkSpec(name="crnn", block=CrnnBlock, build=build_crnn, reference=_REFERENCE, version=1))
