"""A label graph in every document: messages between what the labels read in it."""

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.attention.graph_attention import graph_attention
from labelgraph_jax.functional.attention.plan import AdjacencyRole, AttentionMethod
from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.functional.text.label_attention import label_attention_weights

CELLS = 2**22
"""Numbers of the largest array of the documents that are computed at a time."""


def label_documents(
    tokens: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    queries: Float[Array, "N D"],
) -> Float[Array, "B N D"]:
    """Return what every label reads in every document, float32.

        v_bn = sum_s softmax_s(h_bs . u_n) h_bs

    Zeros for a document without tokens.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> tokens = jnp.array([[[1.0], [3.0]]])
        >>> mask = jnp.ones((1, 2), bool)
        >>> read = lg.functional.label_documents(tokens, mask, jnp.array([[0.0]]))
        >>> read.tolist()  # a query that prefers no token reads their mean
        [[[2.0]]]

    Args:
        tokens: h, one vector per token; what stands at padding is never read.
        mask: true where there is a token.
        queries: u, with which each label looks for its tokens.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Xiao et al., "Label-Specific Document Representation for Multi-Label Text
    Classification", EMNLP 2019, without its second attention.
    """
    weights = label_attention_weights(tokens, mask, queries)
    kept = jnp.where(mask[..., None], tokens, 0).astype(jnp.float32)
    return jnp.einsum("bns,bsd->bnd", weights, kept)


def document_graph_scores(
    tokens: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    queries: Float[Array, "N D"],
    outputs: Float[Array, "N D"],
    kernel: Float[Array, "D H D"],
    receiver_vector: Float[Array, "H D"],
    sender_vector: Float[Array, "H D"],
    scale: Float[Array, ""],
    *,
    edge_weights: Float[Array, "N N"] | None = None,
    edges: Edges | None = None,
    role: AdjacencyRole = "additive",
    negative_slope: float = 0.2,
    method: AttentionMethod = "auto",
    free_bytes: int | None = None,
) -> Float[Array, "B N"]:
    """Score every label by what it reads in a document and what its neighbours read.

        v_b      = label_documents(h_b, u)
        m_b      = tanh(mean over heads of graph_attention(v_b))
        score_bn = (v_bn + scale m_bn) . w_n

    The adjacency is one for all documents; the attention is not, for it follows from
    the labels' vectors in the document. So a message can say what no vector of a label
    can. With scale 0 this is `label_attention_scores`.

    Some documents at a time are computed, and computed anew for the gradient: memory is
    that of a few arrays `[N, D]`, or of the attention of one document, which `edges`
    and role `none` keep below a matrix `[N, N]`.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> tokens = jnp.array([[[1.0], [3.0]]])
        >>> mask, one = jnp.ones((1, 2), bool), jnp.ones((2, 1))
        >>> scores = lg.functional.document_graph_scores(
        ...     tokens, mask, 0 * one, one, jnp.ones((1, 1, 1)), one[:1], one[:1],
        ...     jnp.array(0.0), role="none",
        ... )
        >>> scores.tolist()
        [[2.0, 2.0]]

    Args:
        tokens: of the documents.
        mask: true where there is a token.
        queries: u, with which each label looks for its tokens.
        outputs: w, with which each label judges what came together.
        kernel: of `graph_attention`.
        receiver_vector: of `graph_attention`.
        sender_vector: of `graph_attention`.
        scale: of the messages.
        edge_weights: see `graph_attention`, as for all that follow.
        edges: the edges as a list, in place of `edge_weights`.
        role: how `edge_weights` enters.
        negative_slope: of the LeakyReLU below zero.
        method: how the attention is computed.
        free_bytes: memory that may be taken.

    Raises:
        ValueError: shapes do not fit together, or as `graph_attention`.

    Reference: Ma et al., "Label-Specific Dual Graph Neural Network for Multi-Label Text
    Classification", ACL 2021; theirs are convolutions, over co-occurrence and over a
    matrix that is made of the document's label vectors.
    """
    # Check shapes; parameters in float32.
    check_axes(
        tokens=(tokens, "B S D"),
        mask=(mask, "B S"),
        queries=(queries, "N D"),
        outputs=(outputs, "N D"),
        kernel=(kernel, "D H D"),
        receiver_vector=(receiver_vector, "H D"),
        sender_vector=(sender_vector, "H D"),
        scale=(scale, ""),
    )
    labels, width = queries.shape
    kernel, receiver_vector, sender_vector, scale, outputs = (
        jnp.asarray(x).astype(jnp.float32)
        for x in (kernel, receiver_vector, sender_vector, scale, outputs)
    )

    # One document: what every label reads, and what its neighbours read.
    def score(document: tuple[Array, Array]) -> Float[Array, " N"]:
        words, real = document
        read = label_documents(words[None], real[None], queries)[0]
        gathered = graph_attention(
            read,
            kernel,
            receiver_vector,
            sender_vector,
            edge_weights=edge_weights,
            edges=edges,
            role=role,
            negative_slope=negative_slope,
            method=method,
            free_bytes=free_bytes,
        )
        assert isinstance(gathered, jax.Array)
        message = jnp.tanh(gathered.mean(axis=1))
        return jnp.sum((read + scale * message) * outputs, axis=-1)

    # As many documents at once as their widest array leaves within CELLS.
    heads, unknown = kernel.shape[1], is_symbolic_dim(tokens.shape[1])
    at_once = None
    if not unknown and not is_symbolic_dim(tokens.shape[0]):
        listed = edges is not None or role == "none"
        widest = heads * max(width, 1 if listed else labels)
        at_once = max(1, CELLS // max(labels * max(widest, tokens.shape[1]), 1))
        at_once = min(at_once, max(len(tokens), 1))
    return jax.lax.map(jax.checkpoint(score), (tokens, mask), batch_size=at_once)
