"""The gate of the service: what is refused before a request is read."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genre_pipeline.service.limits import Limits

# [?] Of a request that is refused before it is read: those of most songs, and no longer than a client may dawdle.
_DISCARDED_BYTES = 20_000_000
_DISCARD_S = 5.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Pages and probes need no token: they tell nothing of the models.
_OPEN_PATHS = frozenset({"/", "/health", "/page.css", "/page.js"})


@dataclass
class Finished:
    """A request that was answered.

    Attributes:
        request_id: Its id.
        method: Its method.
        route: What of the service answered it.
        status: The answer's status.
        duration_s: Seconds it took.
        n_bytes: Bytes that came in.
    """

    request_id: str
    method: str
    route: str
    status: int
    duration_s: float
    n_bytes: int


class Gate:
    """Refuses what is not allowed or too much, names each request, and reports it when it is finished.

    An ASGI middleware, outside of everything else, so that a body is only read if it is wanted.

    Args:
        app: What answers the requests.
        limits: The limits.
        token: The token that requests must bring; ``None`` if all are answered.
        report: Called with each finished request.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, token: str | None, report: Callable[[Finished], object]
    ) -> None:
        self._app, self._limits, self._report = app, limits, report
        self._token = None if token is None else token.encode()
        self._n_inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        body = _Body(receive, self._limits)
        started_s = time.monotonic()
        status = 500

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["method"] == "POST" and status != 408 and headers.get(b"expect") != b"100-continue":
                    await body.discard()
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id.encode())]}
            await send(message)

        try:
            refusal = self._refusal(scope, headers)
            if refusal is not None:
                await refusal(scope, receive, send_named)
                return
            is_work = scope["method"] == "POST"
            self._n_inside += is_work
            try:
                await self._app(scope, body.receive, send_named)
            finally:
                self._n_inside -= is_work
        finally:
            route = getattr(scope.get("route"), "path", "(none)")
            duration_s = time.monotonic() - started_s
            self._report(Finished(request_id, scope["method"], route, status, duration_s, body.n_bytes))

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> JSONResponse | None:
        if self._token is not None and scope["path"] not in _OPEN_PATHS:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given, self._token):
                text = "Expected the header 'Authorization: Bearer <token>' with the service's token."
                return _problem(401, text, {"WWW-Authenticate": "Bearer"})
        if scope["method"] == "POST":
            stated = headers.get(b"content-length", b"")
            if stated.isdigit() and int(stated) > self._limits.max_request_mb << 20:
                return _problem(413, _too_large(self._limits))
            if self._n_inside >= self._limits.n_workers + self._limits.max_waiting:
                text = f"{self._n_inside} requests are being answered or waiting, which is the most. Try again later."
                return _problem(503, text, {"Retry-After": "5"})
        return None


class _Body:
    """Receives a body, and ends the request if it is too large or too slow."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self._until_s = time.monotonic() + limits.max_upload_s
        self._is_whole = False
        self.n_bytes = 0

    async def discard(self) -> None:
        """Read what is left, up to a limit: a client that is still sending would see a reset instead of the answer."""
        with suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._read_on(), _DISCARD_S)

    async def _read_on(self) -> None:
        n_left = _DISCARDED_BYTES
        while n_left > 0 and not self._is_whole:
            message = await self._receive()
            n_left -= len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)

    async def receive(self) -> Message:
        if self._is_whole:
            # It waits for the client to leave.
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._until_s - time.monotonic())
        except (TimeoutError, asyncio.TimeoutError):
            text = f"The request took longer than {self._limits.max_upload_s:g} s to arrive."
            raise HTTPException(408, text) from None
        self.n_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self.n_bytes > self._limits.max_request_mb << 20:
            raise HTTPException(413, _too_large(self._limits))
        return message


def _too_large(limits: Limits) -> str:
    return f"The request is larger than {limits.max_request_mb} MB, which is the most. Send fewer or shorter files."


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": text}, status, headers)
