"""A memory beside a trained classifier: training documents and label texts, looked up.

    p = (1 - weight) classifier + weight (share D + (1 - share) T)

D is the softmax over the nearest training documents times their labels, and T that over
the nearest label texts times the labels themselves. A label that no training document
carries is unknown to the classifier: its probability comes from its text alone.

Reference: RAE-XMC, arXiv 2502.10615. There documents and label texts share one softmax;
here each has its own, with a temperature of its own: texts of a few words lie further
from a document than other documents do, and would hardly ever be among the nearest.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.config import MemoryConfig
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document
from labelgraph_jax.functional.many_labels.label_lists import (
    LabelScores,
    dense_scores,
    mix_scores,
    mix_top_labels,
    side_by_side,
    sum_lists,
    top_scores,
)
from labelgraph_jax.functional.many_labels.retrieval import (
    Neighbours,
    label_votes,
    nearest_keys,
)
from labelgraph_jax.predictors.predictions import Predictions

ROWS = 256
"""Documents that are compared with the keys at a time."""


class Reader(Protocol):
    """Documents -> one vector each, float32 `[M, D]`.

    `examples` are the documents as the classifier reads them, where that was done.
    """

    def __call__(
        self, documents: Sequence[Document], examples: Examples | None = None
    ) -> np.ndarray:
        """Return the vectors of documents, `[M, D]`."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Settings chosen on validation: see the formula above."""

    temperature: float
    label_temperature: float
    share: float
    weight: float


