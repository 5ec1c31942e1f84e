"""What each way to compute graph attention needs in memory, before it is taken."""

from collections.abc import Sequence
from typing import NamedTuple

from labelgraph_jax.functional.attention.rows import BLOCK_BYTES
from labelgraph_jax.functional.attention.sorted_sums import (
    HEADS_TOGETHER_BYTES,
    pieces_of,
)
from labelgraph_jax.functional.attention.sparse import EDGE_BYTES


class AttentionSizes(NamedTuple):
    """The sizes that memory depends on."""

    labels: int
    heads: int
    features: int
    """Of a head."""
    edges: int = 0
    """Of a list of edges."""
    matrices: int = 0
    """Arrays `[N, N]` that are given: each has a gradient of its size."""


def attention_bytes(method: str, sizes: AttentionSizes) -> int:
    """Bytes that a method takes for attention and its gradient, in float32.

    Beside what it is given, so without the features of the labels and without
    parameters; with the gradient of matrices. Counted from the arrays that live at the
    same time and measured to be right to about a quarter
    (`experiments/extreme_labels.py`).

    Args:
        method: `dense`, `complete`, `blocked` or `sparse`.
        sizes: of the graph and the heads.
    """
    labels, heads, features, edges, matrices = sizes
    values = 4 * labels * heads * features
    square = 4 * labels * labels
    if method == "dense":
        return (4 * heads + matrices) * square + 4 * values
    if method == "blocked":
        return matrices * square + 4 * min(BLOCK_BYTES, heads * square) + 5 * values
    if method == "sparse":
        carried = 5 * min(EDGE_BYTES, 4 * edges * heads * features) // 2
        return 8 * 4 * edges * heads + carried + 5 * values
    assert method == "complete", method
    # Tables of both sums, of all heads or of a piece of one, beside values, results
    # and gradients.
    pieces = pieces_of(labels, heads, features) * heads
    at_once = values if values <= HEADS_TOGETHER_BYTES else values // pieces
    return 6 * values + 9 * at_once // 2 + 40 * 4 * labels * heads


def check_fits(
    method: str, able: Sequence[str], sizes: AttentionSizes, free_bytes: int
) -> None:
    """Refuses a method that needs more memory than there is.

    Args:
        method: the one that is to be used.
        able: all methods that could do what is asked for.
        sizes: of the graph and the heads.
        free_bytes: what there is.

    Raises:
        ValueError: it needs more; names the need, what is free, and what would fit.
    """
    needed = attention_bytes(method, sizes)
    if needed <= free_bytes:
        return
    fitting = [m for m in able if attention_bytes(m, sizes) <= free_bytes]
    if fitting:
        advice = f"methods that fit: {', '.join(fitting)}"
    elif "sparse" in able:
        advice = "no method fits: fewer edges or features per head would"
    else:
        advice = (
            "no method that can do this fits; a list of edges (sparse) or edge_factors "
            "in place of a matrix (complete) need less"
        )
    raise ValueError(
        f"method {method!r} needs {_size(needed)} for attention over {sizes.labels:,} "
        f"labels with {sizes.heads} heads of {sizes.features} features and its "
        f"gradient, and {_size(free_bytes)} are free; {advice}"
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB ({count:,} bytes)"
