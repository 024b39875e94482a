"""Broadcast networks, in which every block gets the outputs of all earlier ones (BBNN, its variants, the 4-block net).

BBNN is Liu, Feng, Liu, Wang and Liu's bottom-up broadcast network; Heakl, Abdelgawad and Parque's study changes it in
twelve ways (Table III) and proposes a network of four lighter blocks. All follow one plan here: a stem, a chain of
blocks that append to their input, a transition and a decision layer.

A whole clip is one input: 646 frames of 128 mel bands. Pooling is global, so other lengths work too.

Where the values come from: [P] stated in a paper, [C] the authors' released code, [D] follows from the published
parameter counts, [?] stated nowhere and chosen here.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.blocks import Block, Depth, Width
from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.initialisers import (
    KERAS_NORM_EPS,
    KERAS_NORM_MOMENTUM,
    glorot_uniform,
    keras_recurrent,
    lecun_normal_convolutions,
)

_REFERENCE = (
    "C. Liu, L. Feng, G. Liu, H. Wang and S. Liu, Bottom-up broadcast neural network for music genre classification, "
    "Multimedia Tools and Applications 80, 2021; A. Heakl, A. Abdelgawad and V. Parque, A Study on Broadcast Networks "
    "for Music Genre Classification, IJCNN 2022"
)

_STEM_POOL_FRAMES = 4  # [C] the stem pools time only
_GROUP_CHANNELS = 16  # [P] channels in a group of the group normalisation
# [?] The smallest input that is not empty after the stem's and the transition's pooling.
_MIN_FRAMES, _MIN_BINS = 8, 2

BlockKind = Literal["inception", "separable", "inception_resnet"]


class BroadcastBlock(Block):
    """Architecture of a broadcast network. The defaults are BBNN's [C].

    Attributes:
        n_blocks: Blocks in the chain.
        growth: Channels of each of a block's four branches.
        block_kind: ``inception`` (four branches), ``separable`` (one separable 3x3 convolution: the Xception variant)
            or ``inception_resnet`` (the blocks A, B, C of Inception-ResNet v1 in turn, added instead of appended).
        with_3x3: Whether the second branch has its 3x3 convolution after the 1x1; without, its normalisation and
            activation stay [D].
        wide_kernel: The third branch's kernel: ``5x5``, ``3x3``, or ``3x1_1x3`` (one after the other).
        activation: ``relu`` or ``selu``.
        normalisation: ``batch`` or ``group`` (16 channels per group).
        transition: ``average`` (normalise, activate, 1x1 convolution, average pooling: BBNN, and the 4-block net as
            drawn) or ``max`` (1x1 convolution, normalise, activate, max pooling: the 4-block net as released).
        transition_activation: Whether ``average`` has its activation; the drawing of the 4-block net shows none.
        pooling: How the decision layer pools over time and frequency: ``average`` or ``max``.
        dropout: Share dropped before the last layer.
        squeeze_reduction: Factor by which squeeze-and-excitation narrows each block's output; ``None`` disables it.
        n_recurrent: Units of an LSTM branch in each block, over time on the mean over frequency; ``None`` means no such
            branch. The paper's drawing of it is missing [?].
        residual_width: Channels of the trunk of ``inception_resnet`` [?].
        initialisation: ``glorot_uniform``, or ``lecun_normal`` for the convolutions.
        norm_momentum: Share of the running statistics that each batch replaces; Keras' .99 is .01 here.
    """

    n_blocks: Depth = 3
    growth: Width = 32
    block_kind: BlockKind = "inception"
    with_3x3: bool = True
    wide_kernel: Literal["5x5", "3x3", "3x1_1x3"] = "5x5"
    activation: Literal["relu", "selu"] = "relu"
    normalisation: Literal["batch", "group"] = "batch"
    transition: Literal["average", "max"] = "average"
    transition_activation: bool = True
    pooling: Literal["average", "max"] = "average"
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    squeeze_reduction: Width | None = None
    n_recurrent: Width | None = None
    residual_width: Width = 128
    initialisation: Literal["glorot_uniform", "lecun_normal"] = "glorot_uniform"
    norm_momentum: float = Field(default=KERAS_NORM_MOMENTUM, gt=0.0, le=1.0)


class _Layers:
    """Makes the layers that an architecture is composed of."""

    def __init__(self, block: BroadcastBlock) -> None:
        self.block = block

    def norm(self, n_channels: int) -> nn.Module:
        if self.block.normalisation == "group":
            # Fewer per group if 16 does not divide the channels, as in reduced networks.
            return nn.GroupNorm(n_channels // gcd(n_channels, _GROUP_CHANNELS), n_channels, eps=KERAS_NORM_EPS)
        return nn.BatchNorm2d(n_channels, momentum=self.block.norm_momentum, eps=KERAS_NORM_EPS)

    def norm_act(self, n_channels: int) -> list[nn.Module]:
        # In place: a normalisation's output is not needed again, and these maps take most of the memory.
        activation = nn.SELU if self.block.activation == "selu" else nn.ReLU
        return [self.norm(n_channels), activation(inplace=True)]

    def unit(self, n_inputs: int, n_outputs: int, kernel: int | tuple[int, int]) -> list[nn.Module]:
        """Normalise, activate, convolve: the pre-activation order of every branch [C]."""
        return [*self.norm_act(n_inputs), nn.Conv2d(n_inputs, n_outputs, kernel, padding="same")]

    def wide(self, n_channels: int) -> list[nn.Module]:
        """Return the third branch's convolution, pre-activated."""
        if self.block.wide_kernel == "3x1_1x3":
            first, second = (nn.Conv2d(n_channels, n_channels, size, padding="same") for size in ((3, 1), (1, 3)))
            return [*self.norm_act(n_channels), first, second]
        return self.unit(n_channels, n_channels, 5 if self.block.wide_kernel == "5x5" else 3)


