"""Rows of features as a matrix whose rows have length one, for the linear baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from labelgraph_jax.data.features.values import Features


class FeatureMatrix:
    """Counterpart of a TF-IDF vectorizer for documents of given feature values.

    Attributes:
        vocabulary_: feature -> column, of those that enough training rows have.
    """

    def __init__(
        self, rows: Sequence[Features], *, min_count: int, max_features: int
    ) -> None:
        """Choose the features.

        Args:
            rows: to train on.
            min_count: features in fewer rows are left out; one row is enough if nothing
                would be left.
            max_features: of the rest, only the most frequent.

        Raises:
            ValueError: no row has a feature.
        """
        ids = np.concatenate([row.ids for row in rows])
        found, counts = np.unique(ids, return_counts=True)
        if not len(found):
            raise ValueError("no training row has a feature")
        least = min_count if (counts >= min_count).any() else 1
        order = np.argsort(-counts, kind="stable")[:max_features]
        kept = np.sort(found[order[counts[order] >= least]])
        self.vocabulary_ = {int(id): column for column, id in enumerate(kept)}
        self._kept = kept

    def transform(self, rows: Sequence[Features]) -> sparse.csr_matrix:
        """The rows, each divided by its length; features that are unknown left out."""
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        ids = np.concatenate([np.zeros(0, np.int32), *(row.ids for row in rows)])
        values = np.concatenate([np.zeros(0, np.float32), *(r.values for r in rows)])
        columns = np.minimum(np.searchsorted(self._kept, ids), len(self._kept) - 1)
        known = self._kept[columns] == ids
        before = np.concatenate([[0], np.cumsum(known)])
        matrix = sparse.csr_matrix(
            (values[known].astype(np.float32), columns[known], before[starts]),
            shape=(len(rows), len(self._kept)),
        )
        lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        scale = sparse.diags_array(1 / np.where(lengths == 0, 1, lengths))
        return sparse.csr_matrix(scale @ matrix, dtype=np.float32)
