"""Around the addresses: what is counted, refused in JSON, or takes too long."""

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from labelgraph_jax.deploy.serve.errors import RefusedError, error_body
from labelgraph_jax.deploy.serve.hosts import Hosts
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LINGER = 2.0
"""Seconds in which the rest of a refused body is read and thrown away: a connection
that is closed on unread bytes takes the answer with it."""
LINGER_BYTES = 256 * 2**20


class Guard:
    """The outermost part of the application.

    Args:
        app: what answers.
        limits: of the service.
        metrics: where it counts.
        paths: those that are counted by name.
        hosts: the names that it answers to.
        say: takes what went wrong.
        log: takes a line per request; None for none.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        metrics: Metrics,
        paths: frozenset[str],
        hosts: Hosts,
        say: Callable[[str], None],
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._paths, self._hosts, self._say, self._log = paths, hosts, say, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it, and count and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = Exchange(scope, receive, send, self._limits.timeout)
        scope["refused"] = refused = []
        try:
            self._hosts.check(dict(scope["headers"]).get(b"host"), own_address(scope))
            await self._app(scope, exchange.receive, exchange.send)
        except RefusedError as error:
            refused.append(error.kind)
            await _answer(exchange.send, error)
        except TimeoutError:
            # The client does not read its answer: nothing more can be said to it.
            refused.append("slow_reader")
        except Exception:
            self._say(traceback.format_exc())
        for kind in refused:
            self._metrics.rejected.labels(kind).inc()
        path = scope["path"] if scope["path"] in self._paths else "other"
        took = time.perf_counter() - started
        self._metrics.requests.labels(path, str(exchange.status)).inc()
        self._metrics.seconds.labels(path).observe(took)
        if self._log is not None:
            shown = ascii(scope["path"])[1:-1]
            self._log(f"{scope['method']} {shown} {exchange.status} {took:.4f} s")


def own_address(scope: Scope) -> str:
    """The address of this machine that a request came to."""
    server = scope.get("server")
    return str(server[0]) if server else ""


async def _answer(send: Send, error: RefusedError) -> None:
    body = error_body(error.reason)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    status = error.status
    with contextlib.suppress(TimeoutError):
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})


class Exchange:
    """One request and its answer.

    Attributes:
        status: that was sent, 0 before.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, timeout: float
    ) -> None:
        self.status = 0
        self._receive, self._send, self._timeout = receive, send, timeout
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        # What is left of the request's body.
        self._open = length != b"0" or b"transfer-encoding" in headers
        # Asking for the rest would tell the client to send it.
        self._expects = b"expect" in headers

    async def receive(self) -> Message:
        """From the client."""
        message = await self._receive()
        self._expects = False
        self._open = message["type"] == "http.request" and bool(
            message.get("more_body", False)
        )
        return message

    async def send(self, message: Message) -> None:
        """Send a message to the client.

        Raises:
            TimeoutError: it does not read.
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._open:
                close = (b"connection", b"close")
                message = {**message, "headers": [*message["headers"], close]}
        elif self._open and not message.get("more_body", False):
            await self._write({**message, "more_body": True})
            if not self._expects:
                await self._discard_the_rest()
            message = {**message, "body": b""}
        await self._write(message)

    async def _write(self, message: Message) -> None:
        async with asyncio.timeout(self._timeout):
            await self._send(message)

    async def _discard_the_rest(self) -> None:
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while self._open and left > 0:
                    left -= len((await self.receive()).get("body", b""))


async def read_body(
    headers: Mapping[str, str],
    chunks: AsyncIterable[bytes],
    limits: Limits,
    *,
    declared: str | None,
) -> bytes:
    """The body of a request, no longer than it may be.

    Args:
        headers: of the request.
        chunks: asynchronous, its bytes.
        limits: of the service.
        declared: its Content-Length.

    Raises:
        RefusedError: it is too long (413), too slow (408), or encoded (415).
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RefusedError(
            415,
            f"the body must not be compressed; got Content-Encoding {encoding!r}",
            "bad_type",
        )
    most = limits.max_body
    if declared is not None and declared.isdigit() and int(declared[:18]) > most:
        raise _too_large(most, f"{int(declared[:18]):,}")
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout):
            async for chunk in chunks:
                body += chunk
                if len(body) > most:
                    raise _too_large(most, f"{len(body):,} and more")
    except TimeoutError:
        raise RefusedError(
            408,
            f"the body must come within {limits.body_timeout:g} seconds; {len(body):,} "
            "bytes came",
            "slow_body",
        ) from None
    return bytes(body)


def _too_large(most: int, got: str) -> RefusedError:
    return RefusedError(
        413, f"the body must have at most {most:,} bytes; got {got}", "too_large"
    )
