"""Predictions for documents: one type from the network's scores to every file.

A network gives the probability of every label, or, of labels so many that no array of
documents by labels is made, the K best labels of each document. Whatever comes after
the network (decisions, metrics, memories, reports, services) reads `Predictions`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from labelgraph_jax.data.documents import Document
from labelgraph_jax.functional.metrics.ranked import ranked_hits
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.documents import fingerprint

WHOLE = 1_000
"""Labels up to which `Predictions.kept` keeps every probability."""
KEPT = 100
"""Labels of a document that it keeps where there are more."""

ScoresAt = Callable[[slice, np.ndarray], np.ndarray]
"""`at(rows, ids)` -> probabilities of some labels of each document, `[B, C]`."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities of M documents, K labels of each, and what else is known of them.

    Attributes:
        ids: labels of the columns, int32 `[M, K]`, the most probable first; None where
            column j is label j, and K = N. An id of -1 is no label.
        probabilities: float32 `[M, K]`.
        labels: N, how many labels there are.
        truth: the documents' labels, `[M, N]`.
        known: which columns the document is annotated for, bool `[M, K]`; None for all.
        decided: which columns are predicted, bool `[M, K]`.
        elsewhere: gives the probabilities of labels that have no column.
    """

    ids: Int[np.ndarray, "M K"] | None
    probabilities: Float[np.ndarray, "M K"]
    labels: int
    truth: csr_array | None = None
    known: Bool[np.ndarray, "M K"] | None = None
    decided: Bool[np.ndarray, "M K"] | None = None
    elsewhere: ScoresAt | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_all(
        cls,
        probabilities: np.ndarray,
        targets: np.ndarray | csr_array | None = None,
        known: np.ndarray | None = None,
    ) -> "Predictions":
        """Predictions of all labels.

        Args:
            probabilities: `[M, N]`.
            targets: the truth `[M, N]`, an array or sparse.
            known: where a document is annotated, bool `[M, N]`; None for everywhere.
        """
        truth = None if targets is None else csr_array(targets)
        return cls(None, probabilities, probabilities.shape[1], truth, known)

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def is_whole(self) -> bool:
        """True if the probability of every label is here."""
        return self.probabilities.shape[1] == self.labels

    @property
    def columns(self) -> Int[np.ndarray, "M K"]:
        """The label of every column, `[M, K]`, of whichever kind."""
        if self.ids is not None:
            return self.ids
        return np.broadcast_to(np.arange(self.labels), self.probabilities.shape)

    @property
    def hits(self) -> Bool[np.ndarray, "M K"]:
        """Mask of the columns that are true labels, bool `[M, K]`."""
        assert self.truth is not None
        ids = np.maximum(self.columns, 0)
        return ranked_hits(ids, self.truth.indptr, self.truth.indices)

    @property
    def targets(self) -> Float[np.ndarray, "M N"]:
        """The truth as an array: of labels that all have a column."""
        assert self.truth is not None
        return np.asarray(self.truth.toarray(), np.float32)

    def rows(self, chosen: np.ndarray | slice) -> "Predictions":
        """The predictions of some of the documents."""
        changes: dict[str, Any] = {
            name: value[chosen]
            for name in ("ids", "probabilities", "truth", "known", "decided")
            if (value := getattr(self, name)) is not None
        }
        return dataclasses.replace(self, **changes, elsewhere=None)

    def with_truth(
        self,
        truth: csr_array,
        known: np.ndarray | None = None,
        missing: csr_array | None = None,
    ) -> "Predictions":
        """The same predictions beside their documents' labels.

        Args:
            truth: `[M, N]`.
            known: True where a document is annotated for a label, `[M, N]`; None for
                everywhere, and where the best labels alone have a column.
            missing: labels that a document is not annotated for, `[M, N]`. In a list of
                best labels they go to its end, at probability 0: they stand in nobody's
                way, and are no hits.
        """
        if self.ids is None or missing is None:
            return dataclasses.replace(self, truth=truth, known=known)
        ids, probabilities = self.ids.copy(), self.probabilities.copy()
        for row in np.flatnonzero(np.diff(missing.indptr)):
            own = missing.indices[missing.indptr[row] : missing.indptr[row + 1]]
            away = np.isin(ids[row], own)
            order = np.argsort(away, kind="stable")
            ids[row] = ids[row][order]
            probabilities[row] = np.where(away, 0, probabilities[row])[order]
        return dataclasses.replace(
            self, ids=ids, probabilities=probabilities, truth=truth, known=known
        )

    def decide(self, decision: Decision) -> "Predictions":
        """The same predictions with what a rule decides of them."""
        decided = decision.decide(self.probabilities, self.ids)
        return dataclasses.replace(self, decided=decided)

    def top(self, k: int) -> "Predictions":
        """The k best labels of each document, of the columns there are."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]

        def ordered(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else np.take_along_axis(array, order, axis=1)

        columns, probabilities = ordered(self.columns), ordered(self.probabilities)
        assert columns is not None and probabilities is not None
        return dataclasses.replace(
            self,
            ids=columns.astype(np.int32),
            probabilities=probabilities,
            known=ordered(self.known),
            decided=ordered(self.decided),
        )

    def best_first(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per document ids, probabilities and decisions `[K]`, the best label first."""
        assert self.decided is not None
        each = zip(self.columns, self.probabilities, self.decided, strict=True)
        for ids, probabilities, decided in each:
            order = np.argsort(-probabilities, kind="stable")
            order = order[ids[order] >= 0]
            yield ids[order], probabilities[order], decided[order]

    def scores_at(self, rows: slice, ids: np.ndarray) -> np.ndarray:
        """Probabilities of some labels of some documents, whether they have a column.

        Args:
            rows: B of the documents.
            ids: labels `[B, C]`; what is returned for an id of -1 counts nothing.
        """
        if self.ids is None:
            own = self.probabilities[rows]
            return np.take_along_axis(own, np.maximum(ids, 0), axis=1)
        assert self.elsewhere is not None
        return self.elsewhere(rows, ids)

    def kept(self, documents: Sequence[Document]) -> "KeptPredictions":
        """Return the predictions that a work directory keeps: see `predictors.kept`.

        Of up to `WHOLE` labels all, of more the best of each document and all that are
        decided. The truth is kept where the document is annotated.

        Args:
            documents: the same M documents.
        """
        truth, known, decided = self.truth, self.known, self.decided
        assert truth is not None and decided is not None
        width = self.probabilities.shape[1]
        count, most = width, int(decided.sum(axis=1).max(initial=0))
        if self.ids is not None or self.labels > WHOLE:
            count = min(width, max(KEPT, most))
        if known is not None:
            truth = csr_array(truth.multiply(known))
            truth.eliminate_zeros()
        best = self if self.ids is not None else self._decided_and_best(count)
        ids, known = best.columns, best.known
        probabilities = best.probabilities[:, :count].astype(np.float32)
        rest = np.full(len(self), np.nan, np.float32)
        if self.ids is None:
            every = self.probabilities.sum(axis=1, dtype=np.float64)
            rest = np.maximum(every - probabilities.sum(axis=1), 0.0)
        return KeptPredictions(
            ids=ids[:, :count].astype(np.int32),
            probabilities=probabilities,
            labels=self.labels,
            truth=truth,
            known=np.ones(probabilities.shape, bool)
            if known is None
            else known[:, :count],
            decided=(decided if best.decided is None else best.decided)[:, :count],
            documents=tuple(document.id for document in documents),
            fingerprint=fingerprint(documents),
            rest=rest.astype(np.float32),
        )

    def _decided_and_best(self, count: int) -> "Predictions":
        """The best `count` labels, none that is decided left out, the best first."""
        decided, probabilities = self.decided, self.probabilities
        assert decided is not None
        ids = self.columns
        if count < self.labels:
            first = np.where(decided, probabilities + 2.0, probabilities)
            ids = np.argpartition(-first, count - 1, axis=1)[:, :count]
        best = np.take_along_axis(probabilities, ids, axis=1)
        ids = np.take_along_axis(ids, np.lexsort((ids, -best), axis=1), axis=1)
        known = self.known
        return dataclasses.replace(
            self,
            ids=ids,
            probabilities=np.take_along_axis(probabilities, ids, axis=1),
            known=None if known is None else np.take_along_axis(known, ids, axis=1),
            decided=np.take_along_axis(decided, ids, axis=1),
        )


@dataclass(frozen=True, kw_only=True)
class KeptPredictions(Predictions):
    """Predictions as a work directory keeps them: every part is there.

    Attributes:
        documents: the documents' ids.
        fingerprint: of the documents, see `predictors.documents.fingerprint`.
        rest: the sum of the probabilities that were not kept, float32 `[M]`; NaN where
            they were never made.
    """

    ids: Int[np.ndarray, "M K"]
    truth: csr_array
    known: Bool[np.ndarray, "M K"]
    decided: Bool[np.ndarray, "M K"]
    documents: tuple[str, ...]
    fingerprint: str
    rest: Float[np.ndarray, " M"]

    @property
    def decided_cells(self) -> csr_array:
        """Predicted and annotated cells, 1 in a sparse float32 `[M, N]`."""
        return self._cells(self.decided & self.known)

    @property
    def right_cells(self) -> csr_array:
        """Rightly predicted cells, 1 in a sparse float32 `[M, N]`."""
        return self._cells(self.decided & self.known & self.hits)

    def _cells(self, chosen: Bool[np.ndarray, "M K"]) -> csr_array:
        rows, columns = np.nonzero(chosen)
        ones = np.ones(len(rows), np.float32)
        shape = (len(self), self.labels)
        return csr_array((ones, (rows, self.ids[rows, columns])), shape=shape)


def no_predictions(labels: int) -> Predictions:
    """The predictions of no document."""
    none = np.zeros((0, labels), np.float32)
    return Predictions(None, none, labels, csr_array(none.shape, dtype=np.float32))
