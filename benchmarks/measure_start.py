"""Measure the CPU time of the first answer of ``genre-pipeline predict``, and of the parts that take most of it.

Each row is the median of processes of their own, user and system time together. Everything after the script's own
options is given to the command.

    kedro run --pipelines train_all --experiment test
    OMP_NUM_THREADS=1 python benchmarks/measure_start.py --experiment test data/01_raw/demo/house/house_001.wav
    OMP_NUM_THREADS=1 python benchmarks/measure_start.py --model demo.onnx data/01_raw/demo/house/house_001.wav
"""

from __future__ import annotations

import argparse
import statistics
import sys

from measure_prediction_memory import measure

CONFIGURATION = "from genre_pipeline.configuration import load_configuration as load; load()['catalog']"
PARTS = {
    "PyTorch": "import torch",
    "pandas": "import pandas",
    "onnxruntime": "import onnxruntime",
    "the configuration": CONFIGURATION,
    "skops, with all of scikit-learn": "import skops.io",
}


def seconds(arguments: list[str], n_rounds: int) -> float:
    return statistics.median(measure([sys.executable, *arguments])[1] for _ in range(n_rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options, arguments = parser.parse_known_args()
    print("| part | CPU (s) |\n|---|--:|", flush=True)
    start = seconds(["-c", "pass"], options.rounds)
    for name, code in PARTS.items():
        print(f"| {name} | {seconds(['-c', code], options.rounds) - start:.2f} |", flush=True)
    whole = seconds(["-m", "genre_pipeline", "predict", *arguments], options.rounds)
    print(f"| predict {' '.join(arguments)} | {whole:.2f} |", flush=True)


if __name__ == "__main__":
    main()
