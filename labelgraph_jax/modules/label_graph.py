"""Label features and an adjacency -> one vector per label."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from labelgraph_jax.functional.attention import graph_attention
from labelgraph_jax.functional.attention_forms import (
    graph_attention_v2,
    message_gate,
    relu_graph_attention,
)
from labelgraph_jax.functional.convolution import graph_convolution
from labelgraph_jax.functional.slice_keys import whole_key

AttentionForm = Literal["gat", "gatv2", "relu", "convolution"]
"""How a label weighs its neighbours: `graph_attention`, `graph_attention_v2`,
`relu_graph_attention` or `graph_convolution`."""

LEARNED_ROLES = ("additive", "multiplicative")
"""Roles in which the loss has a gradient with respect to the adjacency."""

CONVOLUTION_ROLES = ("multiplicative", "fixed")
"""Roles that a convolution knows: a learned adjacency, and a constant one."""

LOG_WEIGHT_FLOOR = 1e-3
"""Smallest edge weight that an additive adjacency starts from: at a weight of zero its
logarithm, and with it the gradient, would not exist."""


class LabelGraph(nn.Module):
    """Layers of graph attention, or of graph convolution, over the labels.

    Layer l: `h' = tanh(mean over heads of graph_attention(h))`, as in the paper. With
    `residual`, a label's vector is a free vector plus that message; without, the
    message alone (the paper's form). With no layer it is the free vector alone, the
    classifier without a graph.

    Attributes:
        output_dim: features of a label vector; equals those of a document vector.
        hidden_dim: features per head of every layer but the last.
        layers, heads: graph layers and heads per layer. A convolution has one kernel
            `[D, width]` per layer and reads no `heads`: heads are averaged, so they
            add parameters, not features.
        role: how the adjacency enters attention, see `functional.graph_attention`. A
            convolution knows `fixed`, the adjacency as a constant, and
            `multiplicative`, where it is learned.
        attention: `gat`; `gatv2`; `relu`, the paper's weights without a softmax; or
            `convolution`, ML-GCN's.
        learned: whether the adjacency is a parameter (additive, multiplicative only);
            by default, where the role lets it be.
        residual: free vector + message instead of the message alone.
        gated: with the residual, weigh every label's message by
            `functional.message_gate` of its free vector and that message.
        negative_slope: of the LeakyReLU in `gat` and `gatv2`.
        dropout_rate: dropout on the message.
        skip: the label features themselves join the label vector.

    Raises:
        ValueError: settings that contradict each other.

    Reference: Pal, Selvakumar and Sankarasubbu, "MAGNET: Multi-Label Text
    Classification using Attention-based Graph Neural Network", ICAART 2020. The paper
    leaves the adjacency's role open; here it is an option, and where it is learned it
    enters the arithmetic rather than a comparison, so its gradient is not zero. Chen
    et al., ML-GCN, CVPR 2019, has a LeakyReLU between its convolutions and nothing
    after the last; ours keep the tanh, so that the forms differ in one thing only.
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
    attention: str = "gat"
    gated: bool = False
    skip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learned and self.role not in LEARNED_ROLES:
            raise ValueError(
                f"role must be one of {', '.join(LEARNED_ROLES)} where the adjacency "
                f"is learned, got {self.role!r}: it passes no gradient to it"
            )
        forms = get_args(AttentionForm)
        if self.attention not in forms:
            raise ValueError(
                f"attention must be one of {', '.join(forms)}, got {self.attention!r}"
            )
        if self.attention == "convolution" and self.role not in CONVOLUTION_ROLES:
            raise ValueError(
                f"role must be one of {', '.join(CONVOLUTION_ROLES)} with attention "
                f"'convolution', which weighs by the adjacency, got {self.role!r}"
            )
        if self.gated and not self.residual:
            raise ValueError(
                "gated must come with residual: it weighs the message beside a free "
                "vector"
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
        start = self.param("features", lambda _: jnp.asarray(features, jnp.float32))
        nodes = start
        edges = self._edges(adjacency)
        for layer in range(self.layers):
            last = layer == self.layers - 1
            width = self.output_dim if last else self.hidden_dim
            nodes = jnp.tanh(self._message(layer, nodes, width, edges))
        if self.dropout_rate and not deterministic:
            # The same labels on every device, and so the same units dropped.
            key = whole_key(self.make_rng("dropout"))
            nodes = nn.Dropout(self.dropout_rate)(nodes, deterministic=False, rng=key)
        if self.skip:
            free = self._skip(start) if free is None else free + self._skip(start)
        if free is None:
            return nodes
        scale = self.param(
            "message_scale", nn.initializers.constant(self.output_dim**-0.5), ()
        )
        if self.gated:
            zeros = nn.initializers.zeros
            kernel = self.param("gate_kernel", zeros, (2 * self.output_dim,))
            bias = self.param("gate_bias", zeros, ())
            scale = scale * message_gate(free, nodes, kernel, bias)[:, None]
        return free + scale * nodes

    def _message(
        self, layer: int, nodes: Array, width: int, edges: dict[str, Any]
    ) -> Float[Array, "N width"]:
        """What every label gathers in one layer, the mean over heads."""
        in_dim = nodes.shape[-1]
        if self.attention == "convolution":
            glorot = nn.initializers.glorot_uniform()
            kernel = self.param(f"kernel_{layer}", glorot, (in_dim, width))
            return graph_convolution(nodes, kernel, edges["edge_weights"])
        kernel = self._kernel(f"kernel_{layer}", in_dim, width)
        if self.attention == "gatv2":
            heads = graph_attention_v2(
                nodes,
                self._kernel(f"receiver_kernel_{layer}", in_dim, width),
                kernel,
                self._vector(f"attention_{layer}", width),
                negative_slope=self.negative_slope,
                **edges,
            )
        else:
            receiver = self._vector(f"receiver_{layer}", width)
            sender = self._vector(f"sender_{layer}", width)
            if self.attention == "relu":
                heads = relu_graph_attention(nodes, kernel, receiver, sender, **edges)
            else:
                slope = self.negative_slope
                heads = graph_attention(
                    nodes, kernel, receiver, sender, negative_slope=slope, **edges
                )
        assert isinstance(heads, jax.Array)
        return heads.mean(axis=1)

    def _skip(self, features: Array) -> Array:
        """The label features as a part of the label vector.

        Features of the width of a document vector are taken as they are: encoded names
        lie in the space of encoded documents, where their product already says
        something about a label that training hardly shows.
        """
        scale = self.param("skip_scale", nn.initializers.ones, ())
        if features.shape[-1] != self.output_dim:
            shape = (features.shape[-1], self.output_dim)
            glorot = nn.initializers.glorot_uniform()
            features = features @ self.param("skip_kernel", glorot, shape)
        return scale * features

    def _edges(self, adjacency: Array) -> dict[str, Any]:
        """The adjacency as the keyword arguments its role calls for."""
        if self.role == "none":
            return {"role": "none"}
        learned = self.role in LEARNED_ROLES if self.learned is None else self.learned
        if not learned:
            return {"role": self.role, "edge_weights": adjacency}
        if self.role == "additive" and self.attention != "relu":
            bias = self.param("edge_bias", lambda _: log_edge_weights(adjacency))
            return {"role": "additive", "edge_bias": bias}
        weights = self.param(
            "edge_weights", lambda _: jnp.asarray(adjacency, jnp.float32)
        )
        return {"role": self.role, "edge_weights": weights}

    def _kernel(self, name: str, in_dim: int, width: int) -> Array:
        def per_head(key: Array, shape: tuple[int, int, int]) -> Array:
            """Glorot per head: the heads are averaged, not concatenated."""
            keys = jax.random.split(key, shape[1])
            glorot = nn.initializers.glorot_uniform()
            return jnp.stack([glorot(k, (shape[0], shape[2])) for k in keys], axis=1)

        return self.param(name, per_head, (in_dim, self.heads, width))

    def _vector(self, name: str, width: int) -> Array:
        start = nn.initializers.normal(width**-0.5)
        return self.param(name, start, (self.heads, width))


def log_edge_weights(adjacency: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """Where a learned additive adjacency starts: `log max(A, floor)`.

    A signed adjacency (Xavier) has no logarithm; its entries are the log-weights.
    """
    adjacency = jnp.asarray(adjacency, jnp.float32)
    logs = jnp.log(jnp.maximum(adjacency, LOG_WEIGHT_FLOOR))
    return jnp.where((adjacency < 0).any(), adjacency, logs)
