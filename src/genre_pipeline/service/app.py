"""The application: what the service answers."""

from __future__ import annotations

import logging
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, HTTPException, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from pydantic import BaseModel, ConfigDict
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

import genre_pipeline
from genre_pipeline.registry import suggestion
from genre_pipeline.service.answering import DescribeJob, Job
from genre_pipeline.service.gate import Finished, Gate
from genre_pipeline.service.limits import Limits
from genre_pipeline.service.offers import Offer, Offers
from genre_pipeline.service.workers import LOSSES, LostWorkerError, WorkerPool

logger = logging.getLogger("genre_pipeline.service")

# [?] Of a file's name, which is only echoed.
_MAX_NAME = 200
# The page loads nothing from elsewhere, and is in no other page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LOSS_TEXTS = {
    "crashed": "its decoder crashed, or was killed. The file is damaged, or made to do that.",
    "timeout": "took too long, and was given up. Send an excerpt.",
}


class Model(BaseModel):
    """A model that is offered."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    is_champion: bool
    genres: tuple[str, ...]
    leaky: bool
    accuracy: float
    ci_low: float | None
    ci_high: float | None


class Models(BaseModel):
    """The models that are offered, the leading one first."""

    experiment: str
    models: list[Model]


class Segment(BaseModel):
    """A model's answer about a part of a song."""

    start_s: float
    end_s: float
    genre: str
    probabilities: dict[str, float]


class Answer(BaseModel):
    """A model's answer about a song; `sure` is null where no threshold is known."""

    model: str
    genre: str
    probability: float
    sure: bool | None
    leaky: bool
    probabilities: dict[str, float]
    segments: list[Segment] | None = None


class Song(BaseModel):
    """What was found out about a file: one answer per model, or an error."""

    name: str
    error: str | None = None
    duration_s: float | None = None
    answers: list[Answer] = []

    def without_segments(self) -> Song:
        """Return the same without the answers about segments."""
        answers = [answer.model_copy(update={"segments": None}) for answer in self.answers]
        return self.model_copy(update={"answers": answers})


class Songs(BaseModel):
    """The files, in the order in which they came."""

    files: list[Song]


class Explanation(BaseModel):
    """What spoke for a genre in a part of a song; the pictures are PNG files in base64."""

    genre: str
    method: str
    start_s: float
    end_s: float
    seen_png: str
    contributions_png: str
    words: str


class Nearest(BaseModel):
    """A labelled track that sounds alike."""

    name: str
    genre: str
    distance: float


class Description(BaseModel):
    """What a song looks like, what spoke for a genre, and which labelled tracks are nearest."""

    name: str
    error: str | None = None
    duration_s: float | None = None
    waveform: list[float] = []
    spectrogram_png: str = ""
    spectrogram_words: str = ""
    explanation: Explanation | None = None
    nearest: list[Nearest] = []


class Health(BaseModel):
    """Whether the service works."""

    status: str
    version: str


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class Metrics:
    """What the service counts, for Prometheus.

    Attributes:
        registry: All of it.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Of this process; workers are children.
        ProcessCollector(registry=self.registry)
        made: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("genre_requests_total", "Requests.", ["method", "route", "status"], **made)
        self._seconds = Histogram("genre_request_seconds", "Time that requests took.", ["route"], **made)
        self._files = Counter("genre_files_total", "Files, by what became of them.", ["outcome"], **made)
        self._audio_s = Counter("genre_audio_seconds_total", "Audio that was classified.", **made)
        self._lost = Counter("genre_workers_lost_total", "Workers that were lost, by reason.", ["reason"], **made)
        for reason in LOSSES:
            self._lost.labels(reason)

    def count_request(self, finished: Finished) -> None:
        """Count a request that was answered, and log it."""
        self._requests.labels(finished.method, finished.route, finished.status).inc()
        self._seconds.labels(finished.route).observe(finished.duration_s)
        logger.info("request", extra=asdict(finished))

    def count_files(self, songs: Sequence[Song]) -> None:
        """Count files that were classified, and those that could not be."""
        for song in songs:
            self._files.labels("error" if song.error else "classified").inc()
            self._audio_s.inc(song.duration_s or 0.0)

    def count_loss(self, reason: str) -> None:
        """Count a worker that was lost, and log it."""
        self._lost.labels(reason).inc()
        logger.warning("a worker was lost", extra={"reason": reason})


def make_app(
    offers: Offers,
    pool: WorkerPool,
    metrics: Metrics,
    *,
    title: str,
    limits: Limits,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
) -> ASGIApp:
    """Make the application.

    Args:
        offers: The models.
        pool: The workers.
        metrics: The counts.
        title: Title of the experiment.
        limits: What a request may cost.
        token: The token that requests must bring; ``None`` if all are answered.
        hosts: Names by which the service may be called; ``*`` means any.
    """
    app = FastAPI(
        title="genre_pipeline",
        summary="Genres of songs",
        version=genre_pipeline.__version__,
        # Their pages load scripts from the internet.
        docs_url=None,
        redoc_url=None,
    )

    # The gate asks for the token; here it is only described.
    guarded: Any = {} if token is None else {"dependencies": [Depends(HTTPBearer(auto_error=False))]}
    refused: Any = {} if token is None else {401: {"model": Problem}}
    refused_files = refused | {status: {"model": Problem} for status in (400, 404, 408, 413, 422, 503)}
    counts: Any = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        del request
        places = [".".join(map(str, each["loc"])) + ": " + each["msg"] for each in error.errors()]
        return JSONResponse({"detail": "; ".join(places)}, 422)

    # Not in a thread: those may all wait for a worker.
    @app.get("/health")
    async def health() -> Health:
        """Say that the service works."""
        return Health(status="ok", version=genre_pipeline.__version__)

    @app.get("/metrics", response_class=Response, responses=counts | refused, **guarded)
    async def measure() -> Response:
        """Return the counts, for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/models", responses=refused, **guarded)
    def models() -> Models:
        """List the models, with their accuracy on test tracks and its interval."""
        return Models(experiment=title, models=[Model.model_validate(each) for each in offers.all])

    @app.post("/predict", responses=refused_files, **guarded)
    def predict(
        request: Request,
        files: Annotated[list[UploadFile], File(description="Audio files.", min_length=1)],
        model: Annotated[list[str] | None, Query(description="Names of models; without one, the leading one.")] = None,
        timeline: Annotated[bool, Query(description="Whether to return the answer about each segment.")] = False,
    ) -> Songs:
        """Classify audio files. A file that cannot be read has an error, and does not fail the others."""
        if len(files) > limits.max_files:
            raise HTTPException(413, f"{len(files)} files are more than {limits.max_files}, which is the most.")
        chosen = [find_offer(offers, name) for name in dict.fromkeys(model or [offers.champion.name])]
        songs = [classify(pool, each, chosen, request.state.request_id) for each in files]
        metrics.count_files(songs)
        return Songs(files=songs if timeline else [song.without_segments() for song in songs])

    @app.post("/describe", responses=refused_files, **guarded)
    def describe(
        request: Request,
        files: Annotated[list[UploadFile], File(description="One audio file.", min_length=1, max_length=1)],
        model: Annotated[str | None, Query(description="Name of a model; without it, the leading one.")] = None,
        genre: Annotated[str | None, Query(description="The genre to explain; without it, the model's answer.")] = None,
        from_s: Annotated[float, Query(description="Where the explained part begins.", ge=0, le=1e6)] = 0.0,
    ) -> Description:
        """Draw a song, say what spoke for a genre in 30 s of it, and name the labelled tracks that are nearest."""
        offer = find_offer(offers, model or offers.champion.name)
        if genre is not None and genre not in offer.genres:
            raise HTTPException(404, f"{offer.name} does not know '{clean_name(genre)}'.")
        job = partial(DescribeJob, source=offer.source, genre=genre, from_s=from_s)
        return Description(**ask(pool, files[0], job, request.state.request_id))

    _add_page(app)
    gate = Gate(app, limits=limits, token=token, report=metrics.count_request)
    return gate if "*" in hosts else TrustedHostMiddleware(gate, allowed_hosts=list(hosts), www_redirect=False)


