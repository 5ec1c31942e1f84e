"""Documents as padded arrays: a deterministic plan of batches, read through Grain.

The plan follows from (seed, epoch) alone, never from what was read before, so a
batch is found by its number: resuming means to go on counting, and every host
computes the same plan and takes its own rows of each batch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import grain

Batch = dict[str, np.ndarray]

_LENGTH_MULTIPLE = 8
_POOL_BATCHES = 64


class TokenVectors(Protocol):
    """Random access to encoded texts: item i is a float array [S_i, D]."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """What a model reads of M documents, in document order.

    Args:
        windows: per document its windows, each a vector of token ids; a document
            without any token may have no window. None where `token_vectors`
            says it all, one window per document.
        targets: [M, N], an array or a scipy sparse matrix; batches hold float32.
        token_vectors: encoded tokens in place of ids, window after window in
            document order (with one window per document: item i is document i).
            An attribute `lengths` [M], where it has one, saves reading them all.
        target_mask: bool [M, N], False where a document was not annotated.
        pad_id: the token id that fills short rows.

    Raises:
        ValueError: the parts do not hold the same number of documents.
    """

    windows: Sequence[Sequence[np.ndarray]] | None
    targets: Any
    token_vectors: TokenVectors | None = None
    target_mask: np.ndarray | None = None
    pad_id: int = 0

    def __post_init__(self) -> None:
        count = self.targets.shape[0]
        if self.windows is None and self.token_vectors is None:
            raise ValueError("examples need windows of token ids or token vectors")
        if self.windows is not None and len(self.windows) != count:
            raise ValueError(
                "windows and targets must hold the same documents; got "
                f"{len(self.windows)} and {count}"
            )
        if self.target_mask is not None and self.target_mask.shape != (
            self.targets.shape
        ):
            raise ValueError(
                f"target_mask must have the shape of targets {self.targets.shape}; "
                f"got {self.target_mask.shape}"
            )
        windows = int(self.window_counts.sum())
        if self.token_vectors is not None and len(self.token_vectors) != windows:
            raise ValueError(
                "token_vectors must hold one item per window; got "
                f"{len(self.token_vectors)} for {windows} windows"
            )

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    @functools.cached_property
    def window_counts(self) -> np.ndarray:
        """How many windows each document has: int64 [M]."""
        if self.windows is None:
            return np.ones(len(self), np.int64)
        return np.fromiter((len(w) for w in self.windows), np.int64, len(self))

    @functools.cached_property
    def first_windows(self) -> np.ndarray:
        """The number of each document's first window among all: int64 [M]."""
        return np.cumsum(self.window_counts) - self.window_counts

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens in each document's longest window: int64 [M]."""
        if self.windows is not None:
            longest = (max(map(len, w), default=0) for w in self.windows)
            return np.fromiter(longest, np.int64, len(self))
        known = getattr(self.token_vectors, "lengths", None)
        if known is not None:
            return np.asarray(known, np.int64)
        assert self.token_vectors is not None
        read = (len(self.token_vectors[i]) for i in range(len(self)))
        return np.fromiter(read, np.int64, len(self))

    @property
    def windowed(self) -> bool:
        """Whether batches carry a window axis: some document has several."""
        return len(self) > 0 and int(self.window_counts.max()) > 1


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
    """Which documents stand in which batch, and how long its rows are.

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
        ValueError: no document, or a size that is not positive.
    """

    def __init__(
        self,
        examples: Examples,
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
        self._lengths = np.maximum(examples.lengths, 1)
        self._counts = np.maximum(examples.window_counts, 1)
        # Powers of two up to the longest document's own count.
        most = int(self._counts.max())
        powers = {min(1 << i, most) for i in range(most.bit_length() + 1)}
        self._window_buckets = np.asarray(sorted(powers))
        longest = int(self._lengths.max())
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

    def padding_fraction(self, epoch: int = 0) -> float:
        """The share of token places of an epoch that hold no token's document.

        Counts rows up to their own longest window; for documents of one window
        this is the share of padding.
        """
        shapes = [self._shape(rows) for rows in self.epoch(epoch)]
        places = sum(self.batch_size * s.windows * s.tokens for s in shapes)
        return 1.0 - float((self._lengths * self._counts).sum()) / places

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
        def up(buckets: Any, value: int) -> int:
            return int(buckets[np.searchsorted(buckets, value)])

        return BatchShape(
            rows=rows,
            windows=up(self._window_buckets, int(self._counts[rows].max())),
            tokens=up(self.length_buckets, int(self._lengths[rows].max())),
        )


class Batches(Sequence[Batch]):
    """Batch by number, built when asked for: a Grain random access source.

    Args:
        examples: the documents.
        plan: which of them stand in which batch.
        epochs: how often the plan is gone through.
        shard_index, shard_count: this host and the number of hosts; host k gets
            the k-th slice of the rows of every batch.

    Raises:
        ValueError: the batch does not divide over the hosts.
    """

    def __init__(
        self,
        examples: Examples,
        plan: BatchPlan,
        *,
        epochs: int = 1,
        shard_index: int = 0,
        shard_count: int = 1,
    ):
        if epochs < 0:
            raise ValueError(f"epochs must not be negative; got {epochs}")
        if not 0 <= shard_index < shard_count:
            raise ValueError(
                f"shard_index must lie in 0..{shard_count - 1}; got {shard_index}"
            )
        if plan.batch_size % shard_count:
            raise ValueError(
                "batch_size must be a multiple of the number of hosts; got "
                f"{plan.batch_size} for {shard_count}"
            )
        self.plan = plan
        self._examples = examples
        self._count = len(plan) * epochs
        rows = plan.batch_size // shard_count
        self._rows = slice(shard_index * rows, (shard_index + 1) * rows)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(self._count))]
        if number < 0:
            number += self._count
        if not 0 <= number < self._count:
            raise IndexError(f"there are {self._count} batches; no batch {number}")
        return self._build(self.plan[number])

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(self._count))

    def __repr__(self) -> str:
        return f"Batches({self._count} of {self.plan.batch_size})"

    def _build(self, shape: BatchShape) -> Batch:
        examples = self._examples
        index = np.full(self.plan.batch_size, -1, np.int32)
        index[: len(shape.rows)] = shape.rows
        index = index[self._rows]
        example_mask = index >= 0
        rows = index[example_mask]
        batch = _fill_tokens(examples, rows, len(index), shape)
        batch["targets"] = _take(examples.targets, rows, len(index), np.float32)
        if examples.target_mask is not None:
            batch["target_mask"] = _take(examples.target_mask, rows, len(index), bool)
        batch["example_mask"] = example_mask
        batch["example_index"] = index
        return batch


