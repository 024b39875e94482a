"""What each node's results depend on: the versions of its code, the parameters that count, the parts it reads.

This is what ``kedro refresh`` knows of the pipeline. Whoever changes what a node computes raises its version here, or
that of the code below it; whoever makes a node read another column or key says so here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from genre_pipeline.audio import INSPECTION_VERSION
from genre_pipeline.audio.acoustic import ACOUSTIC_VERSION
from genre_pipeline.catalog.whole_file_datasets import OptionalMixin
from genre_pipeline.cells import Cell
from genre_pipeline.datasets.copies import COPIES_VERSION
from genre_pipeline.evaluation.prediction import PREDICTIONS_VERSION
from genre_pipeline.experiment import parse_dataset, parse_feature, parse_protocol
from genre_pipeline.features import FEATURES
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.pipelines.compare import nodes as compare
from genre_pipeline.pipelines.evaluate import nodes as evaluate
from genre_pipeline.pipelines.features import nodes as features
from genre_pipeline.pipelines.ingest.cards import write_dataset_card
from genre_pipeline.pipelines.ingest.nodes import ingest_dataset
from genre_pipeline.pipelines.segment.nodes import segment_dataset
from genre_pipeline.pipelines.split.cards import write_split_card
from genre_pipeline.pipelines.split.nodes import split_dataset
from genre_pipeline.pipelines.train.nodes import train_cell
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.refresh import Entry, Graph, Source, Step
from genre_pipeline.splits.splitting import SPLITS_VERSION
from genre_pipeline.training import ModelBlock, parse_model
from genre_pipeline.training.cell_data import CELL_DATA_VERSION
from genre_pipeline.training.repeats import TRAINING_VERSION

Parameters = Mapping[str, Any]

# Parts of reports that tell how a session went.
_VOLATILE = {
    "quality": ("n_inspected", "n_reused"),
    "extraction": ("n_extracted", "n_copied", "n_reused", "n_removed"),
}
# Parameters that say where and how fast, not what.
_PLACES = ("storage", "compute")


@dataclass(frozen=True)
class Dependence:
    """What a node's results depend on, besides its inputs.

    Attributes:
        versions: Version of each part of the code.
        parameters: The parameters that count, by section and name.
        reads: The parts of an input that are read, by the last part of the entry's name; of others, all are.
        files: Files that are read and that no entry stands for.
        source: The dataset whose files are read.
    """

    versions: dict[str, int | str]
    parameters: dict[str, Any] = field(default_factory=dict)
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    source: str = ""


def describe_pipeline(pipeline: Pipeline, catalog: DataCatalog, parameters: Parameters, *, key: str = "") -> Graph:
    """Say what every node of a pipeline depends on.

    Args:
        pipeline: The pipeline. A node that has a result in no file cannot be recorded, and is left out.
        catalog: The catalog, which says where results are.
        parameters: Merged parameters.
        key: What the graph was made from: see :func:`genre_pipeline.refresh.graph.graph_key`.
    """
    entries = {name: entry_of(name, catalog) for name in pipeline.datasets() if not _is_parameter(name)}
    optional = {
        name: entry.path
        for name, entry in entries.items()
        if entry is not None and isinstance(catalog.get(name), OptionalMixin)
    }
    steps = [_step(node, parameters, optional) for node in pipeline.nodes]
    known = {name: entry for name, entry in entries.items() if entry is not None}
    return Graph(
        key=key,
        steps=tuple(step for step in steps if known.keys() >= {*step.inputs, *step.outputs}),
        entries=known,
    )


def _is_parameter(name: str) -> bool:
    return name == "parameters" or name.startswith("params:")


def entry_of(name: str, catalog: DataCatalog) -> Entry | None:
    """Return where a catalog entry is; none for one that is in no file.

    Args:
        name: The entry.
        catalog: The catalog.
    """
    dataset: Any = catalog.get(name)
    if not hasattr(dataset, "_filepath"):
        return None
    return Entry(
        path=PROJECT_ROOT / str(dataset._filepath),
        versioned=dataset._version is not None,
        volatile=_VOLATILE.get(name.rpartition(".")[2], ()),
    )


def _step(node: Node, parameters: Parameters, optional: Mapping[str, Path]) -> Step:
    """Describe a node. What may be missing is a file that is read, not an input, which would have to be made first."""
    function: Any = node.func
    known: dict[str, Any] = {}
    if isinstance(function, partial):
        function, known = function.func, function.keywords
    declared = _DEPENDENCES.get(function)
    found = _everything(node, parameters) if declared is None else declared(parameters, **known)
    entries = [name for name in node.inputs if not _is_parameter(name)]
    return Step(
        name=node.name,
        versions=found.versions,
        parameters=found.parameters,
        inputs={entry: found.reads.get(entry.rpartition(".")[2]) for entry in entries if entry not in optional},
        outputs=tuple(node.outputs),
        files=(*found.files, *(optional[entry] for entry in entries if entry in optional)),
        source=_source(found.source, parameters, node) if found.source else None,
    )


def _everything(node: Node, parameters: Parameters) -> Dependence:
    """Return what a node depends on of which nothing is declared: all that it takes, wherever it is computed."""
    names = [name.removeprefix("params:") for name in node.inputs if name.startswith("params:")]
    return Dependence({}, {name: _value(parameters, name) for name in names if name not in _PLACES})


def _value(parameters: Parameters, name: str) -> Any:
    value: Any = parameters
    for part in name.split("."):
        value = value[part]
    return value


def _source(dataset: str, parameters: Parameters, node: Node) -> Source:
    block = parse_dataset(dataset, parameters["datasets"][dataset])
    tracks, quality = node.outputs
    return Source(
        dataset=dataset,
        kind=block.kind,
        parameters=block.dump(),
        cache=Path(parameters["storage"]["ingest"]) / f"{dataset}.parquet",
        tracks=tracks,
        quality=quality,
    )


def _ingest(parameters: Parameters, *, name: str) -> Dependence:
    block = parse_dataset(name, parameters["datasets"][name])
    return Dependence(
        {"ingest": 3, "inspection": INSPECTION_VERSION, "acoustic": ACOUSTIC_VERSION, "copies": COPIES_VERSION},
        _dataset_parameters(parameters, name),
        # Where it is an archive: it may be replaced by another one.
        files=() if block.path == block.root else (block.path,),
        source=name,
    )


def _dataset_card(parameters: Parameters, *, name: str) -> Dependence:  # noqa: ARG001
    return Dependence({"data_card": 2})


def _split(parameters: Parameters, *, name: str, protocol_name: str) -> Dependence:
    return Dependence(
        {"splits": SPLITS_VERSION, "audit": 3, "identities": 2},
        {
            # For the lists that ship with the dataset.
            **_dataset_parameters(parameters, name),
            f"protocols.{protocol_name}": parse_protocol(protocol_name, parameters["protocols"][protocol_name]).dump(),
        },
        {
            "tracks": (
                "track_id",
                "genre",
                "artist",
                "album",
                "duration_s",
                "content_hash",
                "audio_hash",
                "recording",
                "quarantined",
            ),
            "quality": ("subset",),
        },
    )


def _split_card(parameters: Parameters) -> Dependence:  # noqa: ARG001
    return Dependence({"split_card": 3}, reads={"quality": ("title",)})


def _segment(parameters: Parameters, *, feature_name: str) -> Dependence:
    return Dependence(
        {"segments": 1},
        _feature_parameters(parameters, feature_name),
        {"tracks": ("track_id", "genre", "sample_rate", "n_samples", "quarantined")},
    )


def _extract(parameters: Parameters, *, name: str, feature_name: str) -> Dependence:  # noqa: ARG001
    block = parse_feature(feature_name, parameters["features"][feature_name])
    spec = FEATURES[block.kind]
    return Dependence(
        {f"features.{block.kind}": spec.version},
        _feature_parameters(parameters, feature_name),
        {
            "tracks": ("track_id", "path", "audio_hash", "start_sample", "n_samples", "quarantined"),
            "segments": ("track_id",),
        },
        # What is not computed from audio is read from files that the user may replace.
        files=(Path(block.path),) if spec.load and hasattr(block, "path") else (),
    )


def _draw_features(parameters: Parameters, *, title: str) -> Dependence:  # noqa: ARG001
    return Dependence({"feature_pictures": 1}, reads={"tracks": ("track_id", "genre")})


def _train(parameters: Parameters, *, cell: Cell) -> Dependence:
    model = _model(parameters, cell)
    is_estimator = isinstance(model.spec, EstimatorSpec)
    # An estimator has no recipe, and another version of its library could not read its file.
    libraries: dict[str, int | str] = {"scikit-learn": version("scikit-learn")} if is_estimator else {}
    recipe = {} if is_estimator else {"training": model.training.recipe()}
    return Dependence(
        {
            "training": TRAINING_VERSION,
            "cell_data": CELL_DATA_VERSION,
            f"models.{model.family}": model.spec.version,
            **libraries,
        },
        {
            **_feature_parameters(parameters, cell.feature),
            f"models.{cell.model}": {"family": model.family, "architecture": model.architecture.dump(), **recipe},
            "experiment.seed": parameters["experiment"]["seed"],
        },
        {"audit": ("split_hash", "leaky", "artists_unknown", "subset")},
    )


def _predict(parameters: Parameters, *, cell: Cell) -> Dependence:  # noqa: ARG001
    return Dependence({"predictions": PREDICTIONS_VERSION})


def _score(parameters: Parameters, *, cell: Cell) -> Dependence:
    return Dependence(
        {"score": 3},
        {
            "evaluation": parameters["evaluation"],
            f"models.{cell.model}.reference": _model(parameters, cell).spec.reference,
        },
        {"tracks": ("track_id", "artist")},
    )


def _register(parameters: Parameters, *, cell: Cell) -> Dependence:  # noqa: ARG001
    return Dependence(
        {"registration": 2},
        {
            "evaluation": parameters["evaluation"],
            "registry": parameters["registry"],
            "experiment.name": parameters["experiment"]["name"],
        },
        {"tracks": ("track_id", "artist"), "audit": ("design", "unit")},
    )


def _pair_cells(parameters: Parameters) -> Dependence:
    return Dependence(
        {"pairs": 2},
        {"evaluation": parameters["evaluation"]},
        {"tracks": ("track_id", "artist"), "audit": ("unit",)},
    )


def _mistakes(parameters: Parameters, *, cell: Cell) -> Dependence:
    counted = {**_dataset_parameters(parameters, cell.dataset), "evaluation": parameters["evaluation"]}
    return Dependence({"mistakes": 1, "pictures": 1}, counted)


def _collect(parameters: Parameters) -> Dependence:  # noqa: ARG001
    return Dependence({"collect": 3})


def _rank(parameters: Parameters) -> Dependence:  # noqa: ARG001
    return Dependence({"leaderboard": 3})


def _tabulate(parameters: Parameters) -> Dependence:  # noqa: ARG001
    return Dependence({"metrics": 2})


def _compare_settings(parameters: Parameters) -> Dependence:
    return Dependence({"settings": 2}, {"evaluation": parameters["evaluation"]})


def _draw_comparison(parameters: Parameters) -> Dependence:
    return Dependence({"figures": 3}, {"evaluation": parameters["evaluation"]})


def _draw_stills(parameters: Parameters) -> Dependence:  # noqa: ARG001
    return Dependence({"stills": 2})


def _report(parameters: Parameters) -> Dependence:
    return Dependence(
        {"report": 4},
        {"evaluation": parameters["evaluation"], "experiment.title": parameters["experiment"]["title"]},
    )


def _dataset_parameters(parameters: Parameters, name: str) -> dict[str, Any]:
    """Return a dataset's parameters but where it is and its links lead: its files are compared, and may be moved."""
    values = parse_dataset(name, parameters["datasets"][name]).dump()
    return {f"datasets.{name}": {key: value for key, value in values.items() if key not in {"path", "links_within"}}}


def _feature_parameters(parameters: Parameters, name: str) -> dict[str, Any]:
    return {f"features.{name}": parse_feature(name, parameters["features"][name]).dump()}


def _model(parameters: Parameters, cell: Cell) -> ModelBlock:
    return parse_model(cell.model, parameters["models"][cell.model], parameters.get("training"))


_DEPENDENCES: dict[Callable[..., Any], Callable[..., Dependence]] = {
    ingest_dataset: _ingest,
    write_dataset_card: _dataset_card,
    split_dataset: _split,
    write_split_card: _split_card,
    segment_dataset: _segment,
    features.extract_features: _extract,
    features.draw_features: _draw_features,
    train_cell: _train,
    evaluate.predict_segments: _predict,
    evaluate.score_cell: _score,
    evaluate.register_model: _register,
    compare.pair_cells: _pair_cells,
    compare.list_mistakes: _mistakes,
    compare.collect_protocol: _collect,
    compare.collect_dataset: _collect,
    compare.join_pairs: _collect,
    compare.rank_cells: _rank,
    compare.tabulate_metrics: _tabulate,
    compare.compare_settings: _compare_settings,
    compare.draw_comparison: _draw_comparison,
    compare.draw_stills: _draw_stills,
    compare.write_report: _report,
}
