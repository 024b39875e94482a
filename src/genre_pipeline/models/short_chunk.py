"""A residual network on short segments with attention over time, suited to small collections.

The short-chunk network with residual connections is the strongest convolutional tagger in the comparison by M. Won, A.
Ferraro, D. Bogdanov and X. Serra, Evaluation of CNN-based Automatic Music Tagging Models, SMC 2020. Instead of its
maximum over time, frames are weighted by learned attention, and the weighted mean and standard deviation are
classified: attentive statistics pooling, K. Okabe, T. Koshinaka and K. Shinoda, Interspeech 2018. Widths are chosen for
hundreds of tracks rather than hundreds of thousands [?].
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.blocks import Block, Width
from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec

_REFERENCE = (
    "M. Won, A. Ferraro, D. Bogdanov and X. Serra, Evaluation of CNN-based Automatic Music Tagging Models, SMC 2020"
)

_MIN_VARIANCE = 1e-5  # [?] keeps the root's gradient finite if all frames are equal


class ShortChunkBlock(Block):
    """Architecture of the short-chunk network.

    Attributes:
        n_filters: Channels of each residual block; each halves both dimensions of its input [?].
        n_attention: Units of the attention over frames; ``None`` means the plain mean and deviation [?].
        dropout: Share of the pooled statistics dropped before the last layer [?].
    """

    n_filters: tuple[Width, ...] = Field(default=(32, 64, 96, 128), min_length=1, max_length=64)
    n_attention: Width | None = 64
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)


class _Residual(nn.Module):
    """Two 3x3 convolutions, the first with stride 2, with a shortcut."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_inputs, n_outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(n_outputs),
            nn.ReLU(),
            nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(n_inputs, n_outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(n_outputs)
        )

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.layers(maps) + self.shortcut(maps))


class AttentivePooling(nn.Module):
    """The mean and the standard deviation over time, with frames weighted by learned attention.

    Args:
        n_channels: Channels of a frame.
        n_attention: Units of the attention; ``None`` means equal weights.
    """

    def __init__(self, n_channels: int, n_attention: int | None) -> None:
        super().__init__()
        self.attention: nn.Sequential | None = None
        if n_attention is not None:
            # No bias at the end: it would not change the softmax weights.
            self.attention = nn.Sequential(
                nn.Conv1d(n_channels, n_attention, 1), nn.Tanh(), nn.Conv1d(n_attention, n_channels, 1, bias=False)
            )

    def forward(self, frames: Tensor) -> Tensor:
        """Return statistics, shape ``(batch, 2 * n_channels)``, of frames ``(batch, n_channels, n_frames)``."""
        if self.attention is None:
            weights = torch.full_like(frames, 1.0 / frames.shape[2])
        else:
            weights = self.attention(frames).softmax(dim=2)
        mean = (weights * frames).sum(dim=2)
        variance = (weights * (frames - mean.unsqueeze(2)).square()).sum(dim=2)
        return torch.cat([mean, variance.clamp_min(_MIN_VARIANCE).sqrt()], dim=1)


class ShortChunk(GenreNetwork):
    """The network.

    Args:
        block: The architecture.
        shape: Shape of one segment; its number of bins is fixed, its number of frames may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: ShortChunkBlock, shape: InputShape, n_classes: int) -> None:  # noqa: ARG002
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        widths = (1, *block.n_filters)
        self.blocks = nn.Sequential(*(_Residual(*pair) for pair in zip(widths, block.n_filters, strict=False)))
        self.pooling = AttentivePooling(widths[-1], block.n_attention)
        self.dropout = nn.Dropout(block.dropout)
        self.output = nn.Linear(2 * widths[-1], n_classes)
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        maps = self.blocks(self.norm(features.unsqueeze(1)))
        # The loudest band of each frame, as in the short-chunk network.
        logits: Tensor = self.output(self.dropout(self.pooling(maps.amax(dim=2))))
        return logits


def build_short_chunk(block: ShortChunkBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make the short-chunk network.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Returns:
        The network, initialised.

    Raises:
        ConfigError: If segments are too small to be halved that often.
    """
    smallest = 2 ** len(block.n_filters)
    if min(shape.n_bins, shape.n_frames) < smallest:
        raise ConfigError(
            f"The short-chunk network needs segments of at least {smallest} bins and {smallest} frames, because it "
            f"halves both {len(block.n_filters)} times; the feature gives {shape.n_bins} bins and {shape.n_frames} "
            "frames. Name fewer n_filters, or choose longer segments."
        )
    return ShortChunk(block, shape, n_classes)


MODELS.register(
    NetworkSpec(name="short_chunk", block=ShortChunkBlock, build=build_short_chunk, reference=_REFERENCE, version=1)
)
