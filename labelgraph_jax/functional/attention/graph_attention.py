"""Attention over a label graph: multi-head graph attention, whichever way computed."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.attention.complete import complete_attention
from labelgraph_jax.functional.attention.complete_relu import complete_relu_attention
from labelgraph_jax.functional.attention.plan import (
    AdjacencyRole,
    AttentionMethod,
    AttentionSizes,
    EdgeFactors,
    Neighbours,
    check_dropout,
    check_neighbours,
    check_shapes,
    choose_method,
)
from labelgraph_jax.functional.attention.sparse import (
    edge_scores,
    edge_softmax,
    fixed_edges,
    gather_edges,
)
from labelgraph_jax.functional.attention.weights import (
    Score,
    attention_rows,
    drop_weights,
    gather_rows,
    masked_relu,
    masked_softmax,
    score_halves,
    weigh_edges,
)
from labelgraph_jax.functional.graph.edges import Edges

__all__ = [
    "AdjacencyRole",
    "graph_attention",
    "masked_softmax",
    "relu_graph_attention",
]

PRNGKey = Key[Array, ""] | Shaped[Array, "2"]


class _Options(NamedTuple):
    """Arguments of `graph_attention` that say how it is computed."""

    dropout_rate: float
    return_attention: bool
    method: AttentionMethod
    free_bytes: int | None
    key: PRNGKey | None


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
            the method, how often it is does not. `dense` and `blocked` have a forward
            mode (`jax.jvp`), the others only a gradient.
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
    neighbours = Neighbours(
        role, adjacency, edge_weights, edge_bias, edges, edge_factors
    )
    return _attend(
        "softmax",
        negative_slope,
        (nodes, kernel, receiver_vector, sender_vector),
        neighbours,
        _Options(dropout_rate, return_attention, method, free_bytes, key),
    )


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
        receiver_vector: the receiver's half of the attention vector.
        sender_vector: the sender's half.
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
            `complete_relu_attention`. `dense` and `blocked` have a forward mode.
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
    neighbours = Neighbours(role, adjacency, edge_weights, None, edges, edge_factors)
    return _attend(
        "relu",
        0.0,
        (nodes, kernel, receiver_vector, sender_vector),
        neighbours,
        _Options(dropout_rate, return_attention, method, free_bytes, key),
    )


def _attend(
    score: Score,
    negative_slope: float,
    arrays: tuple[Array, Array, Array, Array],
    neighbours: Neighbours,
    options: _Options,
) -> Float[Array, "N H F"] | tuple[Float[Array, "N H F"], Float[Array, "H N N"]]:
    """Check the arguments, choose a method, and compute the attention by it.

    Args:
        score: what makes attention of scores.
        negative_slope: of the LeakyReLU before a softmax.
        arrays: nodes, kernel, receiver_vector and sender_vector.
        neighbours: who receives from whom.
        options: how it is computed.
    """
    nodes, kernel, receiver_vector, sender_vector = arrays
    role, edges = neighbours.role, neighbours.edges
    edge_factors = neighbours.edge_factors
    dropout_rate, return_attention, method, free_bytes, key = options
    # Refuse arguments that do not fit together.
    check_shapes(
        nodes,
        {"kernel": kernel},
        {"receiver_vector": receiver_vector, "sender_vector": sender_vector},
    )
    labels, heads, features = nodes.shape[0], *kernel.shape[1:]
    is_relu = score == "relu"
    check_neighbours(
        labels, neighbours, factor_role="multiplicative" if is_relu else "additive"
    )
    weightless = neighbours.edge_weights is None and edges is None
    if is_relu and role == "additive" and weightless:
        raise ValueError("role 'additive' must be given edge_weights, got None")
    check_dropout(dropout_rate, key)

    # Choose the method by what is given and asked for.
    matrices = neighbours.matrices
    chosen = choose_method(
        method,
        AttentionSizes(
            labels,
            heads,
            features,
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

    def bend(scores: Float[Array, "*edges"]) -> Float[Array, "*edges"]:
        return scores if is_relu else jax.nn.leaky_relu(scores, negative_slope)

    # [N, H, F]: projected labels, and the two halves of every score.
    projected = jnp.einsum("nd,dhf->nhf", nodes, kernel)
    halves = score_halves(projected, receiver_vector, sender_vector)
    # Complete: every label receives from every label, without a matrix of weights.
    if chosen == "complete":
        receivers, senders = (half.T for half in halves)
        if is_relu:
            return complete_relu_attention(receivers, senders, projected, edge_factors)
        return complete_attention(
            receivers, senders, projected, negative_slope, edge_factors
        )
    # Sparse: a score for every listed edge.
    if chosen == "sparse":
        assert edges is not None
        scores = bend(edge_scores(*halves, edges))
        bias = neighbours.edge_bias
        shares = _edge_attention(score, role, scores, edges, bias, labels)
        shares = drop_weights(shares, dropout_rate, key)
        return gather_edges(shares, projected, edges.receivers, edges.senders)

    # Dense or blocked: rows of the attention matrix, all at once or in blocks.
    def attend(
        scores: Float[Array, "H R N"], rows: dict[str, Array]
    ) -> Float[Array, "H R N"]:
        return attention_rows(score, role, bend(scores), **rows)

    gathered, attention = gather_rows(
        attend,
        projected,
        halves,
        neighbours,
        dropout_rate,
        key,
        blocked=chosen == "blocked",
    )
    if not return_attention:
        return gathered
    assert attention is not None
    return gathered, attention


def _edge_attention(
    score: Score,
    role: AdjacencyRole,
    scores: Float[Array, "E H"],
    edges: Edges,
    edge_bias: Float[Array, "E"] | None,
    labels: int,
) -> Float[Array, "E H"]:
    """The attention weight of every listed edge, in any role."""
    if role == "fixed":
        return fixed_edges(
            edges.weights, edges.receivers, heads=scores.shape[1], labels=labels
        )
    softmax = partial(edge_softmax, receivers=edges.receivers, labels=labels)
    return weigh_edges(
        score,
        softmax if score == "softmax" else masked_relu,
        role,
        scores,
        jnp.ones((len(scores), 1), bool),
        edges.weights[:, None],
        None if edge_bias is None else edge_bias[:, None],
    )
