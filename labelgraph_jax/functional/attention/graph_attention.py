"""Attention over a label graph: multi-head graph attention, whichever way computed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.attention.complete import complete_attention
from labelgraph_jax.functional.attention.inputs import (
    AdjacencyRole,
    EdgeFactors,
    check_dropout,
    check_edges,
    check_shapes,
)
from labelgraph_jax.functional.attention.memory import AttentionSizes
from labelgraph_jax.functional.attention.methods import (
    AttentionMethod,
    choose_method,
)
from labelgraph_jax.functional.attention.rows import in_blocks, score_halves, whole
from labelgraph_jax.functional.attention.sparse import (
    edge_scores,
    gather_edges,
    sparse_fixed_attention,
    sparse_softmax_attention,
)
from labelgraph_jax.functional.attention.weights import (
    drop_weights,
    fixed_attention,
    masked_softmax,
    softmax_attention,
)
from labelgraph_jax.functional.graph.edges import Edges

__all__ = ["AdjacencyRole", "graph_attention", "masked_softmax"]


def graph_attention(
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
    *,
    adjacency: Shaped[Array, "N N"] | None = None,
    edge_weights: Float[Array, "N N"] | None = None,
    edge_bias: Float[Array, "N N"] | Float[Array, "E"] | None = None,
    edges: Edges | None = None,
    edge_factors: EdgeFactors | None = None,
    negative_slope: float = 0.2,
    role: AdjacencyRole = "additive",
    dropout_rate: float = 0.0,
    return_attention: bool = False,
    method: AttentionMethod = "auto",
    free_bytes: int | None = None,
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

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> nodes = jnp.eye(2)  # two labels
        >>> kernel = jnp.ones((2, 1, 3))  # one head of three features
        >>> halves = jnp.zeros((1, 3))  # every score is 0: all labels count alike
        >>> lg.graph_attention(nodes, kernel, halves, halves).shape
        (2, 1, 3)
        >>> _, shares = lg.graph_attention(
        ...     nodes, kernel, halves, halves, return_attention=True
        ... )
        >>> print(shares[0].round(2))
        [[0.5 0.5]
         [0.5 0.5]]

    Args:
        nodes: one feature vector per label.
        kernel: the projection W, one block per head.
        receiver_vector: the half of the attention vector that meets the receiver.
        sender_vector: the half that meets the sender.
        adjacency: label i may receive from label j only where entry (i, j) is not
            0, whatever the role; every label receives from every label if None.
        edge_weights: float form of the adjacency, used as `role` says.
        edge_bias: any real number per edge, added to e_ij: the learned form of
            role `additive`, which needs no positive weights; `[E]` beside `edges`.
        edges: the edges as a list, in place of `adjacency` and `edge_weights`: label
            i receives from label j only where i <- j is listed, and w_ij is its
            weight.
        edge_factors: U and V, `[N, R]` each and without a negative entry, in place of
            `edge_weights`: w_ij = sum_r U_ir V_jr, in role `additive`.
        negative_slope: slope of the LeakyReLU below zero.
        role: how `edge_weights` enters.
        dropout_rate: probability of dropping an attention weight; the others are
            divided by 1 - dropout_rate.
        return_attention: return the attention weights too.
        method: how it is computed; the result is the same. `dense` makes the matrix;
            `complete`, where every label receives from every label and edges have no
            weights or those of `edge_factors`, takes O(N log N) time and O(N) memory
            (`complete_attention`); `blocked` makes the matrix a few rows at a time,
            twice where there is a gradient; `sparse` takes `edges`; `auto` chooses by
            size and by what is given. Only `dense` returns attention weights, and
            `complete` cannot drop them, for it makes none. What is dropped depends on
            the method, how often it is does not.
        free_bytes: memory that may be taken: `auto` keeps within it where it can, and
            what would need more is refused before it is tried.
        key: randomness of the dropout.

    Returns:
        The new features `[N, H, F]`, heads side by side; with `return_attention`
        also the float32 weights `[H, N, N]` that were applied, dropout included.

    Raises:
        ValueError: shapes do not fit together; `role` is unknown, or misses the
            `edge_weights` it is about; `edge_bias` or `edge_factors` with a role other
            than `additive`; edges that are no edges (`check_edge_list`), or beside an
            adjacency; `dropout_rate` outside [0, 1), or above 0 without a `key`; a
            `method` that is unknown, cannot do what is asked for, or needs more than
            `free_bytes`.

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
    labels, heads = nodes.shape[0], kernel.shape[1]
    check_edges(labels, role, adjacency, edge_weights, edge_bias, edges, edge_factors)
    check_dropout(dropout_rate, key)
    # Role `none` does not use the weights.
    weights = None if role == "none" else edge_weights
    given = {"adjacency": adjacency, "weights": weights, "bias": edge_bias}
    matrices = {name: matrix for name, matrix in given.items() if matrix is not None}
    chosen = choose_method(
        method,
        AttentionSizes(
            labels,
            heads,
            kernel.shape[2],
            edges=0 if edges is None else edges.receivers.shape[0],
            matrices=len(matrices),
        ),
        given="edges" if edges is not None else "matrix" if matrices else "nothing",
        rank=0 if edge_factors is None else edge_factors[0].shape[1],
        negative_slope=negative_slope,
        dropout_rate=dropout_rate,
        return_attention=return_attention,
        free_bytes=free_bytes,
    )
    projected = jnp.einsum("nd,dhf->nhf", nodes, kernel)
    halves = score_halves(projected, receiver_vector, sender_vector)
    if chosen == "complete":
        receivers, senders = (half.T for half in halves)
        return complete_attention(
            receivers, senders, projected, negative_slope, edge_factors
        )
    if chosen == "sparse":
        assert edges is not None
        if role == "fixed":
            shares = sparse_fixed_attention(edges, heads=heads, labels=labels)
        else:
            logits = jax.nn.leaky_relu(edge_scores(*halves, edges), negative_slope)
            shares = sparse_softmax_attention(logits, edges, role, edge_bias, labels)
        shares = drop_weights(shares, dropout_rate, key)
        return gather_edges(shares, projected, edges.receivers, edges.senders)

    def attend(
        scores: Float[Array, "H R N"], rows: dict[str, Array]
    ) -> Float[Array, "H R N"]:
        adjacency, weights = rows.get("adjacency"), rows.get("weights")
        if role == "fixed":
            return fixed_attention(weights, adjacency, heads=heads)
        logits = jax.nn.leaky_relu(scores, negative_slope)
        return softmax_attention(logits, role, adjacency, weights, rows.get("bias"))

    by_rows = in_blocks if chosen == "blocked" else whole
    gathered, attention = by_rows(
        attend, projected, halves, matrices, edge_factors, dropout_rate, key
    )
    if not return_attention:
        return gathered
    assert attention is not None
    return gathered, attention
