"""The networks of musicnn 0.1.0, with its weights.

J. Pons and X. Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging", ISMIR late-breaking
demo 2019; the code in its wheel (``musicnn/models.py``) [C]. Patches are log-mel spectrograms, shape
``(n_patches, 96, 187)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

N_BANDS = 96
"""Mel bands that the pretrained networks take [C]."""

_EPSILON = 1e-3  # [C] TensorFlow's default
_N_TAGS = 50  # [C]
# [C] Share of the bands (0: one band) and frames of each filter of the front-end, and how many there are.
_FRONT = ((0.4, 7, 204), (0.7, 7, 204), (0.0, 128, 51), (0.0, 64, 51), (0.0, 32, 51))
_N_MIDDLE = 64  # [C]
_N_PENULTIMATE = 200  # [C]
_N_VGG = 128  # [C]
# [C] Height in frames and in bands of each pooling, and their strides.
_POOLS = (((4, 1), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))

Tensors = Mapping[str, NDArray[np.float32]]


class _Filters(nn.Module):
    """Filters over time that slide over the bands; only the greatest response of all places counts.

    A window of bands is the channels of a convolution over time. On a processor this takes as long as a convolution in
    two dimensions, and is also what the later layers are, whose window is all of their maps.
    """

    def __init__(self, n_bands: int, n_frames: int, n_filters: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(n_bands, n_filters, n_frames)
        self.norm = nn.BatchNorm1d(n_filters, eps=_EPSILON)
        # As TensorFlow pads: the odd frame comes after.
        self._padding = ((n_frames - 1) // 2, n_frames // 2)

    def forward(self, maps: Tensor) -> Tensor:
        """Return shape ``(n_patches, n_filters, n_frames)`` for ``(n_patches, n_bands, n_frames)``."""
        windows = functional.pad(maps, self._padding).unfold(1, self.convolution.in_channels, 1).transpose(2, 3)
        responses: Tensor = self.norm(self.convolution(windows.flatten(0, 1)).relu())
        return responses.reshape(*windows.shape[:2], *responses.shape[1:]).amax(dim=1)


class Musicnn(nn.Module):
    """The network with filters shaped like timbres and rhythms.

    Args:
        n_outputs: Tags, or genres.
        n_bands: Mel bands; the pretrained one takes 96.
        width: Share of the filters and units; the pretrained one has all.
        dropout: Share dropped before each of the last two layers.
    """

    def __init__(
        self, n_outputs: int = _N_TAGS, *, n_bands: int = N_BANDS, width: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()

        def widened(n: int) -> int:
            return max(1, int(width * n))

        n_middle, n_penultimate = widened(_N_MIDDLE), widened(_N_PENULTIMATE)
        n_front = sum(widened(n_filters) for _, _, n_filters in _FRONT)
        n_pooled = 2 * (n_front + 3 * n_middle)
        self.norm = nn.BatchNorm2d(1, eps=_EPSILON)
        self.front = nn.ModuleList(
            _Filters(max(1, int(share * n_bands)), n_frames, widened(n_filters))
            for share, n_frames, n_filters in _FRONT
        )
        self.middle = nn.ModuleList(_Filters(n_maps, 7, n_middle) for n_maps in (n_front, n_middle, n_middle))  # [C]
        self.pooled_norm = nn.BatchNorm1d(n_pooled, eps=_EPSILON)
        self.pooled_dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(n_pooled, n_penultimate)
        self.dense_norm = nn.BatchNorm1d(n_penultimate, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(n_penultimate, n_outputs)

    def forward(self, patches: Tensor) -> dict[str, Tensor]:
        """Return ``penultimate``, ``taggram``, ``mean_pool`` and ``max_pool``, each of shape ``(n_patches, n)``."""
        pooled = self.pool(patches)
        greatest, means = pooled.view(pooled.shape[0], -1, 2).unbind(2)
        penultimate = self.embed(pooled)
        tags = self.output(penultimate).sigmoid()
        return {"penultimate": penultimate, "taggram": tags, "mean_pool": means, "max_pool": greatest}

    def pool(self, patches: Tensor) -> Tensor:
        """Return greatest and mean of each map side by side, as flattening leaves them [C]."""
        scaled = self.norm(patches.unsqueeze(1)).squeeze(1)
        front = torch.cat([filters(scaled) for filters in self.front], dim=1)
        first = self.middle[0](front)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        maps = torch.cat([front, first, second, third], dim=1)
        return torch.stack([maps.amax(dim=2), maps.mean(dim=2)], dim=2).flatten(1)

    def embed(self, pooled: Tensor) -> Tensor:
        """Return the penultimate layer for what :meth:`pool` gives."""
        embeddings: Tensor = self.dense_norm(self.dense(self.pooled_dropout(self.pooled_norm(pooled))).relu())
        return embeddings

    def load(self, tensors: Tensors) -> None:
        """Take over the weights, those of the tags included."""
        self.load_trunk(tensors)
        _load_dense(self.output, tensors, "dense_1")

    def load_trunk(self, tensors: Tensors) -> None:
        """Take over all weights but the tags', by the names that TensorFlow gave them in the order of the code."""
        convolutions = [*self.front, *self.middle]
        norms = [self.norm, *(each.norm for each in convolutions), self.pooled_norm, self.dense_norm]
        for number, norm in enumerate(norms):
            _load_norm(norm, tensors, _numbered("batch_normalization", number))
        for number, each in enumerate(convolutions):
            name = _numbered("conv2d", number)
            # (frames, bands, 1, filters).
            weight, bias = each.convolution.parameters()
            _copy(weight, tensors[f"{name}/kernel"].squeeze(2).transpose(2, 1, 0))
            _copy(bias, tensors[f"{name}/bias"])
        _load_dense(self.dense, tensors, "dense")


