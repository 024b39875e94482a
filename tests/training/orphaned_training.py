"""A process that is killed while trainings run beside it: run by ``test_workers.py``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import training_jobs
from genre_pipeline.training.workers import Trainers


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    jobs = [training_jobs.job(Path(sys.argv[1]), repeat, training_jobs.go_on_for_ever) for repeat in range(2)]
    Trainers(n_workers=2).train(jobs, on_epoch=die, on_end=die)
