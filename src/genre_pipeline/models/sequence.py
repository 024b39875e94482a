"""Networks that read a spectrogram as a series of frames: LSTM, Bi-LSTM, FCN and FCN-LSTM, baselines of LGNet.

LGNet's paper names the four without a size or a source. The fully convolutional network and its combination with an
LSTM come from time series classification [I]; the presets use its sizes: Z. Wang, W. Yan and T. Oates, Time Series
Classification from Scratch with Deep Neural Networks, IJCNN 2017, and F. Karim, S. Majumdar, H. Darabi and S. Chen,
LSTM Fully Convolutional Networks for Time Series Classification, IEEE Access 6, 2018.
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genre_pipeline.blocks import Block, Depth, Width
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.initialisers import KERAS_NORM_EPS, keras_recurrent

_REFERENCE = "F. Karim et al., LSTM Fully Convolutional Networks for Time Series Classification, IEEE Access 6, 2018"

_KERNELS = (8, 5, 3)  # [P] of the fully convolutional network


class SequenceBlock(Block):
    """Architecture of a network over frames. At least one of its two parts must exist; their outputs are concatenated.

    Attributes:
        n_recurrent: Units of the LSTM, in each direction; ``None`` means no LSTM [?].
        n_layers: Layers of the LSTM [?].
        bidirectional: Whether the LSTM reads both ways.
        n_filters: Filters of the three convolutions (128, 256, 128 in the source [P]); ``None`` means no convolutions.
        dropout: Share of the joined outputs dropped before the last layer [?].
    """

    n_recurrent: Width | None = None
    n_layers: Depth = 1
    bidirectional: bool = False
    n_filters: tuple[Width, Width, Width] | None = None
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _has_a_part(self) -> SequenceBlock:
        if self.n_recurrent is None and self.n_filters is None:
            raise ValueError("n_recurrent and n_filters are both missing: at least one of them makes the network")
        return self


class Sequence(GenreNetwork):
    """The network.

    Args:
        block: The architecture.
        shape: Shape of one segment; its number of bins is fixed, its number of frames may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: SequenceBlock, shape: InputShape, n_classes: int) -> None:
        super().__init__()
        n_outputs = 0
        self.recurrent: nn.LSTM | None = None
        self.convolutions: nn.Sequential | None = None
        if block.n_recurrent is not None:
            self.recurrent = nn.LSTM(
                shape.n_bins,
                block.n_recurrent,
                num_layers=block.n_layers,
                bidirectional=block.bidirectional,
                batch_first=True,
            )
            keras_recurrent(self.recurrent)
            n_outputs += block.n_recurrent * (2 if block.bidirectional else 1)
        if block.n_filters is not None:
            self.convolutions = nn.Sequential(*_convolutions(shape.n_bins, block.n_filters))
            n_outputs += block.n_filters[-1]
        self.dropout = nn.Dropout(block.dropout)
        self.output = nn.Linear(n_outputs, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        outputs = []
        if self.recurrent is not None:
            # Each direction's state after the whole segment, in the last layer.
            _, (states, _) = self.recurrent(features.transpose(1, 2))
            n_directions = 2 if self.recurrent.bidirectional else 1
            outputs.append(torch.cat(list(states[-n_directions:]), dim=1))
        if self.convolutions is not None:
            outputs.append(self.convolutions(features).mean(dim=2))
        logits: Tensor = self.output(self.dropout(torch.cat(outputs, dim=1)))
        return logits


def _convolutions(n_inputs: int, n_filters: tuple[int, int, int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for filters, kernel in zip(n_filters, _KERNELS, strict=True):
        convolution = nn.Conv1d(n_inputs, filters, kernel)
        nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.get_parameter("bias"))
        # Like Keras' "same": the odd frame goes to the end.
        padding = nn.ConstantPad1d(((kernel - 1) // 2, kernel // 2), 0.0)
        layers += [padding, convolution, nn.BatchNorm1d(filters, eps=KERAS_NORM_EPS), nn.ReLU()]
        n_inputs = filters
    return layers


def build_sequence(block: SequenceBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make a network over frames.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Example:
        >>> network = build_sequence(SequenceBlock(n_filters=(128, 256, 128)), InputShape(n_bins=128, n_frames=200), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        396042
    """
    return Sequence(block, shape, n_classes)


MODELS.register(
    NetworkSpec(name="sequence", block=SequenceBlock, build=build_sequence, reference=_REFERENCE, version=1)
)
