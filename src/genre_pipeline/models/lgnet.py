"""LGNet: a residual trunk, and experts from which a learned gate chooses one for each segment.

The paper states the trunk, the linear gate, top-1 routing and the freezing of the gate [P]; its Algorithm 1 is missing.
By default the chosen expert's output is multiplied by the gate's value [I]. Otherwise linear, softmax and sigmoid gates
would make the same choice and give the same result, but in the paper's Table 2 they differ.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from genre_pipeline.blocks import Block, Depth, Epochs, Width
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.resnet import ResNetTrunk

_REFERENCE = (
    "Locally Activated Gated Neural Network for Automatic Music Genre Classification, Applied Sciences 13(8), 2023, "
    "article 5010"
)


class LgNetBlock(Block):
    """Architecture of LGNet.

    Attributes:
        n_experts: Experts, called MLP layers in the paper: 2, 4, 8 or 16 [P].
        gate: Function of the gate's linear scores: ``softmax``, ``sigmoid``, or none (``linear``) [P].
        routing: ``top1`` (the chosen expert's scores times its gate value [I]), ``soft`` (all experts, weighted by
            their gate values) or ``straight_through`` (the chosen expert's scores as they are, with the gradient of
            ``top1``) [?].
        n_hidden: Units of an expert's hidden layer; ``None`` means experts without one. Not stated [?].
        freeze_gate_after: Epochs after which the gate no longer learns; ``None`` means never. "Several" [P], the number
            is not stated [?].
        width: Channels of the trunk's first stage [P].
        balance: Weight of a loss that is least if all experts get as many segments: ``n_experts * sum(f * p)`` with
            each expert's share ``f`` of a batch's segments and its mean probability ``p`` (W. Fedus, B. Zoph and
            N. Shazeer, Switch Transformers, JMLR 23, 2022, equation 4, with 0.01). The paper mentions none [?].
        gate_noise: Standard deviation of noise that is added to the gate's linear scores in training, so that other
            experts are tried (after N. Shazeer et al., Outrageously Large Neural Networks, ICLR 2017, who learn it).
            The paper mentions none [?].
    """

    n_experts: Depth = 4
    gate: Literal["softmax", "sigmoid", "linear"] = "softmax"
    routing: Literal["top1", "soft", "straight_through"] = "top1"
    n_hidden: Width | None = 512
    freeze_gate_after: Epochs | None = 10
    width: Width = 64
    balance: float = Field(default=0.0, ge=0.0, le=100.0)
    gate_noise: float = Field(default=0.0, ge=0.0, le=100.0)


class LgNet(GenreNetwork):
    """The network.

    Args:
        block: The architecture.
        shape: Shape of one segment; both dimensions may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: LgNetBlock, shape: InputShape, n_classes: int) -> None:  # noqa: ARG002
        super().__init__()
        self.block = block
        self.trunk = ResNetTrunk(18, block.width)
        n_inputs = self.trunk.n_outputs
        self.gate = nn.Linear(n_inputs, block.n_experts)
        self.experts = nn.ModuleList(_expert(n_inputs, block.n_hidden, n_classes) for _ in range(block.n_experts))
        self.n_experts = block.n_experts
        self.n_classes = n_classes
        self._choices: Tensor | None = None
        self._imbalance: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        embeddings = self.trunk(features)
        gate_scores: Tensor = self.gate(embeddings)
        if self.training and self.block.gate_noise:
            gate_scores = gate_scores + self.block.gate_noise * torch.randn_like(gate_scores)
        gates = self._activated(gate_scores)
        self._choices = gates.detach().argmax(dim=1)
        if self.training and self.block.balance:
            shares = functional.one_hot(self._choices, self.n_experts).float().mean(dim=0)
            self._imbalance = self.n_experts * (shares * gate_scores.float().softmax(dim=1).mean(dim=0)).sum()
        if self.block.routing == "soft":
            scores = torch.stack([expert(embeddings) for expert in self.experts], dim=1)
            return (gates[:, :, None] * scores).sum(dim=1)
        chosen = gates.gather(1, self._choices[:, None])
        if self.block.routing == "straight_through":
            # One in the forward direction; its gradient is the gate's.
            chosen = 1.0 + chosen - chosen.detach()
        return chosen * self._scores_of_chosen(embeddings, self._choices)

    @override
    def auxiliary_loss(self) -> Tensor | None:
        """Return the weighted loss of the balance between experts, if it has a weight."""
        imbalance, self._imbalance = self._imbalance, None
        return None if imbalance is None else self.block.balance * imbalance

    def begin_step(self, epoch: int, progress: float) -> None:  # noqa: ARG002
        """Freeze the gate once its epochs are over."""
        limit = self.block.freeze_gate_after
        self.gate.requires_grad_(limit is None or epoch <= limit)

    def choices(self) -> Tensor | None:
        """Return the expert that each segment of the last batch was sent to."""
        return self._choices

    def _activated(self, scores: Tensor) -> Tensor:
        if self.block.gate == "softmax":
            return scores.softmax(dim=1)
        return scores.sigmoid() if self.block.gate == "sigmoid" else scores

    def _scores_of_chosen(self, embeddings: Tensor, choices: Tensor) -> Tensor:
        """Send each row only to its expert, so that an expert without rows gets no gradient, not even zeros."""
        scores: Tensor | None = None
        for number, expert in enumerate(self.experts):
            rows = (choices == number).nonzero().squeeze(1)
            if len(rows):
                part = expert(embeddings[rows])
                if scores is None:
                    scores = part.new_zeros(len(embeddings), self.n_classes)
                scores = scores.index_copy(0, rows, part)
        assert scores is not None, "every row has an expert"
        return scores


def _expert(n_inputs: int, n_hidden: int | None, n_classes: int) -> nn.Module:
    if n_hidden is None:
        return nn.Linear(n_inputs, n_classes)
    return nn.Sequential(nn.Linear(n_inputs, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_classes))


def build_lgnet(block: LgNetBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make LGNet.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Example:
        >>> network = build_lgnet(LgNetBlock(n_hidden=None), InputShape(n_bins=128, n_frames=128), 10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        11192812
    """
    return LgNet(block, shape, n_classes)


MODELS.register(NetworkSpec(name="lgnet", block=LgNetBlock, build=build_lgnet, reference=_REFERENCE, version=1))
