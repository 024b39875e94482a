"""Compare libraries' real Fourier transforms with the compiled code, which also applies the window and takes energies.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_transforms.py``. Libraries that are not installed are left out; ducc0,
pyfftw and mkl_fft are none of the project's dependencies. They take turns; the time is the least of the rounds.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import numpy as np
import scipy.fft
import torch

from genre_pipeline.audio.compiled_spectra import Transform

N_ROUNDS = 15


def libraries(frames: np.ndarray) -> dict[str, Callable[[], object]]:
    jobs: dict[str, Callable[[], object]] = {
        "torch": lambda: torch.fft.rfft(torch.from_numpy(frames)),
        "scipy": lambda: scipy.fft.rfft(frames, axis=1),
        "numpy": lambda: np.fft.rfft(frames, axis=1),
    }
    if importlib.util.find_spec("mkl_fft"):
        import mkl_fft

        jobs["mkl_fft"] = lambda: mkl_fft.rfft(frames, axis=1)
    if importlib.util.find_spec("ducc0"):
        import ducc0

        jobs["ducc0"] = lambda: ducc0.fft.r2c(frames, axes=[1], nthreads=1)
    if importlib.util.find_spec("pyfftw"):
        import pyfftw

        plan = pyfftw.builders.rfft(frames.copy(), axis=1, threads=1, planner_effort="FFTW_MEASURE")
        jobs["pyfftw"] = lambda: plan(frames)
    return jobs


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    print("microseconds for each frame")
    for n_fft, n_frames, dtype in ((2048, 16, "float32"), (2048, 128, "float32"), (2048, 128, "float64")):
        frames = rng.standard_normal((n_frames, n_fft)).astype(dtype)
        samples = frames.astype(np.float32).ravel()
        transform = Transform(np.hanning(n_fft + 1)[:-1].astype(dtype))
        jobs = libraries(frames) | {
            "compiled": lambda samples=samples, transform=transform, n=n_frames: transform.energies(samples, 512, n)
        }
        taken: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(N_ROUNDS):
            for name, job in jobs.items():
                start = time.perf_counter()
                job()
                taken[name].append(time.perf_counter() - start)
        times = ", ".join(f"{name} {1e6 * min(each) / n_frames:.1f}" for name, each in taken.items())
        print(f"{n_frames} frames of {n_fft}, {dtype}: {times}", flush=True)


if __name__ == "__main__":
    main()
