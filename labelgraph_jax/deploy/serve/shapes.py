"""The few shapes in which texts are scored, and which of those that wait go together.

A shape is (rows, windows, tokens). What each costs is measured once, when it is
compiled, and that decides how many of the texts that wait are taken: rows that only
fill up a batch cost time on a large encoder and next to nothing on a small one.
"""

from collections.abc import Mapping, Sequence

from labelgraph_jax.data.batches.shapes import lengths

Bucket = tuple[int, int]
"""Windows and tokens that a text is padded to."""
Costs = Mapping[int, float]
"""Rows of a batch -> seconds."""

BATCH_TOKENS = 131_072
"""Tokens of a batch, its padding included: longer texts go in smaller batches."""


def window_counts(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... and `most`."""
    return tuple(sorted({n for n in (2**i for i in range(16)) if n < most} | {most}))


def buckets(longest: int, windows: int, count: int, *, full: bool) -> list[Bucket]:
    """The buckets of a model, short ones first.

    Args:
        longest: tokens in a window, at most.
        windows: of a document, at most.
        count: lengths of a document of one window.
        full: every window but the last is `longest`, so that documents of several
            windows need no other length.
    """
    known = lengths(longest, count)
    found = [(1, tokens) for tokens in known]
    longer = known[-1:] if full else known[len(known) // 2 :]
    for most in window_counts(windows)[1:]:
        found += [(most, tokens) for tokens in longer]
    return found


def rows_of(bucket: Bucket, rows: Sequence[int]) -> list[int]:
    """Return the numbers of texts of a bucket that may be scored together."""
    size = bucket[0] * bucket[1]
    return [n for n in rows if n == 1 or n * size <= BATCH_TOKENS]


def fits(inner: Bucket, outer: Bucket) -> bool:
    """Return True if texts padded to `inner` can be padded to `outer`."""
    return inner[0] <= outer[0] and inner[1] <= outer[1]


def best_rows(waiting: int, costs: Costs) -> int:
    """The rows of the batch that costs least for each of the texts that wait."""
    return min(costs, key=lambda rows: (costs[rows] / min(rows, waiting), rows))


def cost_of_all(waiting: int, costs: Costs) -> float:
    """Seconds that it takes to score so many texts, batch after batch."""
    total = 0.0
    while waiting > 0:
        rows = best_rows(waiting, costs)
        total += costs[rows]
        waiting -= rows
    return total
