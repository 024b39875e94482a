"""Writing a classifier to a file, with its card, and checking that the file answers as the model does."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from genre_pipeline.errors import ConfigError, ExportError
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.exports.classifier import Classifier
from genre_pipeline.exports.running import CARD, INPUT, OUTPUTS, onnx_session
from genre_pipeline.features import FeatureBlock
from genre_pipeline.features.analysis import Samples
from genre_pipeline.storage import atomic_file

Format = Literal["onnx", "torch"]
# From a waveform to the probabilities of the recording and of its segments.
Run = Callable[[Samples], Sequence[NDArray[np.float32]]]

TOLERANCE = 1e-4
"""How far a probability of the file may be from the model's [D]: the sixth digit of float32, summed over a network."""

# Runs in onnxruntime 1.32 and onnxruntime-web 1.30, newer ones were not tried [?].
_OPSET = 20
# What is multiplied in eight bits [?]: not convolutions, of which this was not tried.
_QUANTISED = ["MatMul", "Gemm", "LSTM"]
# Parts of the graph that eight bits would spoil: small levels; shares beside values ten times as large.
_EXACT = ("front_end", "kernels")


class Recording(NamedTuple):
    """A waveform, and what the model answers.

    Attributes:
        waveform: Mono samples at the feature's rate, shape ``(n_samples,)``, float32.
        probabilities: Of its segments, shape ``(n_segments, n_genres)``.
    """

    waveform: Samples
    probabilities: NDArray[np.float64]


class Comparison(NamedTuple):
    """How a file's answers differ from the model's.

    Attributes:
        difference: The greatest difference of a probability of a recording.
        segment_difference: The greatest difference of a probability of a segment.
        agreement: Share of the recordings of which both name the same genre first.
    """

    difference: float
    segment_difference: float
    agreement: float


def least_samples(feature: FeatureBlock) -> int:
    """Return the length of the shortest waveform that can be classified.

    Args:
        feature: The feature's parameters.
    """
    if feature.own_samples is not None:
        return feature.own_samples
    if feature.padding is not None:
        return feature.padding.least
    # A spectrum takes a whole frame of samples.
    return max(feature.samples_of(feature.segment.n_frames), getattr(feature, "n_fft", 1))


def write(
    predictor: GenrePredictor,
    path: Path,
    recordings: Sequence[Recording],
    card: Mapping[str, Any],
    *,
    form: Format = "onnx",
    quantised: bool = False,
) -> Comparison:
    """Write a model with its front-end to a file, if the file answers as the model does.

    Args:
        predictor: The model.
        path: The file, which appears whole or not at all.
        recordings: What it is checked on.
        card: What is to know of the model: it is kept in the file as JSON.
        form: ``onnx``, or ``torch`` for an archive of ``torch.export``.
        quantised: Whether the models' matrices are kept in eight bits. Those of the front-end and of random
            convolutions are not. The file must answer as the model does before that.

    Returns:
        How its answers differ from the model's.

    Raises:
        ConfigError: If such a model cannot be exported, or a package is missing.
        ExportError: If the answers differ by more than 1e-4.
        StorageError: If the file cannot be written.
    """
    write_file, run_file = (_write_onnx, _run_onnx) if form == "onnx" else (_write_archive, _run_archive)
    exported = _exported(predictor)
    with atomic_file(path) as temporary:
        write_file(exported, temporary, card)
        compared = compare(run_file(temporary), recordings)
        if not compared.segment_difference <= TOLERANCE:
            raise ExportError(
                f"{path} was not written: its probabilities differ from the model's by up to "
                f"{compared.segment_difference:.1e}, expected at most {TOLERANCE:g}. Choose another cell: "
                "--params predict.cell=NAME"
            )
        if quantised:
            _quantise(temporary)
            compared = compare(run_file(temporary), recordings)
    return compared


def compare(run: Run, recordings: Sequence[Recording]) -> Comparison:
    """Compare a file's answers with the model's.

    Args:
        run: The file.
        recordings: The recordings, at least one.
    """
    of_recordings, of_segments, same = [], [], []
    for each in recordings:
        probabilities, segments = run(each.waveform)
        expected = each.probabilities.mean(axis=0)
        of_segments.append(np.abs(segments - each.probabilities).max())
        of_recordings.append(np.abs(probabilities - expected).max())
        same.append(probabilities.argmax() == expected.argmax())
    return Comparison(float(np.max(of_recordings)), float(np.max(of_segments)), float(np.mean(same)))


def _exported(predictor: GenrePredictor) -> torch.export.ExportedProgram:
    feature = predictor.feature
    # Several segments, and no rule for one: the exporter would fix their number, or refuse a single one.
    n_samples = 3 * least_samples(feature) + 1
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-0.1, 0.1, n_samples).astype(np.float32))
    classifier, shapes = Classifier(predictor), ({0: torch.export.Dim.DYNAMIC},)
    # The module gets this method when it is imported.
    patched = torch.fx.experimental._config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    try:
        with _quiet(), patched:
            return torch.export.export(classifier, (noise,), dynamic_shapes=shapes)
    except Exception as error:  # the exporter's have no common class
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"{predictor.cell} cannot be exported: PyTorch cannot write it as a graph ({reason}). Choose another cell: "
            "--params predict.cell=NAME"
        ) from error


def _write_onnx(exported: torch.export.ExportedProgram, path: Path, card: Mapping[str, Any]) -> None:
    onnx = _onnx()
    with _quiet():
        program: Any = torch.onnx.export(
            exported,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = program.model_proto
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD: json.dumps(card)})
    onnx.save(model, path)


def _run_onnx(path: Path) -> Run:
    session = onnx_session(path)
    return lambda waveform: session.run(list(OUTPUTS), {INPUT: waveform})


def _quantise(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    onnx = _onnx()
    model = onnx.load(path)
    exact = [node.name for node in model.graph.node if any(part in str(node.metadata_props) for part in _EXACT)]
    with _quiet():
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=_QUANTISED,
            # onnxruntime first replaces each Gemm by a MatMul of this name.
            nodes_to_exclude=[*exact, *(f"{name}_MatMul" for name in exact)],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )


def _write_archive(exported: torch.export.ExportedProgram, path: Path, card: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        torch.export.save(exported, file, extra_files={CARD: json.dumps(card)})


def _run_archive(path: Path) -> Run:
    with path.open("rb") as file:
        program = torch.export.load(file).module()
    return lambda waveform: [each.numpy() for each in program(torch.from_numpy(waveform))]


def _onnx() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise ConfigError(
            "Exporting to ONNX needs the packages onnx and onnxscript. Install them: pip install 'genre-pipeline[onnx]'"
        ) from error
    return onnx


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters from telling of packages that are not needed, and of each other's old ways."""
    names = ("torch.onnx", "root", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
