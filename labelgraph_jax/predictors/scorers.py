"""A network -> predictions: of all labels at once, or of the best of very many."""

from collections.abc import Iterable
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from labelgraph_jax.config import Config
from labelgraph_jax.predictors.many_labels import label_chunk
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.predictions import Predictions, ScoresAt
from labelgraph_jax.training.evaluate import (
    compile_probabilities,
    predict_probabilities,
)
from labelgraph_jax.training.many_labels import (
    PlacedModel,
    compile_top_labels,
    predict_top_labels,
)
from labelgraph_jax.training.objectives import Batch, Params

GATHERED = 8
"""Documents whose labels' vectors are gathered at a time."""


class Scorer(Protocol):
    """A compiled network that scores batches of documents."""

    def place(self, params: Params) -> Params | PlacedModel:
        """Parameters on the devices: what `__call__` takes as well, and faster."""

    def __call__(
        self, params: Params | PlacedModel, batches: Iterable[Batch]
    ) -> Predictions:
        """The predictions of all documents of the batches, in document order."""


def compile_scorer(
    config: Config,
    classifier: Classifier,
    mesh: Mesh | None = None,
    *,
    every_label: bool = False,
) -> Scorer:
    """Compile a network for evaluation.

    Args:
        config: resolved settings; `head.label_chunk` and `head.kept_labels` count.
        classifier: the network.
        mesh: from `make_mesh`; all devices by default.
        every_label: give the probabilities of all labels, however many there are.
    """
    labels = len(classifier.graph.counts)
    chunk = label_chunk(config, labels)
    if chunk and not every_label:
        kept = min(config.head.kept_labels, labels)
        return BestLabels(classifier, labels, kept, chunk, mesh)
    return AllLabels(classifier, labels, mesh)


class AllLabels:
    """The probability of every label."""

    def __init__(
        self, classifier: Classifier, labels: int, mesh: Mesh | None = None
    ) -> None:
        self.labels = labels
        self._run = compile_probabilities(classifier.apply, mesh)

    def place(self, params: Params) -> Params:
        """Put the parameters on the devices that score."""
        return self._run.place_params(params)

    def __call__(self, params: Params, batches: Iterable[Batch]) -> Predictions:
        """Return the probabilities of all labels of these documents, `[M, N]`."""
        probabilities = predict_probabilities(self._run, params, batches)
        if not len(probabilities):
            probabilities = np.zeros((0, self.labels), np.float32)
        return Predictions(None, probabilities, self.labels)


class BestLabels:
    """The best labels of each document, of labels that are scored a chunk at a time."""

    def __init__(
        self,
        classifier: Classifier,
        labels: int,
        kept: int,
        chunk: int,
        mesh: Mesh | None = None,
    ) -> None:
        self.labels, self.kept = labels, kept
        self._rank = compile_top_labels(
            classifier.document_side, classifier.label_side, mesh, k=kept, chunk=chunk
        )

    def place(self, params: Params | PlacedModel) -> PlacedModel:
        """Put the parameters on the devices that rank, where they are not yet."""
        return self._rank.place_params(params)

    def __call__(
        self, params: Params | PlacedModel, batches: Iterable[Batch]
    ) -> Predictions:
        """Return the best labels of these documents, `[M, K]`, the best first."""
        top = predict_top_labels(self._rank, params, batches)
        if not len(top.ids):
            empty = (0, self.kept)
            return Predictions(
                np.zeros(empty, np.int32), np.zeros(empty, np.float32), self.labels
            )
        return Predictions(top.ids, top.probabilities, self.labels)


def scores_of_labels(placed: PlacedModel, vectors: np.ndarray) -> ScoresAt:
    """`at(rows, ids)` -> the probabilities of some labels of each document `[B, C]`.

    Args:
        placed: label vectors on the devices.
        vectors: of the documents `[M, D]`.
    """

    def at(rows: slice, ids: np.ndarray) -> np.ndarray:
        own = vectors[rows], np.maximum(ids, 0)
        return np.asarray(_gathered_scores(placed.labels, placed.bias, *own))

    return at


@jax.jit
def _gathered_scores(
    labels: jax.Array, bias: jax.Array, documents: jax.Array, ids: jax.Array
) -> jax.Array:
    def row(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        document, own = pair
        return jax.nn.sigmoid(labels[own] @ document + bias[own])

    # A few documents at a time: each gathers the vectors of its own labels.
    return jax.lax.map(row, (documents, ids), batch_size=GATHERED)
