"""Requests that a service refuses, and the messages for them."""

from labelgraph_jax.data.terminal import json_line


class ServeError(ValueError):
    """A service that cannot start; the message says why."""


class WorkerError(RuntimeError):
    """A service one of whose threads works no more; it ends."""


class RefusedError(Exception):
    """A request that is not answered with what it asked for.

    Attributes:
        status: of HTTP.
        reason: what must hold and what was got, in one sentence.
        kind: a word for the metrics.
        headers: to answer with.
    """

    def __init__(
        self, status: int, reason: str, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status, self.reason, self.kind = status, reason, kind
        self.headers = headers or {}


def error_body(reason: str) -> bytes:
    """The JSON object that every refusal carries."""
    return json_line({"error": reason}).encode()


def unreadable(error: BaseException) -> RefusedError:
    """The refusal of a text that the tokenizer fails at."""
    reason = " ".join(str(error).split())[:200]
    must = "a text must be one that the model's tokenizer reads; it failed"
    return RefusedError(422, f"{must}: {type(error).__name__}: {reason}", "not_read")