def find_offer(offers: Offers, name: str) -> Offer:
    """Return a model by its name.

    Raises:
        HTTPException: If it is not offered.
    """
    offer = offers.find(name)
    if offer is None:
        known = [each.name for each in offers.all]
        raise HTTPException(404, f"There is no model '{clean_name(name)}'. {suggestion(name, known)}")
    return offer


def classify(pool: WorkerPool, upload: UploadFile, models: Sequence[Offer], request_id: str) -> Song:
    """Classify a file.

    Raises:
        HTTPException: If a model cannot be opened.
    """
    found = ask(pool, upload, partial(Job, sources=tuple(each.source for each in models)), request_id)
    answers = zip(models, found.pop("answers", []), strict=False)
    return Song(**found, answers=[Answer(model=offer.name, **answer) for offer, answer in answers])


def ask(
    pool: WorkerPool, upload: UploadFile, make_job: Callable[[Path, str], Job | DescribeJob], request_id: str
) -> dict[str, Any]:
    """Have a worker answer about a file; the answer has the file's ``name``, and an ``error`` if there is no other.

    Raises:
        HTTPException: If a model cannot be opened.
    """
    name = clean_name(upload.filename)
    # The name of the file on disk is ours: a client's never reaches the file system.
    with tempfile.NamedTemporaryFile(prefix="genre-upload-") as file:
        shutil.copyfileobj(upload.file, file)
        file.flush()
        try:
            found = pool.run(make_job(Path(file.name), name))
        except LostWorkerError as error:
            return {"name": name, "error": f"{name}: {_LOSS_TEXTS[error.reason]}"}
    if "missing" in found:
        logger.error("a model cannot be opened", extra={"request_id": request_id, "error": found["missing"]})
        raise HTTPException(503, "A model cannot be opened: it may be in training. Try again later.")
    if "fault" in found:
        logger.error("fault", extra={"request_id": request_id, "error": found["fault"]})
        return {"name": name, "error": f"{name}: a fault of the service; its log has it under {request_id}."}
    return {"name": name, **found}


def _add_page(app: FastAPI) -> None:
    def add(path: str, name: str, kind: str) -> None:
        content = (resources.files(genre_pipeline) / "service" / "page" / name).read_bytes()

        @app.get(path, include_in_schema=False)
        async def page() -> Response:
            return Response(content, media_type=kind, headers=_PAGE_HEADERS)

    add("/", "index.html", "text/html")
    add("/page.css", "page.css", "text/css")
    add("/page.js", "page.js", "text/javascript")


def clean_name(name: str | None) -> str:
    r"""Return a client's name of a file as it may be shown and logged: one line, without folders, not long.

    Example:
        >>> clean_name("../../etc/pass\nwd.mp3"), clean_name(None)
        ('passwd.mp3', 'unnamed')
    """
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(each for each in last if unicodedata.category(each)[0] != "C").strip()
    return shown[:_MAX_NAME] or "unnamed"
