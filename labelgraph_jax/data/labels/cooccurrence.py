"""Counts of labels that occur together on documents, without a dense matrix of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.documents import Document, LabelSpace


def label_pairs(documents: Sequence[Document], labels: LabelSpace) -> csr_array:
    """Count, for every pair of labels, the documents that carry both.

    Args:
        documents: the training split alone; labels without a column are passed over.
        labels: what the columns are.

    Returns:
        float32 counts `[N, N]`, symmetric, of the pairs that occur; the diagonal holds
        the label counts.
    """
    sets, _ = labels.label_sets(documents)
    return (sets.T @ sets).tocsr()


def cooccurrence_counts(
    documents: Sequence[Document], labels: LabelSpace
) -> np.ndarray:
    """Return `label_pairs` as an array `[N, N]`.

    The same numbers as `functional.cooccurrence` of the targets, at the cost of the
    labels that documents have rather than of those that they might have.
    """
    return label_pairs(documents, labels).toarray()
