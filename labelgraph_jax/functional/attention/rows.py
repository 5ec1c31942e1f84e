"""Attention by rows of its matrix: all of them at once, or a few at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.attention.inputs import EdgeFactors
from labelgraph_jax.functional.attention.weights import factor_weights, gather

BLOCK_BYTES = 64 << 20
"""Bytes of the logits that are in memory at once where rows go in blocks."""

Attend = Callable[[Float[Array, "H R N"], dict[str, Array]], Float[Array, "H R N"]]
"""The attention of some rows from their scores and from their rows of the matrices."""


def score_halves(
    projected: Float[Array, "N H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
) -> tuple[Float[Array, "H N"], Float[Array, "H N"]]:
    """receiver_vector . z_i and sender_vector . z_j in float32."""

    def score(vector: Float[Array, "H F"]) -> Float[Array, "H N"]:
        return jnp.einsum(
            "nhf,hf->hn", projected, vector, preferred_element_type=jnp.float32
        )

    return score(receiver_vector), score(sender_vector)


def whole(
    attend: Attend,
    projected: Float[Array, "N H F"],
    halves: tuple[Float[Array, "H N"], Float[Array, "H N"]],
    matrices: dict[str, Array],
    factors: EdgeFactors | None,
    dropout_rate: float,
    key: Key[Array, ""] | Shaped[Array, "2"] | None,
) -> tuple[Float[Array, "N H F"], Float[Array, "H N N"]]:
    """What every label gathers, and the weights that were applied.

    Args:
        attend: scores and matrices -> attention.
        projected: what is gathered.
        halves: the receiver's and the sender's half of the scores.
        matrices: what `attend` reads beside the scores, `[N, N]` each, by name.
        factors: edge weights of low rank, which `attend` gets as `weights`.
        dropout_rate: of the attention weights.
        key: randomness of the dropout.
    """
    receivers, senders = halves
    if factors is not None:
        matrices = matrices | {"weights": factor_weights(factors)}
    attention = attend(receivers[:, :, None] + senders[:, None, :], matrices)
    return gather(projected, attention, dropout_rate, key)


def in_blocks(
    attend: Attend,
    projected: Float[Array, "N H F"],
    halves: tuple[Float[Array, "H N"], Float[Array, "H N"]],
    matrices: dict[str, Array],
    factors: EdgeFactors | None,
    dropout_rate: float,
    key: Key[Array, ""] | Shaped[Array, "2"] | None,
) -> tuple[Float[Array, "N H F"], None]:
    """`whole`, a block of receivers at a time; nothing of size N x N is made.

    Every block draws its dropout from a key of its own, by its number, so that what is
    computed again for the gradient drops the same weights.
    """
    labels, heads = projected.shape[:2]
    receivers, senders = halves

    def block(piece: dict[str, Any], index: Array) -> Array:
        scores = piece["receivers"].T[:, :, None] + senders[:, None, :]
        rows = dict(piece["matrices"])
        if factors is not None:
            rows["weights"] = factor_weights((piece["factors"], factors[1]))
        attention = attend(scores, rows)
        of_block = None if key is None else jax.random.fold_in(key, index)
        return gather(projected, attention, dropout_rate, of_block)[0]

    pieces: dict[str, Any] = {"receivers": receivers.T, "matrices": matrices}
    if factors is not None:
        pieces["factors"] = factors[0]
    return in_row_blocks(block, rows_at_once(labels, heads), labels, pieces), None


def rows_at_once(labels: int, heads: int) -> int:
    """Receivers whose logits, `[heads, rows, labels]`, are in memory together."""
    return max(1, min(labels, BLOCK_BYTES // (4 * heads * labels)))


def in_row_blocks(
    block: Callable[[Any, Array], Array], rows: int, labels: int, arrays: Any
) -> Array:
    """`block(pieces, index)` for blocks of rows one after the other, put end to end.

    What a block computes on the way is not kept for the gradient but computed again.

    Args:
        block: gets a tree of arrays `[rows, ...]` and the number of the block, and
            gives `[rows, ...]`.
        rows: in a block.
        labels: rows in all; those added to fill the last block are left out again.
        arrays: a tree of arrays `[labels, ...]`.
    """

    def split(array: Array) -> Array:
        padding = [(0, -labels % rows)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(-1, rows, *array.shape[1:])

    pieces = jax.tree.map(split, arrays)
    index = jnp.arange(-(-labels // rows))
    again = jax.checkpoint(lambda piece: block(*piece))
    found = jax.lax.map(again, (pieces, index))
    return found.reshape(-1, *found.shape[2:])[:labels]
