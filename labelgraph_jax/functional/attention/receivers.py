"""Attention weights of selected receivers, without the full N x N matrix."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from labelgraph_jax.functional.attention.forms import pair_scores
from labelgraph_jax.functional.attention.plan import (
    AdjacencyRole,
    EdgeFactors,
    check_shapes,
)
from labelgraph_jax.functional.attention.weights import (
    attention_rows,
    factor_weights,
    score_halves,
)
from labelgraph_jax.functional.checks import check_axes, check_integers, is_known
from labelgraph_jax.functional.graph.convolution import (
    normalise_adjacency,
    normalise_edges,
)
from labelgraph_jax.functional.graph.edges import Edges


def receiver_scores(
    receivers: Int[Array, " R"],
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
) -> Float[Array, "H R N"]:
    """The scores of `graph_attention` and `relu_graph_attention`, before the kink.

    Raises:
        ValueError: shapes do not fit together, or a receiver that is known is no label.
    """
    check_shapes(
        nodes,
        {"kernel": kernel},
        {"receiver_vector": receiver_vector, "sender_vector": sender_vector},
    )
    _check_receivers(receivers, nodes.shape[0])
    projected = jnp.einsum("nd,dhf->nhf", nodes, kernel)
    own, senders = score_halves(projected, receiver_vector, sender_vector)
    return own[:, receivers, None] + senders[:, None, :]


def receiver_scores_v2(
    receivers: Int[Array, " R"],
    nodes: Float[Array, "N D"],
    receiver_kernel: Float[Array, "D H F"],
    sender_kernel: Float[Array, "D H F"],
    vector: Float[Array, "H F"],
    *,
    negative_slope: float = 0.2,
) -> Float[Array, "H R N"]:
    """The scores of `graph_attention_v2`, its LeakyReLU included.

    Raises:
        ValueError: as `receiver_scores`.
    """
    kernels = {"receiver_kernel": receiver_kernel, "sender_kernel": sender_kernel}
    check_shapes(nodes, kernels, {"vector": vector})
    _check_receivers(receivers, nodes.shape[0])
    senders = jnp.einsum("nd,dhf->nhf", nodes, sender_kernel)
    chosen = jnp.asarray(nodes)[receivers]
    own = jnp.einsum("nd,dhf->nhf", chosen, receiver_kernel)
    return pair_scores(own, senders, vector, negative_slope, 1)


def receiver_attention(
    receivers: Int[Array, " Q"],
    scores: Float[Array, "H Q N"],
    *,
    form: str = "gat",
    role: AdjacencyRole = "additive",
    edge_weights: Float[Array, "N N"] | None = None,
    edge_bias: Float[Array, "N N"] | Float[Array, "E"] | None = None,
    edges: Edges | None = None,
    edge_factors: EdgeFactors | None = None,
    negative_slope: float = 0.2,
) -> Float[Array, "H Q N"]:
    """Rows of the attention weights that a label graph applies, without the others.

    Args:
        receivers: the Q receiving labels (R is the rank of `edge_factors`).
        scores: theirs, from `receiver_scores` or `receiver_scores_v2`.
        form: `gat`, `gatv2` or `relu`; scores of gatv2 are bent already.
        role: as `graph_attention` takes it, and all that follow.
        edge_weights: float form of the adjacency, used as `role` says.
        edge_bias: added to the scores.
        edges: the edges as a list.
        edge_factors: U and V, in place of `edge_weights`.
        negative_slope: of the LeakyReLU below zero.

    Returns:
        float32; entry (h, r, j) is what head h of label receivers[r] gives label j.

    Raises:
        ValueError: another form, shapes that do not fit together, or a receiver that is
            known and no label.
    """
    # Refuse unknown forms and wrong shapes.
    if form not in ("gat", "gatv2", "relu"):
        raise ValueError(f"form must be gat, gatv2 or relu, got {form!r}")
    bias_axes = "N N" if edges is None else "E"
    check_axes(
        receivers=(receivers, "Q"),
        scores=(scores, "H Q N"),
        edge_weights=(edge_weights, "N N"),
        edge_bias=(edge_bias, bias_axes),
        edges=(None if edges is None else edges.receivers, "E"),
    )
    _check_receivers(receivers, scores.shape[2])
    scores = jnp.asarray(scores, jnp.float32)
    # The receivers' rows of all that weighs edges: matrices, lists or factors.
    rows: dict[str, Array] = {}
    matrices: dict[str, Array | None] = {
        "edge_weights": edge_weights,
        "edge_bias": edge_bias,
    }
    if edges is not None:
        listed = jnp.ones_like(edges.weights)
        matrices |= {"adjacency": listed, "edge_weights": edges.weights}
    for name, values in matrices.items():
        if values is not None and edges is not None:
            rows[name] = edge_rows(edges, values, receivers, scores.shape[2])
        elif values is not None:
            rows[name] = jnp.asarray(values)[receivers]
    if edge_factors is not None:
        factors = (jnp.asarray(edge_factors[0])[receivers], edge_factors[1])
        rows["edge_weights"] = factor_weights(factors)
    # Attention weights of these rows alone.
    if form == "gat":
        scores = jax.nn.leaky_relu(scores, negative_slope)
    return attention_rows("relu" if form == "relu" else "softmax", role, scores, **rows)


def _check_receivers(receivers: Int[Array, " R"], labels: int) -> None:
    """Refuse ids that are no labels: looking them up would give another label."""
    check_axes(receivers=(receivers, "R"))
    check_integers(receivers=receivers)
    if is_known(receivers) and np.size(receivers):
        low, high = int(np.min(receivers)), int(np.max(receivers))
        if low < 0 or high >= labels:
            raise ValueError(
                f"receivers must lie in 0..{labels - 1}, got {low}..{high}"
            )


def receiver_convolution(
    receivers: Int[Array, " R"], adjacency: Shaped[Array, "N N"] | Edges, n: int
) -> Float[Array, "1 R N"]:
    """Rows of the weights that `graph_convolution` applies, as of one head."""
    if isinstance(adjacency, Edges):
        weights = normalise_edges(adjacency, n)
        return edge_rows(adjacency, weights, receivers, n)[None]
    return normalise_adjacency(adjacency)[receivers][None]


def edge_rows(
    edges: Edges,
    values: Shaped[Array, "E"],
    receivers: Int[Array, " R"],
    n: int,
) -> Float[Array, "R N"]:
    """Values of listed edges as rows of a matrix, 0 where no edge is listed."""
    own = edges.receivers[None, :] == receivers.astype(jnp.int32)[:, None]
    kept = jnp.where(own, values.astype(jnp.float32)[None, :], 0.0)
    rows = jnp.zeros((len(receivers), n), jnp.float32)
    return rows.at[:, edges.senders].add(kept)
