"""The few shapes that a model is compiled for, whatever the number of documents."""

SHORTEST = 32
MULTIPLE = 8
LENGTHS = 4
"""Lengths of the rows of fewer documents than fill a batch."""


def row_counts(most: int) -> tuple[int, ...]:
    """1, 4, 8, 16, ... and `most`: each is compiled for every length."""
    known = {1, *(2**i for i in range(2, 16))}
    return tuple(sorted({n for n in known if n < most} | {most}))


def rows_for(count: int, most: int) -> int:
    """The rows of a batch that holds `count` documents, or `most` where they are more.

    Example:
        >>> [rows_for(count, 64) for count in (1, 2, 5, 33, 64, 1000)]
        [1, 4, 8, 64, 64, 64]
    """
    return next(rows for rows in row_counts(most) if rows >= min(count, most))


def lengths(longest: int, count: int) -> tuple[int, ...]:
    """At most `count` lengths up to `longest`, each the same factor above the last."""
    first = min(SHORTEST, longest)
    if count == 1 or first == longest:
        return (longest,)
    factor = (longest / first) ** (1 / (count - 1))
    steps = (first * factor**i for i in range(count - 1))
    rounded = {-(-round(step) // MULTIPLE) * MULTIPLE for step in steps}
    return tuple(sorted({n for n in rounded if n < longest} | {longest}))
