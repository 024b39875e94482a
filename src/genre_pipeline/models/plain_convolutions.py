"""A plain stack of convolutions on short segments, for a few hundred tracks.

Convolution, maximum pooling, batch normalisation and ReLU, once per layer; then the mean and the maximum over what is
left of bins and frames. Pooling comes before the normalisation, which then works on a quarter of the values: on a
processor a step takes half the time. Several such stacks can be members of one network: in a training step each learns
from its own part of the batch, as if it were trained alone, and otherwise the mean of their scores counts (deep
ensembles: B. Lakshminarayanan, A. Pritzel and C. Blundell, NeurIPS 2017). Random convolutions can answer beside them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from genre_pipeline.blocks import Block, Depth, Positive, Width
from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.random_convolutions import RandomConvolutions


class PlainConvolutionsBlock(Block):
    """Architecture of the network.

    Attributes:
        n_filters: Channels of each 3x3 convolution; bins and frames are halved after each [?].
        dropout: Share of the pooled values dropped before the last layer [?].
        n_members: Stacks that are trained side by side and averaged. A step needs as many segments for each of them as
            for one alone, so batches and epochs grow with their number [?].
        n_kernels: Random convolutions, fitted before the first step; the answer is the mean of the stacks' and of
            theirs. 0 does without [?].
        kernel_decay: Penalty of the squared weights of their linear classifier [?].
    """

    n_filters: tuple[Width, ...] = Field(default=(32, 64, 96, 128, 160), min_length=1, max_length=64)
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    n_members: Depth = 1
    n_kernels: int = Field(default=0, ge=0, le=100_000)
    kernel_decay: Positive = 0.2


class _Member(nn.Module):
    """One stack."""

    def __init__(self, block: PlainConvolutionsBlock, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_inputs, n_outputs in zip((1, *block.n_filters), block.n_filters, strict=False):
            layers += [nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(n_outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(block.dropout)
        self.output = nn.Linear(2 * block.n_filters[-1], n_classes)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.layers(features.unsqueeze(1))
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.output(self.dropout(pooled))
        return logits


class PlainConvolutions(GenreNetwork):
    """The network.

    Args:
        block: The architecture.
        shape: Shape of one segment; without random convolutions, numbers of bins and frames may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: PlainConvolutionsBlock, shape: InputShape, n_classes: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(_Member(block, n_classes) for _ in range(block.n_members))
        self.kernels = RandomConvolutions(shape, block.n_kernels, n_classes) if block.n_kernels else None
        self._kernel_decay = block.kernel_decay

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``: the mean of the members' scores.

        Random convolutions count as much as all members together: the mean of both log probabilities.
        """
        logits = torch.stack([member(features) for member in self.members]).mean(dim=0)
        if self.kernels is not None:
            logits = (logits.log_softmax(dim=1) + self.kernels(features).log_softmax(dim=1)) / 2
        return logits

    def begin_training(self, batches: Iterable[Tensor], targets: Tensor) -> None:
        """Fit the random convolutions."""
        if self.kernels is not None:
            self.kernels.fit(batches, targets, self._kernel_decay)

    def training_logits(self, features: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        """Score each part of the batch by one member, which alone learns from it."""
        parts = zip(self.members, features.tensor_split(len(self.members)), strict=True)
        # A small last batch may have fewer segments than there are members.
        return torch.cat([member(part) for member, part in parts if len(part)])


def build_plain_convolutions(block: PlainConvolutionsBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make the network.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Returns:
        The network, initialised.

    Raises:
        ConfigError: If segments are too small to be halved that often.

    Example:
        >>> network = build_plain_convolutions(PlainConvolutionsBlock(), InputShape(n_bins=128, n_frames=130), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        373098
    """
    smallest = 2 ** len(block.n_filters)
    if min(shape.n_bins, shape.n_frames) < smallest:
        raise ConfigError(
            f"Plain convolutions need segments of at least {smallest} bins and {smallest} frames, because they halve "
            f"both {len(block.n_filters)} times; the feature gives {shape.n_bins} bins and {shape.n_frames} frames. "
            "Name fewer n_filters, or choose longer segments."
        )
    return PlainConvolutions(block, shape, n_classes)


MODELS.register(
    NetworkSpec(
        name="plain_convolutions",
        block=PlainConvolutionsBlock,
        build=build_plain_convolutions,
        reference="",
        version=2,
    )
)
