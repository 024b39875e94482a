"""Draw every kind of feature of one track of the demo's music: ``python docs/draw_features.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import yaml

from genre_pipeline.blocks import parse_block
from genre_pipeline.demo.rendering import TrackNumber, render
from genre_pipeline.features import FEATURES, extract_features

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
PRESETS = {
    "stft_30ms": "STFT, 513 bins, dB",
    "log_mel_128": "log-mel, 128 bands, dB",
    "log_mel_30ms": "log-mel on the HTK scale, dB",
    "cqt_36": "constant-Q, 8 octaves of 36 bins, dB",
    "mfcc_20": "MFCC 2 to 20 (the 1st is the loudness)",
    "chroma_12": "chroma, 12 pitch classes",
}
DURATION_S = 8.0
SAMPLE_RATE = 22050


def main() -> None:
    """Write ``docs/images/features.png``."""
    # Genre 2 of the demo's, its first artist's first track.
    stereo = render(TrackNumber(seed=0, genre=2, artist=0, album=0, track=0), duration_s=30.0, sample_rate=SAMPLE_RATE)
    waveform = stereo.mean(axis=0).astype(np.float32)[: int(DURATION_S * SAMPLE_RATE)]
    requests = []
    for name in PRESETS:
        text = (ROOT / "conf/base/parameters/features" / f"{name}.yml").read_text(encoding="utf-8")
        values = yaml.safe_load(text)["features"][name]
        spec = FEATURES[values["kind"]]
        requests.append((spec, parse_block(spec.block, values, key=name)))
    figure, axes = plt.subplots(3, 2, figsize=(11, 8), layout="constrained", sharex=True)
    for axis, title, name, frames in zip(
        axes.flat, PRESETS.values(), PRESETS, extract_features(waveform, requests), strict=True
    ):
        rows = frames[1:] if name == "mfcc_20" else frames
        image = axis.imshow(
            rows,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(0, DURATION_S, 0, len(rows)),
            cmap="RdBu_r" if name == "mfcc_20" else "magma",
            vmin=-np.abs(rows).max() if name == "mfcc_20" else None,
            vmax=np.abs(rows).max() if name == "mfcc_20" else None,
        )
        axis.set_title(f"{name}: {title}", fontsize=10, loc="left")
        figure.colorbar(image, ax=axis, pad=0.01)
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    figure.savefig(ROOT / "docs/images/features.png", dpi=90)


if __name__ == "__main__":
    main()
