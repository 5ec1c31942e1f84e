"""Attention weights from scores and edges, by rows of the matrix."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from labelgraph_jax.functional.attention.plan import (
    AdjacencyRole,
    Neighbours,
    rows_at_once,
)
from labelgraph_jax.functional.trees import Tree

Score = Literal["softmax", "relu"]
"""Function that turns the scores of a receiver into its attention weights."""
Normalise = Callable[[Float[Array, "..."], Bool[Array, "..."]], Float[Array, "..."]]
"""Scores and a mask of the edges that count -> attention."""
Attend = Callable[[Float[Array, "H R N"], dict[str, Array]], Float[Array, "H R N"]]
"""The attention of some rows from their scores and from their rows of the matrices."""


def masked_softmax(
    logits: Float[Array, "*batch R S"], mask: Bool[Array, "*#batch #R #S"]
) -> Float[Array, "*batch R S"]:
    """Softmax over the last axis in float32, counting only entries where `mask` holds.

    A row whose mask is all false gives zeros, not a uniform row: a label
    without neighbours receives no message. Its gradient is zero. A logit of minus
    infinity counts as one that the mask leaves out, also where all of a row are.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> mask = jnp.array([[True, True], [False, False]])
        >>> lg.functional.masked_softmax(jnp.zeros((2, 2)), mask).tolist()
        [[0.5, 0.5], [0.0, 0.0]]

    Args:
        logits: any float dtype.
        mask: true where an entry counts; broadcast against `logits`.

    Returns:
        float32 weights; every row sums to one, or to zero where nothing counts.
    """
    logits = jnp.asarray(logits, jnp.float32)
    # Written so that NaN counts, and comes out.
    mask = jnp.broadcast_to(mask, logits.shape) & (logits != -jnp.inf)
    return jax.nn.softmax(logits, axis=-1, where=mask)


def masked_relu(
    scores: Float[Array, "*batch R S"], mask: Bool[Array, "*#batch #R #S"]
) -> Float[Array, "*batch R S"]:
    """ReLU of the scores where `mask` holds, 0 elsewhere."""
    return jnp.where(mask, jax.nn.relu(scores), 0.0)


def weigh_edges(
    score: Score,
    normalise: Normalise,
    role: AdjacencyRole,
    scores: Float[Array, "*edges"],
    mask: Bool[Array, "*#edges"],
    edge_weights: Float[Array, "*#edges"] | None,
    edge_bias: Float[Array, "*#edges"] | None,
) -> Float[Array, "*edges"]:
    """Attention from scores, in any role but `fixed`; see `graph_attention`.

    Args:
        score: says how additive weights enter: a ReLU adds them as they are.
        normalise: scores and mask -> attention.
        role: how the weights enter.
        scores: of rows of the matrix, or of listed edges.
        mask: true where there is an edge.
        edge_weights: of the same edges, or None.
        edge_bias: of the same edges, added to the scores.
    """
    if edge_bias is not None:
        scores = scores + edge_bias.astype(jnp.float32)
    if edge_weights is None or role == "none":
        return normalise(scores, mask)
    weights = edge_weights.astype(jnp.float32)
    if role == "multiplicative":
        return normalise(scores, mask) * jnp.where(mask, weights, 0.0)
    if role == "mask":
        return normalise(spoilt(scores, weights), mask & (weights != 0))
    if score == "relu":
        return normalise(scores + weights, mask)
    log_weights, positive = log_of_positive(weights)
    return normalise(scores + log_weights, mask & positive)


def attention_rows(
    score: Score,
    role: AdjacencyRole,
    scores: Float[Array, "H R N"],
    *,
    adjacency: Shaped[Array, "R N"] | None = None,
    edge_weights: Float[Array, "R N"] | None = None,
    edge_bias: Float[Array, "R N"] | None = None,
) -> Float[Array, "H R N"]:
    """The attention of R receivers from their rows of the matrices, in any role."""
    if role == "fixed":
        assert edge_weights is not None
        return fixed_rows(edge_weights, adjacency, heads=scores.shape[0])
    if adjacency is not None:
        scores = spoilt(scores, adjacency)
    everyone = jnp.ones(scores.shape[1:], bool)
    mask = everyone if adjacency is None else adjacency.astype(bool)
    return weigh_edges(
        score,
        masked_softmax if score == "softmax" else masked_relu,
        role,
        scores,
        mask[None],
        None if edge_weights is None else edge_weights[None],
        None if edge_bias is None else edge_bias[None],
    )


def spoilt(
    scores: Float[Array, "*edges"], weights: Shaped[Array, "*#edges"]
) -> Float[Array, "*edges"]:
    """Scores that are NaN where a weight is; as a mask it would only be "an edge"."""
    if not jnp.issubdtype(weights.dtype, jnp.floating):
        return scores
    return jnp.where(jnp.isnan(weights), jnp.nan, scores)


def log_of_positive(
    weights: Float[Array, "..."],
) -> tuple[Float[Array, "..."], Bool[Array, "..."]]:
    """The logarithm, 0 where there is none, and a mask of where there is one.

    Of NaN it is NaN, and no missing edge.
    """
    # Below the smallest normal number log is -inf on hardware that flushes to zero.
    # The inner `where` keeps log and its gradient finite on the branch not taken.
    positive = ~(weights < jnp.finfo(jnp.float32).tiny)
    return jnp.log(jnp.where(positive, weights, 1.0)), positive


def fixed_rows(
    edge_weights: Float[Array, "R N"],
    adjacency: Shaped[Array, "R N"] | None,
    *,
    heads: int,
) -> Float[Array, "H R N"]:
    """The attention of role `fixed`: w_ij / sum_j abs(w_ij), the same in every head."""
    weights = jax.lax.stop_gradient(edge_weights).astype(jnp.float32)
    if adjacency is not None:
        weights = jnp.where(adjacency.astype(bool), weights, 0.0)
    total = jnp.abs(weights).sum(axis=1, keepdims=True)
    weights = weights / jnp.where(total > 0, total, 1.0)
    return jnp.broadcast_to(weights[None], (heads, *weights.shape))


def factor_weights(
    factors: tuple[Float[Array, "I R"], Float[Array, "J R"]],
) -> Float[Array, "I J"]:
    """w_ij = sum_r receiver_factors_ir sender_factors_jr, as a matrix."""
    receivers, senders = (factor.astype(jnp.float32) for factor in factors)
    return jnp.einsum("ir,jr->ij", receivers, senders)


def drop_weights(
    attention: Float[Array, "*shape"],
    dropout_rate: float,
    key: Key[Array, ""] | Shaped[Array, "2"] | None,
) -> Float[Array, "*shape"]:
    """The weights that dropout left, divided by 1 - dropout_rate."""
    if dropout_rate == 0.0:
        return attention
    assert key is not None
    # Of float32 whatever the default is, so that the same weights are dropped.
    kept = jax.random.bernoulli(key, jnp.float32(1.0 - dropout_rate), attention.shape)
    return jnp.where(kept, attention / (1.0 - dropout_rate), 0.0)


def gather(
    values: Float[Array, "N H F"],
    attention: Float[Array, "H R N"],
    dropout_rate: float = 0.0,
    key: Key[Array, ""] | Shaped[Array, "2"] | None = None,
) -> tuple[Float[Array, "R H F"], Float[Array, "H R N"]]:
    """out_i = sum_j alpha_ij values_j, and the alpha that dropout left."""
    attention = drop_weights(attention, dropout_rate, key)
    gathered = jnp.einsum("hij,jhf->ihf", attention.astype(values.dtype), values)
    return gathered, attention


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


def gather_rows(
    attend: Attend,
    projected: Float[Array, "N H F"],
    halves: tuple[Float[Array, "H N"], Float[Array, "H N"]],
    neighbours: Neighbours,
    dropout_rate: float,
    key: Key[Array, ""] | Shaped[Array, "2"] | None,
    *,
    blocked: bool,
) -> tuple[Float[Array, "N H F"], Float[Array, "H N N"] | None]:
    """Return what every label gathers and, unless blocked, the weights applied.

    Args:
        attend: scores and rows of the matrices -> attention.
        projected: what is gathered.
        halves: the receiver's and the sender's half of the scores.
        neighbours: its matrices, by their names, are what `attend` reads beside the
            scores; edge weights of low rank it gets as `edge_weights`.
        dropout_rate: of the attention weights.
        key: randomness of the dropout. Every block draws from a key of its own, by its
            number, so that what is computed again for the gradient drops the same
            weights.
        blocked: take a block of receivers at a time; nothing of size N x N is made.
    """
    receivers, senders = halves
    factors = neighbours.edge_factors
    pieces: dict[str, Any] = {
        "receivers": receivers.T,
        "matrices": neighbours.matrices,
        "factors": None if factors is None else factors[0],
    }

    def gather_piece(
        piece: dict[str, PyTree[Array]], key: Array | None
    ) -> tuple[Array, Array]:
        scores = piece["receivers"].T[:, :, None] + senders[:, None, :]  # [H, R, N]
        rows = dict(piece["matrices"])
        if factors is not None:
            rows["edge_weights"] = factor_weights((piece["factors"], factors[1]))
        return gather(projected, attend(scores, rows), dropout_rate, key)

    if not blocked:
        return gather_piece(pieces, key)

    def block(piece: dict[str, PyTree[Array]], index: Array) -> Array:
        block_key = None if key is None else jax.random.fold_in(key, index)
        return gather_piece(piece, block_key)[0]

    labels, heads = projected.shape[:2]
    return in_row_blocks(block, rows_at_once(labels, heads), labels, pieces), None


def in_row_blocks(
    block: Callable[[Tree, Array], Array], rows: int, labels: int, arrays: Tree
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
