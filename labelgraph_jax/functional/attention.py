"""Attention over a label graph: the masked softmax and multi-head graph attention."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, Shaped

from labelgraph_jax.functional.attention_methods import (
    AttentionMethod,
    choose_method,
    in_row_blocks,
    rows_at_once,
)
from labelgraph_jax.functional.complete_attention import complete_attention

AdjacencyRole = Literal["additive", "multiplicative", "fixed", "mask", "none"]


def masked_softmax(
    logits: Float[Array, "*batch R S"], mask: Bool[Array, "*#batch #R #S"]
) -> Float[Array, "*batch R S"]:
    """Softmax over the last axis in float32, counting only entries where `mask` holds.

    A row whose mask is all false gives zeros, not a uniform row: a label
    without neighbours receives no message. Its gradient is zero.

    Args:
        logits: any float dtype.
        mask: true where an entry counts; broadcast against `logits`.

    Returns:
        float32 weights; every row sums to one, or to zero where nothing counts.
    """
    mask = jnp.broadcast_to(mask, logits.shape)
    return jax.nn.softmax(logits.astype(jnp.float32), axis=-1, where=mask)


def graph_attention(
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
    *,
    adjacency: Shaped[Array, "N N"] | None = None,
    edge_weights: Float[Array, "N N"] | None = None,
    edge_bias: Float[Array, "N N"] | None = None,
    negative_slope: float = 0.2,
    role: AdjacencyRole = "additive",
    dropout_rate: float = 0.0,
    return_attention: bool = False,
    method: AttentionMethod = "auto",
    key: Key[Array, ""] | Shaped[Array, "2"] | None = None,
) -> Float[Array, "N H F"] | tuple[Float[Array, "N H F"], Float[Array, "H N N"]]:
    """Let every label gather its neighbours' features, weighted by attention.

    With z_i = W h_i, per head,

        e_ij     = LeakyReLU(receiver_vector . z_i + sender_vector . z_j)
        alpha_ij = softmax of e_ij over the labels j that i receives from
        out_i    = sum_j alpha_ij z_j

    `edge_weights` w enters according to `role`; what gradient it gets is part of
    the contract:

    | role             | attention                                 | gradient of w   |
    |------------------|-------------------------------------------|-----------------|
    | `additive`       | softmax(e_ij + log w_ij) where w_ij > 0   | yes, where > 0  |
    | `multiplicative` | softmax(e_ij) * w_ij, not renormalised    | yes             |
    | `fixed`          | w_ij / sum_j abs(w_ij); e is not used     | none            |
    | `mask`           | softmax(e_ij) where w_ij is not 0         | none            |
    | `none`           | softmax(e_ij); w is not used              | none            |

    A label that receives from no label gets zeros.

    Args:
        nodes: one feature vector per label.
        kernel: the projection W, one block per head.
        receiver_vector: the half of the attention vector that meets the receiver.
        sender_vector: the half that meets the sender.
        adjacency: label i may receive from label j only where entry (i, j) is not
            0, whatever the role; every label receives from every label if None.
        edge_weights: float form of the adjacency, used as `role` says.
        edge_bias: any real number per edge, added to e_ij: the learned form of
            role `additive`, which needs no positive weights.
        negative_slope: slope of the LeakyReLU below zero.
        role: how `edge_weights` enters.
        dropout_rate: probability of dropping an attention weight; the others are
            divided by 1 - dropout_rate.
        return_attention: return the attention weights too.
        method: how it is computed; the result is the same. `dense` makes the matrix;
            `complete`, where every label receives from every label and no edge has a
            weight, takes O(N log N) time and O(N) memory (`complete_attention`);
            `blocked` makes the matrix a few rows at a time, twice where there is a
            gradient; `auto` chooses by size and by what is given. The last two cannot
            drop out or return attention weights.
        key: randomness of the dropout.

    Returns:
        The new features `[N, H, F]`, heads side by side; with `return_attention`
        also the float32 weights `[H, N, N]` that were applied, dropout included.

    Raises:
        ValueError: shapes do not fit together; `role` is unknown, or misses the
            `edge_weights` it is about; `edge_bias` with a role other than
            `additive`; `dropout_rate` outside [0, 1), or above 0 without a `key`; a
            `method` that is unknown or cannot do what is asked for.

    Reference: Velickovic et al., Graph Attention Networks, ICLR 2018, eq. 1 to 4;
    a^T [z_i || z_j] of eq. 3 is split into its two halves, which makes the logits
    of N labels from 2 N numbers. MAGNET (Pal et al., ICAART 2020) leaves open how
    the adjacency enters, hence `role`.
    """
    check_shapes(
        nodes,
        {"kernel": kernel},
        {"receiver_vector": receiver_vector, "sender_vector": sender_vector},
    )
    check_edges(nodes.shape[0], role, adjacency, edge_weights, edge_bias)
    check_dropout(dropout_rate, key)
    # Role `none` does not use the weights.
    weights = None if role == "none" else edge_weights
    given = {"adjacency": adjacency, "weights": weights, "bias": edge_bias}
    edges = {name: matrix for name, matrix in given.items() if matrix is not None}
    chosen = choose_method(
        method,
        labels=nodes.shape[0],
        heads=kernel.shape[1],
        negative_slope=negative_slope,
        edges=bool(edges),
        dropout_rate=dropout_rate,
        return_attention=return_attention,
    )
    projected = jnp.einsum("nd,dhf->nhf", nodes, kernel)
    if chosen == "complete":
        receivers, senders = _halves(projected, receiver_vector, sender_vector)
        return complete_attention(receivers.T, senders.T, projected, negative_slope)
    if chosen == "blocked":
        halves = _halves(projected, receiver_vector, sender_vector)
        return _blocked(projected, *halves, edges, role, negative_slope)

    if role == "fixed":
        attention = fixed_attention(edge_weights, adjacency, heads=kernel.shape[1])
    else:
        scores = pair_scores(projected, receiver_vector, sender_vector)
        logits = jax.nn.leaky_relu(scores, negative_slope)
        attention = softmax_attention(logits, role, adjacency, edge_weights, edge_bias)
    gathered, attention = gather(projected, attention, dropout_rate, key)
    return (gathered, attention) if return_attention else gathered


def pair_scores(
    projected: Float[Array, "N H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
) -> Float[Array, "H N N"]:
    """receiver_vector . z_i + sender_vector . z_j in float32, before any bend."""
    receivers, senders = _halves(projected, receiver_vector, sender_vector)
    return receivers[:, :, None] + senders[:, None, :]


def _halves(
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


def _blocked(
    projected: Float[Array, "N H F"],
    receivers: Float[Array, "H N"],
    senders: Float[Array, "H N"],
    edges: dict[str, Array],
    role: AdjacencyRole,
    negative_slope: float,
) -> Float[Array, "N H F"]:
    """`graph_attention` by blocks of receivers."""
    labels, heads = projected.shape[:2]

    def block(piece: dict[str, Array]) -> Array:
        adjacency = piece.get("adjacency")
        weights, bias = piece.get("weights"), piece.get("bias")
        if role == "fixed":
            attention = fixed_attention(weights, adjacency, heads=heads)
        else:
            scores = piece["receivers"].T[:, :, None] + senders[:, None, :]
            logits = jax.nn.leaky_relu(scores, negative_slope)
            attention = softmax_attention(logits, role, adjacency, weights, bias)
        return jnp.einsum("hij,jhf->ihf", attention.astype(projected.dtype), projected)

    pieces = {"receivers": receivers.T, **edges}
    return in_row_blocks(block, rows_at_once(labels, heads), labels, pieces)


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
    # Below the smallest normal number log is -inf on hardware that flushes to zero.
    # The inner `where` keeps log and its gradient finite on the branch not taken.
    positive = weights >= jnp.finfo(jnp.float32).tiny
    log_weights = jnp.log(jnp.where(positive, weights, 1.0))
    return masked_softmax(logits + log_weights, (mask & positive)[None])


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


def gather(
    values: Float[Array, "N H F"],
    attention: Float[Array, "H N N"],
    dropout_rate: float,
    key: Key[Array, ""] | Shaped[Array, "2"] | None,
) -> tuple[Float[Array, "N H F"], Float[Array, "H N N"]]:
    """out_i = sum_j alpha_ij values_j, and the alpha that dropout left."""
    if dropout_rate > 0.0:
        assert key is not None
        kept = jax.random.bernoulli(key, 1.0 - dropout_rate, attention.shape)
        attention = jnp.where(kept, attention / (1.0 - dropout_rate), 0.0)
    gathered = jnp.einsum("hij,jhf->ihf", attention.astype(values.dtype), values)
    return gathered, attention


def check_shapes(
    nodes: Shaped[Array, "..."],
    kernels: dict[str, Shaped[Array, "..."]],
    vectors: dict[str, Shaped[Array, "..."]],
) -> None:
    """Refuses nodes, kernels and attention vectors that do not fit, by their names.

    Raises:
        ValueError: a shape that does not fit the others.
    """
    if nodes.ndim != 2:
        raise ValueError(f"nodes must have shape [labels, features], got {nodes.shape}")
    shape: tuple[int, ...] = ()
    for name, kernel in kernels.items():
        if kernel.ndim != 3 or kernel.shape[0] != nodes.shape[1]:
            raise ValueError(
                f"{name} must have shape [{nodes.shape[1]}, heads, features per head] "
                f"for nodes of shape {nodes.shape}, got {kernel.shape}"
            )
        shape = shape or kernel.shape
        if kernel.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape} as the other kernel has, "
                f"got {kernel.shape}"
            )
    for name, vector in vectors.items():
        if vector.shape != shape[1:]:
            raise ValueError(
                f"{name} must have shape {shape[1:]} for a kernel of shape "
                f"{shape}, got {vector.shape}"
            )


def check_edges(
    n: int,
    role: str,
    adjacency: Shaped[Array, "..."] | None,
    edge_weights: Shaped[Array, "..."] | None,
    edge_bias: Shaped[Array, "..."] | None,
) -> None:
    """Refuses a role that is unknown or lacks its weights, and a wrong shape.

    Raises:
        ValueError: either of these.
    """
    roles = get_args(AdjacencyRole)
    if role not in roles:
        raise ValueError(f"role must be one of {', '.join(roles)}, got {role!r}")
    if role in ("multiplicative", "fixed") and edge_weights is None:
        raise ValueError(f"role {role!r} must be given edge_weights, got None")
    if edge_bias is not None and role != "additive":
        raise ValueError(f"edge_bias must come with role 'additive', got {role!r}")
    for name, matrix in (
        ("adjacency", adjacency),
        ("edge_weights", edge_weights),
        ("edge_bias", edge_bias),
    ):
        if matrix is not None and matrix.shape != (n, n):
            raise ValueError(
                f"{name} must have shape {(n, n)} for {n} labels, got {matrix.shape}"
            )


def check_dropout(
    dropout_rate: float, key: Key[Array, ""] | Shaped[Array, "2"] | None
) -> None:
    """Refuses a rate outside [0, 1), and one above 0 without a key.

    Raises:
        ValueError: either of these.
    """
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must lie in [0, 1), got {dropout_rate}")
    if dropout_rate > 0.0 and key is None:
        raise ValueError(
            f"dropout_rate {dropout_rate} must come with a key, got key = None"
        )
