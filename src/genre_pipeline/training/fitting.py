"""Fitting: a network over epochs, an estimator in one go. Nothing here touches the disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, optim
from torch.nn import functional

from genre_pipeline.errors import TrainingError
from genre_pipeline.features import FeatureBlock
from genre_pipeline.models import EstimatorSpec, GenreNetwork, NetworkSpec
from genre_pipeline.training.augmentation import augment, mix
from genre_pipeline.training.devices import choose_device, choose_precision, place, reproducible
from genre_pipeline.training.epochs import EpochCallback, EpochRecord, Selection
from genre_pipeline.training.optimisers import OPTIMISERS, l2_penalty, parameter_groups
from genre_pipeline.training.predictors import compute_logits, summarise
from genre_pipeline.training.recipes import ModelBlock, TrainingBlock
from genre_pipeline.training.schedules import Stalled, make_schedule
from genre_pipeline.training.segments import Normalisation, SegmentSet, as_tensor

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be fitted.

    Attributes:
        label: Names it in error messages.
        model: Architecture and recipe.
        feature: The feature, which says how segments are scaled.
        n_classes: Number of genres.
        seed: Seed of the initial weights, of dropout and of the order of the segments.
        train: The segments to learn from.
        validation: The segments to select the epoch by.
    """

    label: str
    model: ModelBlock
    feature: FeatureBlock
    n_classes: int
    seed: int
    train: SegmentSet
    validation: SegmentSet


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came out.

    Attributes:
        model: The network with the selected weights, or the estimator.
        normalisation: How segments are scaled.
        history: One record an epoch.
        selected_epoch: The epoch whose weights were kept.
        device: Type of the device it was computed on.
        precision: Number type of the forward pass in training.
    """

    model: GenreNetwork | BaseEstimator
    normalisation: Normalisation
    history: tuple[EpochRecord, ...]
    selected_epoch: int
    device: str
    precision: str


class _Data(NamedTuple):
    """Segments on the device where they are used."""

    features: Tensor
    targets: Tensor

    @classmethod
    def on(cls, device: torch.device, segments: SegmentSet) -> _Data:
        return cls(as_tensor(segments.features).to(device), torch.tensor(segments.targets, device=device))


def fit(task: Task, tell: EpochCallback) -> Fitted:
    """Fit a network or an estimator.

    Args:
        task: What is to be fitted.
        tell: Called after each epoch.

    Returns:
        The trained model with its history.

    Raises:
        ConfigError: If the architecture does not fit the feature, or the device is not there.
        TrainingError: If the loss stops being finite, or there are too few segments.
    """
    spec = task.model.spec
    return _fit_network(task, spec, tell) if isinstance(spec, NetworkSpec) else _fit_estimator(task, spec, tell)


def _fit_network(task: Task, spec: NetworkSpec, tell: EpochCallback) -> Fitted:
    recipe = task.model.training
    device = choose_device(recipe.device)
    with reproducible(task.seed, device, recipe.n_threads):
        network = spec.build(task.model.architecture, task.train.shape, task.n_classes)
        loop = _Loop(task, place(network, device), device)
        history, selected_epoch = loop.run(tell)
    return Fitted(
        model=loop.network,
        normalisation=loop.normalisation,
        history=history,
        selected_epoch=selected_epoch,
        device=device.type,
        precision=str(loop.precision).removeprefix("torch."),
    )


class _Loop:
    """The loop over epochs. All segments stay in one tensor on the device; batches are gathered by index."""

    def __init__(self, task: Task, network: GenreNetwork, device: torch.device) -> None:
        self.task = task
        self.recipe: TrainingBlock = task.model.training
        self.network = network
        self.device = device
        self.precision = choose_precision(self.recipe.precision, device)
        self.train = _Data.on(device, task.train)
        self.validation = _Data.on(device, task.validation)
        self.normalisation = Normalisation.fit(task.feature.normalisation, self.train.features)
        self.started = time.perf_counter()
        self.order = torch.Generator().manual_seed(task.seed)
        kind = OPTIMISERS[self.recipe.optimiser]
        self.has_penalty = kind.is_decoupled
        groups = parameter_groups(network, weight_decay=self.recipe.weight_decay, is_decoupled=kind.is_decoupled)
        self.optimiser: optim.Optimizer = kind.build(groups, self.recipe.learning_rate, self.recipe.epsilon)
        self.schedule = make_schedule(self.recipe.learning_rate, self.recipe.schedule)
        self.weights = _class_weights(self.recipe, self.train.targets, task.n_classes)
        self.average: optim.swa_utils.AveragedModel | None = None
        if self.recipe.ema_decay is not None:
            multiply = optim.swa_utils.get_ema_multi_avg_fn(self.recipe.ema_decay)  # type: ignore[no-untyped-call]
            # Normalisation's running statistics are averaged too: they belong to the averaged weights.
            self.average = optim.swa_utils.AveragedModel(network, multi_avg_fn=multiply, use_buffers=True)
        self.n_steps = 0
        self.n_planned_steps = self.recipe.max_epochs * -(-len(task.train) // self.recipe.batch_size)

    def run(self, tell: EpochCallback) -> tuple[tuple[EpochRecord, ...], int]:
        """Train, leave the selected weights in the network, and return the history and the selected epoch."""
        selection = Selection(self.recipe.patience)
        stopping = self.recipe.stopping
        stalled = None if stopping is None else Stalled(stopping)
        history: list[EpochRecord] = []
        kept: dict[str, Tensor] = {}
        for epoch in range(1, self.recipe.max_epochs + 1):
            history.append(self.run_epoch(epoch))
            if selection.update(history[-1]) and self.recipe.selection == "best_validation":
                kept = _copied(self.trained)
            tell(history[-1])
            self.schedule.after_epoch(history[-1])
            if selection.is_exhausted or (stalled is not None and stalled.after(history[-1])):
                break
        self.network.load_state_dict(kept or _copied(self.trained))
        self.network.eval()
        return tuple(history), selection.best.epoch if kept else history[-1].epoch

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Train on every segment once, then look at the validation split."""
        started = time.perf_counter()
        train_loss, train_accuracy = self.train_epoch(epoch)
        validation_loss, validation_accuracy = self.validate(epoch)
        now = time.perf_counter()
        return EpochRecord(
            epoch=epoch,
            n_epochs=self.recipe.max_epochs,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            learning_rate=float(self.optimiser.param_groups[0]["lr"]),
            seconds=now - started,
            seconds_left=(now - self.started) / epoch * (self.recipe.max_epochs - epoch),
        )

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Return the mean loss and the accuracy over the epoch's batches."""
        self.network.train()
        order = torch.randperm(len(self.train.targets), generator=self.order).to(self.device)
        batches = torch.split(order, self.recipe.batch_size)
        results = [self.step(batch, epoch) for batch in batches]
        # Looking at the numbers once an epoch spares a GPU a halt after each batch.
        losses = torch.stack([loss for loss, _ in results]).double().cpu()
        self.check_finite(losses, epoch)
        sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
        n_right = int(torch.stack([right for _, right in results]).sum())
        return float((losses * sizes).sum() / sizes.sum()), n_right / len(order)

    def step(self, batch: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Change the weights once; return the batch's mean loss and how many segments were right."""
        progress = self.n_steps / self.n_planned_steps
        self.network.begin_step(epoch, progress)
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate_at(progress)
        targets = self.train.targets[batch]
        features = augment(self.normalisation(self.train.features[batch]), self.recipe.augmentation)
        partners, share = None, 1.0
        if self.recipe.augmentation.mixup:
            features, partners, share = mix(features, self.recipe.augmentation.mixup)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision != torch.float32):
            logits = self.network.training_logits(features, targets)
        loss = self.loss(logits, targets)
        if partners is not None:
            loss = share * loss + (1.0 - share) * self.loss(logits, targets[partners])
        self.optimiser.zero_grad(set_to_none=True)
        (loss + l2_penalty(self.network) if self.has_penalty else loss).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.n_steps += 1
        if self.average is not None:
            self.average.update_parameters(self.network)
        return loss.detach(), (logits.argmax(dim=1) == targets).sum()

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the batch's mean cross-entropy."""
        smoothing = self.recipe.label_smoothing
        return functional.cross_entropy(logits.float(), targets, weight=self.weights, label_smoothing=smoothing)

    @property
    def trained(self) -> GenreNetwork:
        """The network whose weights count: the moving average where there is one."""
        if self.average is None:
            return self.network
        return cast("GenreNetwork", self.average.module)

    def validate(self, epoch: int) -> tuple[float, float]:
        """Return the mean loss and the accuracy over the validation split."""
        logits = compute_logits(self.trained, self.normalisation, self.validation.features, self.device)
        loss = float(functional.cross_entropy(logits, self.validation.targets))
        if not np.isfinite(loss):
            raise TrainingError(self.diagnosis(f"the validation loss after epoch {epoch} is {loss}"))
        return loss, float((logits.argmax(dim=1) == self.validation.targets).double().mean())

    def check_finite(self, losses: Tensor, epoch: int) -> None:
        """Raise a :class:`TrainingError` that names the first batch whose loss is not finite."""
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            index = int(broken[0])
            where = f"the loss of epoch {epoch}, batch {index + 1} of {len(losses)} is {float(losses[index])}"
            raise TrainingError(self.diagnosis(where))

    def diagnosis(self, what: str) -> str:
        """Return an error message."""
        return (
            f"{self.task.label}: {what}. The training has diverged; lower models.{self.task.model.name}."
            f"training.learning_rate (now {self.recipe.learning_rate:g}), or set precision to float32 "
            f"(now {str(self.precision).removeprefix('torch.')})."
        )


