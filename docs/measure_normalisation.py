"""Train MusicNeXt with and without normalisation at several learning rates: ``python docs/measure_normalisation.py``.

Small, so that it takes minutes on two cores: a sixth of the widths, all of the depth, the demo's six genres. Writes
``docs/images/musicnext_normalisation.png`` and prints the table of ``docs/models/ambiguities.md``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from genre_pipeline.demo.composition import GENRES
from genre_pipeline.demo.rendering import TrackNumber, render
from genre_pipeline.errors import RepeatFailedError
from genre_pipeline.features import FEATURES
from genre_pipeline.reporting.model_cards import read_presets
from genre_pipeline.training import EpochRecord, SegmentSet, parse_model
from genre_pipeline.training.fitting import Task, fit

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
RATES = (1e-4, 1e-3, 1e-2)
N_ARTISTS, N_SEGMENTS, N_EPOCHS = 8, 2, 8


def main() -> None:
    """Train, print and draw."""
    preset = next(each for each in read_presets(ROOT / "conf/base") if each.name == "musicnext")
    sets = [segments(preset.feature, artists) for artists in (range(N_ARTISTS - 2), range(N_ARTISTS - 2, N_ARTISTS))]
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.4), sharey=True, layout="constrained")
    print("| normalisation | learning rate | training loss, epoch 1 to last | validation accuracy, best |")
    print("|---|--:|---|--:|")
    for axis, block_norm in zip(axes, (False, True), strict=True):
        for rate in RATES:
            history, end = train(preset.feature, sets, block_norm=block_norm, rate=rate)
            losses = [record.train_loss for record in history]
            best = max((record.validation_accuracy for record in history), default=float("nan"))
            curve = ", ".join(f"{loss:.3g}" for loss in losses) + end
            print(f"| {'yes' if block_norm else 'no'} | {rate:g} | {curve} | {100 * best:.0f} % |", flush=True)
            axis.plot(range(1, len(losses) + 1), losses, marker="o", markersize=3, label=f"{rate:g}{end}")
        axis.axhline(np.log(len(GENRES)), color="grey", linestyle=":")
        axis.set(xlabel="epoch", yscale="log", title="normalised" if block_norm else "not normalised (MusicNeXt)")
        axis.legend(title="learning rate")
    axes[0].set_ylabel("training loss; dotted: chance")
    figure.savefig(ROOT / "docs/images/musicnext_normalisation.png", dpi=100)


def segments(feature, artists: range) -> SegmentSet:  # noqa: ANN001
    """Return the segments of one track of each of some artists of each genre."""
    spec = FEATURES[feature.kind]
    arrays: list[NDArray[np.float32]] = []
    targets: list[int] = []
    n_frames = feature.segment.n_frames
    for genre in range(len(GENRES)):
        for artist in artists:
            number = TrackNumber(seed=0, genre=genre, artist=artist, album=0, track=0)
            duration_s = (N_SEGMENTS * n_frames * feature.hop_length) / feature.sample_rate
            stereo = render(number, duration_s=duration_s, sample_rate=feature.sample_rate)
            frames = spec.extract(stereo.mean(axis=0).astype(np.float32), feature)
            arrays += [frames[:, n * n_frames : (n + 1) * n_frames] for n in range(N_SEGMENTS)]
            targets += [genre] * N_SEGMENTS
    return SegmentSet(np.stack(arrays), np.array(targets, dtype=np.int64))


def train(feature, sets: list[SegmentSet], *, block_norm: bool, rate: float) -> tuple[list[EpochRecord], str]:  # noqa: ANN001
    """Return what the epochs brought, and how the training ended if it had to end early."""
    architecture = {
        "widths": [16, 32, 64, 128],
        "block_norm": block_norm,
        "activation": "elu",
        "activation_after": "depthwise",
        "layer_scale": None,
        # Softmax: the margin, as it is annealed, raises the training loss by itself.
        "head": {"kind": "linear", "bias": False},
    }
    recipe = {
        "optimiser": "adam",
        "learning_rate": rate,
        "batch_size": 16,
        "max_epochs": N_EPOCHS,
        "precision": "float32",
        "device": "cpu",
        "n_threads": 2,
    }
    values = {"family": "convnext", "feature": "log_mel_hop256", "architecture": architecture, "training": recipe}
    history: list[EpochRecord] = []
    try:
        fit(Task("x", parse_model("musicnext", values), feature, len(GENRES), 0, *sets), history.append)
    except RepeatFailedError:
        return history, ", not finite"
    return history, ""


if __name__ == "__main__":
    main()
