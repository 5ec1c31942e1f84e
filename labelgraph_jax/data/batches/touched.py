"""Rows of a table of vectors that a batch reads, and the batch in terms of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from labelgraph_jax.data.batches.examples import Examples
from labelgraph_jax.data.batches.plan import (
    BatchPlan,
    BatchShape,
    choose_length_buckets,
)
from labelgraph_jax.data.tables.examples import TableExamples

TABLE_ROWS = "table_rows"
"""Batch entry: the rows that it reads over all hosts, ascending, int32 [U]."""
TOKEN_COUNTS = "token_counts"
"""Batch entry: the count in each document of the token of each of these rows."""
SAMPLED = 256
"""Batches that are looked at to find out how many rows one reads."""
SIZES = 3
"""Numbers of rows of counted documents: compiling for one more takes longer than the
padding that it saves in a run of a few thousand steps."""
MARGIN = 1.03
"""Of the largest of them above the most that any batch of the sample reads."""
STEP = 1.25
"""By how much the number of rows grows where it is larger than any of them."""


@dataclasses.dataclass(frozen=True)
class RowIds:
    """Rule by which batches read the rows of a table.

    Args:
        count: V, the rows of the table.
        offsets: int [C], of a batch of categories the first row of every column; None
            where tokens read the rows of their ids.
        counted: documents are counts of their tokens, float32 [B, U].
        hidden: share of the tokens that are left out of the counts, others each time.
        seed: of what is hidden; with the number of the batch it says which.
    """

    count: int
    offsets: np.ndarray | None = None
    counted: bool = False
    hidden: float = 0.0
    seed: int = 0


class TouchedRows:
    """Finds the rows that batches read, padded to few numbers of rows.

    A number of rows is a shape to compile for. Where documents are counts it is the
    only one, and `SIZES` of them are chosen that leave the least padding; else one goes
    with every shape of tokens: the most that any of a sample of such batches read. What
    fills up are other rows of the table: nothing in the batch refers to them.

    Args:
        examples: what is batched.
        plan: how.
        ids: whose rows.
    """

    def __init__(
        self, examples: Examples | TableExamples, plan: BatchPlan, ids: RowIds
    ) -> None:
        self._examples, self._plan, self._ids = examples, plan, ids
        self.counted = ids.counted
        epochs = max(1, min(4, SAMPLED // len(plan)))
        sample = range(min(SAMPLED, epochs * len(plan)))
        counts = [int(self._read(number).sum()) for number in sample]
        self.mean = float(np.mean(counts))
        self._own: dict[tuple[int, int], int] = {}
        for number, count in zip(sample, counts, strict=True):
            shape = plan[number]
            key = shape.windows, shape.tokens
            self._own[key] = max(self._own.get(key, 0), self._rounded(count, 1.05))
        self._sizes = sorted(self._own.values())
        if ids.counted:
            sizes = choose_length_buckets(np.asarray(counts), count=SIZES, multiple=128)
            # Another epoch hides other tokens: the largest batch may be larger then.
            most = self._rounded(sizes[-1], MARGIN)
            self._sizes = [*(min(size, ids.count) for size in sizes[:-1]), most]
            self._own = {}

    def rows(
        self, number: int, shape: BatchShape, tokens: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the rows that a batch reads, and as many more as fill up: `[U]`.

        Args:
            number: place of the batch among all batches.
            shape: of the batch: its windows and tokens.
            tokens: of it, where they are known already.
        """
        read = self._read(number, tokens)
        count = int(read.sum())
        own = self._own.get((shape.windows, shape.tokens), 0)
        fitting = [size for size in (own, *self._sizes) if size >= count]
        size = fitting[0] if fitting else self._sizes[-1]
        while size < count:
            size = self._rounded(size, STEP)
        # As many of the first `size` are free, at least, as are missing.
        read[np.flatnonzero(~read[:size])[: size - count]] = True
        return np.flatnonzero(read).astype(np.int32)

    def put(
        self,
        batch: dict[str, np.ndarray],
        number: int,
        shape: BatchShape,
        own: slice,
    ) -> np.ndarray:
        """Put into a batch what it reads, as places among the rows that it reads.

        Of tokens the places stand for their ids, or there are counts; of categories
        they stand beside them, as `category_rows`.

        Args:
            batch: this host's rows of it.
            number: place of the whole batch among all batches.
            shape: of the whole batch: its windows and tokens.
            own: which rows these are.

        Returns:
            The rows `[U]` of the table.
        """
        tokens, documents = self._tokens(number) if self.counted else (None, None)
        rows = self.rows(number, shape, tokens)
        place = np.zeros(self._ids.count, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        if self._ids.offsets is not None:
            batch["category_rows"] = place[batch["categories"] + self._ids.offsets]
        elif tokens is None or documents is None:
            batch["token_ids"] = place[batch["token_ids"]]
        else:
            here = (documents >= own.start) & (documents < own.stop)
            cells = (documents[here] - own.start) * len(rows) + place[tokens[here]]
            size = (own.stop - own.start) * len(rows)
            counts = np.bincount(cells, minlength=size).astype(np.float32)
            batch[TOKEN_COUNTS] = counts.reshape(-1, len(rows))
        return rows

    def _tokens(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """All tokens of a batch but the hidden ones, and whose they are, 0 .. B - 1."""
        assert isinstance(self._examples, Examples)
        windows, ids = self._examples.windows, self._ids
        assert windows is not None
        none = np.zeros(0, np.int32)  # a document without a token may have no window
        pieces = [np.concatenate([none, *windows[i]]) for i in self._plan[number].rows]
        tokens = np.concatenate(pieces)
        documents = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        if not ids.hidden:
            return tokens, documents
        random = np.random.default_rng((ids.seed, 1, number))
        seen = random.random(len(tokens), np.float32) >= ids.hidden
        return tokens[seen], documents[seen]

    def _read(self, number: int, tokens: np.ndarray | None = None) -> np.ndarray:
        """Return a mask of the rows of the table that a batch reads."""
        read = np.zeros(self._ids.count, bool)
        if isinstance(self._examples, TableExamples):
            categories = self._examples.categories[self._plan[number].rows]
            read[categories + self._ids.offsets] = True
            # What fills the last batch up has zeros for categories.
            read[self._ids.offsets] = True
        else:
            read[self._tokens(number)[0] if tokens is None else tokens] = True
        return read

    def _rounded(self, count: int, factor: float) -> int:
        return min(self._ids.count, -(-int(count * factor) // 128) * 128)
