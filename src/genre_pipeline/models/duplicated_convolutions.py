"""Two small 1-D convolutional networks that use the output of a convolution more than once (net1 and net2).

The frequency bins are the channels and the convolutions run over time. Each convolution's output is pooled over time
as well as passed on; net1 feeds its second convolution's output to two parallel ones, net2 adds its three outputs.

Where the values come from: [P] stated in the paper, [D] follows from the published parameter counts (net1 1,001,162 and
net2 857,322 with 256 bins and 10 classes), [I] inferred, [?] stated nowhere and chosen here.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.blocks import Block, NotNegative, Width
from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec

_KERNEL_FRAMES = 4  # [P] every kernel spans four frames

_REFERENCE = (
    "H. Yang and W.-Q. Zhang, Music Genre Classification Using Duplicated Convolutional Layers in Neural Networks, "
    "Interspeech 2019"
)

Pooling = Literal["max", "mean"]
Variant = Literal["net1", "net2"]

# [D] widths of the two hidden dense layers that reproduce the parameter counts
_HIDDEN: dict[Variant, tuple[int, int]] = {"net1": (256, 64), "net2": (128, 32)}


class DuplicatedConvolutionsBlock(Block):
    """Architecture of net1 and net2.

    Attributes:
        variant: ``net1`` (parallel convolutions, outputs concatenated) or ``net2`` (outputs added).
        n_filters: Filters of the first two convolutions, and of net2's third [P].
        n_parallel_filters: Filters of each of net1's two parallel convolutions [P]; net2 has none.
        hidden: Units of the two hidden dense layers; ``None`` means the paper's: 256 and 64 in net1, 128 and 32 in
            net2 [D].
        first_pooling: How net1 pools its first convolution's output over time; the second's is pooled the other
            way [?].
        parallel_pooling: How net1 pools the first of its parallel convolutions; the second is pooled the other
            way [?].
        copy_after_dropout: Whether the copy of the first convolution's output that skips ahead is taken after dropout.
            The paper does not state it [?]; Keras code that reuses one variable would do so.
        dropout: Share of the first convolution's output that is dropped [P]; for net2 [I], "similar to net1".
        dense_dropout: Share of the last hidden layer's output that is dropped [P]; for net2 [I].
        first_l2: L2 coefficient of the first convolution's kernel [P], in Keras' sense (``c * sum(w ** 2)``).
        l2: L2 coefficient of the other convolutions' kernels [P]; for net2 [I].
    """

    variant: Variant
    n_filters: Width = 256
    n_parallel_filters: Width = 128
    hidden: tuple[Width, Width] | None = None
    first_pooling: Pooling = "max"
    parallel_pooling: Pooling = "max"
    copy_after_dropout: bool = True
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    dense_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    first_l2: NotNegative = 0.02
    l2: NotNegative = 0.01


def same_convolution(convolution: nn.Conv1d, features: Tensor) -> Tensor:
    """Convolve without changing the number of frames, padded like Keras' ``same``: the odd frame goes to the end.

    Args:
        convolution: A convolution without padding of its own, stride 1.
        features: Shape ``(batch, channels, n_frames)``.

    Returns:
        Shape ``(batch, filters, n_frames)``.
    """
    n_padded = convolution.kernel_size[0] - 1
    padded = functional.pad(features, (n_padded // 2, n_padded - n_padded // 2))
    convolved: Tensor = convolution(padded)
    return convolved


def pool_over_time(features: Tensor, pooling: Pooling) -> Tensor:
    """Reduce the last axis, time, to its largest or its mean value."""
    return features.amax(dim=-1) if pooling == "max" else features.mean(dim=-1)


class _DuplicatedConvolutions(GenreNetwork):
    """Shared by net1 and net2: two convolutions, and a dense part with two hidden layers."""

    def __init__(self, block: DuplicatedConvolutionsBlock, shape: InputShape, n_pooled: int, n_classes: int) -> None:
        super().__init__()
        hidden = block.hidden or _HIDDEN[block.variant]
        self.block = block
        self.conv1 = nn.Conv1d(shape.n_bins, block.n_filters, _KERNEL_FRAMES)
        self.conv2 = nn.Conv1d(block.n_filters, block.n_filters, _KERNEL_FRAMES)
        self.dropout = nn.Dropout(block.dropout)
        self.dense = nn.Sequential(
            nn.Linear(n_pooled, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Dropout(block.dense_dropout),
            nn.Linear(hidden[1], n_classes),
        )

    def first_outputs(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first two convolutions' outputs, the first as the copy that skips ahead."""
        first = functional.relu(self.conv1(features))
        thinned = self.dropout(first)
        second = functional.relu(same_convolution(self.conv2, thinned))
        return (thinned if self.block.copy_after_dropout else first), second

    def initialise(self) -> None:
        """Draw the weights with Keras' defaults [I]: Glorot-uniform kernels, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.get_parameter("bias"))

    def l2_coefficients(self) -> dict[str, float]:
        """Return the coefficients of the convolutions' kernels."""
        kernels = [name for name, _ in self.named_parameters() if name.startswith("conv") and name.endswith("weight")]
        return {name: self.block.first_l2 if name == "conv1.weight" else self.block.l2 for name in kernels}


