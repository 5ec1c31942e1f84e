"""GATv2 over a label graph, and the gate of a message."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.attention.plan import (
    AdjacencyRole,
    Neighbours,
    check_dropout,
    check_neighbours,
    check_shapes,
)
from labelgraph_jax.functional.attention.weights import (
    attention_rows,
    fixed_rows,
    gather,
)
from labelgraph_jax.functional.checks import check_axes

PAIR_FEATURES_AT_ONCE = 2**24
"""Numbers of one chunk of GATv2's pairwise activations: 64 MB in float32."""


def graph_attention_v2(
    nodes: Float[Array, "N D"],
    receiver_kernel: Float[Array, "D H F"],
    sender_kernel: Float[Array, "D H F"],
    vector: Float[Array, "H F"],
    *,
    adjacency: Shaped[Array, "N N"] | None = None,
    edge_weights: Float[Array, "N N"] | None = None,
    edge_bias: Float[Array, "N N"] | None = None,
    negative_slope: float = 0.2,
    role: AdjacencyRole = "additive",
    dropout_rate: float = 0.0,
    return_attention: bool = False,
    receivers_at_once: int | None = None,
    key: Key[Array, ""] | Shaped[Array, "2"] | None = None,
) -> Float[Array, "N H F"] | tuple[Float[Array, "N H F"], Float[Array, "H N N"]]:
    """Gather neighbours by attention whose ranking depends on who receives.

    Per head,

        e_ij     = vector . LeakyReLU(W_receiver h_i + W_sender h_j)
        alpha_ij = softmax of e_ij over the labels j that i receives from
        out_i    = sum_j alpha_ij W_sender h_j

    In `graph_attention` the vector meets each side before the LeakyReLU, so all
    labels rank their senders alike; here every pair is bent feature by feature.

    Args:
        nodes: one feature vector per label.
        receiver_kernel: W_receiver, one block per head.
        sender_kernel: W_sender, one block per head.
        vector: the attention vector.
        adjacency: as in `graph_attention`, as are the next two.
        edge_weights: float form of the adjacency, used as `role` says.
        edge_bias: added to the scores.
        negative_slope: slope of the LeakyReLU below zero.
        role: how `edge_weights` enters, with the same gradients.
        dropout_rate: probability of dropping an attention weight; the others are
            divided by 1 - dropout_rate.
        return_attention: return the attention weights too.
        receivers_at_once: labels whose pairs, N H F numbers each, are in memory
            together; the backward pass computes them again instead of keeping them, so
            memory grows with H N^2 and not with H F N^2. By default as many as fit in
            64 MB, and on a CPU one.
        key: randomness of the dropout.

    Returns:
        The new features `[N, H, F]`, heads side by side; with `return_attention`
        also the float32 weights `[H, N, N]` that were applied, dropout included.

    Raises:
        ValueError: as `graph_attention`; or `receivers_at_once` is less than 1.

    Reference: Brody, Alon and Yahav, How Attentive are Graph Attention Networks?,
    ICLR 2022, eq. 7; its W [h_i || h_j] is split into the two halves of W, and as in
    the authors' code the message is the sender's half. The roles are ours.
    """
    kernels = {"receiver_kernel": receiver_kernel, "sender_kernel": sender_kernel}
    check_shapes(nodes, kernels, {"vector": vector})
    neighbours = Neighbours(role, adjacency, edge_weights, edge_bias)
    check_neighbours(nodes.shape[0], neighbours)
    check_dropout(dropout_rate, key)
    if receivers_at_once is not None and receivers_at_once < 1:
        raise ValueError(
            f"receivers_at_once must be at least 1, got {receivers_at_once}"
        )
    senders = jnp.einsum("nd,dhf->nhf", nodes, sender_kernel)
    if role == "fixed":  # no score is needed
        assert edge_weights is not None
        attention = fixed_rows(edge_weights, adjacency, heads=vector.shape[0])
    else:
        receivers = jnp.einsum("nd,dhf->nhf", nodes, receiver_kernel)
        at_once = receivers_at_once or _receivers_at_once(senders.size)
        scores = pair_scores(receivers, senders, vector, negative_slope, at_once)
        attention = attention_rows("softmax", role, scores, **neighbours.matrices)
    gathered, attention = gather(senders, attention, dropout_rate, key)
    return (gathered, attention) if return_attention else gathered


def _receivers_at_once(pairs_each: int) -> int:
    # A CPU wins nothing by more than one, and XLA's gradient of several was measured
    # to be ten times slower there.
    if jax.default_backend() == "cpu":
        return 1
    return max(1, PAIR_FEATURES_AT_ONCE // pairs_each)


def pair_scores(
    receivers: Float[Array, "R H F"],
    senders: Float[Array, "N H F"],
    vector: Float[Array, "H F"],
    negative_slope: float,
    at_once: int,
) -> Float[Array, "H R N"]:
    """Return vector . LeakyReLU(receiver_i + sender_j) of every pair, float32."""

    # Without the checkpoint a gradient would keep every chunk, all N N H F numbers.
    @jax.checkpoint
    def row(receiver: Float[Array, "H F"]) -> Float[Array, "H N"]:
        bent = jax.nn.leaky_relu(receiver + senders, negative_slope)
        return jnp.einsum(
            "jhf,hf->hj", bent, vector, preferred_element_type=jnp.float32
        )

    if at_once >= receivers.shape[0]:
        rows = jax.vmap(row)(receivers)
    else:
        size = at_once if at_once > 1 else None
        rows = jax.lax.map(row, receivers, batch_size=size)
    return jnp.einsum("ihj->hij", rows)


def message_gate(
    free: Float[Array, "N D"],
    message: Float[Array, "N D"],
    kernel: Float[Array, "2*D"],
    bias: Float[Array, ""],
) -> Float[Array, "N"]:
    """Return the share of its message that each label takes, between 0 and 1.

        gate_n = sigmoid(kernel . [free_n || message_n] + bias)

    Args:
        free: what a label is without its neighbours.
        message: what it gathered from them.
        kernel: weights of the free vector's features, then of the message's.
        bias: the gate's tendency, the same for all labels.

    Returns:
        One float32 number per label.

    Raises:
        ValueError: shapes do not fit together.

    Reference: the update gate of Li et al., Gated Graph Sequence Neural Networks,
    ICLR 2016, eq. 3, with one number per label where theirs has one per feature.
    """
    if free.shape != message.shape or free.ndim != 2:
        raise ValueError(
            "free and message must both have shape [labels, features], got "
            f"{free.shape} and {message.shape}"
        )
    width = free.shape[1]
    if kernel.shape != (2 * width,):
        raise ValueError(
            f"kernel must have shape {(2 * width,)} for {width} features of free and "
            f"message each, got {kernel.shape}"
        )
    check_axes(bias=(bias, ""))
    both = jnp.concatenate([free, message], axis=1).astype(jnp.float32)
    return jax.nn.sigmoid(
        both @ kernel.astype(jnp.float32) + jnp.asarray(bias, jnp.float32)
    )
