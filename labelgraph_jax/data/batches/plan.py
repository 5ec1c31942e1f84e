"""Assignment of documents to batches, and the lengths that rows are padded to.

A plan follows from (seed, epoch) alone, never from what was read before, so a
batch is found by its number: resuming means to go on counting, and every host
computes the same plan.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from labelgraph_jax.data.batches.examples import Examples
from labelgraph_jax.data.tables.examples import TableExamples

_LENGTH_MULTIPLE = 8
_POOL_BATCHES = 64


@dataclasses.dataclass(frozen=True)
class BatchShape:
    """The rows of one batch, and the windows and tokens that each row gets."""

    rows: np.ndarray
    windows: int
    tokens: int


def choose_length_buckets(
    lengths: np.ndarray, *, count: int = 6, multiple: int = _LENGTH_MULTIPLE
) -> tuple[int, ...]:
    """The `count` lengths that leave the least padding when each text is rounded up.

    Exact, by dynamic programming over the multiples of `multiple`: few lengths
    mean few compilations, well placed ones mean little padding.

    Returns:
        Increasing lengths; the last one covers the longest text.
    """
    rounded = np.maximum(-(-np.asarray(lengths, np.int64) // multiple), 1)
    sizes, weights = np.unique(rounded, return_counts=True)
    if not len(sizes):
        return (multiple,)
    texts = np.concatenate([[0], np.cumsum(weights)])
    # cost[j]: padded length of the texts up to size j with the buckets so far.
    cost = sizes * texts[1:]
    choices: list[np.ndarray] = []
    for _ in range(min(count, len(sizes)) - 1):
        # [last size, last size of the bucket before]
        split = cost[None, :] + sizes[:, None] * (texts[1:, None] - texts[None, 1:])
        split = np.where(np.tri(len(sizes), k=-1, dtype=bool), split, cost[:, None])
        choices.append(split.argmin(axis=1))
        cost = split.min(axis=1)
    end = len(sizes) - 1
    chosen = {end}
    for choice in reversed(choices):
        end = int(choice[end])
        chosen.add(end)
    return tuple(int(sizes[i]) * multiple for i in sorted(chosen))


class BatchPlan:
    """Assignment of documents to batches, and the length of each batch's rows.

    Per epoch: all documents are shuffled; each pool of `pool_batches` batches is
    sorted by length and cut, so that rows of a batch are about equally long;
    the batches are shuffled. A last batch that does not come out even holds
    documents of every length, drawn like the others, and stands at the end.

    Args:
        examples: for the lengths alone.
        batch_size: rows of a batch over all hosts.
        seed: None keeps the documents in order, sorted by length where
            `sort_by_length` holds (for evaluation).
        length_buckets: the lengths that rows are padded to; None chooses them. A
            text longer than the last one gets its own length, rounded up to 8.
        sort_by_length: False gives batches of unsorted documents.
        pool_batches: more means less padding and less random batches.

    Raises:
        ValueError: no document, a size that is not positive, or a document beyond
            `Examples.padded_to`.
    """

    def __init__(
        self,
        examples: Examples | TableExamples,
        *,
        batch_size: int,
        seed: int | None,
        length_buckets: Sequence[int] | None = None,
        sort_by_length: bool = True,
        pool_batches: int = _POOL_BATCHES,
    ):
        if batch_size < 1 or pool_batches < 1:
            raise ValueError(
                "batch_size and pool_batches must be at least 1; got "
                f"{batch_size} and {pool_batches}"
            )
        if length_buckets is not None and (
            not len(length_buckets) or min(length_buckets) < 1
        ):
            raise ValueError(
                f"length buckets must be positive lengths; got {list(length_buckets)}"
            )
        if not len(examples):
            raise ValueError("batches need at least one document; got none")
        self.batch_size = batch_size
        self._seed = seed
        self._sort = sort_by_length
        self._pool = pool_batches * batch_size
        # How long documents are, and of how many windows.
        self._lengths = np.maximum(examples.lengths, 1)
        self._counts = np.maximum(examples.window_counts, 1)
        # Powers of two up to the longest document's own count.
        most = int(self._counts.max())
        powers = {min(1 << i, most) for i in range(most.bit_length() + 1)}
        self._window_buckets = np.asarray(sorted(powers))
        # Lengths that batches are padded to: given, chosen, or the same for all.
        longest = int(self._lengths.max())
        padded = getattr(examples, "padded_to", None)
        if padded is not None:
            if most > padded[0] or longest > padded[1]:
                raise ValueError(
                    "documents must have at most the windows and tokens that they are "
                    f"padded to, {padded}; got {(most, longest)}"
                )
            self._window_buckets, length_buckets = np.asarray([padded[0]]), padded[1:]
        buckets = set(length_buckets or choose_length_buckets(self._lengths))
        if longest > max(buckets):
            buckets.add(-(-longest // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE)
        self.length_buckets = tuple(sorted(buckets))
        self.epoch = functools.lru_cache(maxsize=2)(self._epoch)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._lengths) // self.batch_size)

    def __getitem__(self, number: int) -> BatchShape:
        """Batch `number`, counted from the first one of the first epoch."""
        epoch, place = divmod(number, len(self))
        return self._shape(self.epoch(epoch)[place])

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch, in reading order."""
        count, size = len(self._lengths), self.batch_size
        if self._seed is None:
            order = np.arange(count)
            if self._sort:
                order = order[self._by_length(order)]
            return [order[i : i + size] for i in range(0, count, size)]
        generator = np.random.default_rng((self._seed, epoch))
        order = generator.permutation(count)
        whole = count - count % size
        batches: list[np.ndarray] = []
        for start in range(0, whole, self._pool):
            pool = order[start : min(start + self._pool, whole)]
            if self._sort:
                pool = pool[self._by_length(pool)]
            batches.extend(pool.reshape(-1, size))
        shuffled = [batches[i] for i in generator.permutation(len(batches))]
        return shuffled + ([order[whole:]] if whole < count else [])

    def _by_length(self, rows: np.ndarray) -> np.ndarray:
        return np.lexsort((self._lengths[rows], self._counts[rows]))

    def _shape(self, rows: np.ndarray) -> BatchShape:
        def up(buckets: Sequence[int] | np.ndarray, value: int) -> int:
            return int(buckets[int(np.searchsorted(buckets, value))])

        return BatchShape(
            rows=rows,
            windows=up(self._window_buckets, int(self._counts[rows].max())),
            tokens=up(self.length_buckets, int(self._lengths[rows].max())),
        )
