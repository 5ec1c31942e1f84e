"""Label-wise attention over the tokens, with or without a label graph."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.attention.document_graph import document_graph_scores
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.functional.text.label_attention import label_attention_scores
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.parameters import log_odds
from labelgraph_jax.modules.text_encoder import TextEncoder


class LabelAttention(nn.Module):
    """Label-wise attention: every label reads the tokens by a query of its own.

        logits[b, n] = sum_s alpha[b, n, s] tokens[b, s] . label_vector[n] + bias[n]

    Every label weighs the tokens by its own query, `alpha = softmax(tokens . query)`,
    and judges what it found by its vector from the label graph. The queries are

        graph without a layer     q_n          (plain LWAN: two free vectors)
        graph with residual       q_n + K l_n
        graph without residual    K l_n        (all of a label is its message)

    with q_n free, l_n the label's vector and K one kernel for all labels. With K = 0
    and no message the second form is the first: what it wins, the graph wins.
    The tokens of all windows of a long document are attended to together.

    Attributes:
        text_encoder: one with `token_level`.
        label_graph: label features and adjacency -> label vectors `[N, D]`.
        messages: what a label reads in a document is joined by a message of what its
            neighbours read there, see `functional.document_graph_scores`, with the
            heads and the role of `label_graph`. Its scale starts at 0: training begins
            as without messages.

    Raises:
        ValueError: the text encoder gives one vector per document.

    Reference: Mullenbach et al., CAML, NAACL 2018; Chalkidis et al., EMNLP 2020
    (BIGRU-LWAN). Label vectors of a graph as classifiers beside queries made from the
    labels follow Rios and Kavuluru, "Few-Shot and Zero-Shot Multi-Label Learning for
    Structured Label Spaces", EMNLP 2018, whose queries are made from label words.
    The bias starts at the log-odds of each label, as in `Magnet`.
    """

    text_encoder: TextEncoder
    label_graph: LabelGraph
    messages: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        encoder = self.text_encoder
        if isinstance(encoder, TextEncoder) and not encoder.token_level:
            raise ValueError("label attention needs a text encoder with token_level")

    @nn.compact
    def __call__(
        self,
        label_features: Float[Array, "N F"],
        adjacency: Float[Array, "N N"] | Edges | None,
        label_prior: Float[Array, "N"],
        token_mask: Bool[Array, "B *W S"],
        token_ids: Int[Array, "B *W S"] | None = None,
        *,
        token_vectors: Float[Array, "B *W S D"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B N"]:
        """Logits of every label for every document, float32; arguments as `Magnet`."""
        # [B, S, D]: a vector for every token.
        tokens = self.text_encoder(
            token_ids,
            token_mask,
            token_vectors=token_vectors,
            deterministic=deterministic,
        )
        # [N, D]: label vectors, and queries of free vectors and label vectors.
        graph = self.label_graph
        labels = graph(label_features, adjacency, deterministic=deterministic)
        width = labels.shape[1]
        queries = jnp.zeros_like(labels)
        if graph.residual or graph.layers == 0:
            initial = nn.initializers.normal(width**-0.5)
            queries = self.param("queries", initial, labels.shape)
        if graph.layers:
            glorot = nn.initializers.glorot_uniform()
            kernel = self.param("query_kernel", glorot, (width, width))
            queries = queries + labels @ kernel
        # Without messages, labels read a document and are scored.
        bias = self.param("label_bias", lambda _: log_odds(label_prior))
        mask = jnp.reshape(token_mask, tokens.shape[:2])
        if not self.messages:
            return label_attention_scores(tokens, mask, queries, labels) + bias
        # With messages, they also receive what their neighbours read in it.
        shape = (graph.heads, width)
        spread = nn.initializers.normal(width**-0.5)
        glorot = nn.initializers.glorot_uniform(in_axis=0, out_axis=2, batch_axis=1)
        edges = adjacency if isinstance(adjacency, Edges) else None
        matrix = None if isinstance(adjacency, Edges) else adjacency
        role: Any = graph.role
        scores = document_graph_scores(
            tokens,
            mask,
            queries,
            labels,
            self.param("message_kernel", glorot, (width, *shape)),
            self.param("message_receiver", spread, shape),
            self.param("message_sender", spread, shape),
            self.param("message_scale", nn.initializers.zeros, ()),
            edges=edges,
            edge_weights=None if role == "none" else matrix,
            role=role,
            negative_slope=graph.negative_slope,
            method=graph.method,
            free_bytes=graph.free_bytes,
        )
        return scores + bias
