"""The network of musicnn, trained further from its published weights, or from random ones as a control.

J. Pons and X. Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging", ISMIR late-breaking
demo 2019. Its parts, from the input: the front-end (filters over time and bands), the middle (three convolutions over
time), the back-end (pooling over time and a dense layer), and the head, which is new for the genres. Step sizes fall
from part to part, as in J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL
2018, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from genre_pipeline.blocks import Block
from genre_pipeline.errors import ConfigError
from genre_pipeline.features.pretrained.networks import N_BANDS, Musicnn
from genre_pipeline.features.pretrained.tensor_bundle import read_bundle
from genre_pipeline.features.pretrained.weights import checksum, find_weights, pretraining
from genre_pipeline.models.base import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.registry import Pretraining

_REFERENCE = (
    "J. Pons and X. Serra, musicnn: Pre-trained convolutional neural networks for music audio tagging, ISMIR "
    "late-breaking demo 2019"
)

# The layers of each part, from the head, and which parts each choice trains.
_PARTS = (("output",), ("pooled_norm", "dense", "dense_norm"), ("middle",), ("front",))
# [C] What the published weights were trained on.
_FEATURE: dict[str, object] = {
    "kind": "log_mel",
    "sample_rate": 16_000,
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": N_BANDS,
    "gain": 10_000.0,
    "normalisation": "none",
}
_N_TRAINED = {"head": 1, "last_block": 2, "all": len(_PARTS)}


class MusicnnNetworkBlock(Block):
    """Architecture of the network, and how much of it is trained.

    Attributes:
        weights: What it begins with: weights trained on ``MSD`` (the Million Song Dataset) or ``MTT`` (MagnaTagATune);
            ``None`` means random ones.
        weights_path: A wheel of musicnn 0.1.0, or a folder of its files, where the weights are looked for before the
            installed package. Only a training needs them: checkpoints hold all weights.
        trained: What training changes: the new ``head``; also the ``last_block``, the dense layer before it; or
            ``all``. What is left as it was is computed once per training, unless segments are augmented.
        rate_decay: Factor of the step size from a part to the one before it: the head has the recipe's, the dense layer
            this share of it, the middle its square, the front-end its cube.
        dropout: Share dropped before the dense layer, if it is trained, and before the head.
        width: Share of the published numbers of filters and units; 1 with published weights.
    """

    weights: Literal["MSD_musicnn", "MTT_musicnn"] | None = None
    weights_path: Path | None = None
    trained: Literal["head", "last_block", "all"] = "all"
    rate_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    width: float = Field(default=1.0, gt=0.0, le=8.0)

    @model_validator(mode="after")
    def _random_weights_are_trained(self) -> MusicnnNetworkBlock:
        if self.weights is None and self.trained != "all":
            raise ValueError(
                f"trained={self.trained} would leave random weights as they are: name weights, or train all"
            )
        if self.weights is not None and self.width != 1.0:
            raise ValueError(f"width={self.width:g} does not fit the weights {self.weights}: leave one of them out")
        return self

    @override
    def deciding(self) -> dict[str, Any]:
        """Return the parameters without the place of the weights, but with their checksum."""
        parameters = {key: value for key, value in self.dump().items() if key != "weights_path"}
        return parameters if self.weights is None else {**parameters, "checksum": checksum(self.weights)}


class FineTuned(GenreNetwork):
    """The network.

    Pretrained parts keep the statistics of their batch normalisation, trained or not: those of a batch of a few tracks
    say less. Its scale and shift are trained with their part. Of the input, they never are: the gradients down there
    would take a third of the time [?].

    Args:
        block: The architecture.
        shape: Shape of one segment; its number of bins is fixed, its number of frames may vary.
        n_classes: Number of genres.
    """

    def __init__(self, block: MusicnnNetworkBlock, shape: InputShape, n_classes: int) -> None:
        super().__init__()
        self.block = block
        self.trunk = Musicnn(n_classes, n_bands=shape.n_bins, width=block.width, dropout=block.dropout)
        self.trunk.norm.requires_grad_(requires_grad=False)
        for layer in self._frozen:
            layer.requires_grad_(requires_grad=False)
        self.train()

    @property
    def _frozen(self) -> list[nn.Module]:
        names = (name for part in _PARTS[_N_TRAINED[self.block.trained] :] for name in part)
        return [self.trunk.get_submodule(name) for name in names]

    @override
    def train(self, mode: bool = True) -> FineTuned:
        """Set the mode of what is trained; pretrained normalisation stays in evaluation mode."""
        super().train(mode)
        if self.block.weights is not None:
            for layer in self.trunk.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        if self.block.trained == "head":
            self.trunk.pooled_dropout.eval()
        return self

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Score segments of shape ``(batch, n_bins, n_frames)``."""
        return self.score(self.trunk.pool(features))

    def score(self, pooled: Tensor) -> Tensor:
        """Score what the trunk pools over time, shape ``(batch, n_pooled)``."""
        logits: Tensor = self.trunk.output(self.trunk.dropout(self.trunk.embed(pooled)))
        return logits

    @override
    def load_pretrained(self) -> None:
        """Take over the published weights of everything but the head.

        Raises:
            ConfigError: If they are missing or altered.
        """
        if self.block.weights is not None:
            found = find_weights(self.block.weights, self.block.weights_path)
            self.trunk.load_trunk(read_bundle(*found, name=self.block.weights))

    @override
    def split(self) -> tuple[Callable[[Tensor], Tensor], GenreNetwork] | None:
        """Divide the network at its pooling over time, unless all of it is trained."""
        if self.block.trained == "all":
            return None
        return (lambda features: self.trunk.pool(features).unsqueeze(2)), _Rest(self)

    @override
    def rate_factors(self) -> dict[str, float]:
        """Return the factor of each layer's step size."""
        return {
            f"trunk.{name}.{parameter}": self.block.rate_decay**depth
            for depth, names in enumerate(_PARTS)
            for name in names
            for parameter, _ in self.trunk.get_submodule(name).named_parameters()
        }


