"""Which way to compute graph attention: whole, by rows, or without a matrix."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

AttentionMethod = Literal["auto", "dense", "complete", "blocked"]

COMPLETE_FROM = 256
"""Labels from which on `complete` is the faster one on a CPU (forward and gradient, 4
heads of 64 features); below it the matrix is small enough to win."""
DENSE_BYTES = 2 << 30
"""Bytes of the logits, their softmax and its gradient beyond which `auto` goes by
rows."""
BLOCK_BYTES = 64 << 20
"""Bytes of the logits that `blocked` has at once."""


def choose_method(
    method: str,
    *,
    labels: int,
    heads: int,
    negative_slope: float,
    edges: bool,
    dropout_rate: float,
    return_attention: bool,
) -> str:
    """The method to use: the one asked for if it can, or by `auto` the best that can.

    Args:
        method: one of `AttentionMethod`.
        labels, heads: sizes.
        negative_slope: of the LeakyReLU.
        edges: whether an adjacency, edge weights or an edge bias take part.
        dropout_rate: of the attention weights.
        return_attention: whether the weights are asked for.

    Raises:
        ValueError: the method is unknown, or cannot do what is asked for; names those
            that can.
    """
    if method not in get_args(AttentionMethod):
        raise ValueError(
            f"method must be one of {', '.join(get_args(AttentionMethod))}, got "
            f"{method!r}"
        )
    whole = {
        f"attention dropout (rate {dropout_rate})": dropout_rate > 0,
        "return_attention": return_attention,
    }
    refused = {
        "dense": [],
        "blocked": [name for name, wanted in whole.items() if wanted],
    }
    refused["complete"] = refused["blocked"] + [
        name
        for name, wanted in {
            "an adjacency, edge weights or an edge bias": edges,
            f"a negative_slope of {negative_slope}, outside [0, 1]": not (
                0.0 <= negative_slope <= 1.0
            ),
        }.items()
        if wanted
    ]
    if method != "auto":
        if refused[method]:
            able = [name for name, reasons in refused.items() if not reasons]
            raise ValueError(
                f"method {method!r} never makes the attention matrix and cannot do "
                f"{' and '.join(refused[method])}; methods that can: {', '.join(able)}"
            )
        return method
    if labels >= COMPLETE_FROM and not refused["complete"]:
        return "complete"
    too_large = 3 * 4 * heads * labels**2 > DENSE_BYTES
    return "blocked" if too_large and not refused["blocked"] else "dense"


def rows_at_once(labels: int, heads: int) -> int:
    """Receivers whose logits, `[heads, rows, labels]`, are in memory together."""
    return max(1, min(labels, BLOCK_BYTES // (4 * heads * labels)))


def in_row_blocks(block: Any, rows: int, labels: int, arrays: Any) -> jax.Array:
    """`block(pieces)` for blocks of rows one after the other, put end to end.

    What a block computes on the way is not kept for the gradient but computed again.

    Args:
        block: gets a tree of arrays `[rows, ...]` and gives `[rows, ...]`.
        rows: in a block.
        labels: rows in all; those added to fill the last block are left out again.
        arrays: a tree of arrays `[labels, ...]`.
    """

    def split(array: jax.Array) -> jax.Array:
        padding = [(0, -labels % rows)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(-1, rows, *array.shape[1:])

    found = jax.lax.map(jax.checkpoint(block), jax.tree.map(split, arrays))
    return found.reshape(-1, *found.shape[2:])[:labels]
