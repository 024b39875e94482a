"""Random convolutions with a linear classifier: A. Dempster, F. Petitjean and G. Webb, ROCKET, DMKD 34, 2020.

Kernels are drawn, never trained. Of what each finds in a segment two numbers are kept: the largest value, and the share
of positive values. Values around zero count in part, other than in the paper: where rounding decided, another program
would answer otherwise. A linear classifier on all of them is fitted in one step. It errs on other tracks than a trained
network does, so that the mean of both is better than either (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.errors import ConfigError
from genre_pipeline.models.base import InputShape

# [D] Length of each kernel in frames, as in ROCKET.
_LENGTH = 9
# [?] Half the share of the bins that a kernel spans.
_REACH = (1 / 64, 1 / 8)
# [?] Half the width of the range around zero in which a value counts in part; values spread over some 3 either way.
_SOFT = 0.1
# [?] Enough for a convex problem; it ends sooner where the gradient vanishes.
_MAX_ITERATIONS = 500


class RandomConvolutions(nn.Module):
    """Draw kernels over neighbouring bins, and over frames that are 1, 2, 4, ... apart.

    Args:
        shape: Shape of one segment.
        n_kernels: Number of kernels.
        n_classes: Number of genres.

    Raises:
        ConfigError: If a segment has too few frames for a kernel.
    """

    kernels: Tensor
    biases: Tensor
    bands: Tensor

    def __init__(self, shape: InputShape, n_kernels: int, n_classes: int) -> None:
        super().__init__()
        # [D] Distances up to the longest kernel that fits; ROCKET draws them, here each has its share of the kernels.
        longest = (shape.n_frames - 1) // (_LENGTH - 1)
        if not longest:
            raise ConfigError(
                f"Random convolutions need segments of at least {_LENGTH} frames; the feature gives {shape.n_frames}. "
                "Choose longer segments, or n_kernels 0."
            )
        self.dilations = [2**power for power in range(longest.bit_length())][:n_kernels]
        # Also where parameters are only counted: arithmetic on the device "meta" imports SymPy, which takes seconds.
        with torch.device("cpu"):
            centres = shape.n_bins * torch.rand(n_kernels, 1)
            reach = (shape.n_bins * torch.empty(n_kernels, 1).uniform_(*_REACH)).clamp(min=1.0)
            is_near = (torch.arange(shape.n_bins) - centres).abs() < reach
            size = is_near.sum(dim=1, keepdim=True)
            self.register_buffer("bands", is_near * torch.randn(n_kernels, shape.n_bins) / size.sqrt())
            kernels = torch.randn(n_kernels, 1, _LENGTH)
            self.register_buffer("kernels", kernels - kernels.mean(dim=2, keepdim=True))
            self.register_buffer("biases", torch.randn(n_kernels))
        # Without weights every genre is as likely.
        self.output = nn.Linear(2 * n_kernels, n_classes).requires_grad_(requires_grad=False)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def describe(self, features: Tensor) -> Tensor:
        """Return the largest value and the share of positive values of each kernel.

        Args:
            features: Segments, shape ``(batch, n_bins, n_frames)``.

        Returns:
            Shape ``(batch, 2 * n_kernels)``.
        """
        maps = torch.matmul(self.bands, features)
        n_groups = len(self.dilations)
        groups = zip(
            maps.tensor_split(n_groups, dim=1),
            self.kernels.tensor_split(n_groups),
            self.biases.tensor_split(n_groups),
            self.dilations,
            strict=True,
        )
        found = []
        for part, kernels, biases, dilation in groups:
            values = functional.conv1d(part, kernels, biases, dilation=dilation, groups=len(kernels))
            shares = (values / (2 * _SOFT) + 0.5).clamp(0.0, 1.0)
            found += [values.amax(dim=2), shares.mean(dim=2)]
        return torch.cat(found, dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        logits: Tensor = self.output(self.describe(features))
        return logits

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], targets: Tensor, decay: float) -> None:
        """Fit the linear classifier: cross-entropy of standardised columns, penalised by squared weights.

        Args:
            batches: The training segments, shape ``(batch, n_bins, n_frames)`` each.
            targets: Their genres, shape ``(n_segments,)``.
            decay: Penalty: half the sum of squared weights counts that much beside the mean cross-entropy.
        """
        columns = torch.cat([self.describe(batch) for batch in batches]).double()
        mean, scale = columns.mean(dim=0), columns.std(dim=0, correction=0)
        scale[scale == 0] = 1.0
        columns = (columns - mean) / scale
        weight = columns.new_zeros(self.output.weight.shape, requires_grad=True)
        bias = columns.new_zeros(self.output.bias.shape, requires_grad=True)
        solver = torch.optim.LBFGS([weight, bias], max_iter=_MAX_ITERATIONS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            solver.zero_grad()
            # The bias is penalised too: that of a genre without segments would fall for ever.
            penalty = 0.5 * decay * (weight.square().sum() + bias.square().sum())
            of_all = functional.cross_entropy(columns @ weight.T + bias, targets) + penalty
            of_all.backward()  # type: ignore[no-untyped-call]
            return of_all

        with torch.enable_grad():
            solver.step(loss)  # type: ignore[no-untyped-call]
        self.output.weight.copy_(weight / scale)
        self.output.bias.copy_(bias - (weight / scale) @ mean)
