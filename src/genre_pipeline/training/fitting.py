"""Fit a network over epochs, or an estimator in one step."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn, optim
from torch.nn import functional

from genre_pipeline.errors import ConfigError, RepeatFailedError
from genre_pipeline.features import FeatureBlock
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.models import EstimatorSpec, GenreNetwork, NetworkSpec, TrainingColumns
from genre_pipeline.models.costs import count_parameters
from genre_pipeline.training.augmentation import AugmentationBlock, augment, mix
from genre_pipeline.training.devices import (
    choose_device,
    free_memory,
    place,
    random_state,
    reproducible,
    set_random_state,
)
from genre_pipeline.training.divergence import first_not_finite, watched
from genre_pipeline.training.epochs import EpochCallback, EpochRecord, Selection
from genre_pipeline.training.memory import kept_memory
from genre_pipeline.training.optimisers import OPTIMISERS, l2_penalty, parameter_groups
from genre_pipeline.training.predictors import compute_logits, in_batches, summarise
from genre_pipeline.training.probing import (
    Computation,
    known_computation,
    measure_computation,
    possible_computations,
    remembered,
)
from genre_pipeline.training.recipes import ModelBlock, TrainingBlock
from genre_pipeline.training.resumption import Resumption, State
from genre_pipeline.training.routing import count_choices, noted_choices
from genre_pipeline.training.schedules import Stalled, make_schedule
from genre_pipeline.training.segments import Normalisation, SegmentSet, as_tensor

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

logger = logging.getLogger(__name__)

# [D] A weight, its gradient, and Adam's two averages of the gradient, in single precision.
_BYTES_PER_PARAMETER = 16


@dataclass(frozen=True, eq=False)
class Task:
    """A model and the data to fit it to.

    Attributes:
        label: Names it in error messages.
        model: Architecture and recipe.
        feature: The feature, which sets how segments are scaled.
        n_classes: Number of genres.
        seed: Seed of the initial weights, of dropout and of the order of the segments.
        train: The segments to train on.
        validation: The segments to select the epoch by.
        test: The segments to select the epoch by if the recipe's selection is ``best_test``; ``None`` otherwise.
    """

    label: str
    model: ModelBlock
    feature: FeatureBlock
    n_classes: int
    seed: int
    train: SegmentSet
    validation: SegmentSet
    test: SegmentSet | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model with its history.

    Attributes:
        model: The network with the selected weights, or the estimator.
        normalisation: How segments are scaled.
        history: One record an epoch.
        training_s: Time of all epochs, including interrupted attempts.
        selected_epoch: The epoch whose weights were kept.
        device: Type of the device it was computed on.
        computation: How it was computed.
        micro_batch_size: Segments whose activations are in memory at once in training, at the end.
        routing: For each epoch how many validation segments of each genre went to each expert, shape
            ``(n_experts, n_classes)``; empty for a model without experts.
    """

    model: GenreNetwork | BaseEstimator
    normalisation: Normalisation
    history: tuple[EpochRecord, ...]
    training_s: float
    selected_epoch: int
    device: str
    computation: Computation
    micro_batch_size: int | None = None
    routing: tuple[Tensor, ...] = ()


# [?] The measurement takes about twenty steps: less than a twentieth of this.
_WORTH_MEASURING = 500