class _Rest(GenreNetwork):
    """What follows the pooling over time."""

    def __init__(self, network: FineTuned) -> None:
        super().__init__()
        self.network = network

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.network.score(features.squeeze(2))

    @override
    def rate_factors(self) -> dict[str, float]:
        return {f"network.{name}": factor for name, factor in self.network.rate_factors().items()}


def build_musicnn(block: MusicnnNetworkBlock, shape: InputShape, n_classes: int) -> GenreNetwork:
    """Make the network, with random weights: see :meth:`FineTuned.load_pretrained`.

    Args:
        block: The architecture.
        shape: Shape of one segment.
        n_classes: Number of genres.

    Raises:
        ConfigError: If the published weights do not fit the segments.
    """
    if block.weights is not None and shape.n_bins != N_BANDS:
        raise ConfigError(
            f"The weights {block.weights} need segments of {N_BANDS} mel bands; the feature gives {shape.n_bins} bins. "
            "Choose the feature log_mel_musicnn, or leave out weights."
        )
    return FineTuned(block, shape, n_classes)


def _require(block: MusicnnNetworkBlock) -> None:
    if block.weights is not None:
        find_weights(block.weights, block.weights_path)


def _expects(block: MusicnnNetworkBlock) -> dict[str, object] | None:
    return None if block.weights is None else _FEATURE


def _pretraining(block: MusicnnNetworkBlock) -> Pretraining | None:
    return None if block.weights is None else pretraining(block.weights)._replace(part="network")


MODELS.register(
    NetworkSpec(
        name="musicnn",
        block=MusicnnNetworkBlock,
        build=build_musicnn,
        reference=_REFERENCE,
        version=1,
        require=_require,
        pretraining=_pretraining,
        expects=_expects,
    )
)