class _RecurrentBranch(nn.Module):
    """An LSTM over time on the mean over frequency, repeated over frequency."""

    def __init__(self, n_inputs: int, n_units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_inputs, n_units, batch_first=True)

    def forward(self, maps: Tensor) -> Tensor:
        steps, _ = self.lstm(maps.mean(dim=3).transpose(1, 2))
        spread: Tensor = steps.transpose(1, 2).unsqueeze(3).expand(-1, -1, -1, maps.shape[3])
        return spread


class _Squeeze(nn.Module):
    """Squeeze-and-excitation: weight the channels by a summary of the whole map, its maximum [C]."""

    def __init__(self, n_channels: int, reduction: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(n_channels, max(1, n_channels // reduction))
        self.widen = nn.Linear(max(1, n_channels // reduction), n_channels)

    def forward(self, maps: Tensor) -> Tensor:
        weights = torch.sigmoid(self.widen(functional.relu(self.narrow(maps.amax(dim=(2, 3))))))
        weighed: Tensor = maps * weights[:, :, None, None]
        return weighed


class _Appending(nn.Module):
    """A block that appends the outputs of its branches to its input."""

    def __init__(self, branches: list[nn.Module], squeeze: nn.Module | None = None) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.squeeze = squeeze

    def forward(self, maps: Tensor) -> Tensor:
        outputs = [branch(maps) for branch in self.branches]
        if self.squeeze is not None:
            outputs = [self.squeeze(torch.cat(outputs, dim=1))]
        return torch.cat([maps, *outputs], dim=1)


class _Adding(nn.Module):
    """A block that adds the output of its branches to its input, as in Inception-ResNet."""

    def __init__(self, branches: list[nn.Module], merge: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.merge = merge

    def forward(self, maps: Tensor) -> Tensor:
        added: Tensor = maps + self.merge(torch.cat([branch(maps) for branch in self.branches], dim=1))
        return added


def _inception(layers: _Layers, n_inputs: int) -> tuple[nn.Module, int]:
    block, width = layers.block, layers.block.growth
    narrowed = layers.unit(n_inputs, width, 1)
    second = [*narrowed, *(layers.unit(width, width, 3) if block.with_3x3 else layers.norm_act(width))]
    branches: list[nn.Module] = [
        nn.Sequential(*layers.unit(n_inputs, width, 1)),
        nn.Sequential(*second),
        nn.Sequential(*layers.unit(n_inputs, width, 1), *layers.wide(width)),
        nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *layers.unit(n_inputs, width, 1)),
    ]
    n_outputs = len(branches) * width
    if block.n_recurrent is not None:
        branches.append(_RecurrentBranch(n_inputs, block.n_recurrent))
        n_outputs += block.n_recurrent
    squeeze = None if block.squeeze_reduction is None else _Squeeze(n_outputs, block.squeeze_reduction)
    return _Appending(branches, squeeze), n_inputs + n_outputs


def _separable(layers: _Layers, n_inputs: int) -> tuple[nn.Module, int]:
    n_outputs = 4 * layers.block.growth
    # Keras' SeparableConv2D has one bias, after both convolutions.
    depthwise = nn.Conv2d(n_inputs, n_inputs, 3, padding="same", groups=n_inputs, bias=False)
    branch = nn.Sequential(*layers.norm_act(n_inputs), depthwise, nn.Conv2d(n_inputs, n_outputs, 1))
    return _Appending([branch]), n_inputs + n_outputs


# The convolutions of Inception-ResNet v1's blocks A, B and C after each branch's 1x1 (Szegedy et al. 2017, figures 10
# to 12) [P]; their order in the chain and their width are not stated [?].
_RESNET_BRANCHES: tuple[tuple[tuple[int | tuple[int, int], ...], ...], ...] = (
    ((), (3,), (3, 3)),
    ((), ((1, 7), (7, 1))),
    ((), ((1, 3), (3, 1))),
)


def _inception_resnet(layers: _Layers, n_inputs: int, number: int) -> tuple[nn.Module, int]:
    width = layers.block.growth
    plan = _RESNET_BRANCHES[number % len(_RESNET_BRANCHES)]
    branches: list[nn.Module] = []
    for kernels in plan:
        units = layers.unit(n_inputs, width, 1)
        for kernel in kernels:
            units += layers.unit(width, width, kernel)
        branches.append(nn.Sequential(*units))
    return _Adding(branches, nn.Conv2d(len(plan) * width, n_inputs, 1)), n_inputs


class Broadcast(GenreNetwork):
    """The network.

    Args:
        block: The architecture.
        shape: Shape of one segment; both dimensions may vary.
        n_classes: Number of genres.

    Attributes:
        n_broadcast_channels: Channels after the last block.
    """

    def __init__(self, block: BroadcastBlock, shape: InputShape, n_classes: int) -> None:  # noqa: ARG002
        super().__init__()
        layers = _Layers(block)
        self.pooling = block.pooling
        width = block.growth
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding="same"), *layers.norm_act(width), nn.MaxPool2d((_STEM_POOL_FRAMES, 1))
        )
        n_channels = width
        if block.block_kind == "inception_resnet":
            self.stem.append(nn.Conv2d(width, block.residual_width, 1))
            n_channels = block.residual_width
        chain: list[nn.Module] = []
        for number in range(block.n_blocks):
            if block.block_kind == "inception_resnet":
                made, n_channels = _inception_resnet(layers, n_channels, number)
            else:
                made, n_channels = _BLOCKS[block.block_kind](layers, n_channels)
            chain.append(made)
        self.n_broadcast_channels = n_channels
        self.blocks = nn.Sequential(*chain)
        self.transition = nn.Sequential(*_transition(layers, n_channels))
        self.decision = nn.Sequential(*layers.norm_act(width))
        self.dropout = nn.Dropout(block.dropout)
        self.output = nn.Linear(width, n_classes)
        self._initialise(block)

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        maps = features.transpose(1, 2).unsqueeze(1)
        maps = self.decision(self.transition(self.blocks(self.stem(maps))))
        pooled = maps.mean(dim=(2, 3)) if self.pooling == "average" else maps.amax(dim=(2, 3))
        logits: Tensor = self.output(self.dropout(pooled))
        return logits

    def _initialise(self, block: BroadcastBlock) -> None:
        glorot_uniform(self)
        if block.initialisation == "lecun_normal":
            lecun_normal_convolutions(self)
        for module in self.modules():
            if isinstance(module, nn.RNNBase):
                keras_recurrent(module)


_BLOCKS: dict[str, Callable[[_Layers, int], tuple[nn.Module, int]]] = {
    "inception": _inception,
    "separable": _separable,
}


def _transition(layers: _Layers, n_channels: int) -> list[nn.Module]:
    width = layers.block.growth
    if layers.block.transition == "max":
        return [nn.Conv2d(n_channels, width, 1), *layers.norm_act(width), nn.MaxPool2d(2)]
    before = layers.norm_act(n_channels) if layers.block.transition_activation else [layers.norm(n_channels)]
    return [*before, nn.Conv2d(n_channels, width, 1), nn.AvgPool2d(2)]


def build_broadcast(block: BroadcastBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make a broadcast network.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Returns:
        The network, initialised.

    Raises:
        ConfigError: If segments are too small for the poolings.

    Example:
        >>> network = build_broadcast(BroadcastBlock(), InputShape(n_bins=128, n_frames=646), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        185642
    """
    if shape.n_frames < _MIN_FRAMES or shape.n_bins < _MIN_BINS:
        raise ConfigError(
            f"A broadcast network needs segments of at least {_MIN_FRAMES} frames and {_MIN_BINS} bins for its "
            f"poolings; the feature gives {shape.n_frames} frames and {shape.n_bins} bins."
        )
    return Broadcast(block, shape, n_classes)


MODELS.register(
    NetworkSpec(name="broadcast", block=BroadcastBlock, build=build_broadcast, reference=_REFERENCE, version=1)
)
