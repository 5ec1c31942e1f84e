"""The labels that a label receives from: rows of attention and of edge weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from labelgraph_jax.functional.trees import Params
from labelgraph_jax.inspection.explain.label_explanation import Neighbour
from labelgraph_jax.inspection.explain.training_documents import TrainingDocuments
from labelgraph_jax.inspection.label_side import label_sides
from labelgraph_jax.inspection.titles import title_of_number
from labelgraph_jax.predictors.network import Classifier

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model


@dataclass(frozen=True)
class Received:
    """Attention and message that one label receives, equal for all documents.

    Attributes:
        label: column of the label.
        senders: columns of all labels of its graph `[N]`.
        layers: attention of each layer, float32 `[H, N]`.
        start: the edge weights that training started from `[N]`; None where every
            label receives from every label.
        learned: the weights that training made of them `[N]`; None where they are no
            parameter.
        message: what of the label's vector came from others `[D]`, None where nothing
            stands beside it, or the vector is that of a member of an ensemble.
    """

    label: int
    senders: np.ndarray
    layers: list[np.ndarray]
    start: np.ndarray | None
    learned: np.ndarray | None
    message: np.ndarray | None


def received_by(model: "Model", columns: np.ndarray) -> dict[int, Received]:
    """Return what some labels receive, by column; empty without a label graph.

    Of an ensemble in the member that has a graph and weighs most.

    Args:
        model: with a label graph or without.
        columns: of the labels `[R]`.
    """
    members = getattr(model, "members", None)
    if members is None:
        return _received(model.classifier, model.params, columns)
    order = np.argsort(-np.asarray(model.weights), kind="stable")  # type: ignore[attr-defined]
    for member in (members[number] for number in order):
        # The message meets the vectors of that member alone.
        found = _received(member.classifier, member.params, columns, message=False)
        if found:
            return found
    return {}


def _received(
    classifier: Classifier, params: Params, labels: np.ndarray, *, message: bool = True
) -> dict[int, Received]:
    found: dict[int, Received] = {}
    for side in label_sides(classifier, params):
        asked = labels[np.isin(labels, side.columns)]
        if not side.module.layers or not len(asked):
            continue
        nodes = np.searchsorted(side.columns, asked)
        shown = side.show(nodes)
        start, learned = side.first_weights(nodes), side.learned_weights(nodes)
        for row, label in enumerate(asked.tolist()):
            found[label] = Received(
                label,
                side.columns,
                [layer[:, row] for layer in shown.layers],
                _at(start, row),
                _at(learned, row),
                _at(shown.message, row) if message else None,
            )
    return found


def _at(values: np.ndarray | None, place: int) -> np.ndarray | None:
    return None if values is None else values[place]


def named_neighbours(
    model: "Model", received: Received, count: int, store: TrainingDocuments | None
) -> tuple[tuple[Neighbour, ...], tuple[float, ...]]:
    """Return the labels that one receives from most, and its attention to itself.

    Args:
        model: knows the names.
        received: by the label.
        count: how many neighbours at most.
        store: training documents, to count those that carry both.
    """
    means = np.stack([layer.mean(axis=0) for layer in received.layers])  # [layers, N]
    own = int(np.searchsorted(received.senders, received.label))
    strength = np.abs(means).mean(axis=0)
    strength[own] = 0.0
    order = np.argsort(-strength, kind="stable")[:count]
    counts, carried = None, 0
    if store is not None:
        counts, carried = store.together(received.label, len(model.labels))

    def weight(values: np.ndarray | None, place: int) -> float | None:
        return None if values is None else float(values[place])

    neighbours = []
    for place in order[strength[order] > 0].tolist():
        column = int(received.senders[place])
        together = None if counts is None else int(counts[column])
        heads = (layer[:, place].tolist() for layer in received.layers)
        neighbours.append(
            Neighbour(
                model.labels[column],
                tuple(means[:, place].tolist()),
                tuple(map(tuple, heads)),
                weight(received.start, place),
                weight(received.learned, place),
                together,
                together / carried if together is not None and carried else None,
                title_of_number(model.labels[column], model.label_space),
            )
        )
    return tuple(neighbours), tuple(means[:, own].tolist())


def why_no_neighbours(model: "Model") -> str:
    """Return why no label that was asked about receives from others."""
    if hasattr(model, "members"):
        return "no member of this ensemble has a label graph: labels receive nothing"
    if model.config.head.kind == "recurrent":
        return (
            "this model has no label graph: its decoder writes one label after the "
            "other (head.kind='recurrent')"
        )
    if model.config.graph.layers == 0:
        return (
            "this model has no label graph (graph.layers=0): every label decides for "
            "itself"
        )
    return "no label that was asked about is part of the label graph"
