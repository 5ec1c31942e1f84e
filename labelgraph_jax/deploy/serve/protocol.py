"""Connections: uvicorn's HTTP/1.1, with a limit of time and of number, and reasons.

uvicorn's own `limit_concurrency` gives no reason, and it waits for a head for ever.
"""

import asyncio
import http
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from labelgraph_jax.deploy.serve.errors import error_body
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.metrics import Metrics

LINGER = 1.0
"""Seconds that a refused connection stays open for its client to read why."""


class Connection(H11Protocol):
    """A connection that must say what it wants in time, and is told why it ends.

    Attributes:
        limits, metrics: of the service; set by `connections`.
    """

    limits: Limits
    metrics: Metrics

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request; refuse where too many connections are open."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self._refuse(
                503,
                f"at most {self.limits.max_connections:,} connections may be open: "
                "come back later",
                "too_many_connections",
            )
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Hand on the bytes, and wait no longer for a head that is complete."""
        if self._refused:
            return
        super().data_received(data)
        self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next request on the same connection."""
        super().on_response_complete()
        self._await_head(idle=True)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that has said all may still listen."""
        if self._refused:
            return None
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False
                return True
            if not cycle.response_started:
                self._refuse(400, "the body must be whole; it ended early", "gone")
                return True
        elif self.conn.trailing_data[0]:
            self._refuse(400, "the head must be whole; it ended early", "gone")
            return True
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock of a connection that has ended."""
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Respond 400 to a malformed HTTP request."""
        self._refuse(400, "the request must be valid HTTP/1.1; it is not", "bad_http")

    def _await_head(self, *, idle: bool = False) -> None:
        """Start or stop the clock: it runs where a head has begun, and not ended."""
        cycle = self.cycle
        if (cycle is not None and not cycle.response_complete) or idle:
            self._stop_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            seconds = self.limits.header_timeout
            self._head_timer = self.loop.call_later(seconds, self._head_is_late)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._refuse(
            408,
            f"the head of a request must come within {self.limits.header_timeout:g} "
            "seconds; it did not",
            "slow_head",
        )

    def _refuse(self, status: int, reason: str, kind: str) -> None:
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self.metrics.rejected.labels(kind).inc()
        self.metrics.requests.labels("none", str(status)).inc()
        body = error_body(reason)
        head = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n"
            f"{'retry-after: 1' if status == 503 else 'cache-control: no-store'}\r\n"
            "connection: close\r\n\r\n"
        )
        busy = self.cycle is not None and not self.cycle.response_complete
        if not (busy and self.cycle.response_started):
            self.transport.write(head.encode() + body)
        if busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def shutdown(self) -> None:
        """The service ends: an idle connection is closed, a busy one answers first."""
        if self._refused:
            self.transport.close()
            return
        super().shutdown()


def connections(limits: Limits, metrics: Metrics) -> type[Connection]:
    """The class of the connections of one service."""
    return type(
        "ServedConnection", (Connection,), {"limits": limits, "metrics": metrics}
    )