class Vgg(nn.Module):
    """The network with small square filters, its baseline."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, eps=_EPSILON)
        self.convolutions = nn.ModuleList(nn.Conv2d(n, _N_VGG, 3, padding=1) for n in (1, *[_N_VGG] * 4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(_N_VGG, eps=_EPSILON) for _ in _POOLS)
        self.output = nn.Linear(2 * _N_VGG, _N_TAGS)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, patches: Tensor) -> dict[str, Tensor]:
        """Return ``pool5`` and ``taggram``, each of shape ``(n_patches, n)``."""
        # Channels last takes three quarters of the time on a processor [?].
        maps = self.norm(patches.transpose(1, 2).unsqueeze(1)).contiguous(memory_format=torch.channels_last)
        for convolution, norm, (size, stride) in zip(self.convolutions, self.norms, _POOLS, strict=True):
            maps = functional.max_pool2d(norm(convolution(maps).relu()), size, stride)
        # Channels last [C].
        pooled = maps.permute(0, 2, 3, 1).flatten(1)
        return {"pool5": pooled, "taggram": self.output(pooled).sigmoid()}

    def load(self, tensors: Tensors) -> None:
        """Take over the weights, by the names that TensorFlow gave them."""
        for number, norm in enumerate([self.norm, *self.norms]):
            _load_norm(norm, tensors, _numbered("batch_normalization", number))
        for number, convolution in enumerate(self.convolutions, start=1):
            weight, bias = convolution.parameters()
            _copy(weight, tensors[f"{number}CNN/kernel"].transpose(3, 2, 0, 1))
            _copy(bias, tensors[f"{number}CNN/bias"])
        _load_dense(self.output, tensors, "dense")


def load_network(name: str, tensors: Tensors) -> Musicnn | Vgg:
    """Make the network of some weights, in evaluation mode.

    Args:
        name: The weights: ``MSD_musicnn``, ``MTT_vgg``, ...
        tensors: Their tensors.
    """
    network = Vgg() if name.endswith("vgg") else Musicnn()
    network.load(tensors)
    return network.eval().requires_grad_(requires_grad=False)


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _load_norm(norm: nn.Module, tensors: Tensors, name: str) -> None:
    state: dict[str, Tensor] = norm.state_dict()
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    for ours, theirs in names.items():
        _copy(state[ours], tensors[f"{name}/{theirs}"])


def _load_dense(dense: nn.Linear, tensors: Tensors, name: str) -> None:
    _copy(dense.weight, tensors[f"{name}/kernel"].T)
    _copy(dense.bias, tensors[f"{name}/bias"])


def _copy(place: Tensor, values: NDArray[np.float32]) -> None:
    with torch.no_grad():
        place.copy_(torch.from_numpy(values.copy()))
