"""Which labels stand together on documents, counted without a dense matrix of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from labelgraph_jax.data.documents import Document, LabelSpace

# Label pairs counted at a time: bounds the memory, not the result.
_PAIRS_AT_ONCE = 4_000_000


def cooccurrence_counts(
    documents: Sequence[Document], labels: LabelSpace
) -> np.ndarray:
    """Counts, for every pair of labels, the documents that carry both.

    The same numbers as `functional.cooccurrence` of the targets, at the cost of the
    labels that documents have rather than of those that they might have.

    Args:
        documents: the training split alone; labels without a column are passed over.
        labels: what the columns are.

    Returns:
        float32 counts `[N, N]`, symmetric; the diagonal holds the label counts.
    """
    count = len(labels)
    by_size: dict[int, list[list[int]]] = defaultdict(list)
    for document in documents:
        columns = {labels.index[n] for n in document.labels if n in labels.index}
        if columns:
            by_size[len(columns)].append(sorted(columns))
    counts = np.zeros(count * count, np.float32)
    for size, rows in by_size.items():
        step = max(_PAIRS_AT_ONCE // size**2, 1)
        for start in range(0, len(rows), step):
            block = np.asarray(rows[start : start + step], np.int64)
            codes = block[:, :, None] * count + block[:, None, :]
            pairs, times = np.unique(codes, return_counts=True)
            counts[pairs] += times
    return counts.reshape(count, count)