def steps_per_epoch(documents: int, batch_size: int) -> int:
    """How many batches one epoch has, the last and shorter one included."""
    return -(-documents // batch_size)


def train_batches(
    examples: Examples,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    length_buckets: Sequence[int] | None = None,
    shard_index: int = 0,
    shard_count: int = 1,
    prefetch_threads: int = 0,
) -> grain.DatasetIterator[Batch]:
    """Iterates over `epochs` shuffled epochs of batches, resumably.

    The iterator's `get_state()` is a small JSON value that counts batches read
    over all hosts; after `set_state` with it, the next batch is exactly the one
    that would have followed, for any number of hosts and threads.

    Each batch: token_ids int32 [B, S] (or token_vectors [B, S, D]) and token_mask
    bool [B, S]; with a window axis, [B, W, S], where some document has several;
    targets float32 [B, N]; example_mask bool [B], False for the rows that fill
    the last batch of an epoch; example_index int32 [B], -1 for those rows.

    Args:
        examples: the documents, the same ones on every host.
        batch_size: rows over all hosts; each host gets batch_size / shard_count.
        epochs: how often every document is read.
        seed: another seed shuffles differently.
        length_buckets: see `BatchPlan`.
        shard_index, shard_count: this host and the number of hosts.
        prefetch_threads: threads that build batches ahead; the order stays.

    Raises:
        ValueError: see `Examples`, `BatchPlan` and `Batches`.
    """
    # Grain takes a second to import; only training pays for it.
    import grain

    plan = BatchPlan(
        examples, batch_size=batch_size, seed=seed, length_buckets=length_buckets
    )
    source = Batches(
        examples,
        plan,
        epochs=epochs,
        shard_index=shard_index,
        shard_count=shard_count,
    )
    options = grain.ReadOptions(
        num_threads=prefetch_threads, prefetch_buffer_size=4 * prefetch_threads
    )
    return iter(grain.MapDataset.source(source).to_iter_dataset(options))


def evaluation_batches(
    examples: Examples,
    *,
    batch_size: int,
    length_buckets: Sequence[int] | None = None,
    sort_by_length: bool = True,
    shard_index: int = 0,
    shard_count: int = 1,
) -> Batches:
    """The batches that hold every document exactly once, as a sequence.

    Sorted by length unless told otherwise, which costs the least padding;
    example_index says which document a row is (only where example_mask holds).
    Contents as in `train_batches`.

    Raises:
        ValueError: see `Examples`, `BatchPlan` and `Batches`.
    """
    plan = BatchPlan(
        examples,
        batch_size=batch_size,
        seed=None,
        length_buckets=length_buckets,
        sort_by_length=sort_by_length,
    )
    return Batches(examples, plan, shard_index=shard_index, shard_count=shard_count)


def _take(matrix: Any, rows: np.ndarray, count: int, dtype: Any) -> np.ndarray:
    """Rows of a dense or sparse matrix, followed by zeros up to `count` rows."""
    taken = matrix[rows]
    if hasattr(taken, "toarray"):
        taken = taken.toarray()
    filled = np.zeros((count, matrix.shape[1]), dtype)
    filled[: len(rows)] = taken
    return filled


def _fill_tokens(
    examples: Examples, rows: np.ndarray, count: int, shape: BatchShape
) -> Batch:
    """Token ids or vectors, and their mask, of `rows`, padded to `count` rows."""
    places = (count, shape.windows, shape.tokens)
    token_mask = np.zeros(places, bool)
    store = examples.token_vectors
    if store is None:
        tokens = np.full(places, examples.pad_id, np.int32)
    else:
        features = np.shape(store[0])[-1] if len(store) else 1
        tokens = np.zeros((*places, features), np.float32)
    for place, row in enumerate(rows):
        for w in range(int(examples.window_counts[row])):
            if store is None:
                assert examples.windows is not None
                content = examples.windows[row][w]
            else:
                content = store[int(examples.first_windows[row]) + w]
            tokens[place, w, : len(content)] = content
            token_mask[place, w, : len(content)] = True
    if not examples.windowed:
        tokens, token_mask = tokens[:, 0], token_mask[:, 0]
    name = "token_ids" if store is None else "token_vectors"
    return {name: tokens, "token_mask": token_mask}
