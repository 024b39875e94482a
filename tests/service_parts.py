"""A service with a tiny model, in a thread of this process."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import uvicorn

from genre_pipeline.service import answering
from genre_pipeline.service.answering import ModelSource, Setup
from genre_pipeline.service.app import Metrics, make_app
from genre_pipeline.service.command import _listen
from genre_pipeline.service.limits import Limits
from genre_pipeline.service.offers import Offer, Offers
from genre_pipeline.service.workers import WorkerPool
from tiny_music import GENRES

CHAMPION, OTHER = "tiny.folds.log_mel_8.net", "tiny.folds.log_mel_8.naive_bayes"


def offer(models: Path, name: str, *, is_champion: bool = False, threshold: float = 0.0) -> Offer:
    counts = {"validation_kept": 99, "validation_wrong": 0, "test_kept": 9, "test_wrong": 0}
    source = ModelSource(models, name, {"thresholds": [{"threshold": threshold, **counts}]}, 0.2, str(threshold))
    return Offer(name, is_champion, GENRES, False, 0.9, 0.8, 1.0, source)


@dataclass
class Running:
    """A service that answers at ``url``; ``offered`` is what it finds when it looks for models."""

    url: str
    pool: WorkerPool
    offers: Offers
    offered: list[Offer]
    metrics: Metrics
    headers: dict[str, str] = field(default_factory=dict)

    def post(self, *names_and_contents: tuple[str, Any], path: str = "/predict", **options: Any) -> requests.Response:
        files = [("files", each) for each in names_and_contents]
        return requests.post(self.url + path, files=files, headers=self.headers, timeout=60, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **{"headers": self.headers, **options})


@contextmanager
def served(models: Path, *, token: str | None = None, hosts=("*",), work=answering.work, **limits) -> Iterator[Running]:
    """Serve from a thread of this process, with workers of its own."""
    allowed = Limits(n_workers=1, **limits)
    offered = [offer(models, CHAMPION, is_champion=True), offer(models, OTHER)]
    offers, metrics = Offers(lambda: offered), Metrics()
    listener = _listen("127.0.0.1", 0)

    def setup() -> Setup:
        return Setup((offers.champion.source,), 1, allowed.max_memory_mb << 20, allowed.max_audio_s)

    with closing(WorkerPool(1, work, setup, max_job_s=allowed.max_job_s, on_loss=metrics.count_loss)) as pool:
        app = make_app(offers, pool, metrics, title="Tiny", limits=allowed, token=token, hosts=hosts)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield Running(url, pool, offers, offered, metrics, headers)
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


def slow_or_mortal(connection, setup):
    """A worker that does not answer, or dies, by the name of the file."""
    connection.send_bytes(b"")
    while True:
        job = connection.recv()
        if job.name == "die":
            os.abort()
        if job.name == "fault":
            connection.send_bytes(json.dumps({"fault": "Traceback: a secret"}).encode())
        if job.name == "garbage":
            connection.send_bytes(b"\xff")
        if job.name == "missing":
            connection.send_bytes(json.dumps({"missing": "a secret"}).encode())
