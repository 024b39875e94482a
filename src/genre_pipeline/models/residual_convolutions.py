"""The two 1-D convolutional networks that net1 and net2 were compared with (nnet1 and nnet2).

The frequency bins of an STFT are the channels, the convolutions run over time, and the largest and the mean value over
time are classified. The widths reproduce the published parameter counts (nnet1 464,906 and nnet2 1,250,928 with 513
bins and 10 classes) [D]; but they do not determine layers without parameters: pooling between the convolutions and
nnet2's shortcut.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.blocks import Block, Width
from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.duplicated_convolutions import pool_over_time, same_convolution
from genre_pipeline.models.initialisers import glorot_uniform

_KERNEL_FRAMES = 4  # [D] every kernel spans four frames

_REFERENCE = (
    "W. Zhang, W. Lei, X. Xu and X. Xing, Improved Music Genre Classification with Convolutional Neural Networks, "
    "Interspeech 2016"
)


class ResidualConvolutionsBlock(Block):
    """Architecture of nnet1 and nnet2. The defaults are nnet2's [D].

    Attributes:
        n_filters: Filters of the three convolutions.
        hidden: Units of the hidden dense layers.
        shortcut: Whether the first convolution's output is added to the third's: nnet2 is called residual [I]. Both
            must have the same number of filters.
        pool_frames: Length of the max pooling, in frames, after the first and after the second convolution; 1 disables
            it [?].
        dropout: Share of the pooled values dropped before the dense layers [?].
    """

    n_filters: tuple[Width, Width, Width] = (256, 256, 256)
    hidden: tuple[Width, ...] = Field(default=(300, 150), max_length=64)
    shortcut: bool = True
    pool_frames: tuple[Width, Width] = (1, 1)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class ResidualConvolutions(GenreNetwork):
    """The network.

    Args:
        block: The architecture.
        shape: Shape of one segment; its number of bins is fixed, its number of frames may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: ResidualConvolutionsBlock, shape: InputShape, n_classes: int) -> None:
        super().__init__()
        self.block = block
        first, second, third = block.n_filters
        self.conv1 = nn.Conv1d(shape.n_bins, first, _KERNEL_FRAMES)
        self.conv2 = nn.Conv1d(first, second, _KERNEL_FRAMES)
        self.conv3 = nn.Conv1d(second, third, _KERNEL_FRAMES)
        layers: list[nn.Module] = [nn.Dropout(block.dropout)]
        n_inputs = 2 * third
        for n_units in block.hidden:
            layers += [nn.Linear(n_inputs, n_units), nn.ReLU()]
            n_inputs = n_units
        self.dense = nn.Sequential(*layers, nn.Linear(n_inputs, n_classes))
        glorot_uniform(self)

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        before, between = self.block.pool_frames
        first = functional.max_pool1d(functional.relu(self.conv1(features)), before)
        second = functional.max_pool1d(functional.relu(same_convolution(self.conv2, first)), between)
        third = same_convolution(self.conv3, second)
        if self.block.shortcut:
            third = third + functional.max_pool1d(first, between)
        outputs = functional.relu(third)
        pooled = torch.cat([pool_over_time(outputs, "max"), pool_over_time(outputs, "mean")], dim=1)
        logits: Tensor = self.dense(pooled)
        return logits


def build_residual_convolutions(block: ResidualConvolutionsBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make nnet1 or nnet2.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Returns:
        The network, initialised.

    Raises:
        ConfigError: If segments are too short for kernels and pooling, or a shortcut joins convolutions of different
            widths.

    Example:
        >>> network = build_residual_convolutions(ResidualConvolutionsBlock(), InputShape(n_bins=513, n_frames=128), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        1250928
    """
    if block.shortcut and block.n_filters[0] != block.n_filters[2]:
        raise ConfigError(
            f"architecture.shortcut adds the first convolution's {block.n_filters[0]} outputs to the third's "
            f"{block.n_filters[2]}: give both as many filters, or set shortcut to false."
        )
    smallest = _KERNEL_FRAMES - 1 + block.pool_frames[0] * block.pool_frames[1]
    if shape.n_frames < smallest:
        raise ConfigError(
            f"nnet1 and nnet2 need segments of at least {smallest} frames for their kernels and pooling; the feature's "
            f"segment.n_frames is {shape.n_frames}."
        )
    return ResidualConvolutions(block, shape, n_classes)


MODELS.register(
    NetworkSpec(
        name="residual_convolutions",
        block=ResidualConvolutionsBlock,
        build=build_residual_convolutions,
        reference=_REFERENCE,
        version=1,
    )
)
