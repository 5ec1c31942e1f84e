"""Texts that wait, by what they are padded to."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labelgraph_jax.serve.scoring import Text
from labelgraph_jax.serve.shapes import (
    Bucket,
    Costs,
    best_rows,
    cost_of_all,
    fits,
)

Key = tuple[Bucket, ...]


@dataclass(eq=False)
class Waiting:
    """A text of a request.

    Attributes:
        job: the request; `job.cancelled` says that nobody waits any longer.
        place: which of its texts.
        text: as the model reads it.
        arrived: seconds, of a clock that all share.
    """

    job: Any
    place: int
    text: Text
    arrived: float


@dataclass
class Queues:
    """What waits, and which of it goes next.

    The oldest text chooses the shape. Shorter ones join it where the batch with them
    costs less than two: so a model whose time is all overhead takes everything at once,
    and one whose time is all arithmetic pads nothing.

    Args:
        cost: seconds of a batch of a key, by its rows.
    """

    cost: Callable[[Key], Costs]
    _queues: dict[Key, deque[Waiting]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, waiting: Waiting) -> None:
        """Takes its place behind those that came before."""
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
        joined, count = self._joined(first)
        left = best_rows(count, self.cost(first))
        batch: list[Waiting] = []
        for key in joined:
            queue = self._queues[key]
            while queue and left:
                batch.append(queue.popleft())
                left -= 1
        return batch

    def _joined(self, first: Key) -> tuple[list[Key], int]:
        """The keys that go together, and how many texts wait under them."""
        costs, count = self.cost(first), len(self._queues[first])
        joined = [first]
        shorter = [key for key in self._queues if key != first and _inside(key, first)]
        # The longest of them first: they waste least.
        for key in sorted(shorter, reverse=True):
            more = len(self._queues[key])
            apart = cost_of_all(count, costs) + cost_of_all(more, self.cost(key))
            if cost_of_all(count + more, costs) < apart:
                joined.append(key)
                count += more
        return joined, count


def _inside(key: Key, other: Key) -> bool:
    return all(fits(a, b) for a, b in zip(key, other, strict=True))
