"""Last layers, plain or with a large margin (L-softmax), on a network that computes embeddings."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.blocks import Block, NotNegative
from genre_pipeline.models.base import GenreNetwork

# [C] MNIST, CIFAR settings of the method's authors: base 1000, power 35 to 45.
_LAMBDA_BASE, _LAMBDA_POWER = 1000.0, 45.0

_ANNEALED = 0.01
"""The weight below which the plain logit no longer counts [?]."""

_TINY = 1e-12


class HeadBlock(Block):
    """Parameters of the last layer.

    Attributes:
        kind: ``linear``, or ``large_margin`` for L-softmax.
        margin: The factor ``m`` of the target's angle; 1 is plain softmax.
        annealed_at: Share of the training at which the plain logit's weight, lambda, has fallen below .01. The method's
            authors anneal by iteration; a share fits every length of training [?].
        lambda_min: Least lambda. The method's authors take 0, and 5 to 10 where training is hard [C].
        bias: Whether a ``linear`` head has a bias; a ``large_margin`` one has none.
    """

    kind: Literal["linear", "large_margin"] = "linear"
    margin: int = Field(default=2, ge=1, le=4)
    annealed_at: float = Field(default=0.5, gt=0.0, le=1.0)
    lambda_min: NotNegative = 0.0
    bias: bool = True


def margin_lambda(progress: float, head: HeadBlock) -> float:
    """Return the weight of the plain logit against the one with the margin.

    ``max(lambda_min, base * (1 + gamma * progress) ** -power)``, with the base and power of W. Liu, Y. Wen, Z. Yu and
    M. Yang, Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016, and ``gamma`` such that it is .01
    at ``annealed_at``.

    Args:
        progress: Share of the training that is done, from 0 to 1.
        head: The parameters.

    Example:
        >>> head = HeadBlock(kind="large_margin", annealed_at=0.5)
        >>> [round(margin_lambda(progress, head), 4) for progress in (0.0, 0.25, 0.5)]
        [1000.0, 2.1904, 0.01]
    """
    gamma = ((_LAMBDA_BASE / _ANNEALED) ** (1.0 / _LAMBDA_POWER) - 1.0) / head.annealed_at
    return max(head.lambda_min, _LAMBDA_BASE * math.pow(1.0 + gamma * progress, -_LAMBDA_POWER))


class LargeMarginLinear(nn.Module):
    """L-softmax: a linear layer without bias whose target logit is reduced during training.

    The target's ``|w| |x| cos(theta)`` becomes ``|w| |x| psi(theta)`` with ``psi = (-1)^k cos(m theta) - 2 k`` for
    ``theta`` between ``k pi / m`` and ``(k + 1) pi / m``, mixed with the plain one in the proportion 1 to lambda.
    Evaluation uses the plain product.

    Args:
        n_inputs: Length of an embedding.
        n_classes: Number of genres.
        head: The parameters.
    """

    def __init__(self, n_inputs: int, n_classes: int, head: HeadBlock) -> None:
        super().__init__()
        self.head = head
        self.weight = nn.Parameter(torch.empty(n_classes, n_inputs))
        nn.init.kaiming_normal_(self.weight)
        self.plain_weight = margin_lambda(0.0, head)

    def begin_step(self, progress: float) -> None:
        """Anneal lambda."""
        self.plain_weight = margin_lambda(progress, self.head)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return plain logits of embeddings of shape ``(batch, n_inputs)``."""
        logits: Tensor = functional.linear(embeddings, self.weight)
        return logits

    def training_logits(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return logits whose target has the margin."""
        logits: Tensor = self(embeddings)
        if self.head.margin == 1:
            return logits
        rows = targets[:, None]
        chosen = logits.gather(1, rows).float()
        norms = (embeddings.float().norm(dim=1, keepdim=True) * self.weight.float().norm(dim=1)[rows]).clamp_min(_TINY)
        cosine = (chosen / norms).clamp(-1.0, 1.0)
        margined = norms * _psi(cosine, self.head.margin)
        mixed = (self.plain_weight * chosen + margined) / (1.0 + self.plain_weight)
        return logits.scatter(1, rows, mixed.to(logits.dtype))


def _psi(cosine: Tensor, margin: int) -> Tensor:
    """Return ``(-1)^k cos(m theta) - 2 k``, by polynomials in the cosine, whose gradient is finite at 0 and pi."""
    square = cosine.square()
    multiple = {
        2: lambda: 2.0 * square - 1.0,
        3: lambda: cosine * (4.0 * square - 3.0),
        4: lambda: 8.0 * square.square() - 8.0 * square + 1.0,
    }[margin]()
    with torch.no_grad():
        k = (torch.acos(cosine) * margin / math.pi).floor().clamp(max=margin - 1)
        sign = 1.0 - 2.0 * (k % 2.0)
    psi: Tensor = sign * multiple - 2.0 * k
    return psi


def build_head(n_inputs: int, n_classes: int, head: HeadBlock) -> nn.Linear | LargeMarginLinear:
    """Make the last layer.

    Args:
        n_inputs: Length of an embedding.
        n_classes: Number of genres.
        head: The parameters.
    """
    if head.kind == "large_margin":
        return LargeMarginLinear(n_inputs, n_classes, head)
    return nn.Linear(n_inputs, n_classes, bias=head.bias)


class EmbeddingNetwork(GenreNetwork):
    """A network that turns each segment into an embedding, and a head that scores it.

    Attributes:
        output: The head, from :func:`build_head`.
    """

    output: nn.Linear | LargeMarginLinear

    @abstractmethod
    def embed(self, features: Tensor) -> Tensor:
        """Return embeddings, shape ``(batch, n_inputs)``, of segments of shape ``(batch, n_bins, n_frames)``."""

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        logits: Tensor = self.output(self.embed(features))
        return logits

    def training_logits(self, features: Tensor, targets: Tensor) -> Tensor:
        """Score segments for the loss, with the head's margin if it has one."""
        if isinstance(self.output, LargeMarginLinear):
            return self.output.training_logits(self.embed(features), targets)
        return super().training_logits(features, targets)

    def begin_step(self, epoch: int, progress: float) -> None:  # noqa: ARG002
        """Anneal the head's margin if it has one."""
        if isinstance(self.output, LargeMarginLinear):
            self.output.begin_step(progress)
