"""Other forms of attention over a label graph: GATv2, and ReLU without a softmax."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.attention import (
    AdjacencyRole,
    check_dropout,
    check_edges,
    check_shapes,
    fixed_attention,
    gather,
    pair_scores,
    softmax_attention,
)

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
        receiver_kernel, sender_kernel: the projections, one block per head.
        vector: the attention vector.
        adjacency, edge_weights, edge_bias, role: as in `graph_attention`, with the
            same gradients.
        negative_slope: slope of the LeakyReLU below zero.
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
    check_edges(nodes.shape[0], role, adjacency, edge_weights, edge_bias)
    check_dropout(dropout_rate, key)
    if receivers_at_once is not None and receivers_at_once < 1:
        raise ValueError(
            f"receivers_at_once must be at least 1, got {receivers_at_once}"
        )
    senders = jnp.einsum("nd,dhf->nhf", nodes, sender_kernel)
    if role == "fixed":
        attention = fixed_attention(edge_weights, adjacency, heads=vector.shape[0])
    else:
        receivers = jnp.einsum("nd,dhf->nhf", nodes, receiver_kernel)
        at_once = receivers_at_once or _receivers_at_once(senders.size)
        logits = _bent_scores(receivers, senders, vector, negative_slope, at_once)
        attention = softmax_attention(logits, role, adjacency, edge_weights, edge_bias)
    gathered, attention = gather(senders, attention, dropout_rate, key)
    return (gathered, attention) if return_attention else gathered


def _receivers_at_once(pairs_each: int) -> int:
    # A CPU wins nothing by more than one, and XLA's gradient of several was measured
    # to be ten times slower there.
    if jax.default_backend() == "cpu":
        return 1
    return max(1, PAIR_FEATURES_AT_ONCE // pairs_each)


def _bent_scores(
    receivers: Float[Array, "N H F"],
    senders: Float[Array, "N H F"],
    vector: Float[Array, "H F"],
    negative_slope: float,
    at_once: int,
) -> Float[Array, "H N N"]:
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


def relu_graph_attention(
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
    *,
    adjacency: Shaped[Array, "N N"] | None = None,
    edge_weights: Float[Array, "N N"] | None = None,
    role: AdjacencyRole = "multiplicative",
    dropout_rate: float = 0.0,
    return_attention: bool = False,
    key: Key[Array, ""] | Shaped[Array, "2"] | None = None,
) -> Float[Array, "N H F"] | tuple[Float[Array, "N H F"], Float[Array, "H N N"]]:
    """Gather neighbours weighted by the ReLU of the pair's score, with no softmax.

    With z_i = W h_i, per head,

        e_ij     = receiver_vector . z_i + sender_vector . z_j
        alpha_ij = ReLU(e_ij)
        out_i    = sum_j alpha_ij z_j

    Nothing is normalised: the sum grows with the number of neighbours, up to N of
    them, and may be large; MAGNET bounds it by the tanh that follows. Where e_ij is
    negative the edge is silent and neither it nor its weight gets a gradient.

    `edge_weights` w enters according to `role`:

    | role             | attention                             | gradient of w       |
    |------------------|---------------------------------------|---------------------|
    | `additive`       | ReLU(e_ij + w_ij), w_ij of any sign   | where alpha_ij > 0  |
    | `multiplicative` | ReLU(e_ij) * w_ij                     | where e_ij > 0      |
    | `fixed`          | w_ij / sum_j abs(w_ij); e is not used | none                |
    | `mask`           | ReLU(e_ij) where w_ij is not 0        | none                |
    | `none`           | ReLU(e_ij); w is not used             | none                |

    Additive weights are added as they are, not as logarithms: no exponential
    follows that would make factors of them, and at the logarithm of a small weight
    the ReLU would be shut for good.

    Args:
        nodes: one feature vector per label.
        kernel: the projection W, one block per head.
        receiver_vector, sender_vector: the halves of the attention vector.
        adjacency: label i may receive from label j only where entry (i, j) is not
            0, whatever the role; every label receives from every label if None.
        edge_weights: float form of the adjacency, used as `role` says.
        role: how `edge_weights` enters.
        dropout_rate: probability of dropping an attention weight; the others are
            divided by 1 - dropout_rate.
        return_attention: return the attention weights too.
        key: randomness of the dropout.

    Returns:
        The new features `[N, H, F]`, heads side by side; with `return_attention`
        also the float32 weights `[H, N, N]` that were applied, dropout included.

    Raises:
        ValueError: shapes do not fit together; `role` is unknown or misses its
            `edge_weights` (all but `mask` and `none` need them); `dropout_rate`
            outside [0, 1), or above 0 without a `key`.

    Reference: Pal et al., MAGNET, ICAART 2020, which prints
    alpha_ij = ReLU((H_i W) || (H_j W)^T). A vector beside a transposed vector is no
    number; we read it as the score of GAT (Velickovic et al., ICLR 2018, eq. 3),
    whose vector over the concatenation splits into the two halves above. The paper
    has no softmax here and no normalisation, so neither have we; where the
    adjacency enters it leaves open, hence `role`.
    """
    check_shapes(
        nodes,
        {"kernel": kernel},
        {"receiver_vector": receiver_vector, "sender_vector": sender_vector},
    )
    check_edges(nodes.shape[0], role, adjacency, edge_weights, None)
    if role == "additive" and edge_weights is None:
        raise ValueError("role 'additive' must be given edge_weights, got None")
    check_dropout(dropout_rate, key)
    projected = jnp.einsum("nd,dhf->nhf", nodes, kernel)
    if role == "fixed":
        attention = fixed_attention(edge_weights, adjacency, heads=kernel.shape[1])
    else:
        scores = pair_scores(projected, receiver_vector, sender_vector)
        attention = _relu_attention(scores, role, adjacency, edge_weights)
    gathered, attention = gather(projected, attention, dropout_rate, key)
    return (gathered, attention) if return_attention else gathered


def _relu_attention(
    scores: Float[Array, "H N N"],
    role: AdjacencyRole,
    adjacency: Shaped[Array, "N N"] | None,
    edge_weights: Float[Array, "N N"] | None,
) -> Float[Array, "H N N"]:
    if edge_weights is not None and role == "additive":
        scores = scores + edge_weights.astype(jnp.float32)
    attention = jax.nn.relu(scores)
    if edge_weights is not None and role == "multiplicative":
        attention = attention * edge_weights.astype(jnp.float32)
    if edge_weights is not None and role == "mask":
        attention = jnp.where(edge_weights != 0, attention, 0.0)
    if adjacency is not None:
        attention = jnp.where(adjacency != 0, attention, 0.0)
    return attention


def message_gate(
    free: Float[Array, "N D"],
    message: Float[Array, "N D"],
    kernel: Float[Array, "2*D"],
    bias: Float[Array, ""],
) -> Float[Array, "N"]:
    """How much of its message each label takes, between 0 and 1.

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
    both = jnp.concatenate([free, message], axis=1).astype(jnp.float32)
    return jax.nn.sigmoid(both @ kernel.astype(jnp.float32) + bias)
