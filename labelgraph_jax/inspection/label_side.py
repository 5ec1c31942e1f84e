"""The label side of a model: label vectors, edge weights, attention, as they are made.

Reports show it before and after training, explanations some rows of it, and
`labelgraph graph` the edge weights alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.functional.attention.receivers import edge_rows
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.modules.label_decoder import LabelDecoder
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import Adjacency, TaskMagnet
from labelgraph_jax.modules.seams import ATTENTION, MESSAGE, RECEIVERS
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.training.local_batches import own_batches

ROWS_AT_ONCE = 2**25
"""Attention weights that are in memory at once."""


@dataclass(frozen=True)
class Shown:
    """Attention and messages of some receivers, R of a label graph's n labels.

    Attributes:
        layers: attention of each layer, float32 `[H, R, n]`.
        message: what of the labels' vectors came from others `[R, D]`, None where
            nothing stands beside it.
    """

    layers: list[np.ndarray]
    message: np.ndarray | None


@dataclass(frozen=True)
class LabelSide:
    """One label graph of a model: a mixture has one for each label set.

    Attributes:
        columns: which labels are its nodes `[n]`.
        module, params: of the graph.
        features, adjacency: what it starts from.
    """

    columns: np.ndarray
    module: LabelGraph
    params: Params
    features: Any
    adjacency: Any

    @cached_property
    def vectors(self) -> np.ndarray:
        """One vector per label, float32 `[n, D]`."""
        inputs = jax.tree.map(jnp.asarray, (self.features, self.adjacency))
        return np.asarray(_apply(self.module, {"params": self.params}, *inputs)[0])

    def show(self, nodes: np.ndarray) -> Shown:
        """Return attention and message of some receivers, of a graph with layers.

        Rows of the attention alone are made, `[H, R, n]` for R nodes.
        """
        receivers = {"labels": jnp.asarray(nodes)}
        inputs = jax.tree.map(jnp.asarray, (self.features, self.adjacency))
        variables = {"params": self.params, RECEIVERS: receivers}
        _, left = _apply(self.module, variables, *inputs)
        sown = left[ATTENTION]
        layers = [np.asarray(sown[f"layer_{i}"][0]) for i in range(self.module.layers)]
        message = np.asarray(sown[MESSAGE][0]) if MESSAGE in sown else None
        return Shown(layers, message)

    def attention(self, nodes: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the attention of each layer among some nodes, float32 `[H, R, R]`.

        The weights are those over all labels: a row of the nodes alone sums to 1 only
        where the others get nothing.
        """
        module = self.module
        if not module.layers or module.attention == "convolution":
            return
        size = module.layers * module.heads * len(self.columns)
        step = max(1, ROWS_AT_ONCE // size)
        parts = [
            [layer[:, :, nodes] for layer in self.show(nodes[at : at + step]).layers]
            for at in range(0, len(nodes), step)
        ]
        for layers in zip(*parts, strict=True):
            yield np.concatenate(layers, axis=1)

    def first_weights(self, nodes: np.ndarray) -> np.ndarray | None:
        """Return edge weights that training started from, `[R, n]`; None without."""
        if self.module.role == "none" or self.adjacency is None:
            return None
        return self._rows(nodes, None)

    def learned_weights(self, nodes: np.ndarray) -> np.ndarray | None:
        """Return the edge weights that were learned, `[R, n]`; None if none were."""
        if not self.module.layers:
            return None
        if "receiver_factors" in self.params:
            own = jax.nn.softplus(self.params["receiver_factors"])[nodes]
            return np.asarray(own @ jax.nn.softplus(self.params["sender_factors"]).T)
        values = learned_values(self.params)
        return None if values is None else self._rows(nodes, values)

    def _rows(self, nodes: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        """Rows of edge weights, or of other values of the same edges."""
        if not isinstance(self.adjacency, Edges):
            return np.asarray(self.adjacency if values is None else values)[nodes]
        weights = self.adjacency.weights if values is None else values
        edges = Edges(*map(jnp.asarray, self.adjacency))
        receivers, count = jnp.asarray(nodes), len(self.columns)
        return np.asarray(edge_rows(edges, jnp.asarray(weights), receivers, count))


@partial(jax.jit, static_argnums=0)
def _apply(
    module: LabelGraph, variables: Params, features: Array, adjacency: Adjacency
) -> tuple[Array, Params]:
    """Apply a label graph as one program: eager, every operation would be one."""
    return module.apply(variables, features, adjacency, mutable=ATTENTION)


def learned_values(params: Params) -> np.ndarray | None:
    """Return what training made of the weights of the edges of a label graph.

    Args:
        params: of the label graph.

    Returns:
        A matrix `[n, n]`, or of listed edges one value each, as the parameter is; None
        where the weights are no parameter, or the product of factors.
    """
    if "edge_bias" in params:
        return np.exp(np.asarray(params["edge_bias"], np.float32))
    if "edge_weights" in params:
        return np.asarray(params["edge_weights"], np.float32)
    return None


def has_label_graph(config: Config) -> bool:
    """Return True if labels have vectors of a `LabelGraph`, even one without layers."""
    return config.head.kind != "recurrent"


def label_sides(classifier: Classifier, params: Params) -> list[LabelSide]:
    """Return the label graphs of a model with some parameters; none of a decoder."""
    module, graph = classifier.module, classifier.graph
    if isinstance(module, LabelDecoder):
        return []
    whole = np.arange(len(graph.counts))
    if not isinstance(module, TaskMagnet):
        own = params.get("label_graph", {})
        label_graph = module.label_graph
        return [LabelSide(whole, label_graph, own, graph.features, graph.adjacency)]
    sides = []
    for task, columns in enumerate(map(np.asarray, module.columns)):
        adjacency = graph.adjacency
        if isinstance(adjacency, np.ndarray):
            adjacency = adjacency[np.ix_(columns, columns)]
        own = params.get(f"label_graphs_{task}", {})
        features = graph.features[columns]
        label_graph = module.label_graphs[task]
        sides.append(LabelSide(columns, label_graph, own, features, adjacency))
    return sides


def first_params(model: Model) -> Params:
    """Draw what the label graphs of a run started from, from its seed."""
    batch = _any_batch(model)
    key = jax.random.key(model.config.training.seed)
    module = model.classifier.module
    names = ["label_graph"]
    if isinstance(module, TaskMagnet):
        names = [f"label_graphs_{task}" for task in range(len(module.columns))]

    def start(key: jax.Array) -> Params:
        params = model.classifier.init(key, batch)
        return {name: params[name] for name in names}

    # Compiled, the rest of the model is never drawn.
    return jax.tree.map(np.asarray, jax.jit(start)(key))


def _any_batch(model: Model) -> dict[str, np.ndarray]:
    document = Document("0", "label", ())
    if model.reads_features:
        features = Features(np.zeros(1, np.int64), np.ones(1, np.float32))
        document = Document("0", "", (), features=features)
    batch = next(iter(own_batches(model.encode([document]).examples, batch_size=1)))
    return {name: np.asarray(value) for name, value in batch.items()}