@dataclass(frozen=True, kw_only=True)
class TextRule:
    """Probability and decision of a label from its text alone.

    The score z of a label is the log of its softmax weight against the nearest label
    texts of *other*, trained labels; `p = sigmoid(slope z + intercept)`. Slope,
    intercept and threshold are fitted on validation documents to the trained labels,
    each taken as if no document carried it.
    """

    slope: float = 1.0
    intercept: float = 0.0
    threshold: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Stored vectors of a memory.

    Attributes:
        centre: mean vector of the training documents `[D]`; taken off every document.
        label_centre: the same of the label texts.
        documents: unit vectors of the training documents `[M, D]`.
        document_labels: their labels, int32 `[M, P]`, padded with -1.
        labels: unit vectors of the label texts `[N, D]`.
        seen: bool `[N]`, whether a training document carries the label.
    """

    centre: np.ndarray
    label_centre: np.ndarray
    documents: np.ndarray
    document_labels: np.ndarray
    labels: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True, kw_only=True)
class AddedLabels:
    """Labels that were added after training, with the unit vectors of their texts."""

    names: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    parents: tuple[tuple[str, ...], ...] = ()
    keys: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Memory:
    """Nearest-neighbour memory beside a classifier of N labels.

    Attributes:
        config: its settings.
        reader: documents -> vectors.
        keys: what is kept.
        choice: temperatures and weights.
        text_rule: of labels that no training document carries.
        added: labels after the N of the classifier.
        about: what was measured on validation, JSON values.
    """

    config: MemoryConfig
    reader: Reader
    keys: Keys
    choice: Choice
    text_rule: TextRule = TextRule()
    added: AddedLabels = AddedLabels()
    about: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def unseen(self) -> np.ndarray:
        """Columns whose probability comes from their text alone, added ones last."""
        trained = len(self.keys.seen)
        added = np.arange(trained, trained + len(self.added))
        return np.concatenate([np.flatnonzero(~self.keys.seen), added])

    def queries(
        self, documents: Sequence[Document], examples: Examples | None = None
    ) -> np.ndarray:
        """Unit vectors of documents, centred as the keys are, float32 `[M, D]`."""
        return unit(self.reader(documents, examples) - self.keys.centre)

    def mix(self, predictions: Predictions, queries: np.ndarray) -> Predictions:
        """Predictions of the N labels, with the memory's and the added labels' in them.

        Of all labels, `[M, N + A]`; with weight 0 those of labels with training
        documents come back exactly. Of the best labels, the best of all: exact as
        `functional.mix_top_labels` says, if the list holds at least as many labels with
        training documents as it has places; ids -1 at probability 0 where there are
        fewer labels.

        Args:
            predictions: of the classifier.
            queries: from `queries`.
        """
        labels = len(self.keys.seen) + len(self.added)
        if predictions.ids is None:
            probabilities = self._mix_all(predictions.probabilities, queries)
            return Predictions(None, probabilities, labels)
        ids, probabilities = self._mix_best(predictions, queries)
        elsewhere = predictions.elsewhere
        return Predictions(ids, probabilities, labels, elsewhere=elsewhere)

    def _mix_all(self, classifier: np.ndarray, queries: np.ndarray) -> np.ndarray:
        trained = classifier.shape[1]
        shape = (len(classifier), trained + len(self.added))
        mixed = np.empty(shape, np.float32)
        for rows in slices(len(classifier)):
            part, own = queries[rows], classifier[rows]
            mixed[rows, :trained] = own
            if self.choice.weight:
                found = dense_scores(self.found(part), trained)
                both = mix_scores(own, found, weight=self.choice.weight)
                mixed[rows, :trained] = both
            mixed[rows, self.unseen] = self.text_probabilities(part)
        return mixed

    def _mix_best(
        self, predictions: Predictions, queries: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best labels of each document; nothing has a column per label."""
        assert predictions.ids is not None
        k = predictions.ids.shape[1]
        ids = np.full((len(queries), k), -1, np.int32)
        scores = np.zeros((len(queries), k), np.float32)
        for rows in slices(len(queries)):
            part = queries[rows]
            top = predictions.ids[rows], predictions.probabilities[rows]
            known = ~np.isin(top[0], self.unseen)
            own_ids = jnp.asarray(np.where(known, top[0], -1))
            listed = LabelScores(own_ids, jnp.asarray(top[1]))
            if self.choice.weight:
                found = self.found(part)
                own = predictions.scores_at(rows, np.asarray(found.ids))
                weight = self.choice.weight
                listed = mix_top_labels(listed, found, own, weight=weight, k=k)
            best = top_scores(side_by_side(listed, self.best_texts(part, k)), k=k)
            width = best.ids.shape[1]
            ids[rows, :width], scores[rows, :width] = best
        return ids, scores

    def found(self, queries: np.ndarray) -> LabelScores:
        """The memory's labels and scores of each query: `share D + (1 - share) T`."""
        choice = self.choice
        documents = self.of_documents(self.near_documents(queries), choice.temperature)
        texts = self.of_texts(self.near_texts(queries), choice.label_temperature)
        return sum_lists(
            LabelScores(documents.ids, documents.scores * choice.share),
            LabelScores(texts.ids, texts.scores * (1.0 - choice.share)),
        )

    def near_documents(self, queries: np.ndarray) -> Neighbours:
        """The nearest training documents."""
        keys, _ = self._document_side
        return nearest_keys(queries, keys, k=min(self.config.neighbours, len(keys)))

    def near_texts(self, queries: np.ndarray) -> Neighbours:
        """The nearest label texts, of labels with training documents."""
        keys, _ = self._text_side
        return nearest_keys(queries, keys, k=min(self.config.neighbours, len(keys)))

    def of_documents(self, near: Neighbours, temperature: float) -> LabelScores:
        """D: what the nearest training documents carry."""
        return label_votes(near, self._document_side[1], temperature=temperature)

    def of_texts(self, near: Neighbours, temperature: float) -> LabelScores:
        """T: the labels of the nearest label texts."""
        return label_votes(near, self._text_side[1], temperature=temperature)

    def text_probabilities(self, queries: np.ndarray) -> np.ndarray:
        """Probabilities of the labels that only their text tells of, float32 `[B, U]`.

        In the order of `unseen`.
        """
        texts = self.unseen_keys
        if not len(texts):
            return np.zeros((len(queries), 0), np.float32)
        return self._probabilities(queries, queries @ texts.T)

    def best_texts(self, queries: np.ndarray, k: int) -> LabelScores:
        """The k most probable of these labels."""
        texts = self.unseen_keys
        if not len(texts):
            empty = jnp.zeros((len(queries), 0))
            return LabelScores(empty.astype(jnp.int32), empty)
        near = nearest_keys(queries, texts, k=min(k, len(texts)))
        ids = jnp.asarray(self.unseen.astype(np.int32)[np.asarray(near.rows)])
        probabilities = self._probabilities(queries, np.asarray(near.similarities))
        return LabelScores(ids, jnp.asarray(probabilities))

    def _probabilities(
        self, queries: np.ndarray, similarities: np.ndarray
    ) -> np.ndarray:
        """By the text rule: what each similarity is worth against the other labels."""
        from scipy.special import expit, logsumexp

        near = self.near_texts(queries)
        tau, rule = self.choice.label_temperature, self.text_rule
        background = logsumexp(np.asarray(near.similarities) / tau, axis=1)
        scores = similarities / tau - background[:, None]
        return expit(rule.slope * scores + rule.intercept).astype(np.float32)

    @property
    def unseen_keys(self) -> np.ndarray:
        """The label texts of `unseen`, `[U, D]`."""
        texts = self.keys.labels[~self.keys.seen]
        return np.concatenate([texts, self.added.keys]) if len(self.added) else texts

    @cached_property
    def _document_side(self) -> tuple[jax.Array, jax.Array]:
        """On the device once, not with every batch."""
        kept = self.keys
        return jnp.asarray(kept.documents), jnp.asarray(kept.document_labels)

    @cached_property
    def _text_side(self) -> tuple[jax.Array, jax.Array]:
        seen = np.flatnonzero(self.keys.seen).astype(np.int32)
        return jnp.asarray(self.keys.labels[seen]), jnp.asarray(seen[:, None])

    def with_added(self, added: AddedLabels) -> "Memory":
        """The same memory with other labels added."""
        return dataclasses.replace(self, added=added)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def slices(count: int) -> Iterator[slice]:
    """Some rows at a time."""
    for start in range(0, count, ROWS):
        yield slice(start, min(start + ROWS, count))
