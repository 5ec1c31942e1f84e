"""The attention weights of some receivers, from their logits and their edges."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, Shaped

from labelgraph_jax.functional.attention.inputs import AdjacencyRole


def masked_softmax(
    logits: Float[Array, "*batch R S"], mask: Bool[Array, "*#batch #R #S"]
) -> Float[Array, "*batch R S"]:
    """Softmax over the last axis in float32, counting only entries where `mask` holds.

    A row whose mask is all false gives zeros, not a uniform row: a label
    without neighbours receives no message. Its gradient is zero.

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
    mask = jnp.broadcast_to(mask, logits.shape)
    return jax.nn.softmax(logits.astype(jnp.float32), axis=-1, where=mask)


def softmax_attention(
    logits: Float[Array, "H R N"],
    role: AdjacencyRole,
    adjacency: Shaped[Array, "R N"] | None,
    edge_weights: Float[Array, "R N"] | None,
    edge_bias: Float[Array, "R N"] | None,
) -> Float[Array, "H R N"]:
    """The attention of R receivers, any role but `fixed`; see `graph_attention`."""
    mask = jnp.ones(logits.shape[1:], bool) if adjacency is None else adjacency != 0
    if edge_bias is not None:
        logits = logits + edge_bias.astype(jnp.float32)
    if edge_weights is None or role == "none":
        return masked_softmax(logits, mask[None])
    weights = edge_weights.astype(jnp.float32)
    if role == "mask":
        return masked_softmax(logits, (mask & (weights != 0))[None])
    if role == "multiplicative":
        return masked_softmax(logits, mask[None]) * weights
    log_weights, positive = log_of_positive(weights)
    return masked_softmax(logits + log_weights, (mask & positive)[None])


def log_of_positive(
    weights: Float[Array, "..."],
) -> tuple[Float[Array, "..."], Bool[Array, "..."]]:
    """The logarithm where there is one, 0 elsewhere, and where there is one."""
    # Below the smallest normal number log is -inf on hardware that flushes to zero.
    # The inner `where` keeps log and its gradient finite on the branch not taken.
    positive = weights >= jnp.finfo(jnp.float32).tiny
    return jnp.log(jnp.where(positive, weights, 1.0)), positive


def fixed_attention(
    edge_weights: Float[Array, "R N"] | None,
    adjacency: Shaped[Array, "R N"] | None,
    *,
    heads: int,
) -> Float[Array, "H R N"]:
    """The attention of role `fixed`: w_ij / sum_j abs(w_ij), the same in every head."""
    assert edge_weights is not None
    weights = jax.lax.stop_gradient(edge_weights).astype(jnp.float32)
    if adjacency is not None:
        weights = jnp.where(adjacency != 0, weights, 0.0)
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
    kept = jax.random.bernoulli(key, 1.0 - dropout_rate, attention.shape)
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
