"""ConvNeXt for spectrograms, and MusicNeXt, which removes its normalisation and uses ELU and a large margin.

ConvNeXt is Z. Liu et al., A ConvNet for the 2020s, CVPR 2022 [P]. MusicNeXt's text removes the normalisation from stem
and blocks and keeps ELU "only for the deep convolutional layers"; this can be read in two ways for the activation
between the two pointwise convolutions, and both are here. Its code was not published.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from genre_pipeline.blocks import Block, Depth, Positive, Width
from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.heads import EmbeddingNetwork, HeadBlock, build_head

_REFERENCE = (
    "Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell and S. Xie, A ConvNet for the 2020s, CVPR 2022; MusicNeXt: "
    "Intelligent Data Analysis, 2024"
)

_STEM = 4  # [P] kernel and stride of the stem
_KERNEL = 7  # [P] of the depthwise convolutions
_EXPANSION = 4  # [P] of the pointwise pair
_NORM_EPS = 1e-6  # [C] ConvNeXt
_INITIAL_STD = 0.02  # [C] ConvNeXt
_N_HALVINGS = 3  # [D] between four stages


class ConvNeXtBlock(Block):
    """Architecture of ConvNeXt and MusicNeXt. The defaults are ConvNeXt-T's [P].

    Attributes:
        depths: Blocks in each stage.
        widths: Channels of each stage.
        block_norm: Whether stem and blocks are normalised; MusicNeXt's are not [P]. The layers that halve the
            resolution are, and so is the embedding [I].
        activation: ``gelu``, or MusicNeXt's ``elu`` [P].
        activation_after: Where a block has its activation: after the ``expansion`` by the first pointwise convolution
            (ConvNeXt; MusicNeXt in reading B), or after the ``depthwise`` convolution (MusicNeXt in reading A, the
            literal one) [I].
        layer_scale: Initial weight of each block's output; ``None`` means no such weights. MusicNeXt mentions none [?].
        head: The last layer.
    """

    depths: tuple[Depth, Depth, Depth, Depth] = (3, 3, 9, 3)
    widths: tuple[Width, Width, Width, Width] = (96, 192, 384, 768)
    block_norm: bool = True
    activation: Literal["gelu", "elu"] = "gelu"
    activation_after: Literal["expansion", "depthwise"] = "expansion"
    layer_scale: Positive | None = 1e-6
    head: HeadBlock = HeadBlock()


class _ChannelNorm(nn.Module):
    """Layer normalisation of each position's channels, in maps of shape ``(batch, channels, height, width)``."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_channels, eps=_NORM_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        normalised: Tensor = self.norm(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normalised


class _Residual(nn.Module):
    """Depthwise convolution and two pointwise ones, with a shortcut."""

    def __init__(self, block: ConvNeXtBlock, n_channels: int) -> None:
        super().__init__()
        activation = nn.ELU if block.activation == "elu" else nn.GELU
        self.depthwise = nn.Conv2d(n_channels, n_channels, _KERNEL, padding=_KERNEL // 2, groups=n_channels)
        self.norm = nn.LayerNorm(n_channels, eps=_NORM_EPS) if block.block_norm else nn.Identity()
        self.first_activation = activation() if block.activation_after == "depthwise" else nn.Identity()
        self.expand = nn.Linear(n_channels, _EXPANSION * n_channels)
        self.second_activation = activation() if block.activation_after == "expansion" else nn.Identity()
        self.contract = nn.Linear(_EXPANSION * n_channels, n_channels)
        scale = block.layer_scale
        self.scale = None if scale is None else nn.Parameter(torch.full((n_channels,), scale))

    def forward(self, maps: Tensor) -> Tensor:
        last = self.norm(self.depthwise(maps).permute(0, 2, 3, 1))
        last = self.contract(self.second_activation(self.expand(self.first_activation(last))))
        if self.scale is not None:
            last = self.scale * last
        output: Tensor = maps + last.permute(0, 3, 1, 2)
        return output


class ConvNeXt(EmbeddingNetwork):
    """The network.

    Args:
        block: The architecture.
        shape: Shape of one segment; both dimensions may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: ConvNeXtBlock, shape: InputShape, n_classes: int) -> None:  # noqa: ARG002
        super().__init__()
        first = block.widths[0]
        layers: list[nn.Module] = [nn.Conv2d(1, first, _STEM, stride=_STEM)]
        if block.block_norm:
            layers.append(_ChannelNorm(first))
        n_channels = first
        for width, depth in zip(block.widths, block.depths, strict=True):
            if len(layers) > 1 + block.block_norm:
                layers += [_ChannelNorm(n_channels), nn.Conv2d(n_channels, width, 2, stride=2)]
            layers += [_Residual(block, width) for _ in range(depth)]
            n_channels = width
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(n_channels, eps=_NORM_EPS)
        self.output = build_head(n_channels, n_classes, block.head)
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_INITIAL_STD)
                nn.init.zeros_(module.get_parameter("bias"))

    def embed(self, features: Tensor) -> Tensor:
        """Return the normalised mean of the last stage."""
        embeddings: Tensor = self.norm(self.layers(features.unsqueeze(1)).mean(dim=(2, 3)))
        return embeddings


def build_convnext(block: ConvNeXtBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make ConvNeXt or MusicNeXt.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Returns:
        The network, initialised.

    Raises:
        ConfigError: If segments are too small for four stages.

    Example:
        >>> block = ConvNeXtBlock(block_norm=False, activation="elu", activation_after="depthwise", layer_scale=None,
        ...                       head=HeadBlock(kind="large_margin"))
        >>> network = build_convnext(block, InputShape(n_bins=128, n_frames=256), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        27804672
    """
    smallest = _STEM * 2**_N_HALVINGS
    if min(shape.n_bins, shape.n_frames) < smallest:
        raise ConfigError(
            f"ConvNeXt and MusicNeXt need segments of at least {smallest} bins and {smallest} frames, because they "
            f"reduce both {smallest} times; the feature gives {shape.n_bins} bins and {shape.n_frames} frames."
        )
    return ConvNeXt(block, shape, n_classes)


MODELS.register(
    NetworkSpec(name="convnext", block=ConvNeXtBlock, build=build_convnext, reference=_REFERENCE, version=1)
)
