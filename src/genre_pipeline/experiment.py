"""The experiment: every parameter checked and frozen, and the grid of cells that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from typing_extensions import override

from genre_pipeline.blocks import Block, Repeat, Seed, parse_block, registered
from genre_pipeline.cells import Cell, check_name
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.explaining import Method
from genre_pipeline.evaluation.metrics import TrackAverage
from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.interventions import Intervention, InterventionBlock
from genre_pipeline.models import NetworkSpec
from genre_pipeline.project import check_output, is_in_data
from genre_pipeline.registry import suggestion
from genre_pipeline.splits.base import PROTOCOLS, ProtocolBlock
from genre_pipeline.training.devices import choose_device, n_devices
from genre_pipeline.training.recipes import ModelBlock, TrainingBlock, parse_model
from genre_pipeline.training.workers import Trainers
from genre_pipeline.tuning import Tuning, parse_tuning
from genre_pipeline.work.backends import Backend, Device, Workers, usable_cores

SECTIONS = (
    "compute",
    "datasets",
    "evaluation",
    "experiment",
    "explain",
    "features",
    "few_labels",
    "interventions",
    "models",
    "predict",
    "protocols",
    "registry",
    "robustness",
    "storage",
    "training",
    "tuning",
    "unseen_genres",
)


def _check_cell(name: str) -> str:
    try:
        return Cell.parse(name).name
    except ConfigError as error:
        raise ValueError(str(error)) from None


# A cell's dotted name. A default is not checked: it may be empty.
CellName = Annotated[str, AfterValidator(_check_cell)]


class ExperimentBlock(Block):
    """What is compared with what.

    Attributes:
        name: Short name, part of file paths.
        title: What it is about, for the report's head.
        datasets: Names of the datasets.
        protocols: Names of the protocols.
        models: Names of the models.
        features: For some models, the features to use instead of the model's own.
        exclude: Shell-style patterns of cells (``dataset.protocol.feature.model``) to leave out.
        seed: Seed of the first repeat; repeat ``i`` trains with ``seed + i``.
    """

    name: str
    title: str
    datasets: tuple[str, ...] = Field(min_length=1)
    protocols: tuple[str, ...] = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1)
    features: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    seed: Seed = 0


OutputPath = Annotated[Path, AfterValidator(check_output)]


class StorageBlock(Block):
    """Folders of intermediate results: in the data folder, or at an absolute path. Only the catalog reads them.

    Attributes:
        ingest: Folder of the ingest caches.
        splits: Folder of the records that keep tracks on their sides.
        features: Folder of the feature stores.
        features_url: Any fsspec URL (``s3://bucket/features``) where finished feature stores are published, and fetched
            from where the folder has none; ``None`` means nowhere.
        models: Folder of the checkpoints.
        reports: Folder of the report, from which its links to audio go.
    """

    ingest: OutputPath
    splits: OutputPath
    features: OutputPath
    features_url: str | None = None
    models: OutputPath
    reports: OutputPath

    @field_validator("features_url")
    @classmethod
    def _does_not_leave_the_data_folder(cls, url: str | None) -> str | None:
        scheme, separator, path = (url or "").rpartition("://")
        if url and scheme in {"", "file", "local"}:
            return f"{scheme}{separator}{check_output(Path(path))}"
        return url

    def elsewhere(self) -> dict[str, str]:
        """Return what is written outside of the data folder, by parameter."""
        places = {"ingest", "splits", "features", "models", "reports"}
        found = {name: str(place) for name in sorted(places) if not is_in_data(place := getattr(self, name))}
        return found if self.features_url is None else {**found, "features_url": self.features_url}


class ComputeBlock(Block):
    """How much of the machine is used.

    Attributes:
        backend: Where features are extracted: ``serial`` (one thread), ``threads``, ``processes``, ``dask``, or
            ``auto``: in processes where there are clips enough for them to pay, else in threads.
        n_workers: Workers that decode audio and compute features; ``None`` means one per core.
        training_backend: Where repeats are trained: ``processes`` of this machine, or ``dask``.
        training_workers: Repeats of a cell that are trained at once; ``None`` means one per CUDA device, or one where
            there is none.
        address: Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``, for a backend that is ``dask``;
            ``None`` means a cluster on this machine.
        device: Where their spectra are computed, while processors decode: ``cpu`` or ``cuda``.
        airflow_tasks: Tasks of the DAGs of ``kedro airflow-dags`` that may run at once. One at a time runs only what is
            stale; several, on machines that share the data folder, run what their namespaces have.
    """

    backend: Backend = "auto"
    n_workers: int | None = Field(default=None, ge=1, le=1024)
    training_backend: Literal["processes", "dask"] = "processes"
    training_workers: int | None = Field(default=None, ge=1, le=1024)
    address: str | None = None
    device: Device = "cpu"
    airflow_tasks: int = Field(default=1, ge=1, le=1024)

    @model_validator(mode="after")
    def _address_is_used(self) -> ComputeBlock:
        if self.address is not None and "dask" not in {self.backend, self.training_backend}:
            raise ValueError(
                f"address={self.address} is a Dask scheduler's, but backend is '{self.backend}' and training_backend "
                f"'{self.training_backend}'"
            )
        return self

    @override
    def deciding(self) -> dict[str, Any]:
        """Return nothing: no result depends on who computes it."""
        return {}

    @property
    def extraction(self) -> Workers:
        """How features are extracted."""
        return Workers(self.backend, self.workers(), self.address, self.device)

    def trainers(self, training: TrainingBlock) -> Trainers:
        """Return who trains repeats.

        Args:
            training: The model's recipe.

        Raises:
            ConfigError: If its device is not there.
        """
        n_workers = self.training_workers or n_devices(choose_device(training.device).type)
        return Trainers(self.training_backend, n_workers, self.address)

    def workers(self) -> int:
        """Return the number of workers: the parameter, or the cores this process may use."""
        return usable_cores() if self.n_workers is None else self.n_workers


class EvaluationBlock(Block):
    """How numbers are summarised.

    Attributes:
        confidence: Coverage of the confidence intervals.
        track_average: What of a track's segments is averaged for the track's scores: ``probability``, or ``logit``.
            Predictions of new audio average probabilities.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    track_average: TrackAverage = "probability"


class RegistryBlock(Block):
    """Which trained models become champions in MLflow's registry.

    Attributes:
        enabled: Whether the leading model of each dataset is registered, under the experiment's name; with the
            dataset's name as well if it has several.
        margin: What loss of track accuracy, as a share, must be excluded before a new model takes the champion's place;
            ``None``: it is enough that the paired tests do not show it to be worse.
    """

    enabled: bool = True
    margin: float | None = Field(default=None, ge=0.0, lt=1.0)


class PredictBlock(Block):
    """What the ``predict`` pipeline classifies.

    Attributes:
        cell: Name of the trained cell, ``dataset.protocol.feature.model``; ``None`` means the one that leads on the
            experiment's first dataset.
        repeat: Which of its repeats' models; ``None`` means all of them, whose probabilities are averaged.
        audio: Audio files.
        max_error: The share of its answers that may be wrong: those of low confidence become "not sure", so that the
            others are as right as that on the validation tracks. 1 lets every answer stand.
    """

    cell: CellName | None = None
    repeat: Repeat | None = None
    audio: tuple[Path, ...] = ()
    # [?] Four of five answers are right.
    max_error: float = Field(default=0.2, gt=0.0, le=1.0)


class RobustnessBlock(Block):
    """How the ``robustness`` pipeline changes the test audio, and which cells predict it.

    Attributes:
        cells: Shell-style patterns of the experiment's cells (``dataset.protocol.feature.model``).
        interventions: Names of the interventions.
    """

    cells: tuple[str, ...] = ("*",)
    interventions: tuple[str, ...] = Field(min_length=1)


class UnseenGenresBlock(Block):
    """Which cells the ``unseen_genres`` pipeline trains once without each of their genres.

    Attributes:
        cells: Shell-style patterns of the experiment's cells (``dataset.protocol.feature.model``).
    """

    cells: tuple[str, ...] = ("*",)


class FewLabelsBlock(Block):
    """Which cells the ``few_labels`` pipeline trains on few artists, and on how many.

    Attributes:
        cells: Shell-style patterns of the experiment's cells (``dataset.protocol.feature.model``); ``None`` means those
            that are trained without epochs, in seconds.
        n_artists: Numbers of labelled artists of each genre. A genre with fewer gives all it has; numbers that no genre
            reaches are left out. All artists are always added.
        n_draws: How often artists are drawn for each number, in each repeat.
        seed: Seed of the draws.
    """

    cells: tuple[str, ...] | None = None
    n_artists: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(default=(2, 4, 8, 16, 32), min_length=1)
    # [?] The mean over five repeats is then one over 25 draws.
    n_draws: int = Field(default=5, ge=1, le=1000)
    seed: Seed = 0

    @override
    def deciding(self) -> dict[str, Any]:
        """Return what decides the scores of a cell."""
        return self.model_dump(mode="json", exclude={"cells"})


class ExplainBlock(Block):
    """What the ``explain`` pipeline explains.

    Attributes:
        cell: Name of the trained cell, ``dataset.protocol.feature.model``.
        tracks: Ids of tracks that the cell is tested on.
        genre: The genre whose log odds are explained; ``None`` means the predicted one.
        method: ``integrated_gradients`` (networks only), ``occlusion``, or ``auto``: the first where it can be.
        n_steps: Steps of integrated gradients.
    """

    cell: CellName
    tracks: tuple[str, ...] = ()
    genre: str | None = None
    method: Method = "auto"
    n_steps: int = Field(default=64, ge=1, le=1000)


@dataclass(frozen=True)
class Experiment:
    """All parameters, checked and frozen.

    Attributes:
        settings: What is compared with what.
        datasets: Block of each dataset of the experiment, by name.
        protocols: Block of each protocol, by name.
        features: Block of each feature that a cell uses, by name.
        models: Block of each model, by name.
        storage: Where intermediate results live.
        compute: How much of the machine is used.
        evaluation: How numbers are summarised.
        predict: What the ``predict`` pipeline classifies.
        registry: Which models become champions.
        tuning: How parameters are searched.
        robustness: What the ``robustness`` pipeline does.
        explain: What the ``explain`` pipeline explains.
        unseen_genres: What the ``unseen_genres`` pipeline does.
        few_labels: What the ``few_labels`` pipeline does.
        cells: The grid, in the order dataset, protocol, model, feature.
        robustness_cells: Those of them that the ``robustness`` pipeline uses.
    """

    settings: ExperimentBlock
    datasets: Mapping[str, DatasetBlock]
    protocols: Mapping[str, ProtocolBlock]
    features: Mapping[str, FeatureBlock]
    models: Mapping[str, ModelBlock]
    storage: StorageBlock
    compute: ComputeBlock
    evaluation: EvaluationBlock
    predict: PredictBlock
    registry: RegistryBlock
    tuning: Tuning
    robustness: RobustnessBlock
    explain: ExplainBlock
    unseen_genres: UnseenGenresBlock
    few_labels: FewLabelsBlock
    cells: tuple[Cell, ...]
    robustness_cells: tuple[Cell, ...]


def load_experiment(parameters: Mapping[str, Any]) -> Experiment:
    """Check every parameter and work out the grid.

    All datasets, protocols, features and models of the YAML are checked, also those that the experiment does not
    use, so that a slip is found when it is made.

    Args:
        parameters: The merged parameters, by section.

    Returns:
        The experiment.

    Raises:
        ConfigError: If anything is missing, unknown or out of range; the message names the key, the value given and
            what is allowed.
    """
    for section in parameters:
        if section not in SECTIONS:
            raise ConfigError(f"'{section}' is not a section of the parameters. {suggestion(section, SECTIONS)}")
    settings = parse_block(ExperimentBlock, _section(parameters, "experiment"), key="experiment")
    check_name(settings.name, kind="experiment")
    training = parameters.get("training", {})
    datasets = {name: parse_dataset(name, values) for name, values in _named(parameters, "datasets")}
    protocols = {name: parse_protocol(name, values) for name, values in _named(parameters, "protocols")}
    features = {name: parse_feature(name, values) for name, values in _named(parameters, "features")}
    models = {name: parse_model(name, values, training) for name, values in _named(parameters, "models")}
    for name in protocols:
        if name in features:
            raise ConfigError(f"'{name}' names both a protocol and a feature: rename one of them.")
    interventions = {name: parse_intervention(name, values) for name, values in _named(parameters, "interventions")}
    robustness = parse_block(RobustnessBlock, _section(parameters, "robustness"), key="robustness")
    for name in robustness.interventions:
        _check_known(name, interventions, key="robustness.interventions")
    cells = _grid(settings, datasets, protocols, features, models)
    tuning = parse_tuning(parameters.get("tuning", {}), parameters["models"], training)
    predict = parse_block(PredictBlock, parameters.get("predict", {}), key="predict")
    explain = parse_block(ExplainBlock, _section(parameters, "explain"), key="explain")
    unseen_genres = parse_block(UnseenGenresBlock, parameters.get("unseen_genres", {}), key="unseen_genres")
    few_labels = parse_block(FewLabelsBlock, parameters.get("few_labels", {}), key="few_labels")
    defined = (datasets, protocols, features, models)
    parts: tuple[Mapping[str, object], ...] = defined
    for key, patterns in (
        ("robustness", robustness.cells),
        ("unseen_genres", unseen_genres.cells),
        ("few_labels", few_labels.cells or ()),
    ):
        _check_patterns(patterns, cells, parts, key=f"{key}.cells")
    for key, cell in (("tuning", tuning.block.cell), ("predict", predict.cell), ("explain", explain.cell)):
        if cell:
            for part, known in zip(cell.split("."), parts, strict=True):
                _check_known(part, known, key=f"{key}.cell")
    return Experiment(
        settings=settings,
        datasets={name: datasets[name] for name in settings.datasets},
        protocols={name: protocols[name] for name in settings.protocols},
        features={name: features[name] for name in dict.fromkeys(cell.feature for cell in cells)},
        models={name: models[name] for name in settings.models},
        storage=parse_block(StorageBlock, _section(parameters, "storage"), key="storage"),
        compute=parse_block(ComputeBlock, parameters.get("compute", {}), key="compute"),
        evaluation=parse_block(EvaluationBlock, parameters.get("evaluation", {}), key="evaluation"),
        predict=predict,
        registry=parse_block(RegistryBlock, parameters.get("registry", {}), key="registry"),
        tuning=tuning,
        robustness=robustness,
        explain=explain,
        unseen_genres=unseen_genres,
        few_labels=few_labels,
        cells=cells,
        robustness_cells=_robustness_cells(robustness, cells, defined),
    )


def parse_dataset(name: str, values: object) -> DatasetBlock:
    """Check a dataset's block.

    Raises:
        ConfigError: If its kind is not registered or a parameter is wrong.
    """
    return DatasetBlock.parse(values, key=f"datasets.{name}")


def parse_protocol(name: str, values: object) -> ProtocolBlock:
    """Check a protocol's block.

    Raises:
        ConfigError: If its kind is not registered or a parameter is wrong, or a kind that is used only by name has
            another.
    """
    spec = registered(PROTOCOLS, values, key=f"protocols.{name}")
    if spec.only_by_name and not name.startswith(spec.name):
        raise ConfigError(
            f"protocols.{name}.kind: '{spec.name}' is leaky and used only by its own name. Give the "
            f"protocol a name that begins with '{spec.name}'."
        )
    return ProtocolBlock.parse(values, key=f"protocols.{name}")


def parse_feature(name: str, values: object) -> FeatureBlock:
    """Check a feature's block.

    Raises:
        ConfigError: If its kind is not registered or a parameter is wrong.
    """
    return FeatureBlock.parse(values, key=f"features.{name}")


def parse_intervention(name: str, values: object) -> Intervention:
    """Check an intervention's block.

    Raises:
        ConfigError: If its kind is not registered or a parameter is wrong.
    """
    return Intervention.of(InterventionBlock.parse(values, key=f"interventions.{name}"))


def _section(parameters: Mapping[str, Any], section: str) -> Any:
    if section not in parameters:
        raise ConfigError(f"The parameters have no section '{section}'; it is expected in conf/base/parameters/.")
    return parameters[section]


def _named(parameters: Mapping[str, Any], section: str) -> list[tuple[str, object]]:
    blocks = _section(parameters, section)
    if not isinstance(blocks, Mapping):
        raise ConfigError(f"{section}: expected a mapping from names to parameters, got {blocks!r}.")
    return [(check_name(str(name), kind=section.removesuffix("s")), values) for name, values in blocks.items()]


def _grid(
    settings: ExperimentBlock,
    datasets: Mapping[str, object],
    protocols: Mapping[str, object],
    features: Mapping[str, FeatureBlock],
    models: Mapping[str, ModelBlock],
) -> tuple[Cell, ...]:
    chosen: tuple[tuple[Literal["datasets", "protocols", "models"], tuple[str, ...], Mapping[str, object]], ...] = (
        ("datasets", settings.datasets, datasets),
        ("protocols", settings.protocols, protocols),
        ("models", settings.models, models),
    )
    for section, names, known in chosen:
        for name in names:
            _check_known(name, known, key=f"experiment.{section}")
    # Of any model: --params "experiment.models=[svm]" leaves those of the others behind.
    for model in settings.features:
        _check_known(model, models, key="experiment.features")
    cells = []
    for dataset in settings.datasets:
        for protocol in settings.protocols:
            for model in settings.models:
                for feature in settings.features.get(model, (models[model].feature,)):
                    key = f"experiment.features.{model}" if model in settings.features else f"models.{model}.feature"
                    _check_known(feature, features, key=key)
                    cells.append(Cell(dataset, protocol, feature, model))
    kept = tuple(
        cell for cell in dict.fromkeys(cells) if not any(fnmatchcase(cell.name, each) for each in settings.exclude)
    )
    if not kept:
        raise ConfigError(f"experiment.exclude: {list(settings.exclude)} leaves no cell to run.")
    for cell in kept:
        _check_expected(models[cell.model], cell.feature, features[cell.feature])
    return kept


def _check_expected(model: ModelBlock, name: str, feature: FeatureBlock) -> None:
    """Check that a feature is what a model's weights were trained on."""
    spec = model.spec
    expected = spec.expects(model.architecture) if isinstance(spec, NetworkSpec) else None
    given = feature.dump()
    for key, value in (expected or {}).items():
        if given.get(key) != value:
            raise ConfigError(
                f"features.{name}.{key}: the weights of {model.name} need {value!r}, got {given.get(key)!r}. Choose "
                f"another feature, or set models.{model.name}.architecture.weights to null."
            )


def _robustness_cells(
    block: RobustnessBlock,
    cells: tuple[Cell, ...],
    defined: tuple[
        Mapping[str, DatasetBlock], Mapping[str, ProtocolBlock], Mapping[str, FeatureBlock], Mapping[str, ModelBlock]
    ],
) -> tuple[Cell, ...]:
    """Return the cells whose test tracks can be changed as wholes, and whose features follow.

    A pattern of cells that could be, but are not part of the experiment, is passed over: it may have been narrowed.
    """
    _, protocols, features, _ = defined
    possible = [
        cell
        for cell in cells
        if FEATURES[features[cell.feature].kind].load is None
        and "track" in PROTOCOLS[protocols[cell.protocol].kind].promises
    ]
    for pattern in block.cells:
        if pattern in {cell.name for cell in cells} - {cell.name for cell in possible}:
            raise ConfigError(
                f"robustness.cells: '{pattern}' cannot be asked: its feature is not computed from audio, or its "
                "protocol divides tracks, so that no test track can be changed as a whole. Leave it out."
            )
    return tuple(cell for cell in possible if any(fnmatchcase(cell.name, pattern) for pattern in block.cells))


def _check_patterns(
    patterns: Iterable[str], cells: Sequence[Cell], defined: Sequence[Mapping[str, object]], *, key: str
) -> None:
    """Refuse a pattern that is no cell at all. One of cells outside the experiment may be left of a wider one."""
    for pattern in patterns:
        if not any(fnmatchcase(cell.name, pattern) for cell in cells) and not any(
            fnmatchcase(".".join(parts), pattern) for parts in product(*defined)
        ):
            raise ConfigError(
                f"{key}: '{pattern}' is no cell of the experiment, and no other. "
                f"{suggestion(pattern, [cell.name for cell in cells])}"
            )


def _check_known(name: str, known: Mapping[str, object], *, key: str) -> None:
    if name not in known:
        raise ConfigError(f"{key}: '{name}' is not defined. {suggestion(name, known)}")
