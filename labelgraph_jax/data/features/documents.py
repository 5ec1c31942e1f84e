"""A document as numbered features with values, such as TF-IDF, in place of a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.features.values import Features


def reads_features(documents: Sequence[Document], what: str = "documents") -> bool:
    """Return True if documents are features rather than texts; mixing both is an error.

    Raises:
        DataError: some have features and others a text; the first that differs is
            named.
    """
    if not documents:
        return False
    kind = documents[0].features is not None
    for document in documents:
        if (document.features is not None) != kind:
            wrong, right = ("a text", "features") if kind else ("features", "a text")
            raise DataError(
                f"{document.source or document.id}: the {what} must be all texts or "
                f"all features; this one is {wrong}, the first is {right}"
            )
    return kind


def feature_documents(rows: object, *, prefix: str = "row") -> list[Document]:
    """Documents without labels from rows of features.

    Args:
        rows: a scipy sparse matrix [M, V], or a sequence of `Features` and
            `Document`s that have some.
        prefix: of the documents' ids, before the number of the row from 1.

    Raises:
        DataError: a row is neither.
    """
    if hasattr(rows, "tocsr"):
        matrix = rows.tocsr()
        matrix.sum_duplicates()
        rows = [
            Features(
                matrix.indices[start:end].astype(np.int32),
                matrix.data[start:end].astype(np.float32),
            )
            for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
        ]
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        rows = [rows]
    found = []
    for number, row in enumerate(rows, start=1):
        features = row.features if isinstance(row, Document) else row
        if not isinstance(features, Features):
            raise DataError(
                f"{prefix} {number}: this model reads features: give Features(ids, "
                "values), a scipy sparse matrix, or a file .svm, .libsvm or .txt; "
                f"got {_kind_of(row)}"
            )
        found.append(Document(f"{prefix}-{number}", "", (), features=features))
    return found


def _kind_of(row: object) -> str:
    if isinstance(row, (str, Document)):
        return "a text"
    return type(row).__name__