class _Data(NamedTuple):
    """Segments on the device where they are used."""

    features: Tensor
    targets: Tensor

    @classmethod
    def on(cls, device: torch.device, segments: SegmentSet) -> _Data:
        return cls(as_tensor(segments.features).to(device), torch.tensor(segments.targets, device=device))

    def spread(self, segments: SegmentSet, limit: int | None) -> _Data:
        """Keep at most a number of segments of each track, evenly spread over it."""
        if limit is None:
            return self
        place, size = _places(_tracks(segments))
        kept = ((place + 1) * limit // size > place * limit // size).to(self.targets.device)
        return _Data(self.features[kept], self.targets[kept])


def fit(
    task: Task,
    tell: EpochCallback,
    resumption: Resumption | None = None,
    computations: Path | None = None,
    *,
    slot: int = 0,
) -> Fitted:
    """Fit a network or an estimator.

    Args:
        task: What to fit.
        tell: Called after each epoch, including those of an earlier, interrupted attempt.
        resumption: Saves a network's state from epoch to epoch, and returns that of an earlier attempt.
        computations: File with the measured fastest ways to compute; ``None`` does not store them.
        slot: Number of this process among those that run side by side; several devices are assigned in turn.

    Returns:
        The trained model with its history.

    Raises:
        ConfigError: If the architecture does not fit the feature, or the device does not exist.
        RepeatFailedError: If a loss stops being finite, memory is not enough, or ``torch.compile`` fails.
    """
    spec = task.model.spec
    if isinstance(spec, NetworkSpec):
        return _fit_network(task, spec, tell, resumption, computations, slot)
    return _fit_estimator(task, spec, tell)


def _memory_bytes() -> int:
    """Return the size of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _check_memory(task: Task, spec: NetworkSpec) -> None:
    """Check that the network's weights fit in this machine's memory, before they are created.

    Raises:
        ConfigError: If they do not.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        n_parameters = count_parameters(spec.build(task.model.architecture, task.train.shape, task.n_classes))
    needed, there = _BYTES_PER_PARAMETER * n_parameters, _memory_bytes()
    if needed > there:
        raise ConfigError(
            f"models.{task.model.name}.architecture: {n_parameters:,} parameters take about {needed / 1e9:,.0f} GB to "
            f"train, and this machine has {there / 1e9:,.0f} GB. Choose narrower or fewer layers."
        )


def _fit_network(
    task: Task,
    spec: NetworkSpec,
    tell: EpochCallback,
    resumption: Resumption | None,
    computations: Path | None,
    slot: int,
) -> Fitted:
    recipe = task.model.training
    device = choose_device(recipe.device, slot)
    _check_memory(task, spec)
    with reproducible(task.seed, device, recipe.n_threads), kept_memory(device):
        network = spec.build(task.model.architecture, task.train.shape, task.n_classes)
        network.load_pretrained()
        begun = _begin(task, network, device)
        loop = _Loop(begun.task, begun.network, device, computations)
        history, selected_epoch = loop.run(tell, resumption)
    return Fitted(
        model=network,
        normalisation=begun.normalisation or loop.normalisation,
        history=history,
        training_s=begun.seconds + loop.begun_s + loop.spent_s,
        selected_epoch=selected_epoch,
        device=device.type,
        computation=loop.computation,
        micro_batch_size=loop.micro_batch_size,
        routing=tuple(loop.routing),
    )


class _Begun(NamedTuple):
    """What epochs train, and on what; the normalisation if segments are scaled already, and how long that took."""

    task: Task
    network: GenreNetwork
    normalisation: Normalisation | None = None
    seconds: float = 0.0


def _begin(task: Task, network: GenreNetwork, device: torch.device) -> _Begun:
    """Compute once what every epoch would compute alike: what a beginning that is not trained makes of the segments."""
    parts = network.split()
    # Changed segments are others in each epoch.
    if parts is None or task.model.training.augmentation != AugmentationBlock():
        return _Begun(task, network)
    started = time.perf_counter()
    beginning, rest = parts
    place(network, device).eval()
    fitted = Normalisation.fit(task.feature.normalisation, as_tensor(task.train.features)).to(device)

    @torch.inference_mode()
    def made_of(segments: SegmentSet) -> SegmentSet:
        batches = in_batches(as_tensor(segments.features), device)
        made = torch.cat([beginning(fitted(batch.to(device))).cpu() for batch in batches])
        return replace(segments, features=made.numpy())

    begun = replace(
        task,
        feature=task.feature.model_copy(update={"normalisation": "none"}),
        train=made_of(task.train),
        validation=made_of(task.validation),
        test=None if task.test is None else made_of(task.test),
    )
    return _Begun(begun, rest, fitted, time.perf_counter() - started)


class _Learned(NamedTuple):
    """The loss, accuracy and gradient of a pass over the training split."""

    loss: float
    accuracy: float
    gradient_norm: float


class _Loop:
    """The loop over epochs. All segments stay in one tensor on the device; batches are gathered by index."""

    def __init__(
        self,
        task: Task,
        network: GenreNetwork,
        device: torch.device,
        computations: Path | None = None,
    ) -> None:
        self.task = task
        self.recipe: TrainingBlock = task.model.training
        self.device = device
        self.train = _Data.on(device, task.train)
        limit = self.recipe.segments_per_track
        self.validation = _Data.on(device, task.validation).spread(task.validation, limit)
        self.test = None if task.test is None else _Data.on(device, task.test).spread(task.test, limit)
        self.normalisation = Normalisation.fit(task.feature.normalisation, self.train.features)
        self.order = torch.Generator().manual_seed(task.seed)
        self.batch_size = min(self.recipe.batch_size, len(task.train))
        self.micro_batch_size = min(self.recipe.micro_batch_size or self.batch_size, self.batch_size)
        self.n_steps = 0
        self.tracks = _tracks(task.train)
        self.n_drawn = len(self.drawn(torch.arange(len(task.train))))
        self.n_planned_steps = self.recipe.max_epochs * -(-self.n_drawn // self.recipe.batch_size)
        started = time.perf_counter()
        batches = in_batches(self.train.features, device)
        network.to(device).begin_training(map(self.normalisation, batches), self.train.targets)
        # Most networks fit nothing there.
        is_fitted = type(network).begin_training is not GenreNetwork.begin_training
        self.begun_s = time.perf_counter() - started if is_fitted else 0.0
        self.computation = self.chosen_computation(network, computations)
        self.network = place(network, device, channels_last=self.computation.channels_last)
        self.scores = self.network.training_logits
        if self.computation.compiled:
            self.scores = torch.compile(self.scores)
        kind = OPTIMISERS[self.recipe.optimiser]
        self.has_penalty = kind.is_decoupled
        groups = parameter_groups(network, weight_decay=self.recipe.weight_decay, is_decoupled=kind.is_decoupled)
        self.optimiser: optim.Optimizer = kind.build(groups, self.recipe.learning_rate, self.recipe.epsilon)
        self.schedule = make_schedule(self.recipe.learning_rate, self.recipe.schedule)
        of_an_epoch = self.train.targets[self.drawn(torch.arange(len(task.train))).to(device)]
        self.weights = _class_weights(self.recipe, of_an_epoch, task.n_classes)
        self.average: optim.swa_utils.AveragedModel | None = None
        if self.recipe.ema_decay is not None:
            multiply = optim.swa_utils.get_ema_multi_avg_fn(self.recipe.ema_decay)  # type: ignore[no-untyped-call]
            # Normalisation's running statistics are averaged too: they belong to the averaged weights.
            self.average = optim.swa_utils.AveragedModel(network, multi_avg_fn=multiply, use_buffers=True)
        self.routing: list[Tensor] = []
        self.spent_s = 0.0

    def chosen_computation(self, network: GenreNetwork, computations: Path | None) -> Computation:
        """Return how to compute: as the recipe sets, or the measured fastest way if the training is long."""
        recipe, device = self.recipe, self.device
        ways = possible_computations(recipe.precision, recipe.channels_last, device)
        is_open = len(ways) > 1 or recipe.compile == "auto"
        if is_open and self.n_planned_steps >= _WORTH_MEASURING:
            chosen = remembered(computations, self.computation_key(), lambda: self.measured(network, ways))
        else:
            chosen = known_computation(recipe.precision, recipe.channels_last, device)
        return replace(chosen, compiled=True) if recipe.compile is True else chosen

    def computation_key(self) -> str:
        """Return the fingerprint of everything that determines the fastest way to compute."""
        recipe, shape = self.recipe, self.task.train.shape
        return fingerprint(
            "computation",
            2,
            family=self.task.model.family,
            architecture=self.task.model.architecture.dump(),
            shape=[shape.n_bins, shape.n_frames, self.task.n_classes],
            micro_batch_size=self.micro_batch_size,
            max_epochs=recipe.max_epochs,
            precision=recipe.precision,
            channels_last=recipe.channels_last,
            compile=recipe.compile,
            device=self.device.type,
            torch=torch.__version__,
        )

    def measured(self, network: GenreNetwork, ways: Sequence[Computation]) -> Computation:
        """Return the fastest of several ways to compute."""
        batch = slice(self.micro_batch_size)
        features, targets = self.normalisation(self.train.features[batch]), self.train.targets[batch]
        n_segments = None
        if self.recipe.compile == "auto":
            n_segments = self.recipe.max_epochs * self.n_drawn
        return measure_computation(network, features, targets, self.device, ways, n_segments)

    def run(self, tell: EpochCallback, resumption: Resumption | None = None) -> tuple[tuple[EpochRecord, ...], int]:
        """Train, leave the selected weights in the network, and return the history and the selected epoch."""
        selection = Selection("validation" if self.test is None else "test", self.recipe.patience)
        stopping = self.recipe.stopping
        stalled = None if stopping is None else Stalled(stopping)
        history: list[EpochRecord] = []
        earlier, kept = self.resumed(resumption)
        for epoch in range(1, self.recipe.max_epochs + 1):
            # Epochs of an earlier attempt are replayed like any other, which restores all counters.
            is_new = epoch > len(earlier)
            history.append(self.run_epoch(epoch) if is_new else earlier[epoch - 1])
            is_best = selection.update(history[-1])
            if is_new and is_best and self.recipe.selection != "last":
                kept = _copied(self.trained)
            if is_new and resumption is not None:
                resumption.keep(partial(self.unfinished, history, kept))
            tell(history[-1])
            self.schedule.after_epoch(history[-1])
            if selection.is_exhausted or (stalled is not None and stalled.after(history[-1])):
                break
        self.network.load_state_dict(kept or _copied(self.trained))
        self.network.eval()
        return tuple(history), selection.best.epoch if kept else history[-1].epoch

    def unfinished(self, history: Sequence[EpochRecord], kept: dict[str, Tensor]) -> State:
        """Return the state that :meth:`resumed` restores."""
        records = [asdict(record) for record in history]
        return {"loop": self.state(), "kept": kept, "history": records, "routing": self.routing}

    def resumed(self, resumption: Resumption | None) -> tuple[list[EpochRecord], dict[str, Tensor]]:
        """Resume an earlier attempt; return its epochs and the weights it had selected."""
        found = None if resumption is None else resumption.recall()
        if found is None:
            return [], {}
        self.restore(found["loop"])
        self.micro_batch_size = found["loop"]["micro_batch_size"]
        earlier = [EpochRecord(**each) for each in found["history"]]
        self.routing = found["routing"]
        self.spent_s = sum(each.seconds for each in earlier)
        logger.info("%s: resuming after epoch %d, where it was interrupted", self.task.label, len(earlier))
        return earlier, found["kept"]

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Train on the segments of an epoch, then evaluate the validation split."""
        started = time.perf_counter()
        before = copy.deepcopy(self.state())
        learned = self.train_epoch(epoch, before)
        looked = self.look()
        if not np.isfinite(looked["validation_loss"]):
            self.diverged(f"the validation loss after epoch {epoch} is {looked['validation_loss']}", epoch, before)
        seconds = time.perf_counter() - started
        self.spent_s += seconds
        return EpochRecord(
            epoch=epoch,
            n_epochs=self.recipe.max_epochs,
            train_loss=learned.loss,
            train_accuracy=learned.accuracy,
            **looked,
            learning_rate=max(float(group["lr"]) for group in self.optimiser.param_groups),
            seconds=seconds,
            seconds_left=self.spent_s / epoch * (self.recipe.max_epochs - epoch),
            gradient_norm=learned.gradient_norm,
        )

    def look(self) -> dict[str, float]:
        """Evaluate the validation split, and the test split if it selects; record the routing of segments."""
        with noted_choices(self.trained) as choices:
            validation_loss, validation_accuracy = self.score(self.validation)
        if choices:
            shape = (self.trained.n_experts, self.task.n_classes)
            self.routing.append(count_choices(choices, self.validation.targets, shape=shape))
        looked = {"validation_loss": validation_loss, "validation_accuracy": validation_accuracy}
        if self.test is not None:
            looked["test_loss"], looked["test_accuracy"] = self.score(self.test)
        return looked

    def train_epoch(self, epoch: int, before: State) -> _Learned:
        """Train on the segments of an epoch; if memory runs out, in smaller pieces of a batch."""
        while True:
            try:
                return self.one_pass(epoch, before)
            except torch.OutOfMemoryError as error:
                reason = str(error).splitlines()[0]
            except Exception as error:
                # Its classes are torch's own, which take seconds to import.
                if not (self.computation.compiled and type(error).__module__ == "torch._dynamo.exc"):
                    raise
                reason = " ".join(str(error).split("\n\n")[0].splitlines())
                raise RepeatFailedError(
                    f"{self.task.label}: torch.compile cannot translate the network ({reason}). A damaged file of an "
                    "earlier translation does that: delete the folder TORCHINDUCTOR_CACHE_DIR, or torchinductor_<user> "
                    f"in the temporary folder, or set models.{self.task.model.name}.training.compile to false."
                ) from error
            # Only here, because the exception no longer references the failed step's tensors.
            self.shrink(reason)
            self.restore(before)

    def one_pass(self, epoch: int, before: State) -> _Learned:
        """Train on the segments of an epoch, each once."""
        self.network.train()
        batches = self.batches()
        steps = [self.step(batch, epoch) for batch in batches]
        # Reading the numbers once per epoch saves a GPU a synchronisation after each batch.
        losses, n_right, norms = (torch.stack(values).cpu().double() for values in zip(*steps, strict=True))
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            index = int(broken[0])
            where = f"the loss of epoch {epoch}, batch {index + 1} of {len(batches)} is {float(losses[index])}"
            self.diverged(where, epoch, before)
        sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
        n_segments = float(sizes.sum())
        return _Learned(
            loss=float((losses * sizes).sum()) / n_segments,
            accuracy=float(n_right.sum()) / n_segments,
            gradient_norm=float(norms.mean()),
        )

    def batches(self) -> tuple[Tensor, ...]:
        """Draw the segments of an epoch and their order, and divide them."""
        order = torch.randperm(len(self.train.targets), generator=self.order)
        return torch.split(self.drawn(order).to(self.device), self.recipe.batch_size)

    def drawn(self, order: Tensor) -> Tensor:
        """Return the first ``segments_per_track`` segments of each track, in the given order."""
        limit = self.recipe.segments_per_track
        return order if limit is None else order[_places(self.tracks[order])[0] < limit]

    def step(self, batch: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Update the weights once; return the batch's mean loss, number of right segments, and gradient norm."""
        progress = self.n_steps / self.n_planned_steps
        self.network.begin_step(epoch, progress)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate_factor"] * self.schedule.rate_at(progress)
        whole = self.total_weight(batch)
        targets = self.train.targets[batch]
        features = augment(self.normalisation(self.train.features[batch]), self.recipe.augmentation)
        parts = [(targets, 1.0)]
        if self.recipe.augmentation.mixup:
            features, partners, share = mix(features, self.recipe.augmentation.mixup)
            parts = [(targets, share), (targets[partners], 1.0 - share)]
        self.optimiser.zero_grad(set_to_none=True)
        if self.has_penalty and isinstance(penalty := l2_penalty(self.network), Tensor):
            penalty.backward()  # type: ignore[no-untyped-call]
        is_mixed = self.computation.precision == "bfloat16"
        loss, n_right = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for piece in _pieces(len(batch), self.micro_batch_size):
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_mixed):
                logits = self.scores(features[piece], targets[piece])
            of_piece = torch.stack([share * (self.loss(logits, aims[piece]) / whole) for aims, share in parts]).sum()
            if (auxiliary := self.network.auxiliary_loss()) is not None:
                of_piece = of_piece + auxiliary * (len(logits) / len(batch))
            of_piece.backward()  # type: ignore[no-untyped-call]
            loss += of_piece.detach()
            n_right += (logits.argmax(dim=1) == targets[piece]).sum()
        gradients = [each.grad for each in self.network.parameters() if each.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self.optimiser.step()
        self.n_steps += 1
        if self.average is not None:
            self.average.update_parameters(self.network)
        return loss, n_right, norm

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the sum of the segments' cross-entropies, weighted by genre."""
        smoothing = self.recipe.label_smoothing
        return functional.cross_entropy(
            logits.float(), targets, weight=self.weights, label_smoothing=smoothing, reduction="sum"
        )

    def total_weight(self, batch: Tensor) -> Tensor | int:
        """Return the total weight of a batch's segments."""
        return len(batch) if self.weights is None else self.weights[self.train.targets[batch]].sum()

    @property
    def trained(self) -> GenreNetwork:
        """The network whose weights count: the moving average where there is one."""
        if self.average is None:
            return self.network
        return cast("GenreNetwork", self.average.module)

    def score(self, data: _Data) -> tuple[float, float]:
        """Return the mean loss and the accuracy over a split."""
        logits = compute_logits(self.trained, self.normalisation, data.features, self.device)
        loss = float(functional.cross_entropy(logits, data.targets))
        return loss, float((logits.argmax(dim=1) == data.targets).float().mean())

    def state(self) -> State:
        """Return everything that later epochs depend on, except the history; tensors are shared, not copied."""
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "order": self.order.get_state(),
            "random": random_state(self.device),
            "n_steps": self.n_steps,
            "micro_batch_size": self.micro_batch_size,
        }

    def restore(self, state: State) -> None:
        """Restore a state, except the size of the micro-batches."""
        state = copy.deepcopy(state)
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.order.set_state(state["order"])
        set_random_state(state["random"], self.device)
        self.n_steps = state["n_steps"]

    def shrink(self, reason: str) -> None:
        """Halve the micro-batches after memory was not enough."""
        self.optimiser.zero_grad(set_to_none=True)
        free_memory(self.device)
        if self.micro_batch_size == 1:
            raise RepeatFailedError(
                f"{self.task.label}: {self.device.type} has not enough memory for a single segment ({reason}). Train "
                f"it elsewhere (models.{self.task.model.name}.training.device), or free some memory."
            )
        self.micro_batch_size = -(-self.micro_batch_size // 2)
        logger.warning(
            "%s: out of memory (%s). The epoch begins again with micro-batches of %d, whose gradients are summed up to "
            "batches of %d.",
            *(self.task.label, reason, self.micro_batch_size, self.batch_size),
        )

    def diverged(self, what: str, epoch: int, before: State) -> NoReturn:
        """Repeat the epoch to find where numbers stopped being finite, and raise an error that names the place."""
        raise RepeatFailedError(
            f"{self.task.label}: {what}. First not finite: {self.first_fault(epoch, before)}. The training has "
            f"diverged; lower models.{self.task.model.name}.training.learning_rate (now "
            f"{self.recipe.learning_rate:g}), or set precision to float32 (now {self.computation.precision})."
        )

    def first_fault(self, epoch: int, before: State) -> str:
        """Repeat an epoch, watch every layer, and return the first thing that is not finite."""
        self.restore(before)
        self.network.train()
        # A compiled network does not call the layers one by one.
        self.scores = self.network.training_logits
        batches = self.batches()
        with watched(self.network) as seen:
            for number, batch in enumerate(batches, start=1):
                loss, *_ = self.step(batch, epoch)
                fault = next(iter(seen), None) or first_not_finite(self.network, loss)
                if fault is not None:
                    return f"{fault}, in batch {number} of {len(batches)}"
        with watched(self.trained) as seen:
            self.score(self.validation)
        return f"{seen[0]}, in the validation" if seen else "nothing, in a second try"


def _tracks(segments: SegmentSet) -> Tensor:
    """Return the code of each segment's track; without known tracks, each segment is one."""
    return torch.tensor(segments.groups[-1]) if segments.groups else torch.arange(len(segments))


def _places(tracks: Tensor) -> tuple[Tensor, Tensor]:
    """Return each segment's place among those of its track, from 0, and how many these are."""
    sizes = torch.bincount(tracks)
    place = torch.empty_like(tracks)
    place[tracks.argsort(stable=True)] = torch.arange(len(tracks)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return place, sizes[tracks]


def _copied(network: GenreNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _pieces(n: int, size: int) -> Iterator[slice]:
    """Divide a batch of ``n`` segments into pieces of similar length, of at most a given size."""
    n_pieces = -(-n // size)
    edges = [n * piece // n_pieces for piece in range(n_pieces + 1)]
    return map(slice, edges[:-1], edges[1:])


def _class_weights(recipe: TrainingBlock, targets: Tensor, n_classes: int) -> Tensor | None:
    """Return the weight of a segment of each genre: on average one."""
    if recipe.class_weights == "none":
        return None
    counts = torch.bincount(targets, minlength=n_classes)
    return len(targets) / (n_classes * counts.float())


def _fit_estimator(task: Task, spec: EstimatorSpec, tell: EpochCallback) -> Fitted:
    started = time.perf_counter()
    normalisation = Normalisation.fit(task.feature.normalisation, as_tensor(task.train.features))
    columns = summarise(spec, normalisation, task.train.features)
    data = TrainingColumns(columns, task.train.targets, task.train.groups)
    # Products so small gain nothing by threads, which wait for each other: minutes for seconds on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        estimator = spec.fit(task.model.architecture, data, task.seed)
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
    return Fitted(
        model=estimator,
        normalisation=normalisation,
        history=(record,),
        training_s=record.seconds,
        selected_epoch=1,
        device="cpu",
        computation=Computation("float32"),
    )


def _score(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> tuple[float, float]:
    """Return the cross-entropy and the accuracy; probabilities that round to zero count as the smallest number."""
    chosen = probabilities[np.arange(len(targets)), targets]
    likelihood = np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean()
    return 0.0 - float(likelihood), float((probabilities.argmax(axis=1) == targets).mean())
