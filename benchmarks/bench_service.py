"""Measure the HTTP service: load, memory, lost workers, damaged files and made-up requests.

Starts `genre-pipeline serve` with an experiment that was trained, and prints Markdown. What is given 0 is left out.

    python benchmarks/bench_service.py --experiment demo --requests 1000 --long 10000 --mutants 3200 --schemathesis
"""

from __future__ import annotations

import argparse
import io
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import requests
import soundfile

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from mutated_music import FORMATS, bombs, mutate, sound_file


def song(seconds: float) -> bytes:
    """Return an MP3 of 44.1 kHz stereo: chords in noise."""
    rate, rng = 44_100, np.random.default_rng(0)
    times = np.arange(int(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * hertz * times) * (np.sin(np.pi * times) ** 2) for hertz in (220, 277, 330, 440))
    stereo = np.stack([0.1 * tones + 0.02 * rng.standard_normal(len(times)) for _ in range(2)], axis=1)
    file = io.BytesIO()
    soundfile.write(file, stereo, rate, format="MP3")
    return file.getvalue()


@contextmanager
def serving(experiment: str, *options: str, token: str = ""):
    command = [
        str(Path(sys.executable).with_name("genre-pipeline")),
        "serve",
        "--experiment",
        experiment,
        "--port",
        "0",
    ]
    with subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "GENRE_PIPELINE_TOKEN": token},
    ) as process:
        line = process.stdout.readline()
        if not line:
            sys.exit("The service did not start. Start it by hand to see why: " + " ".join(command))
        yield line.split()[0], psutil.Process(process.pid)
        process.send_signal(signal.SIGTERM)


