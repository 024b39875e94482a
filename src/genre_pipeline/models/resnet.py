"""Residual networks for spectrograms: the baseline of LGNet and MusicNeXt, and LGNet's trunk.

K. He, X. Zhang, S. Ren and J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016, with one input channel. As
usual today, a bottleneck's stride is on its 3x3 convolution, and the 18-layer trunk has 11,170,240 parameters [D].
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.blocks import Block, Width
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.heads import EmbeddingNetwork, HeadBlock, build_head

_REFERENCE = "K. He, X. Zhang, S. Ren and J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016"

Depth = Literal[18, 50]

_BLOCKS: dict[Depth, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}  # [P]
_BOTTLENECK_EXPANSION = 4  # [P]


class ResNetBlock(Block):
    """Architecture of a residual network.

    Attributes:
        depth: Layers: 18 or 50.
        width: Channels of the first stage; each later stage has twice as many as the one before [P].
        head: The last layer.
    """

    depth: Depth = 18
    width: Width = 64
    head: HeadBlock = HeadBlock()


def _conv_norm(n_inputs: int, n_outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(n_inputs, n_outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(n_outputs)]


class _Residual(nn.Module):
    """A block of convolutions with a shortcut."""

    def __init__(self, layers: list[nn.Module], n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        changes = stride != 1 or n_inputs != n_outputs
        self.shortcut = nn.Sequential(*_conv_norm(n_inputs, n_outputs, 1, stride)) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.layers(maps) + self.shortcut(maps))


def _basic(n_inputs: int, width: int, stride: int) -> _Residual:
    layers = [*_conv_norm(n_inputs, width, 3, stride), nn.ReLU(), *_conv_norm(width, width, 3)]
    return _Residual(layers, n_inputs, width, stride)


def _bottleneck(n_inputs: int, width: int, stride: int) -> _Residual:
    n_outputs = _BOTTLENECK_EXPANSION * width
    layers = [
        *_conv_norm(n_inputs, width, 1),
        nn.ReLU(),
        *_conv_norm(width, width, 3, stride),
        nn.ReLU(),
        *_conv_norm(width, n_outputs, 1),
    ]
    return _Residual(layers, n_inputs, n_outputs, stride)


class ResNetTrunk(nn.Module):
    """A residual network up to its global average pooling.

    Args:
        depth: Layers: 18 or 50.
        width: Channels of the first stage.

    Attributes:
        n_outputs: Length of an embedding.
    """

    def __init__(self, depth: Depth = 18, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
        make, expansion = (_basic, 1) if depth == 18 else (_bottleneck, _BOTTLENECK_EXPANSION)
        n_channels = width
        for stage, n_blocks in enumerate(_BLOCKS[depth]):
            stage_width = width * 2**stage
            for number in range(n_blocks):
                layers.append(make(n_channels, stage_width, 2 if stage and number == 0 else 1))
                n_channels = expansion * stage_width
        self.layers = nn.Sequential(*layers)
        self.n_outputs = n_channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # K. He et al., Delving Deep into Rectifiers, ICCV 2015 [P].
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Return embeddings, shape ``(batch, n_outputs)``, of segments of shape ``(batch, n_bins, n_frames)``."""
        embeddings: Tensor = self.layers(features.unsqueeze(1)).mean(dim=(2, 3))
        return embeddings


class ResNet(EmbeddingNetwork):
    """A residual network that scores genres.

    Args:
        block: The architecture.
        shape: Shape of one segment; both dimensions may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: ResNetBlock, shape: InputShape, n_classes: int) -> None:  # noqa: ARG002
        super().__init__()
        self.trunk = ResNetTrunk(block.depth, block.width)
        self.output = build_head(self.trunk.n_outputs, n_classes, block.head)

    def embed(self, features: Tensor) -> Tensor:
        """Return the pooled outputs of the last stage."""
        embeddings: Tensor = self.trunk(features)
        return embeddings


def build_resnet(block: ResNetBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make a residual network.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Example:
        >>> network = build_resnet(ResNetBlock(), InputShape(n_bins=128, n_frames=128), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        11175370
    """
    return ResNet(block, shape, n_classes)


MODELS.register(NetworkSpec(name="resnet", block=ResNetBlock, build=build_resnet, reference=_REFERENCE, version=1))
