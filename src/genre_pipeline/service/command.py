"""The command ``genre-pipeline serve``."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from genre_pipeline.cli import MAX_PAUSE_S, Choice, FiniteRange, choosing
from genre_pipeline.errors import ConfigError, GenrePipelineError
from genre_pipeline.service.limits import Limits

if TYPE_CHECKING:
    from genre_pipeline.service.offers import Offers

# Environment variable with the token.
_TOKEN = "GENRE_PIPELINE_TOKEN"  # noqa: S105
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# [?] Of random characters, nobody guesses it.
_GOOD_TOKEN = re.compile(r"[!-~]{16,}")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

logger = logging.getLogger("genre_pipeline.service")


class _JsonLines(logging.Formatter):
    """One line of JSON for each record, with what was given as ``extra``."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": moment, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _limit(option: str, name: str, text: str) -> Callable[[Any], Any]:
    default = Limits.model_fields[name].default
    return click.option(option, name, type=type(default), default=default, show_default=True, help=text)


@click.command()
@choosing
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0: one that is free.")
@click.option("--without-token", is_flag=True, help=f"Listen at other addresses than loopback without {_TOKEN}.")
@_limit("--workers", "n_workers", "Worker processes: files that are classified at the same time.")
@_limit("--max-request-mb", "max_request_mb", "Megabytes of a request.")
@_limit("--max-files", "max_files", "Files of a request.")
@_limit("--max-audio", "max_audio_s", "Seconds of a song.")
@_limit("--max-time", "max_job_s", "Seconds that a file may take.")
@_limit("--max-upload", "max_upload_s", "Seconds that a request may take to arrive.")
@_limit("--max-memory-mb", "max_memory_mb", "Megabytes that a file may take, beside the models.")
@_limit("--max-waiting", "max_waiting", "Requests that may wait for a worker.")
@click.option(
    "--check-every",
    "check_s",
    type=FiniteRange(0.1, MAX_PAUSE_S),
    default=30.0,
    show_default=True,
    help="Seconds between two looks whether another model leads.",
)
def serve(choice: Choice, host: str, port: int, without_token: bool, check_s: float, **limits: Any) -> None:
    """Answer requests over HTTP with the experiment's models, and serve a page for them.

    The variable GENRE_PIPELINE_TOKEN holds the token that requests must bring. Without it, only programs of this
    machine are answered. docs/serve.md describes the requests.
    """
    token = os.environ.get(_TOKEN) or None
    _check_access(host, token, without_token=without_token)
    try:
        import python_multipart  # noqa: F401
        import uvicorn

        from genre_pipeline.service.app import Metrics, make_app
    except ImportError as error:
        raise ConfigError(
            f"serve needs a package that is not installed ({error.name}): pip install 'genre-pipeline[serve]'"
        ) from error
    from genre_pipeline.service.answering import Setup, work
    from genre_pipeline.service.offers import Offers, read_offers
    from genre_pipeline.service.workers import WorkerPool
    from genre_pipeline.work.backends import usable_cores

    allowed = Limits.parse(limits, key="serve")
    loader, experiment = choice.configuration(), choice.read()
    offers = Offers(functools.partial(read_offers, loader, experiment))

    def setup() -> Setup:
        n_threads = max(1, usable_cores() // allowed.n_workers)
        return Setup((offers.champion.source,), n_threads, allowed.max_memory_mb << 20, allowed.max_audio_s)

    _log_in_json()
    metrics = Metrics()
    ended = threading.Event()
    with (
        # First: a place that is taken is then named at once, and no worker is left that would be waited for.
        closing(_listen(host, port)) as listener,
        closing(
            WorkerPool(allowed.n_workers, work, setup, max_job_s=allowed.max_job_s, on_loss=metrics.count_loss)
        ) as pool,
    ):
        hosts = _LOOPBACK if token is None and _is_loopback(host) else ("*",)
        app = make_app(offers, pool, metrics, title=experiment.settings.title, limits=allowed, token=token, hosts=hosts)
        threading.Thread(target=_keep_looking, args=(offers, ended, check_s), daemon=True).start()
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(allowed.max_job_s) + 1,
        )
        address = listener.getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        click.echo(f"http://{shown}:{address[1]} answers with {offers.champion.name}. Ctrl-C ends it.")
        try:
            uvicorn.Server(config).run([listener])
        finally:
            ended.set()


def _check_access(host: str, token: str | None, *, without_token: bool) -> None:
    if token is not None and not _GOOD_TOKEN.fullmatch(token):
        raise ConfigError(
            f"{_TOKEN}: expected 16 ASCII characters or more, without spaces. Make one: openssl rand -hex 32"
        )
    if token is None and not without_token and not _is_loopback(host):
        raise ConfigError(
            f"--host {host}: other machines can reach it, and no token is set. Set {_TOKEN} (openssl rand -hex 32), "
            "or allow everyone with --without-token."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        # Python adds the address to the system's own words; a name that is not found has a negative number.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise ConfigError(f"{host}:{port} cannot be listened at ({reason}). Choose others: --host, --port.") from error


def _log_in_json() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    for name in ("genre_pipeline.service", "uvicorn.error"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.INFO if name != "uvicorn.error" else logging.WARNING)


def _keep_looking(offers: Offers, ended: threading.Event, every_s: float) -> None:
    """Renew the offers until the service ends."""
    while not ended.wait(every_s):
        with _logged("the models cannot be looked for"):
            if offers.renew():
                logger.info("another model leads", extra={"model": offers.champion.name})


@contextmanager
def _logged(text: str) -> Iterator[None]:
    try:
        yield
    except GenrePipelineError as error:
        logger.warning(text, extra={"error": str(error)})
    except Exception:
        logger.exception(text)
