"""Label features and an adjacency -> one vector per label."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from labelgraph_jax.functional.attention import graph_attention

LEARNED_ROLES = ("additive", "multiplicative")
"""Roles in which the loss has a gradient with respect to the adjacency."""

LOG_WEIGHT_FLOOR = 1e-3
"""Smallest edge weight that an additive adjacency starts from: at a weight of zero its
logarithm, and with it the gradient, would not exist."""


class LabelGraph(nn.Module):
    """Multi-head graph attention over the labels.

    Layer l: `h' = activation(mean over heads of graph_attention(h))`, with tanh as in
    the paper. With `residual`, a label's vector is a free vector plus that message;
    without, the message alone (the paper's form). With no layer it is the free vector
    alone, the classifier without a graph.

    Attributes:
        output_dim: features of a label vector; equals those of a document vector.
        hidden_dim: features per head of every layer but the last.
        layers, heads: graph-attention layers and heads per layer.
        role: how the adjacency enters attention, see `functional.graph_attention`.
        learned: whether the adjacency is a parameter (additive, multiplicative only);
            by default, where the role lets it be.
        residual: free vector + message instead of the message alone.
        dropout_rate: dropout on the message.

    Reference: Pal, Selvakumar and Sankarasubbu, "MAGNET: Multi-Label Text
    Classification using Attention-based Graph Neural Network", ICAART 2020. The paper
    leaves the adjacency's role open; here it is an option, and where it is learned it
    enters the arithmetic rather than a comparison, so its gradient is not zero.
    """

    output_dim: int
    hidden_dim: int = 128
    layers: int = 2
    heads: int = 4
    role: str = "additive"
    learned: bool | None = None
    residual: bool = True
    negative_slope: float = 0.2
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learned and self.role not in LEARNED_ROLES:
            raise ValueError(
                f"role must be one of {', '.join(LEARNED_ROLES)} where the adjacency "
                f"is learned, got {self.role!r}: it passes no gradient to it"
            )

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "N D"],
        adjacency: Float[Array, "N N"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "N output_dim"]:
        """One vector per label.

        Args:
            features: initial label features `[N, D]`; a trained parameter starts here.
            adjacency: `[N, N]`, entry (i, j) the weight with which i receives from j;
                the constant, or where it is learned, where it starts.
            deterministic: no dropout.
        """
        num_labels = features.shape[0]
        free: Float[Array, "N output_dim"] | None = None
        if self.residual or self.layers == 0:
            free = self.param(
                "free_vectors",
                nn.initializers.normal(self.output_dim**-0.5),
                (num_labels, self.output_dim),
            )
        if self.layers == 0:
            assert free is not None
            return free
        nodes = self.param("features", lambda _: jnp.asarray(features, jnp.float32))
        attend: Callable[..., Any] = partial(
            graph_attention,
            negative_slope=self.negative_slope,
            **self._edges(adjacency),
        )
        for layer in range(self.layers):
            last = layer == self.layers - 1
            width = self.output_dim if last else self.hidden_dim
            kernel, receiver, sender = self._attention_params(
                layer, nodes.shape[-1], width
            )
            heads = attend(nodes, kernel, receiver, sender)
            nodes = jnp.tanh(heads.mean(axis=1))
        nodes = nn.Dropout(self.dropout_rate)(nodes, deterministic=deterministic)
        if free is None:
            return nodes
        scale = self.param(
            "message_scale", nn.initializers.constant(self.output_dim**-0.5), ()
        )
        return free + scale * nodes

    def _edges(self, adjacency: Array) -> dict[str, Any]:
        """The adjacency as the keyword arguments its role calls for."""
        if self.role == "none":
            return {"role": "none"}
        learned = self.role in LEARNED_ROLES if self.learned is None else self.learned
        if not learned:
            return {"role": self.role, "edge_weights": adjacency}
        if self.role == "additive":
            bias = self.param("edge_bias", lambda _: log_edge_weights(adjacency))
            return {"role": "additive", "edge_bias": bias}
        weights = self.param(
            "edge_weights", lambda _: jnp.asarray(adjacency, jnp.float32)
        )
        return {"role": self.role, "edge_weights": weights}

    def _attention_params(
        self, layer: int, in_dim: int, width: int
    ) -> tuple[Array, Array, Array]:
        def per_head(key: Array, shape: tuple[int, int, int]) -> Array:
            """Glorot per head: the heads are averaged, not concatenated."""
            keys = jax.random.split(key, shape[1])
            glorot = nn.initializers.glorot_uniform()
            return jnp.stack([glorot(k, (shape[0], shape[2])) for k in keys], axis=1)

        vector_init = nn.initializers.normal(width**-0.5)
        return (
            self.param(f"kernel_{layer}", per_head, (in_dim, self.heads, width)),
            self.param(f"receiver_{layer}", vector_init, (self.heads, width)),
            self.param(f"sender_{layer}", vector_init, (self.heads, width)),
        )


def log_edge_weights(adjacency: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """Where a learned additive adjacency starts: `log max(A, floor)`.

    A signed adjacency (Xavier) has no logarithm; its entries are the log-weights.
    """
    adjacency = jnp.asarray(adjacency, jnp.float32)
    logs = jnp.log(jnp.maximum(adjacency, LOG_WEIGHT_FLOOR))
    return jnp.where((adjacency < 0).any(), adjacency, logs)
