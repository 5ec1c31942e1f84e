"""Attention over a label graph by a ReLU in place of a softmax, as MAGNET prints it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.attention.complete_relu import complete_relu_attention
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
    sparse_relu_attention,
)
from labelgraph_jax.functional.attention.weights import drop_weights, fixed_attention
from labelgraph_jax.functional.graph.edges import Edges


def relu_graph_attention(
    nodes: Float[Array, "N D"],
    kernel: Float[Array, "D H F"],
    receiver_vector: Float[Array, "H F"],
    sender_vector: Float[Array, "H F"],
    *,
    adjacency: Shaped[Array, "N N"] | None = None,
    edge_weights: Float[Array, "N N"] | None = None,
    edges: Edges | None = None,
    edge_factors: EdgeFactors | None = None,
    role: AdjacencyRole = "multiplicative",
    dropout_rate: float = 0.0,
    return_attention: bool = False,
    method: AttentionMethod = "auto",
    free_bytes: int | None = None,
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
        edges: the edges as a list, in place of `adjacency` and `edge_weights`.
        edge_factors: U and V, `[N, R]` each, in place of `edge_weights`:
            w_ij = sum_r U_ir V_jr, in role `multiplicative`.
        role: how `edge_weights` enters.
        dropout_rate: probability of dropping an attention weight; the others are
            divided by 1 - dropout_rate.
        return_attention: return the attention weights too.
        method: how it is computed, as in `graph_attention`; `complete` is
            `complete_relu_attention`.
        free_bytes: memory that may be taken: `auto` keeps within it where it can, and
            what would need more is refused before it is tried.
        key: randomness of the dropout.

    Returns:
        The new features `[N, H, F]`, heads side by side; with `return_attention`
        also the float32 weights `[H, N, N]` that were applied, dropout included.

    Raises:
        ValueError: shapes do not fit together; `role` is unknown or misses its
            `edge_weights` (all but `mask` and `none` need them); edges that are no
            edges, or beside an adjacency; `edge_factors` with a role other than
            `multiplicative`; `dropout_rate` outside [0, 1), or above 0 without a
            `key`; a `method` that is unknown, cannot do what is asked for, or needs
            more than `free_bytes`.

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
    labels, heads = nodes.shape[0], kernel.shape[1]
    check_edges(
        labels,
        role,
        adjacency,
        edge_weights,
        None,
        edges,
        edge_factors,
        factor_role="multiplicative",
    )
    if role == "additive" and edge_weights is None and edges is None:
        raise ValueError("role 'additive' must be given edge_weights, got None")
    check_dropout(dropout_rate, key)
    weights = None if role == "none" else edge_weights
    given = {"adjacency": adjacency, "weights": weights}
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
        dropout_rate=dropout_rate,
        return_attention=return_attention,
        free_bytes=free_bytes,
    )
    projected = jnp.einsum("nd,dhf->nhf", nodes, kernel)
    halves = score_halves(projected, receiver_vector, sender_vector)
    if chosen == "complete":
        receivers, senders = (half.T for half in halves)
        return complete_relu_attention(receivers, senders, projected, edge_factors)
    if chosen == "sparse":
        assert edges is not None
        if role == "fixed":
            shares = sparse_fixed_attention(edges, heads=heads, labels=labels)
        else:
            shares = sparse_relu_attention(edge_scores(*halves, edges), edges, role)
        shares = drop_weights(shares, dropout_rate, key)
        return gather_edges(shares, projected, edges.receivers, edges.senders)

    def attend(
        scores: Float[Array, "H R N"], rows: dict[str, Array]
    ) -> Float[Array, "H R N"]:
        adjacency, weights = rows.get("adjacency"), rows.get("weights")
        if role == "fixed":
            return fixed_attention(weights, adjacency, heads=heads)
        return relu_attention_weights(scores, role, adjacency, weights)

    by_rows = in_blocks if chosen == "blocked" else whole
    gathered, attention = by_rows(
        attend, projected, halves, matrices, edge_factors, dropout_rate, key
    )
    if not return_attention:
        return gathered
    assert attention is not None
    return gathered, attention


def relu_attention_weights(
    scores: Float[Array, "H R N"],
    role: AdjacencyRole,
    adjacency: Shaped[Array, "R N"] | None,
    edge_weights: Float[Array, "R N"] | None,
) -> Float[Array, "H R N"]:
    """The attention of R receivers, any role but `fixed`."""
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
