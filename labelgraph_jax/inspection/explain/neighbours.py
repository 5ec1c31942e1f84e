"""Whom the labels of a model listen to: rows of attention, read where they are made."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.functional.attention.receivers import edge_rows
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.modules.label_decoder import LabelDecoder
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import TaskMagnet
from labelgraph_jax.modules.seams import ATTENTION, MESSAGE, RECEIVERS
from labelgraph_jax.predictors.network import Classifier


@dataclass(frozen=True)
class Listening:
    """Whom one label listens to; the same for every document.

    Attributes:
        label: column of the label.
        senders: columns of all labels of its graph `[N]`.
        layers: attention of each layer, float32 `[H, N]`.
        start: the edge weights that training started from `[N]`; None where every
            label receives from every label.
        learned: the weights that training made of them `[N]`; None where they are no
            parameter.
        message: what of the label's vector came from others `[D]`, None where nothing
            stands beside it.
    """

    label: int
    senders: np.ndarray
    layers: list[np.ndarray]
    start: np.ndarray | None
    learned: np.ndarray | None
    message: np.ndarray | None = None


def listening(
    classifier: Classifier, params: Any, labels: np.ndarray
) -> dict[int, Listening]:
    """Whom some labels listen to, by column; empty without a label graph.

    Rows of the attention alone are made, `[H, R, N]` for R labels.

    Args:
        classifier, params: of the model.
        labels: columns of the labels `[R]`.
    """
    module = classifier.module
    whole = np.arange(len(classifier.graph.counts))
    if isinstance(module, LabelDecoder):
        return {}
    if not isinstance(module, TaskMagnet):
        own = params.get("label_graph", {})
        return _of_graph(module.label_graph, own, classifier, labels, whole)
    found: dict[int, Listening] = {}
    for task, columns in enumerate(map(np.asarray, module.columns)):
        graph, own = module.label_graphs[task], params.get(f"label_graphs_{task}", {})
        found |= _of_graph(graph, own, classifier, labels, columns)
    return found


def _of_graph(
    graph: LabelGraph,
    params: Any,
    classifier: Classifier,
    labels: np.ndarray,
    columns: np.ndarray,
) -> dict[int, Listening]:
    asked = labels[np.isin(labels, columns)]
    if graph.layers == 0 or not len(asked):
        return {}
    receivers = jnp.asarray(np.searchsorted(columns, asked))
    arrays = classifier.graph
    features, adjacency = arrays.features, arrays.adjacency
    if len(columns) < len(features):
        features = features[columns]
        if isinstance(adjacency, np.ndarray):
            adjacency = adjacency[np.ix_(columns, columns)]
    variables = {"params": params, RECEIVERS: {"labels": receivers}}
    # One compiled program: eager, every operation would be one of its own.
    _, left = jax.jit(partial(graph.apply, mutable=ATTENTION))(
        variables, jnp.asarray(features), jax.tree.map(jnp.asarray, adjacency)
    )
    shown = left[ATTENTION]
    layers = [np.asarray(shown[f"layer_{i}"][0]) for i in range(graph.layers)]
    message = np.asarray(shown[MESSAGE][0]) if MESSAGE in shown else None
    start = _rows(adjacency, None, receivers, len(columns))
    if graph.role == "none":
        start = None
    learned = learned_rows(params, adjacency, receivers, len(columns))
    return {
        int(label): Listening(
            int(label),
            columns,
            [layer[:, row] for layer in layers],
            None if start is None else start[row],
            None if learned is None else learned[row],
            None if message is None else message[row],
        )
        for row, label in enumerate(asked)
    }


def _rows(
    adjacency: Any, values: Any, receivers: jax.Array, labels: int
) -> np.ndarray | None:
    """Rows of edge weights, or of other values of the same edges."""
    if adjacency is None:
        return None
    if isinstance(adjacency, Edges):
        values = adjacency.weights if values is None else values
        edges = Edges(*(jnp.asarray(part) for part in adjacency))
        return np.asarray(edge_rows(edges, jnp.asarray(values), receivers, labels))
    return np.asarray(adjacency if values is None else values)[np.asarray(receivers)]


def learned_rows(
    params: Any, adjacency: Any, receivers: jax.Array, labels: int
) -> np.ndarray | None:
    """Rows of the edge weights that training made, `[R, N]`; None where none are
    learned.

    Args:
        params: of the label graph.
        adjacency: that it started from.
        receivers: labels `[R]`.
        labels: N.
    """
    if "edge_bias" in params:
        weights = np.exp(np.asarray(params["edge_bias"], np.float32))
        return _rows(adjacency, weights, receivers, labels)
    if "edge_weights" in params:
        return _rows(adjacency, params["edge_weights"], receivers, labels)
    if "receiver_factors" in params:
        own = jax.nn.softplus(params["receiver_factors"])[receivers]
        return np.asarray(own @ jax.nn.softplus(params["sender_factors"]).T)
    return None
