"""Label features and a label graph -> one vector per label.

The graph is a matrix `[N, N]`; or `Edges`, a list of edges, for `gat`, `relu` and
`convolution`; or None, where all labels receive from all: with role `none`, or with
`rank` above 0, where the weights of all edges are learned as a product of two factors
`[N, rank]`, for `gat` (role `additive`) and `relu` (role `multiplicative`).
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from labelgraph_jax.functional.attention.forms import graph_attention_v2, message_gate
from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    relu_graph_attention,
)
from labelgraph_jax.functional.attention.plan import AttentionMethod
from labelgraph_jax.functional.attention.receivers import (
    receiver_attention,
    receiver_convolution,
    receiver_scores,
    receiver_scores_v2,
)
from labelgraph_jax.functional.graph.convolution import (
    gated_convolution,
    graph_convolution,
)
from labelgraph_jax.functional.graph.edges import Edges, log_edge_weights
from labelgraph_jax.functional.slice_keys import whole_key
from labelgraph_jax.modules.seams import ATTENTION, MESSAGE, RECEIVERS

AttentionForm = Literal["gat", "gatv2", "relu", "convolution"]
"""Kind of weights a label gives its neighbours: `graph_attention`,
`graph_attention_v2`, `relu_graph_attention` or `graph_convolution`."""

LEARNED_ROLES = ("additive", "multiplicative")
"""Roles in which the loss has a gradient with respect to the adjacency."""

CONVOLUTION_ROLES = ("multiplicative", "fixed")
"""Roles that a convolution knows: a learned adjacency, and a constant one."""

FACTOR_ROLES = {"gat": "additive", "relu": "multiplicative"}
"""The role of learned low-rank edge weights, in the forms that know them."""

FACTOR_SPREAD = 0.5
"""Standard deviation of what the factors of learned edge weights start from, before
their softplus."""


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
            by default, where the role lets it be. Of a list of edges the listed ones
            are learned, of a matrix all.
        rank: above 0, the weights of all edges are learned as U V^T with U and V
            `[N, rank]` and positive; the adjacency must then be None.
        method: how attention is computed, see `functional.graph_attention`; `gatv2`
            knows the matrix alone, and a convolution takes what it is given.
        residual: free vector + message instead of the message alone.
        gated: with the residual, weigh every label's message by
            `functional.message_gate` of its free vector and that message.
        negative_slope: of the LeakyReLU in `gat` and `gatv2`.
        free_bytes: memory that attention may take, see `functional.graph_attention`;
            the same on all processes, for they must choose alike.
        dropout_rate: dropout on the message.
        attention_dropout_rate: dropout on the attention weights; a convolution has
            none.
        skip: the label features themselves join the label vector.
        gated_senders: of a convolution, weigh what every label sends, see
            `functional.gated_convolution`.

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
    rank: int = 0
    method: AttentionMethod = "auto"
    attention_dropout_rate: float = 0.0
    free_bytes: int | None = None
    gated_senders: bool = False

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
        self._check_rank()
        self._check_method()

    def _check_rank(self) -> None:
        if self.rank < 0:
            raise ValueError(f"rank must be at least 0, got {self.rank}")
        if self.rank == 0:
            return
        if self.learned is False:
            raise ValueError(f"rank {self.rank} learns the edges, got learned = False")
        role = FACTOR_ROLES.get(self.attention)
        if role is None:
            raise ValueError(
                f"rank must be 0 with attention {self.attention!r}, got {self.rank}; "
                f"{' and '.join(FACTOR_ROLES)} learn edges of low rank"
            )
        if self.role != role:
            raise ValueError(
                f"role must be {role!r} with attention {self.attention!r} and rank "
                f"{self.rank}, got {self.role!r}"
            )

    def _check_method(self) -> None:
        methods = {"gatv2": ("auto", "dense"), "convolution": ("auto",)}
        known = methods.get(self.attention, get_args(AttentionMethod))
        if self.method not in known:
            raise ValueError(
                f"method must be one of {', '.join(known)} with attention "
                f"{self.attention!r}, got {self.method!r}"
            )
        if self.attention == "convolution" and self.attention_dropout_rate:
            raise ValueError(
                "attention_dropout_rate must be 0 with attention 'convolution', which "
                f"has no attention weights, got {self.attention_dropout_rate}"
            )

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "N D"],
        adjacency: Float[Array, "N N"] | Edges | None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "N output_dim"]:
        """One vector per label.

        Args:
            features: initial label features `[N, D]`; a trained parameter starts here.
            adjacency: `[N, N]`, entry (i, j) the weight with which i receives from j;
                the constant, or where it is learned, where it starts; or the same
                as a list of edges; or None where all labels receive from all, with
                role `none` or `rank` above 0.
            deterministic: no dropout.

        Raises:
            ValueError: an adjacency of a kind that the settings cannot use.
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
        # Messages, layer by layer.
        start = self.param("features", lambda _: jnp.asarray(features, jnp.float32))
        nodes = start
        edges = self._edges(adjacency, num_labels)
        if self.attention_dropout_rate and not deterministic:
            edges["dropout_rate"] = self.attention_dropout_rate
        for layer in range(self.layers):
            last = layer == self.layers - 1
            width = self.output_dim if last else self.hidden_dim
            if "dropout_rate" in edges:
                edges["key"] = whole_key(self.make_rng("dropout"))
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
        if self.has_variable(RECEIVERS, "labels"):
            labels: Array = self.get_variable(RECEIVERS, "labels")
            self.sow(ATTENTION, MESSAGE, (scale * nodes)[labels])
        return free + scale * nodes

    def _message(
        self, layer: int, nodes: Array, width: int, edges: dict[str, Any]
    ) -> Float[Array, "N width"]:
        """Return what every label gathers in one layer, the mean over heads."""
        in_dim = nodes.shape[-1]
        # Convolution: the adjacency itself weighs.
        if self.attention == "convolution":
            glorot = nn.initializers.glorot_uniform()
            kernel = self.param(f"kernel_{layer}", glorot, (in_dim, width))
            graph = edges["edges"] if "edges" in edges else edges["edge_weights"]
            self._show(
                layer, lambda labels: receiver_convolution(labels, graph, len(nodes))
            )
            if not self.gated_senders:
                return graph_convolution(nodes, kernel, graph)
            zeros = nn.initializers.zeros
            gate = self.param(f"sender_gate_{layer}", zeros, (in_dim,))
            bias = self.param(f"sender_bias_{layer}", zeros, (len(nodes),))
            return gated_convolution(nodes, kernel, graph, gate, bias)
        # Attention, in the form that was chosen.
        kernel = self._kernel(f"kernel_{layer}", in_dim, width)
        slope = self.negative_slope
        inputs: tuple[Array, ...]
        if self.attention == "gatv2":
            receiver_kernel = self._kernel(f"receiver_kernel_{layer}", in_dim, width)
            vector = self._vector(f"attention_{layer}", width)
            inputs = (nodes, receiver_kernel, kernel, vector)
            self._show_weights(layer, inputs, edges)
            heads = graph_attention_v2(*inputs, negative_slope=slope, **edges)
        else:
            receiver = self._vector(f"receiver_{layer}", width)
            sender = self._vector(f"sender_{layer}", width)
            inputs = (nodes, kernel, receiver, sender)
            self._show_weights(layer, inputs, edges)
            options = {"method": self.method, "free_bytes": self.free_bytes, **edges}
            if self.attention == "relu":
                heads = relu_graph_attention(*inputs, **options)
            else:
                heads = graph_attention(*inputs, negative_slope=slope, **options)
        assert isinstance(heads, jax.Array)
        return heads.mean(axis=1)

    def _show_weights(
        self, layer: int, inputs: tuple[Array, ...], edges: dict[str, Any]
    ) -> None:
        slope: dict[str, Any] = {"negative_slope": self.negative_slope}
        plain = {n: v for n, v in edges.items() if n not in ("dropout_rate", "key")}

        def attention(labels: Array) -> Array:
            if self.attention == "gatv2":
                scores = receiver_scores_v2(labels, *inputs, **slope)
            else:
                scores = receiver_scores(labels, *inputs)
            form = self.attention
            return receiver_attention(labels, scores, form=form, **slope, **plain)

        self._show(layer, attention)

    def _show(self, layer: int, attention: Callable[[Array], Array]) -> None:
        """Sow the attention of the labels that a call asks about, see `seams`."""
        if self.has_variable(RECEIVERS, "labels"):
            labels: Array = self.get_variable(RECEIVERS, "labels")
            self.sow(ATTENTION, f"layer_{layer}", attention(labels))

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

    def _edges(
        self, adjacency: Array | Edges | None, num_labels: int
    ) -> dict[str, Any]:
        """The adjacency as the keyword arguments its role calls for."""
        # No adjacency, or factors in its place.
        if self.role == "none":
            return {"role": "none"}
        if self.rank:
            return {
                "role": self.role,
                "edge_factors": self._factors(adjacency, num_labels),
            }
        if adjacency is None:
            raise ValueError(
                f"adjacency must be a matrix or Edges with role {self.role!r} and rank "
                "0, got None; None takes role 'none', or a rank"
            )
        # A matrix or a list of edges, which GATv2 does not take.
        edges = adjacency if isinstance(adjacency, Edges) else None
        if edges is not None and self.attention == "gatv2":
            raise ValueError(
                "adjacency must be a matrix with attention 'gatv2', got Edges; gat, "
                "relu and convolution take either"
            )
        # Learned weights start from the adjacency; as a bias, from its logarithm.
        learned = self.role in LEARNED_ROLES if self.learned is None else self.learned
        given: dict[str, Any] = {"role": self.role}
        start = edges.weights if edges is not None else jnp.asarray(adjacency)
        weights: Array | None = start
        if learned and self.role == "additive" and self.attention != "relu":
            given["edge_bias"] = self.param(
                "edge_bias", lambda _: log_edge_weights(start)
            )
            weights = None
        elif learned:
            weights = self.param(
                "edge_weights", lambda _: jnp.asarray(start, jnp.float32)
            )
        if edges is None:
            return given | {"edge_weights": weights}
        weights = jnp.ones_like(start) if weights is None else weights
        return given | {"edges": edges._replace(weights=weights)}

    def _factors(
        self, adjacency: Array | Edges | None, num_labels: int
    ) -> tuple[Array, Array]:
        """U and V of the learned edge weights U V^T, which start near 1."""
        if adjacency is not None:
            kind = "Edges" if isinstance(adjacency, Edges) else "a matrix"
            raise ValueError(
                f"adjacency must be None with rank {self.rank}, which learns the "
                f"weight of every edge, got {kind}"
            )

        def start(key: Array, shape: tuple[int, int]) -> Array:
            # Components that start alike would stay alike.
            spread = jax.random.normal(key, shape)
            return jnp.log(jnp.expm1(self.rank**-0.5)) + FACTOR_SPREAD * spread

        receivers, senders = (
            jax.nn.softplus(self.param(name, start, (num_labels, self.rank)))
            for name in ("receiver_factors", "sender_factors")
        )
        return receivers, senders

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
