"""Which parts of a segment drove a model's decision: integrated gradients for networks, occlusion for any model.

Both explain the log odds of one genre, log(p / (1 - p)): the evidence for it against all others. They are a few lines
here instead of a dependency on captum: nothing else of captum is needed, and both must share log odds, baseline and
scaling of segments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_pipeline.training.predictors import NetworkPredictor, Predictor, in_batches
from genre_pipeline.training.segments import as_tensor

# [?] Probabilities are clipped to this distance from 0 and 1: an estimator's may be exactly 0.
_CLOSEST = 1e-6


class Attribution(NamedTuple):
    """The contribution of each number of each segment.

    Attributes:
        contributions: In log odds, shape ``(n_segments, n_bins, n_frames)``.
        explained: Log odds to explain: those of the segment minus those of the baseline; shape ``(n_segments,)``.
    """

    contributions: NDArray[np.float64]
    explained: NDArray[np.float64]


def attribute_network(
    predictor: NetworkPredictor, features: NDArray[np.float32], target: int, *, n_steps: int
) -> Attribution:
    """Explain a network by integrated gradients.

    The baseline is a neutral segment. Where the network's input is scaled, it is all zeros: the mean of the training
    segments' bins (``training``) or of the segment (``per_segment``). Where it is not scaled, it is the segment's
    smallest number, which is silence.

    Args:
        predictor: The trained network.
        features: Segments, shape ``(n_segments, n_bins, n_frames)``, not scaled.
        target: Index of the genre.
        n_steps: Points at which gradients are taken on the way from the baseline.

    Returns:
        The contributions: they sum to ``explained``, up to the error of the quadrature.
    """
    network, scale = predictor.network, predictor.normalisation
    device = next(network.parameters()).device
    scaled = scale(as_tensor(features).to(device))
    baseline = scaled.amin(dim=(1, 2), keepdim=True).expand_as(scaled) if scale.kind == "none" else 0.0 * scaled
    network.eval()
    # The fast kernels of recurrent layers have no gradient outside training.
    with torch.backends.cudnn.flags(enabled=False):
        return integrated_gradients(lambda batch: log_odds(network(batch), target), scaled, baseline, n_steps=n_steps)


def integrated_gradients(
    function: Callable[[Tensor], Tensor], inputs: Tensor, baselines: Tensor, *, n_steps: int
) -> Attribution:
    """Integrate gradients along the straight line from a baseline to the input.

    M. Sundararajan, A. Taly and Q. Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, eq. 1, by Gauss-Legendre
    quadrature. Completeness (their proposition 1): contributions sum to the function's difference.

    Args:
        function: From a batch of inputs to one number each.
        inputs: Shape ``(n, ...)``.
        baselines: The same shape.
        n_steps: Points of the quadrature.

    Returns:
        The contributions, of the inputs' shape, and the differences.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    contributions, explained = [], []
    batches = zip(in_batches(inputs, inputs.device), in_batches(baselines, inputs.device), strict=True)
    for batch, origin in batches:
        difference = batch - origin
        total = torch.zeros_like(batch, dtype=torch.float64)
        for node, weight in zip((nodes + 1.0) / 2.0, weights / 2.0, strict=True):
            point = (origin + float(node) * difference).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(function(point).sum(), point)
            total += float(weight) * gradient.double()
        with torch.no_grad():
            explained.append((function(batch) - function(origin)).double().cpu().numpy())
        contributions.append((total * difference.double()).cpu().numpy())
    return Attribution(np.concatenate(contributions), np.concatenate(explained))


def log_odds(logits: Tensor, target: int) -> Tensor:
    """Return log(p / (1 - p)) of a class, from logits of shape ``(n, n_classes)``."""
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.logsumexp(dim=1)


def attribute_by_occlusion(
    predictor: Predictor, features: NDArray[np.float32], target: int, *, n_rows: int, n_columns: int
) -> Attribution:
    """Explain any model by its loss when a part of the segment is masked.

    M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2. A patch
    is replaced by the minimum of each of its bins in the segment (the mean would not affect a model that uses means),
    and the loss of log odds is spread evenly over the patch. Losses need not sum to ``explained``, which here is the
    loss when everything is masked. A model that stays sure to a millionth loses nothing. Segments of a single frame,
    whose minimum is that frame, are masked by the minimum over all of them; nothing is known of one such segment alone.

    Args:
        predictor: The trained model.
        features: Segments, shape ``(n_segments, n_bins, n_frames)``, not scaled.
        target: Index of the genre.
        n_rows: Patches from the lowest bin to the highest.
        n_columns: Patches from the first frame to the last.

    Returns:
        The contributions.
    """

    def score(segments: NDArray[np.float32]) -> NDArray[np.float64]:
        p = np.clip(predictor.predict_probabilities(segments)[:, target], _CLOSEST, 1.0 - _CLOSEST)
        return np.asarray(np.log(p / (1.0 - p)))

    axes = 2 if features.shape[2] > 1 else (0, 2)
    fill = np.broadcast_to(features.min(axis=axes, keepdims=True), features.shape)
    whole = score(features)
    contributions = np.zeros(features.shape)
    for bins in np.array_split(np.arange(features.shape[1]), min(n_rows, features.shape[1])):
        for frames in np.array_split(np.arange(features.shape[2]), min(n_columns, features.shape[2])):
            patch = (slice(None), slice(bins[0], bins[-1] + 1), slice(frames[0], frames[-1] + 1))
            blotted = features.copy()
            blotted[patch] = fill[patch]
            contributions[patch] = ((whole - score(blotted)) / (len(bins) * len(frames)))[:, None, None]
    return Attribution(contributions, whole - score(np.ascontiguousarray(fill)))
