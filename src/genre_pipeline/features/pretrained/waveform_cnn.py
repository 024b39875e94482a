"""A small network over the waveform, with weights of your own: the example to copy for an encoder in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from genre_pipeline.features.base import FEATURES
from genre_pipeline.features.pretrained.encoders import Encoder, EncoderBlock, encoder_spec, torch_encoder
from genre_pipeline.work.backends import Device

if TYPE_CHECKING:
    from torch import nn

# [?] Filters, length and stride of each convolution; the last one's filters are ``n_dims``.
_HIDDEN = ((16, 10, 5), (32, 8, 4))
_LAST = (4, 2)


class WaveformCnnBlock(EncoderBlock):
    """Parameters of the network: those of every encoder. Fields for what differs between its weights would be here."""

    @override
    def load(self, content: bytes, device: Device) -> Encoder:
        """Make the network, and fill it with the tensors of a safetensors file."""
        return torch_encoder(make_network(self.n_dims), content, device)


def make_network(n_dims: int) -> nn.Module:
    """Make the network, which maps shape ``(1, n_samples)`` to ``(1, n_frames, n_dims)``, with random weights.

    Args:
        n_dims: Length of a frame.
    """
    # Here, so that commands that compute no features need not wait for PyTorch.
    from torch import Tensor, nn

    class WaveformCnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            n_inputs = 1
            for n_filters, length, stride in (*_HIDDEN, (n_dims, *_LAST)):
                layers += [nn.Conv1d(n_inputs, n_filters, length, stride), nn.ReLU()]
                n_inputs = n_filters
            self.layers = nn.Sequential(*layers)

        def forward(self, waveform: Tensor) -> Tensor:
            maps: Tensor = self.layers(waveform.unsqueeze(1))
            return maps.transpose(1, 2)

    return WaveformCnn()


FEATURES.register(encoder_spec("waveform_cnn", WaveformCnnBlock, version=1))
