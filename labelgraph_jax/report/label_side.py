"""The label side of a model before and after training: vectors, edges, attention."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.build import Classifier
from labelgraph_jax.config import Config, GraphConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.functional.attention_forms import graph_attention_v2
from labelgraph_jax.functional.edges import Edges
from labelgraph_jax.functional.receiver_attention import receiver_attention
from labelgraph_jax.host_batches import own_batches
from labelgraph_jax.modules.label_graph import ATTENTION_INPUTS, LabelGraph
from labelgraph_jax.modules.magnet import TaskMagnet
from labelgraph_jax.predict import Model

ROWS_AT_ONCE = 2**25
"""Attention weights that are in memory at once."""


@dataclass(frozen=True)
class LabelSide:
    """One label graph of a model: a mixture has one for each label set.

    Attributes:
        columns: which labels are its nodes `[n]`.
        vectors: one per label, float32 `[n, D]`.
        params: of the graph.
        layers: what the attention of each layer reads.
        settings: of the graph.
    """

    columns: np.ndarray
    vectors: np.ndarray
    params: Mapping[str, Any]
    layers: tuple[Mapping[str, Any], ...]
    settings: GraphConfig


def first_params(model: Model) -> Any:
    """What the label graphs of a run started from: the same draw, from its seed."""
    batch = _any_batch(model)
    key = jax.random.key(model.config.training.seed)
    names = _graph_names(model.classifier)

    def start(key: jax.Array) -> Any:
        params = model.classifier.init(key, batch)
        return {name: params[name] for name in names}

    # Compiled, the rest of the model is never drawn.
    return jax.tree.map(np.asarray, jax.jit(start)(key))


def _any_batch(model: Model) -> Any:
    text = "" if model.reads_features else "label"
    features = None
    if model.reads_features:
        from labelgraph_jax.data.feature_values import Features

        features = Features(np.zeros(1, np.int64), np.ones(1, np.float32))
    document = Document("0", text, (), features=features)
    batch = next(iter(own_batches(model.encode([document]).examples, batch_size=1)))
    return {name: np.asarray(value) for name, value in batch.items()}


def _graph_names(classifier: Classifier) -> tuple[str, ...]:
    module = classifier.module
    if isinstance(module, TaskMagnet):
        return tuple(f"label_graphs_{t}" for t in range(len(module.columns)))
    return ("label_graph",)


def has_label_graph(config: Config) -> bool:
    """Whether labels have vectors of a `LabelGraph`, be it without a layer."""
    return config.head.kind != "recurrent"


def label_sides(model: Model, params: Any) -> list[LabelSide]:
    """The label graphs of a model with some parameters."""
    module, graph = model.classifier.module, model.classifier.graph
    settings = model.config.graph
    if isinstance(module, TaskMagnet):
        sides = []
        for task, columns in enumerate(module.columns):
            rows = np.asarray(columns)
            sides.append(
                _side(
                    module.label_graphs[task],
                    params[f"label_graphs_{task}"],
                    rows,
                    graph.features[rows],
                    _part(graph.adjacency, rows),
                    settings,
                )
            )
        return sides
    whole = np.arange(len(graph.counts))
    label_graph: LabelGraph = module.label_graph  # type: ignore[union-attr]
    own = params["label_graph"]
    return [_side(label_graph, own, whole, graph.features, graph.adjacency, settings)]


def _part(adjacency: Any, rows: np.ndarray) -> Any:
    if adjacency is None or isinstance(adjacency, Edges):
        return adjacency
    return adjacency[rows[:, None], rows]


def _side(
    module: LabelGraph,
    params: Any,
    columns: np.ndarray,
    features: np.ndarray,
    adjacency: Any,
    settings: GraphConfig,
) -> LabelSide:
    params, adjacency = jax.tree.map(jnp.asarray, (params, adjacency))
    vectors, left = module.apply(
        {"params": params}, jnp.asarray(features), adjacency, mutable=ATTENTION_INPUTS
    )
    layers = left.get(ATTENTION_INPUTS, {}).get("layers", ())
    return LabelSide(columns, np.asarray(vectors), params, tuple(layers), settings)


def edge_weights(side: LabelSide, nodes: np.ndarray) -> np.ndarray | None:
    """Learned edge weights among some nodes, `[n, n]`; None where none is learned."""
    if not (side.layers and side.settings.is_learned):
        return None
    rows = _edge_rows(side.layers[0], nodes)
    if "edge_bias" in rows:
        weights = np.exp(np.asarray(rows["edge_bias"], np.float32))
        if "adjacency" in rows:
            weights = np.where(rows["adjacency"], weights, 0.0)
    elif "edge_weights" in rows:
        weights = np.asarray(rows["edge_weights"], np.float32)
    else:
        return None
    return np.asarray(weights[:, nodes])


def attention(side: LabelSide, nodes: np.ndarray) -> Iterator[np.ndarray]:
    """The attention of each layer among some nodes, float32 `[H, n, n]`.

    The weights are those over all labels: a row of the nodes alone sums to 1 only where
    the others get nothing.
    """
    form = side.settings.attention
    for number, layer in enumerate(side.layers):
        if form == "convolution":
            return
        if form == "gatv2":
            yield _second_version(side, number, nodes)
            continue
        heads = side.params[f"receiver_{number}"].shape[0]
        count = len(layer["nodes"])
        step = max(1, ROWS_AT_ONCE // (heads * count))
        parts = [
            _rows(side, number, nodes[start : start + step])[:, :, nodes]
            for start in range(0, len(nodes), step)
        ]
        yield np.concatenate(parts, axis=1)


def _rows(side: LabelSide, number: int, receivers: np.ndarray) -> np.ndarray:
    """What some labels receive from all, in one layer, `[H, R, N]`."""
    layer, settings = side.layers[number], side.settings
    kernel, receiver, sender = (
        side.params[f"{name}_{number}"] for name in ("kernel", "receiver", "sender")
    )
    form: Any = settings.attention
    found = receiver_attention(
        layer["nodes"],
        kernel,
        receiver,
        sender,
        jnp.asarray(receivers),
        form=form,
        role=settings.role,
        negative_slope=settings.negative_slope,
        **_edge_rows(layer, receivers),
    )
    return np.asarray(found)


def _edge_rows(layer: Mapping[str, Any], receivers: np.ndarray) -> dict[str, Any]:
    """The receivers' rows of what a layer knows of its edges, `[R, N]` each."""
    count = len(layer["nodes"])
    if "edge_factors" in layer:
        own, other = layer["edge_factors"]
        return {"edge_weights": own[receivers] @ other.T}
    rows: dict[str, Any] = {}
    if "edges" in layer:
        edges: Edges = layer["edges"]
        ids = np.asarray(edges.receivers)
        kept = np.isin(ids, receivers)
        place = np.full(count, -1)
        place[receivers] = np.arange(len(receivers))
        at = place[ids[kept]], np.asarray(edges.senders)[kept]
        values = {"adjacency": np.ones(len(ids), bool), "edge_weights": edges.weights}
        if "edge_bias" in layer:
            values["edge_bias"] = layer["edge_bias"]
        for name, value in values.items():
            value = np.asarray(value)
            matrix = np.zeros((len(receivers), count), value.dtype)
            matrix[at] = value[kept]
            rows[name] = jnp.asarray(matrix)
        if "edge_bias" in rows:
            del rows["edge_weights"]  # ones: the bias alone says what is learned
        return rows
    for name in ("edge_weights", "edge_bias"):
        if layer.get(name) is not None:
            rows[name] = layer[name][receivers]
    return rows


def _second_version(side: LabelSide, number: int, nodes: np.ndarray) -> np.ndarray:
    """GATv2's attention, of which the whole matrix is made in training, too."""
    layer, params = side.layers[number], side.params
    names = ("edge_weights", "edge_bias")
    given = {n: layer[n] for n in names if layer.get(n) is not None}
    _, weights = graph_attention_v2(
        layer["nodes"],
        params[f"receiver_kernel_{number}"],
        params[f"kernel_{number}"],
        params[f"attention_{number}"],
        negative_slope=side.settings.negative_slope,
        role=side.settings.role,
        return_attention=True,
        **given,
    )
    return np.asarray(weights)[:, nodes[:, None], nodes]
