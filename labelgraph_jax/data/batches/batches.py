"""Documents, or rows, as padded arrays, batch by batch, through Grain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array

from labelgraph_jax.data.batches.examples import Examples, TokenVectors
from labelgraph_jax.data.batches.plan import (
    BatchPlan,
    BatchShape,
    choose_length_buckets,
)
from labelgraph_jax.data.batches.touched import TABLE_ROWS, RowIds, TouchedRows
from labelgraph_jax.data.batches.unlabelled import PROGRESS, Unlabelled
from labelgraph_jax.data.tables.examples import TableExamples

if TYPE_CHECKING:
    import grain

__all__ = [
    "Batch",
    "BatchPlan",
    "BatchShape",
    "Batches",
    "Examples",
    "RowIds",
    "TokenVectors",
    "TouchedRows",
    "Unlabelled",
    "choose_length_buckets",
    "evaluation_batches",
    "steps_per_epoch",
    "train_batches",
]

Batch = dict[str, np.ndarray]


class Batches(Sequence[Batch]):
    """Batch by number, built when asked for: a Grain random access source.

    Args:
        examples: the documents.
        plan: which of them stand in which batch.
        epochs: how often the plan is gone through.
        shard_index, shard_count: this host and the number of hosts; host k gets
            the k-th slice of the rows of every batch.
        touched: finds the rows of a table that each batch reads; the same on all hosts.
        unlabelled: documents that stand beside those of each batch.

    Raises:
        ValueError: the batch does not divide over the hosts.
    """

    def __init__(
        self,
        examples: Examples | TableExamples,
        plan: BatchPlan,
        *,
        epochs: int = 1,
        shard_index: int = 0,
        shard_count: int = 1,
        touched: TouchedRows | None = None,
        unlabelled: Unlabelled | None = None,
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
        self._touched = touched
        self._unlabelled = unlabelled
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
        return self._build(number, self.plan[number])

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(self._count))

    def __repr__(self) -> str:
        return f"Batches({self._count} of {self.plan.batch_size})"

    def _build(self, number: int, shape: BatchShape) -> Batch:
        size, beside = self.plan.batch_size, self._unlabelled
        touched = self._touched
        # Where documents are counts, one token stands for all that is read of them.
        counted = touched is not None and touched.counted
        batch = _rows(self._examples, size, shape, self._rows, counted=counted)
        if touched is not None:
            batch[TABLE_ROWS] = touched.put(batch, number, shape, self._rows)
        if beside is not None:
            second, own = beside.plan[number], beside.own_rows(self._rows)
            size *= beside.ratio
            beside.put(batch, _rows(beside.examples, size, second, own))
            done = np.float32(number / self._count)
            batch[PROGRESS] = np.full(len(batch["example_mask"]), done)
        return batch


def steps_per_epoch(documents: int, batch_size: int) -> int:
    """Return the number of batches in one epoch, the last and shorter one included."""
    return -(-documents // batch_size)


def train_batches(
    examples: Examples | TableExamples,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    length_buckets: Sequence[int] | None = None,
    shard_index: int = 0,
    shard_count: int = 1,
    prefetch_threads: int = 0,
    row_ids: RowIds | None = None,
    unlabelled: Examples | None = None,
    ratio: int = 1,
) -> grain.DatasetIterator[Batch]:
    """Iterate over `epochs` shuffled epochs of batches, resumably.

    The iterator's `get_state()` is a small JSON value that counts batches read
    over all hosts; after `set_state` with it, the next batch is exactly the one
    that would have followed, for any number of hosts and threads.

    Each batch: token_ids int32 [B, S] (or token_vectors [B, S, D]) and token_mask
    bool [B, S] (of documents of features also token_values float32 [B, S], 0 at
    padding); with a window axis, [B, W, S], where some document has several; of a
    table categories int32 [B, C] and numbers float32 [B, Q] in their place;
    targets float32 [B, N], or positives int32 [B, P], the ids of a document's labels
    filled up with -1, where `Examples.sparse_targets` asks for them; example_mask bool
    [B], False for the rows that fill the last batch of an epoch;
    example_index int32 [B], -1 for those rows; example_weight float32 [B] where
    documents or rows have weights. With `row_ids` also table_rows int32 [U], the rows
    of a table that the batch reads over all hosts; token_ids then count these rows, and
    of categories category_rows int32 [B, C] do; where documents are counts,
    token_counts float32 [B, U] say all, and token_ids and token_mask are [B, 1].
    With `unlabelled` also all of this of R unlabelled documents beside each row, as
    unlabelled_token_ids int32 [B, R, S] and so on, and unlabelled_progress float32 [B],
    the share of all batches that came before.

    Args:
        examples: the documents, the same ones on every host.
        batch_size: rows over all hosts; each host gets batch_size / shard_count.
        epochs: how often every document is read.
        seed: another seed shuffles differently.
        length_buckets: see `BatchPlan`.
        shard_index: number of this host, from 0.
        shard_count: number of hosts.
        prefetch_threads: threads that build batches ahead; the order stays.
        row_ids: the table whose rows training looks at batch by batch.
        unlabelled: documents that stand beside the labelled ones, in their own order.
        ratio: R, how many of them stand beside each.

    Raises:
        ValueError: see `Examples`, `BatchPlan`, `Batches` and `Unlabelled`.
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
        touched=None if row_ids is None else TouchedRows(examples, plan, row_ids),
        unlabelled=None
        if unlabelled is None
        else Unlabelled(unlabelled, ratio, batch_size=batch_size, seed=seed),
    )
    options = grain.ReadOptions(
        num_threads=prefetch_threads, prefetch_buffer_size=4 * prefetch_threads
    )
    return iter(grain.MapDataset.source(source).to_iter_dataset(options))


