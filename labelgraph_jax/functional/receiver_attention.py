"""The attention weights of a few labels, to look at: no matrix of all labels."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from labelgraph_jax.functional.attention_inputs import AdjacencyRole, check_shapes
from labelgraph_jax.functional.attention_rows import score_halves
from labelgraph_jax.functional.attention_weights import (
    fixed_attention,
    softmax_attention,
)
from labelgraph_jax.functional.relu_attention import relu_attention


def receiver_attention(
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
    receivers: Int[Array, " R"],
    *,
    form: Literal["gat", "relu"] = "gat",
    role: AdjacencyRole = "none",
    adjacency: Shaped[Array, "R N"] | None = None,
    edge_weights: Float[Array, "R N"] | None = None,
    edge_bias: Float[Array, "R N"] | None = None,
    negative_slope: float = 0.2,
) -> Float[Array, "H R N"]:
    """What R labels receive from all N: their rows of the attention, per head.

    The rows of what `graph_attention` (form `gat`) and `relu_graph_attention` (form
    `relu`) return with `return_attention`, at a cost of H R N in place of H N^2.

    Args:
        nodes, kernel, receiver_vector, sender_vector, role, negative_slope: as there.
        receivers: label ids in 0..N-1.
        form: which of the two.
        adjacency, edge_weights, edge_bias: the receivers' rows of theirs.

    Raises:
        ValueError: shapes do not fit together; a form that is neither.
    """
    check_shapes(
        nodes,
        {"kernel": kernel},
        {"receiver_vector": receiver_vector, "sender_vector": sender_vector},
    )
    if form not in ("gat", "relu"):
        raise ValueError(f"form must be 'gat' or 'relu', got {form!r}")
    weights = None if role == "none" else edge_weights
    if role == "fixed":
        return fixed_attention(weights, adjacency, heads=kernel.shape[1])
    projected = jnp.einsum("nd,dhf->nhf", nodes, kernel)
    own, other = score_halves(projected, receiver_vector, sender_vector)
    scores = own[:, receivers, None] + other[:, None, :]
    if form == "relu":
        return relu_attention(scores, role, adjacency, weights)
    logits = jax.nn.leaky_relu(scores, negative_slope)
    return softmax_attention(logits, role, adjacency, weights, edge_bias)
