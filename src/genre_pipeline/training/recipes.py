"""Recipes: a model's parameters and how it is trained, read from YAML and checked before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator
from typing_extensions import override

from genre_pipeline.blocks import Block, Epochs, parse_block
from genre_pipeline.cells import check_name
from genre_pipeline.errors import ConfigError, UnknownNameError
from genre_pipeline.models import MODELS, ModelSpec, NetworkSpec
from genre_pipeline.registry import Pretraining, suggestion
from genre_pipeline.training.augmentation import AugmentationBlock
from genre_pipeline.training.optimisers import OPTIMISERS
from genre_pipeline.training.schedules import ScheduleBlock, StoppingBlock

# Parameters that set where and how safely a training is computed, but do not change its result.
_PLACE = frozenset({"device", "n_threads", "resume_interval_s"})


class TrainingBlock(Block):
    """How a network is trained. Classical estimators are fitted in one step and use none of this.

    Attributes:
        optimiser: ``adadelta``, ``adam`` (both with Keras' constants) or ``adamw``.
        learning_rate: Step size.
        weight_decay: Decay of every parameter, in torch's sense; added to the L2 penalties of the architecture.
        batch_size: Segments in a step; the last batch of an epoch may be smaller.
        micro_batch_size: Segments whose activations are in memory at once; a step sums the gradients of all
            micro-batches. Batch normalisation takes its statistics from a micro-batch, not from the batch. ``None``
            means the whole batch. If memory runs out, it is halved until it fits.
        segments_per_track: Segments of a track, at most, that an epoch uses: drawn at random in training, evenly spread
            in validation; ``None`` means all. With overlapping segments, each epoch then sees other excerpts at the
            same cost.
        max_epochs: Passes over the training split, or over what ``segments_per_track`` draws of it.
        selection: Which epoch's weights are kept: ``best_validation`` (highest validation accuracy; among equals the
            lowest loss), ``last``, or ``best_test`` (the same by the test split: leaky, and labelled so everywhere).
        patience: Epochs without a better result, on the split that selects, after which training stops; ``None``
            disables early stopping.
        schedule: How the step size changes: ``kind: plateau`` or ``kind: cosine``; ``None`` means a constant one.
        stopping: Another rule that ends the training early, on a loss; ``None`` means no such rule.
        augmentation: Random changes of training segments.
        class_weights: ``none``, or ``balanced``: a segment counts in inverse proportion to the size of its genre.
        epsilon: The constant that the optimiser adds to the root; ``None`` means its framework's.
        ema_decay: Decay of a moving average of the weights, which replaces them in validation and afterwards; ``None``
            disables it.
        label_smoothing: Share of each target that is spread evenly over all genres, in training only.
        precision: ``float32``, ``bfloat16`` (mixed), or ``auto``: the faster one in a measurement of a few steps, or in
            short trainings bfloat16 if the processor has it. The checkpoint's card records the choice; set it
            explicitly to get the same numbers on other machines.
        channels_last: Memory layout of 2-D convolutions; ``None`` means the measured choice, or channels last.
        compile: Whether ``torch.compile`` translates the network first, which takes tens of seconds per repeat;
            ``auto`` tries it in long trainings, and uses it if it saves more time than it takes.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the fastest one available.
        n_threads: Threads on the CPU; ``None`` means torch's own choice.
        resume_interval_s: A killed training loses about this many seconds and its current epoch, or more if writing its
            state takes more than a fiftieth of that; 0 writes it after each epoch.
    """

    optimiser: str = "adam"
    # The greatest number of single precision [D]: a large rate is harmless, because training reports divergence.
    learning_rate: float = Field(default=1e-3, gt=0.0, le=3.4e38)
    weight_decay: float = Field(default=0.0, ge=0.0, le=1000.0)
    # [?] Segments that are in memory at once: a thousand times the usual number.
    batch_size: int = Field(default=64, ge=1, le=65_536)
    micro_batch_size: int | None = Field(default=None, ge=1, le=65_536)
    segments_per_track: int | None = Field(default=None, ge=1, le=65_536)
    max_epochs: Epochs = 50
    selection: Literal["best_validation", "last", "best_test"] = "best_validation"
    patience: Epochs | None = None
    schedule: ScheduleBlock | None = None
    stopping: StoppingBlock | None = None
    augmentation: AugmentationBlock = AugmentationBlock()
    class_weights: Literal["none", "balanced"] = "none"
    epsilon: float | None = Field(default=None, gt=0.0, le=1.0)
    ema_decay: float | None = Field(default=None, gt=0.0, lt=1.0)
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool | None = None
    compile: bool | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    n_threads: int | None = Field(default=None, ge=1, le=1024)
    # [?] A month, in effect never.
    resume_interval_s: float = Field(default=10.0, ge=0.0, le=2_592_000.0)

    @field_validator("optimiser")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        if name not in OPTIMISERS:
            raise ValueError(f"Unknown optimiser. {suggestion(name, OPTIMISERS.names())}")
        return name

    def recipe(self) -> dict[str, Any]:
        """Return the parameters that decide the result: everything except where it is computed."""
        recipe = {key: value for key, value in self.dump().items() if key not in _PLACE}
        # Fingerprints of checkpoints of earlier releases stay valid: they do not have these parameters,
        if self.segments_per_track is None:
            del recipe["segments_per_track"]
        if not self.augmentation.filtering:
            del recipe["augmentation"]["filtering"]
        # and have n_ranks, which was 1.
        return {**recipe, "n_ranks": 1}


class ModelBlock(Block):
    """A model: an architecture and how it is trained.

    Attributes:
        name: Its name in the experiment.
        family: Registered name of the architecture's family.
        feature: Name of its feature, unless the experiment sets another.
        architecture: The family's own parameters.
        training: How it is trained.
        reference: Where the values come from, for people.
    """

    name: str
    family: str
    feature: str
    architecture: SerializeAsAny[Block]
    training: TrainingBlock
    reference: str = ""

    @classmethod
    @override
    def parse(cls, values: object, *, key: str) -> ModelBlock:
        """Check a model that the configuration has completed with its name and all training parameters."""
        own = _mapping(values, key)
        if "name" not in own:
            raise ConfigError(f"{key}.name: is missing: the configuration adds it to each model.")
        return parse_model(str(own["name"]), own)

    @override
    def deciding(self) -> dict[str, Any]:
        """Return the architecture and, for a network, the recipe; an estimator has none."""
        recipe = {"training": self.training.recipe()} if isinstance(self.spec, NetworkSpec) else {}
        return {"family": self.family, "architecture": self.architecture.deciding(), **recipe}

    def used(self) -> dict[str, Any]:
        """Return the parameters that the model uses, in plain JSON types: an estimator has no recipe."""
        values = self.dump()
        return values if isinstance(self.spec, NetworkSpec) else values | {"training": {}}

    @property
    @override
    def code(self) -> dict[str, int | str]:
        """The family's version; for an estimator also its library's, which decides whether its file can be read."""
        libraries = {} if isinstance(self.spec, NetworkSpec) else {"scikit-learn": version("scikit-learn")}
        return {f"models.{self.family}": self.spec.version, **libraries}

    @property
    def spec(self) -> ModelSpec:
        """The registered family."""
        return MODELS[self.family]

    @property
    def pretraining(self) -> Pretraining | None:
        """What is to know of the pretrained network that is trained further; ``None`` if there is none."""
        return self.spec.pretraining(self.architecture) if isinstance(self.spec, NetworkSpec) else None

    def require(self) -> None:
        """Check that what a training needs beside its data, such as weights, is there.

        Raises:
            ConfigError: If it is not.
        """
        if isinstance(self.spec, NetworkSpec):
            self.spec.require(self.architecture)

    @property
    def selects_by_test(self) -> bool:
        """Whether the test split chooses the epoch, which makes every score leaky; an estimator has no epochs."""
        return isinstance(self.spec, NetworkSpec) and self.training.selection == "best_test"


def parse_model(name: str, values: object, defaults: object = None) -> ModelBlock:
    """Check a model's block and complete its training recipe with the shared defaults.

    Args:
        name: The model's name.
        values: Its parameters: a mapping.
        defaults: Training parameters shared by all models; the model's own ``training`` overrides them.

    Returns:
        The frozen block.

    Raises:
        ConfigError: If the family is not registered, or a parameter is missing, unknown or out of range; the message
            names the full key.

    Example:
        >>> values = {"family": "crnn", "feature": "log_mel_100", "training": {"max_epochs": 25}}
        >>> block = parse_model("crnn_gru", values, {"batch_size": 64, "max_epochs": 50})
        >>> block.training.batch_size, block.training.max_epochs, block.architecture.n_dense
        (64, 25, 64)
    """
    key = f"models.{check_name(name, kind='model')}"
    own = dict(_mapping(values, key))
    family = _family(own, key)
    own["architecture"] = parse_block(family.block, own.get("architecture", {}), key=f"{key}.architecture")
    shared = _mapping({} if defaults is None else defaults, "training")
    given = _mapping(own.get("training", {}), f"{key}.training")
    unknown = sorted(given.keys() - TrainingBlock.model_fields.keys())
    if unknown and not isinstance(family, NetworkSpec):
        raise ConfigError(
            f"{key}.training.{unknown[0]}: is not a parameter. {name} is fitted in one step, and is not trained by a "
            f"recipe: its parameters are in {key}.architecture ({', '.join(sorted(family.block.model_fields))})."
        )
    recipe = {**shared, **given}
    own["training"] = parse_block(TrainingBlock, recipe, key=f"{key}.training")
    return parse_block(ModelBlock, {"name": name, **own}, key=key)


def _mapping(values: object, key: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}: expected a mapping of parameters, got {values!r}.")
    return values


def _family(values: Mapping[str, Any], key: str) -> ModelSpec:
    if "family" not in values:
        raise ConfigError(f"{key}.family: is missing. {suggestion('', MODELS.names())}")
    try:
        return MODELS[str(values["family"])]
    except UnknownNameError as error:
        raise ConfigError(f"{key}.family: {error}") from None
