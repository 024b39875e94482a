"""A trained model with its front-end as one PyTorch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.exports.estimators import estimator_module
from genre_pipeline.exports.front_ends import front_end
from genre_pipeline.models import GenreNetwork, InputShape
from genre_pipeline.models.lgnet import LgNet
from genre_pipeline.training import Predictor
from genre_pipeline.training.predictors import EstimatorPredictor, NetworkPredictor
from genre_pipeline.training.segments import Normalisation


class Classifier(nn.Module):
    """From a waveform to probabilities: what a :class:`~genre_pipeline.evaluation.prediction.GenrePredictor` does.

    Args:
        predictor: The model, or the models of a cell's folds, whose probabilities are averaged.

    Raises:
        ConfigError: If its feature or its kind of model cannot be exported.
    """

    def __init__(self, predictor: GenrePredictor) -> None:
        super().__init__()
        self.front_end = front_end(predictor.feature)
        self.models = nn.ModuleList(_model(each) for each in predictor.predictors)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Classify a recording.

        Args:
            waveform: Mono samples at the feature's rate, shape ``(n_samples,)``, float32.

        Returns:
            Probabilities of the recording, shape ``(n_genres,)``, and of its segments, shape ``(n_segments,
            n_genres)``, both float32.
        """
        segments = self.front_end(waveform)
        found = torch.stack([model(segments) for model in self.models]).mean(dim=0).float()
        return found.mean(dim=0), found


class _Normalised(nn.Module):
    """Segments, scaled as in training, then a model."""

    def __init__(self, normalisation: Normalisation, *layers: nn.Module) -> None:
        super().__init__()
        self._normalisation = normalisation
        self.layers = nn.Sequential(*layers)

    def forward(self, segments: Tensor) -> Tensor:
        probabilities: Tensor = self.layers(self._normalisation(segments))
        return probabilities


class _AllExperts(LgNet):
    """LGNet, whose segments all go to all experts: a graph cannot send a number of segments that it does not know."""

    def _scores_of_chosen(self, embeddings: Tensor, choices: Tensor) -> Tensor:
        scores = torch.stack([expert(embeddings) for expert in self.experts], dim=1)
        return scores.gather(1, choices[:, None, None].expand(-1, 1, self.n_classes)).squeeze(1)


def _unbranched(network: GenreNetwork, shape: InputShape) -> nn.Module:
    if not isinstance(network, LgNet):
        return network.cpu()
    # The weights drawn here are replaced at once.
    with torch.random.fork_rng(devices=[]):
        same = _AllExperts(network.block, shape, network.n_classes)
    same.load_state_dict(network.cpu().state_dict())
    return same


def _model(predictor: Predictor) -> nn.Module:
    if isinstance(predictor, NetworkPredictor):
        network = _unbranched(predictor.network, predictor.shape)
        return _Normalised(predictor.normalisation, network, nn.Softmax(dim=1))
    if isinstance(predictor, EstimatorPredictor):
        fitted = estimator_module(predictor.estimator, predictor.spec.summarise)
        return _Normalised(predictor.normalisation, fitted)
    raise ConfigError(f"Models of the class {type(predictor).__name__} cannot be exported.")
