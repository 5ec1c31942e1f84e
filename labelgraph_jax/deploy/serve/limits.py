"""Limits and time-outs of a service."""

from dataclasses import dataclass

from labelgraph_jax.config.settings import require


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a service; whatever lies beyond is refused with a reason."""

    max_texts: int = 256
    """Texts in a request."""
    max_body: int = 2 * 2**20
    """Bytes of a request's body."""
    max_characters: int = 200_000
    """Characters of a text; of those the model reads the head, as `predict` does."""
    max_labels: int = 1_000
    """Labels that a request may name."""
    max_top_k: int = 1_000
    """The largest top_k."""
    max_queue: int = 1_024
    """Texts that may wait; a request beyond them is told to come back (503)."""
    max_connections: int = 512
    """Connections at a time; one more is told to come back (503)."""
    max_batch: int = 32
    """Texts that are scored together."""
    buckets: int = 8
    """Lengths that texts are padded to; all are compiled at the start."""
    wait: float = 3.0
    """Milliseconds that a busy service waits for more texts; an idle one waits none."""
    timeout: float = 30.0
    """Seconds that a request may take (504)."""
    body_timeout: float = 10.0
    """Seconds in which the body of a request must have come (408)."""
    header_timeout: float = 10.0
    """Seconds in which the head of a request must have come (408)."""
    keep_alive: float = 15.0
    """Seconds that an idle connection stays open."""
    drain: float = 30.0
    """Seconds that a stopped service takes to finish what it holds."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            option = f"--{name.replace('_', '-')}"
            if name == "wait":
                ok = 0 <= value <= 1_000
                require(ok, f"{option} must lie in 0..1000 milliseconds, got {value}")
            elif isinstance(value, int):
                require(value >= 1, f"{option} must be at least 1, got {value}")
            else:
                ok = 0 < value < float("inf")
                require(ok, f"{option} must be above 0 seconds, got {value}")
