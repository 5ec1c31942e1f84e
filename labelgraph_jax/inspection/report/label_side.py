"""The label side of a model before and after training: vectors, edges, attention."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import Document
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.inspection.explain.neighbours import learned_rows
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import TaskMagnet
from labelgraph_jax.modules.seams import ATTENTION, RECEIVERS
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.training.local_batches import own_batches

ROWS_AT_ONCE = 2**25
"""Attention weights that are in memory at once."""


@dataclass(frozen=True)
class LabelSide:
    """One label graph of a model: a mixture has one for each label set.

    Attributes:
        columns: which labels are its nodes `[n]`.
        vectors: one per label, float32 `[n, D]`.
        params: of the graph.
        module, features, adjacency: what made the vectors of them.
    """

    columns: np.ndarray
    vectors: np.ndarray
    params: Mapping[str, Any]
    module: LabelGraph
    features: Any
    adjacency: Any


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
        from labelgraph_jax.data.features.values import Features

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
                )
            )
        return sides
    whole = np.arange(len(graph.counts))
    label_graph: LabelGraph = module.label_graph  # type: ignore[union-attr]
    own = params["label_graph"]
    return [_side(label_graph, own, whole, graph.features, graph.adjacency)]


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
) -> LabelSide:
    params, adjacency = jax.tree.map(jnp.asarray, (params, adjacency))
    given = jnp.asarray(features)
    vectors = module.apply({"params": params}, given, adjacency)
    return LabelSide(columns, np.asarray(vectors), params, module, given, adjacency)


def edge_weights(side: LabelSide, nodes: np.ndarray) -> np.ndarray | None:
    """Learned edge weights among some nodes, `[n, n]`; None where none is learned."""
    if not side.module.layers:
        return None
    count = len(side.columns)
    rows = learned_rows(side.params, side.adjacency, jnp.asarray(nodes), count)
    return None if rows is None else rows[:, nodes]


def attention(side: LabelSide, nodes: np.ndarray) -> Iterator[np.ndarray]:
    """The attention of each layer among some nodes, float32 `[H, n, n]`.

    The weights are those over all labels: a row of the nodes alone sums to 1 only where
    the others get nothing.
    """
    module = side.module
    if not module.layers or module.attention == "convolution":
        return
    step = max(1, ROWS_AT_ONCE // (module.layers * module.heads * len(side.columns)))
    show = jax.jit(partial(module.apply, mutable=ATTENTION))
    parts: list[list[np.ndarray]] = [[] for _ in range(module.layers)]
    for start in range(0, len(nodes), step):
        asked = {"labels": jnp.asarray(nodes[start : start + step])}
        variables = {"params": side.params, RECEIVERS: asked}
        _, left = show(variables, side.features, side.adjacency)
        for layer, part in enumerate(parts):
            rows = left[ATTENTION][f"layer_{layer}"][0]  # [H, R, N]
            part.append(np.asarray(rows)[:, :, nodes])
    for part in parts:
        yield np.concatenate(part, axis=1)