def _copied(network: GenreNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _class_weights(recipe: TrainingBlock, targets: Tensor, n_classes: int) -> Tensor | None:
    """Return what a segment of each genre counts: on average one."""
    if recipe.class_weights == "none":
        return None
    counts = torch.bincount(targets, minlength=n_classes)
    return len(targets) / (n_classes * counts.float())


def _fit_estimator(task: Task, spec: EstimatorSpec, tell: EpochCallback) -> Fitted:
    started = time.perf_counter()
    normalisation = Normalisation.fit(task.feature.normalisation, as_tensor(task.train.features))
    columns = summarise(spec, normalisation, task.train.features)
    estimator = spec.build(task.model.architecture, task.train.targets, task.seed)
    estimator.fit(columns, task.train.targets)
    train_loss, train_accuracy = _score(estimator.predict_proba(columns), task.train.targets)
    validation = estimator.predict_proba(summarise(spec, normalisation, task.validation.features))
    validation_loss, validation_accuracy = _score(validation, task.validation.targets)
    record = EpochRecord(
        epoch=1,
        n_epochs=1,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
        learning_rate=0.0,
        seconds=time.perf_counter() - started,
        seconds_left=0.0,
    )
    tell(record)
    return Fitted(estimator, normalisation, (record,), selected_epoch=1, device="cpu", precision="float32")


def _score(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> tuple[float, float]:
    """Return the cross-entropy and the accuracy; probabilities that round to zero count as the smallest number."""
    chosen = probabilities[np.arange(len(targets)), targets]
    likelihood = np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean()
    return 0.0 - float(likelihood), float((probabilities.argmax(axis=1) == targets).mean())