class Net1(_DuplicatedConvolutions):
    """Two convolutions in a row, two in parallel on top; all four outputs pooled over time and concatenated."""

    def __init__(self, block: DuplicatedConvolutionsBlock, shape: InputShape, n_classes: int) -> None:
        super().__init__(block, shape, 2 * (block.n_filters + block.n_parallel_filters), n_classes)
        self.conv3 = nn.Conv1d(block.n_filters, block.n_parallel_filters, _KERNEL_FRAMES)
        self.conv4 = nn.Conv1d(block.n_filters, block.n_parallel_filters, _KERNEL_FRAMES)
        self.initialise()

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        copied, second = self.first_outputs(features)
        third = functional.relu(same_convolution(self.conv3, second))
        fourth = functional.relu(same_convolution(self.conv4, second))
        pooled = [
            pool_over_time(copied, self.block.first_pooling),
            pool_over_time(second, _other(self.block.first_pooling)),
            pool_over_time(third, self.block.parallel_pooling),
            pool_over_time(fourth, _other(self.block.parallel_pooling)),
        ]
        logits: Tensor = self.dense(torch.cat(pooled, dim=1))
        return logits


class Net2(_DuplicatedConvolutions):
    """Three convolutions in a row; their outputs added, then the largest and the mean value over time."""

    def __init__(self, block: DuplicatedConvolutionsBlock, shape: InputShape, n_classes: int) -> None:
        super().__init__(block, shape, 2 * block.n_filters, n_classes)
        self.conv3 = nn.Conv1d(block.n_filters, block.n_filters, _KERNEL_FRAMES)
        self.initialise()

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        copied, second = self.first_outputs(features)
        third = functional.relu(same_convolution(self.conv3, second))
        total = copied + second + third
        pooled = torch.cat([pool_over_time(total, "max"), pool_over_time(total, "mean")], dim=1)
        logits: Tensor = self.dense(pooled)
        return logits


def _other(pooling: Pooling) -> Pooling:
    return "mean" if pooling == "max" else "max"


def build_duplicated_convolutions(
    block: DuplicatedConvolutionsBlock, shape: InputShape, n_classes: int
) -> GenreNetwork:
    """Make net1 or net2.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Returns:
        The network, initialised.

    Raises:
        ConfigError: If segments are shorter than the kernels.

    Example:
        >>> block = DuplicatedConvolutionsBlock(variant="net2")
        >>> network = build_duplicated_convolutions(block, InputShape(n_bins=256, n_frames=128), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        857322
    """
    if shape.n_frames < _KERNEL_FRAMES:
        raise ConfigError(
            f"{block.variant} needs segments of at least {_KERNEL_FRAMES} frames, the length of its kernels; "
            f"the feature's segment.n_frames is {shape.n_frames}."
        )
    network = Net1 if block.variant == "net1" else Net2
    return network(block, shape, n_classes)


MODELS.register(
    NetworkSpec(
        name="duplicated_convolutions",
        block=DuplicatedConvolutionsBlock,
        build=build_duplicated_convolutions,
        reference=_REFERENCE,
        version=1,
    )
)
