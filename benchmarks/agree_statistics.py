"""Compare our hand-made statistics with the feature table of GTZAN that is commonly used, column by column.

Run ``GENRE_PIPELINE_REAL_DATA=<folder> python benchmarks/agree_statistics.py``. The original WAV files show whether the
computation is the same; the re-encoded ones show how much a lossy codec changes each number.
"""

from __future__ import annotations

import argparse
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from genre_pipeline.audio import read_waveform
from genre_pipeline.blocks import parse_block
from genre_pipeline.features import FEATURES
from genre_pipeline.features.statistics import StatisticsBlock

BLOCK = parse_block(
    StatisticsBlock,
    {
        "kind": "statistics",
        "sample_rate": 22050,
        "hop_length": 512,
        "n_fft": 2048,
        "segment": {"n_frames": 1, "hop_frames": 1},
    },
    key="features.statistics_57",
)


def statistics_of(path: Path) -> np.ndarray:
    warnings.simplefilter("ignore")
    return FEATURES["statistics"].extract(read_waveform(path, sample_rate=BLOCK.sample_rate), BLOCK)[:, 0]


def compared(paths: list[Path], table: pd.DataFrame) -> pd.DataFrame:
    """Return the median and the largest relative difference of each column."""
    with ProcessPoolExecutor(2) as pool:
        ours = np.stack(list(pool.map(statistics_of, paths)))
    # The table names its variances of harmony and percussion, and its columns, as ours do.
    theirs = table.loc[[path.stem for path in paths], list(BLOCK.columns)].to_numpy(dtype=np.float64)
    relative = np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-12)
    return pd.DataFrame({"median": np.median(relative, axis=0), "largest": relative.max(axis=0)}, index=BLOCK.columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-tracks", type=int, default=60, help="re-encoded tracks, evenly taken from all")
    arguments = parser.parse_args()
    root = Path(os.environ["GENRE_PIPELINE_REAL_DATA"])
    table = pd.read_csv(root / "metadata" / "gtzan_kaggle_features_30_sec.csv")
    table = table.set_index(table["filename"].str.removesuffix(".wav"))
    originals = sorted((root / "gtzan6_original").rglob("*.wav"))
    encoded = sorted((root / "gtzan6").rglob("*.ogg"))
    encoded = [encoded[place] for place in np.linspace(0, len(encoded) - 1, arguments.n_tracks).astype(int)]
    first, second = compared(originals, table), compared(encoded, table)
    print(f"| column | {len(originals)} originals: median | largest | {len(encoded)} re-encoded: median | largest |")
    print("|---|---|---|---|---|")
    for column in BLOCK.columns:
        numbers = " | ".join(f"{value:.1e}" for value in (*first.loc[column], *second.loc[column]))
        print(f"| {column} | {numbers} |")


if __name__ == "__main__":
    main()
