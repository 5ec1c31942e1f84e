"""Texts that wait, by what they are padded to."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.scoring import Asked, Text
from labelgraph_jax.deploy.serve.shapes import (
    Bucket,
    Costs,
    best_rows,
    cost_of_all,
)

Key = tuple[Bucket, ...]


@dataclass(eq=False)
class Job:
    """A request that is being answered, by the version of the model it was asked of."""

    texts: Sequence[Any]
    asked: Asked
    future: "asyncio.Future[None]"
    rows: list[Any] = field(default_factory=list)
    left: int = 0
    cancelled: bool = False
    what: str = "text"
    scorer: Any = None


@dataclass(eq=False)
class Waiting:
    """A text of a request.

    Attributes:
        job: the request; `job.cancelled` says that nobody waits any longer.
        place: which of its texts.
        text: as the model reads it.
        arrived: seconds, of a clock that all share.
    """

    job: Job
    place: int
    text: Text
    arrived: float


@dataclass
class Queues:
    """Waiting texts, and the choice of the next batch.

    All that waits is cut by length into parts, each scored at the length of its
    longest, so that the whole takes the least time; the part of the oldest text goes
    next. So a model whose time is all overhead takes everything at once, and one whose
    time is all arithmetic pads nothing.

    Args:
        cost: seconds of a batch of a key, by its rows.
        join: the smallest key that texts of all the given ones fit into.
    """

    cost: Callable[[Key], Costs]
    join: Callable[[Sequence[Key]], Key]
    _queues: dict[Key, deque[Waiting]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, waiting: Waiting) -> None:
        """Take its place behind those that came before."""
        self._queues.setdefault(waiting.text.buckets, deque()).append(waiting)

    def take(self) -> list[Waiting]:
        """The next batch, oldest first within a length; empty where nothing waits.

        What nobody waits for any longer is left out.
        """
        for key in list(self._queues):
            queue = self._queues[key]
            alive = [one for one in queue if not one.job.cancelled]
            if alive:
                self._queues[key] = deque(alive)
            else:
                del self._queues[key]
        if not self._queues:
            return []
        first = min(self._queues, key=lambda key: self._queues[key][0].arrived)
        part = next(part for part in self._parts() if first in part)
        count = sum(len(self._queues[key]) for key in part)
        left = best_rows(count, self.cost(self.join(part)))
        # The oldest first, then the longest: short ones waste least elsewhere.
        joined = [first, *(key for key in reversed(part) if key != first)]
        batch: list[Waiting] = []
        for key in joined:
            queue = self._queues[key]
            while queue and left:
                batch.append(queue.popleft())
                left -= 1
        return batch

    def _parts(self) -> list[list[Key]]:
        """The keys that wait, cut so that all of it takes the least time."""
        keys = sorted(self._queues, key=lambda key: (self._longest(key), key))
        counts = [len(self._queues[key]) for key in keys]
        # best[i]: seconds of the first i keys, and where their last part begins.
        best = [(0.0, 0)]
        for end in range(1, len(keys) + 1):
            options = []
            for start in range(end):
                costs = self.cost(self.join(keys[start:end]))
                seconds = cost_of_all(sum(counts[start:end]), costs)
                options.append((best[start][0] + seconds, start))
            best.append(min(options))
        parts, end = [], len(keys)
        while end:
            start = best[end][1]
            parts.append(keys[start:end])
            end = start
        return parts

    def _longest(self, key: Key) -> float:
        costs = self.cost(key)
        return costs[min(costs)]


class Costed(Protocol):
    """A version of a model, as its queue needs it."""

    def cost(self, key: Key) -> Costs:
        """Seconds of a batch of a key, by its rows."""

    def join(self, keys: Sequence[Key]) -> Key:
        """The smallest key that texts of all these fit into."""


class Versions:
    """Queues of every version of a model that is still asked, the oldest first."""

    def __init__(self) -> None:
        self._queues: list[tuple[Costed, Queues]] = []

    def __len__(self) -> int:
        return sum(len(queue) for _, queue in self._queues)

    def begin(self, scorer: Costed) -> Queues:
        """Make a queue for a version, behind those of the others."""
        queue = Queues(scorer.cost, scorer.join)
        self._queues.append((scorer, queue))
        return queue

    def add(self, waiting: Waiting) -> None:
        """Let a text wait for the version that it was asked of."""
        scorer = waiting.job.scorer
        own = [queue for known, queue in self._queues if known is scorer]
        (own[0] if own else self.begin(scorer)).add(waiting)

    def take(self) -> list[Waiting]:
        """The next batch, all of one version."""
        while self._queues:
            batch = self._queues[0][1].take()
            if batch or len(self._queues) == 1:
                return batch
            self._queues.pop(0)
        return []


Outcome = tuple[Waiting, "dict[str, Any] | Exception"]


def hand_over(outcomes: "list[Outcome]") -> None:
    """Give requests what was found for their texts; in the event loop."""
    for waiting, outcome in outcomes:
        job = waiting.job
        if job.future.done():
            continue
        numbered = len(job.texts) > 1 or job.what == "row"
        if isinstance(outcome, RefusedError) and numbered:
            reason = f"{job.what} {waiting.place}: {outcome.reason}"
            outcome = RefusedError(outcome.status, reason, outcome.kind)
        if isinstance(outcome, Exception):
            job.cancelled = True
            job.future.set_exception(outcome)
            continue
        job.rows[waiting.place] = outcome | {"id": str(waiting.place)}
        job.left -= 1
        if not job.left:
            job.future.set_result(None)
