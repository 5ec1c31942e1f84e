"""Graph convolution over a label graph: the baseline that attention must beat."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from labelgraph_jax.functional.attention.sparse import gather_edges
from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.graph.edges import (
    Edges,
    as_square,
    check_edge_list,
    check_label_count,
)


def normalise_adjacency(adjacency: Shaped[ArrayLike, "N N"]) -> Float[Array, "N N"]:
    """Divide every edge by the roots of what its two ends exchange in all.

        A'_ij = A_ij / sqrt(r_i c_j),   r_i = sum_j abs(A_ij),   c_j = sum_i abs(A_ij)

    For a symmetric A this is D^-1/2 A D^-1/2. No vector grows by it: the largest
    singular value is at most 1, whatever the signs. A label that receives nothing
    keeps a row of zeros, one that sends nothing a column of zeros, and neither gets a
    gradient there; all gradients are finite.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> adjacency = np.array([[1.0, 1.0], [1.0, 1.0]])
        >>> lg.functional.normalise_adjacency(adjacency).round(2).tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Args:
        adjacency: entry (i, j) the weight with which i receives from j, of any sign.
            Self-loops are the caller's: none is added.

    Returns:
        float32 `[N, N]`.

    Raises:
        ValueError: `adjacency` is not square.

    Reference: Kipf and Welling, Semi-Supervised Classification with Graph
    Convolutional Networks, ICLR 2017, eq. 2. ML-GCN (Chen et al., CVPR 2019) takes
    the row sums on both sides of an adjacency that is not symmetric; a label that
    receives nothing could then send nothing, and what a label sends to many would have
    no bound, so we take each side's own sums.
    """
    adjacency = jnp.asarray(as_square("adjacency", adjacency), jnp.float32)
    size = jnp.abs(adjacency)
    received, sent = size.sum(axis=1, keepdims=True), size.sum(axis=0, keepdims=True)
    return adjacency * _inverse_root(received) * _inverse_root(sent)


def normalise_edges(edges: Edges, n: int) -> Float[Array, "E"]:
    """The weights of `normalise_adjacency` for a list of edges between n labels.

    Raises:
        ValueError: as `check_edge_list`.
    """
    check_edge_list(edges, n)
    weights = jnp.asarray(edges.weights, jnp.float32)
    size = jnp.abs(weights)
    received = jax.ops.segment_sum(
        size, edges.receivers, num_segments=n, indices_are_sorted=True
    )
    sent = jax.ops.segment_sum(size, edges.senders, num_segments=n)
    to, come_from = _inverse_root(received), _inverse_root(sent)
    return weights * to[edges.receivers] * come_from[edges.senders]


def graph_convolution(
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D F"],
    adjacency: Shaped[Array, "N N"] | Edges,
) -> Float[Array, "N F"]:
    """Let every label gather its neighbours' features, weighted by the adjacency.

        out = A' H W,   A' = normalise_adjacency(A)

    The gradient reaches the adjacency through the normalisation, so a learned one
    may be passed.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> adjacency = jnp.array([[1.0, 1.0], [1.0, 1.0]])
        >>> features = jnp.array([[2.0], [4.0]])
        >>> kernel = jnp.ones((1, 1))
        >>> gathered = lg.functional.graph_convolution(features, kernel, adjacency)
        >>> gathered.round(2).tolist()
        [[3.0], [3.0]]

    Args:
        nodes: one feature vector per label, H.
        kernel: the projection W.
        adjacency: entry (i, j) the weight with which i receives from j, of any sign;
            with a diagonal where a label is to receive from itself. A list of edges is
            the same graph in memory that grows with the edges, without a forward mode
            (`jax.jvp`).

    Returns:
        The new features `[N, F]`; zeros for a label that receives nothing.

    Raises:
        ValueError: shapes do not fit together, or `adjacency` is a list that
            `check_edge_list` refuses.

    Reference: Kipf and Welling, ICLR 2017, eq. 2, without the activation; for labels:
    Chen et al., ML-GCN, CVPR 2019, eq. 2.
    """
    if nodes.ndim != 2:
        raise ValueError(f"nodes must have shape [labels, features], got {nodes.shape}")
    labels, features = nodes.shape
    check_label_count(labels)
    if kernel.ndim != 2 or kernel.shape[0] != features:
        raise ValueError(
            f"kernel must have shape [{features}, new features] for nodes of shape "
            f"{nodes.shape}, got {kernel.shape}"
        )
    if isinstance(adjacency, Edges):
        weights = normalise_edges(adjacency, labels).astype(nodes.dtype)
        projected = (nodes @ kernel)[:, None]
        ends = (adjacency.receivers, adjacency.senders)
        return gather_edges(weights[:, None], projected, *ends)[:, 0]
    if adjacency.shape != (labels, labels):
        raise ValueError(
            f"adjacency must have shape {(labels, labels)} for {labels} labels, "
            f"got {adjacency.shape}"
        )
    weights = normalise_adjacency(adjacency).astype(nodes.dtype)
    return weights @ (nodes @ kernel)


def gated_convolution(
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D F"],
    adjacency: Shaped[Array, "N N"] | Edges,
    gate_kernel: Float[Array, " D"],
    gate_bias: Float[Array, " N"],
) -> Float[Array, "N F"]:
    """Let every label gather what its neighbours send through their gates.

        out = A' G H W,   G = diag(sigmoid(H v + b)),   A' = normalise_adjacency(A)

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> adjacency, features = jnp.ones((2, 2)), jnp.array([[2.0], [4.0]])
        >>> shut = jnp.array([0.0, -100.0])
        >>> zero, one = jnp.zeros(1), jnp.ones((1, 1))
        >>> lg.functional.gated_convolution(
        ...     features, one, adjacency, zero, shut
        ... ).round(2).tolist()
        [[0.5], [0.5]]

    Args:
        nodes: H, as of `graph_convolution`.
        kernel: W, as of `graph_convolution`.
        adjacency: A, as of `graph_convolution`.
        gate_kernel: v, of the sender's features.
        gate_bias: b, of each sender.

    Raises:
        ValueError: as `graph_convolution`, or the gates do not fit.

    Reference: the hierarchy-aware convolution of Zhou et al., "Hierarchy-aware global
        model for hierarchical text classification" (HiAGM), ACL 2020, eq. 3 and 4, with
        one gate of a sender for all directions where theirs has one for each, and a
        normalised adjacency.
    """
    check_axes(
        nodes=(nodes, "N D"),
        gate_kernel=(gate_kernel, "D"),
        gate_bias=(gate_bias, "N"),
    )
    gate = jax.nn.sigmoid(nodes @ gate_kernel + gate_bias)
    return graph_convolution(nodes * gate[:, None], kernel, adjacency)


def _inverse_root(total: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 / sqrt(total), 0 where there is nothing to divide by."""
    # Below the smallest normal number the root is 0 on hardware that flushes to zero.
    # NaN is not below it, and comes out.
    positive = ~(total < jnp.finfo(jnp.float32).tiny)
    return jnp.where(positive, jnp.where(positive, total, 1.0) ** -0.5, 0.0)