def megabytes(process: psutil.Process) -> float:
    """Memory of the service and its workers; shared pages count in parts."""
    return sum(each.memory_full_info().pss for each in [process, *process.children(recursive=True)]) / 2**20


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def load(url: str, process: psutil.Process, content: bytes, n_requests: int, n_clients: int) -> None:
    memory, durations, bad = [], [], Counter()
    local = threading.local()

    def ask(number: int) -> None:
        session = local.__dict__.setdefault("session", requests.Session())
        started = time.perf_counter()
        answer = session.post(f"{url}/predict", files={"files": ("song.mp3", content)}, timeout=120)
        durations.append(time.perf_counter() - started)
        if answer.status_code != 200 or answer.json()["files"][0]["error"]:
            bad[answer.status_code] += 1
        if number % max(1, n_requests // 10) == 0:
            memory.append(megabytes(process))

    for number in range(8):
        ask(number)
    memory, durations = [], []
    started = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as threads:
        list(threads.map(ask, range(n_requests)))
    rate = n_requests / (time.perf_counter() - started)
    print(
        f"| {n_clients} | {n_requests:,} | {rate:.1f} | {1000 * quantile(durations, 0.5):.0f} | "
        f"{1000 * quantile(durations, 0.99):.0f} | {sum(bad.values())} | {memory[0]:.0f} | {memory[-1]:.0f} |"
    )


def watch_memory(url: str, process: psutil.Process, content: bytes, n_requests: int) -> None:
    """Send the song once in ten requests, else its first 3 s, with two clients."""
    short = song(3.0)
    bad: Counter[str] = Counter()
    print("| requests | service (MB) | workers (MB) | processes | requests/s | failed |\n|--:|--:|--:|--:|--:|--:|")

    def ask(number: int) -> None:
        file = content if number % 10 == 0 else short
        answer = requests.post(f"{url}/predict", files={"files": ("song.mp3", file)}, timeout=120)
        if answer.status_code != 200 or answer.json()["files"][0]["error"]:
            bad[str(answer.status_code)] += 1

    started, sent = time.perf_counter(), 0
    with ThreadPoolExecutor(2) as threads:
        for until in (20, n_requests // 10, n_requests // 2, n_requests):
            list(threads.map(ask, range(sent, until)))
            sent = until
            service, *others = (each.memory_info().rss >> 20 for each in (process, *process.children(recursive=True)))
            rate = sent / (time.perf_counter() - started)
            # The forkserver and the tracker of resources are no workers.
            workers = " + ".join(map(str, sorted(others)[-2:]))
            print(f"| {sent:,} | {service} | {workers} | {1 + len(others)} | {rate:.1f} | {bad.total()} |", flush=True)
    print()


def kill_workers(url: str, process: psutil.Process, content: bytes, n_requests: int) -> None:
    answers: Counter[str] = Counter()

    def ask(_: int) -> None:
        answer = requests.post(f"{url}/predict", files={"files": ("song.mp3", content)}, timeout=120)
        lost = answer.status_code == 200 and "crashed" in (answer.json()["files"][0]["error"] or "")
        answers["lost" if lost else str(answer.status_code)] += 1

    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(1.0):
            # Workers are forked by a server; those that hold models are the largest.
            workers = sorted(process.children(recursive=True), key=lambda each: -each.memory_info().rss)[:2]
            os.kill(random.choice(workers).pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(ask, range(n_requests)))
    ended.set()
    killer.join()
    print(f"- A worker killed every second during {n_requests} requests: {dict(answers)}.")


def send_damaged(url: str, n_files: int, seed: int) -> None:
    """Send damaged files, and among them files that are made to break a decoder."""
    rng = np.random.default_rng(seed)
    names = list(FORMATS)
    sounds = {name: sound_file(name, 0) for name in names}
    worst = bombs()
    statuses, outcomes, of_worst = Counter(), Counter(), {}
    for first in range(0, n_files, 25):
        files = [
            ("files", (f"{number}.{names[number % 8]}", mutate(sounds[names[number % 8]], rng)))
            for number in range(first, min(first + 25, n_files))
        ]
        answer = requests.post(
            f"{url}/predict", files=[*files, *(("files", each) for each in worst.items())], timeout=600
        )
        statuses[answer.status_code] += 1
        for each in answer.json()["files"]:
            error = each["error"] or ""
            is_clean = bool(error) != bool(each["answers"]) and "\n" not in error and "fault" not in error
            if each["name"] in worst:
                of_worst[error] = of_worst.get(error, 0) + 1
            elif not is_clean or "crashed" in error:
                outcomes["lost" if is_clean else "unclear"] += 1
            else:
                outcomes["refused" if error else "classified"] += 1
    print(f"- {n_files:,} damaged files of eight formats (seed {seed}): {dict(outcomes)}; statuses {dict(statuses)}.")
    for error, count in of_worst.items():
        print(f"- Made to break it, {count} times: {error or 'classified'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--long", type=int, default=0, help="Requests over which memory is watched.")
    parser.add_argument("--mutants", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemathesis", action="store_true", help="Also send requests that schemathesis makes up.")
    options = parser.parse_args()
    content = song(30.0)
    with serving(options.experiment, "--max-audio", "60") as (url, process):
        name = requests.get(f"{url}/models", timeout=60).json()["models"][0]["name"]
        print(f"{name}, a 30-s MP3 of {len(content) >> 10} KB, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        if options.requests:
            print("| clients | requests | requests/s | p50 (ms) | p99 (ms) | failed | MB, first tenth | last tenth |")
            print("|--:|--:|--:|--:|--:|--:|--:|--:|")
            load(url, process, content, options.requests // 10, 1)
            load(url, process, content, options.requests, 2)
            load(url, process, content, options.requests // 10, 8)
            print()
            kill_workers(url, process, content, options.requests // 10)
        if options.long:
            watch_memory(url, process, content, options.long)
        if options.mutants:
            send_damaged(url, options.mutants, options.seed)
        print(f"- Afterwards: /health says {requests.get(f'{url}/health', timeout=60).json()['status']}.", flush=True)
    if options.schemathesis:
        token = secrets.token_hex(16)
        with serving(options.experiment, "--max-audio", "60", token=token) as (url, _):
            program = str(Path(sys.executable).with_name("schemathesis"))
            asked = ["--max-examples", "50", "--seed", str(options.seed), "--continue-on-failure"]
            head = ["--header", f"Authorization: Bearer {token}"]
            subprocess.run([program, "run", f"{url}/openapi.json", *asked, *head], check=False)


if __name__ == "__main__":
    main()