def evaluation_batches(
    examples: Examples | TableExamples,
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


def _rows(
    examples: Examples | TableExamples,
    size: int,
    shape: BatchShape,
    own: slice,
    *,
    counted: bool = False,
) -> Batch:
    """This host's rows of a batch, the last ones filled up."""
    index = np.full(size, -1, np.int32)
    index[: len(shape.rows)] = shape.rows
    index = index[own]
    example_mask = index >= 0
    rows = index[example_mask]
    if isinstance(examples, TableExamples):
        inputs = {"categories": examples.categories, "numbers": examples.numbers}
        batch = {n: _take(a, rows, len(index), a.dtype) for n, a in inputs.items()}
    elif counted:
        batch = {
            "token_ids": np.zeros((len(index), 1), np.int32),
            "token_mask": example_mask[:, None],
        }
    else:
        batch = _fill_tokens(examples, rows, len(index), shape)
    if isinstance(examples, Examples) and examples.sparse_targets:
        batch["positives"] = _positives(examples, rows, len(index))
    else:
        batch["targets"] = _take(examples.targets, rows, len(index), np.float32)
    if examples.weights is not None:
        weights = _take(examples.weights[:, None], rows, len(index), np.float32)
        batch["example_weight"] = weights[:, 0]
    if examples.target_mask is not None:
        batch["target_mask"] = _take(examples.target_mask, rows, len(index), bool)
    if isinstance(examples, Examples) and examples.target_weights is not None:
        sure = _take(examples.target_weights, rows, len(index), np.float32)
        batch["target_weight"] = sure
    batch["example_mask"] = example_mask
    batch["example_index"] = index
    return batch


def _take(
    matrix: np.ndarray | csr_array, rows: np.ndarray, count: int, dtype: DTypeLike
) -> np.ndarray:
    """Rows of a dense or sparse matrix, followed by zeros up to `count` rows."""
    taken = matrix[rows]
    if hasattr(taken, "toarray"):
        taken = taken.toarray()
    filled = np.zeros((count, matrix.shape[1]), dtype)
    filled[: len(rows)] = taken
    return filled


def _positives(examples: Examples, rows: np.ndarray, count: int) -> np.ndarray:
    """The label ids of some documents, filled up with -1, and rows without any."""
    sets = examples.targets
    places = np.arange(examples.positives_per_row)
    starts, ends = sets.indptr[rows], sets.indptr[rows + 1]
    at = starts[:, None] + places
    held = at < ends[:, None]
    filled = np.full((count, len(places)), -1, np.int32)
    filled[: len(rows)][held] = sets.indices[at[held]]
    return filled


def _fill_tokens(
    examples: Examples, rows: np.ndarray, count: int, shape: BatchShape
) -> Batch:
    """Token ids or vectors, and their mask, of `rows`, padded to `count` rows."""
    # Empty arrays of the batch's shape.
    places = (count, shape.windows, shape.tokens)
    token_mask = np.zeros(places, bool)
    values = None
    if examples.token_values is not None:
        values = np.zeros(places, np.float32)
    store = examples.token_vectors
    if store is None:
        tokens = np.full(places, examples.pad_id, np.int32)
    else:
        tokens = np.zeros((*places, examples.features), np.float32)
    # Fill in the windows of every document, and mark what is real.
    for place, row in enumerate(rows):
        for w in range(int(examples.window_counts[row])):
            if store is None:
                assert examples.windows is not None
                content = examples.windows[row][w]
            else:
                content = store[int(examples.first_windows[row]) + w]
            if len(content) > shape.tokens:
                raise ValueError(
                    f"item {row} must have at most {examples.lengths[row]} token "
                    f"vectors, as its length says; got {len(content)}"
                )
            tokens[place, w, : len(content)] = content
            token_mask[place, w, : len(content)] = True
            if values is not None:
                assert examples.token_values is not None
                values[place, w, : len(content)] = examples.token_values[row][w]
    # Without windows, the axis for them goes.
    name = "token_ids" if store is None else "token_vectors"
    batch = {name: tokens, "token_mask": token_mask}
    if values is not None:
        batch["token_values"] = values
    if examples.windowed:
        return batch
    return {name: array[:, 0] for name, array in batch.items()}
