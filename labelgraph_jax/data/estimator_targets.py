"""What a scikit-learn user gives as y, as label names per text, and back again."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Targets:
    """Label names of texts, in the form in which they came.

    Attributes:
        names: of each text its labels.
        classes: what `classes_` holds, `[N]`: names, or columns of the matrix.
        columns: the model's name of every class.
        matrix: whether y was an indicator matrix; `sparse`: whether a sparse one.
    """

    names: tuple[tuple[str, ...], ...]
    classes: np.ndarray
    columns: tuple[str, ...]
    matrix: bool
    sparse: bool

    @classmethod
    def read(cls, y: Any, label_names: Sequence[str] | None = None) -> "Targets":
        """y as label names per text.

        Args:
            y: a list or set of names per text, or an indicator matrix `[M, N]`: an
                array, a scipy sparse matrix or a pandas frame, whose columns are the
                classes.
            label_names: what the columns of a matrix are called; the graph's label
                features are made of them.

        Raises:
            ValueError: y is neither, or the names are not as many as columns.
        """
        if is_matrix(y):
            return cls._of_matrix(y, label_names)
        if label_names is not None:
            raise ValueError(
                "label_names are of the columns of an indicator matrix; y holds the "
                "names themselves"
            )
        names = read_names(y)
        known = sorted({name for own in names for name in own})
        return cls(names, np.array(known, object), tuple(known), False, False)

    @classmethod
    def _of_matrix(cls, y: Any, label_names: Sequence[str] | None) -> "Targets":
        classes = getattr(y, "columns", None)
        matrix = read_matrix(y)
        count = matrix.shape[1]
        found = np.arange(count)
        if label_names is not None:
            found = np.array([str(name) for name in label_names], object)
        elif classes is not None:
            found = np.array(list(classes), object)
        if len(found) != count:
            raise ValueError(
                f"label_names must be one for each of the {count} columns of y, got "
                f"{len(found)}"
            )
        columns = tuple(str(name) for name in found)
        if len(set(columns)) < count:
            raise ValueError("the columns of y must have different names")
        names = tuple(
            tuple(columns[i] for i in matrix.indices[start:end])
            for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
        )
        return cls(names, found, columns, True, sparse.issparse(y))


def is_matrix(y: Any) -> bool:
    """Whether y is an indicator matrix rather than names per text."""
    if sparse.issparse(y) or hasattr(y, "columns"):
        return True
    return isinstance(y, np.ndarray) and (y.ndim == 2 or y.dtype.kind in "biuf")


def read_matrix(y: Any) -> sparse.csr_array:
    """An indicator matrix as a sparse one with sorted rows, bool.

    Raises:
        ValueError: it is not of two axes, or holds other numbers than 0 and 1.
    """
    if not sparse.issparse(y):
        y = np.asarray(y)
        if y.ndim != 2:
            raise ValueError(
                "y must be a list of label names per text or an indicator matrix "
                f"[texts, labels], got an array of shape {y.shape}"
            )
        if y.dtype.kind not in "biuf":
            raise ValueError(
                f"an indicator matrix must hold 0 and 1, got numbers of kind {y.dtype}"
            )
    matrix = sparse.csr_array(y)
    if not np.isin(matrix.data, (0, 1)).all():
        wrong = matrix.data[~np.isin(matrix.data, (0, 1))][0]
        raise ValueError(f"an indicator matrix must hold 0 and 1, got {wrong}")
    matrix = matrix.astype(bool)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def read_names(y: Any) -> tuple[tuple[str, ...], ...]:
    """Label names per text, none twice.

    Raises:
        ValueError: a text has no collection of strings.
    """
    if isinstance(y, (str, bytes, Mapping)) or not isinstance(y, Iterable):
        raise ValueError(
            "y must be a list of label names per text or an indicator matrix, got a "
            f"{type(y).__name__}"
        )
    found = []
    for place, own in enumerate(y):
        if isinstance(own, (str, bytes)) or not isinstance(
            own, (Collection, np.ndarray)
        ):
            raise ValueError(
                f"the labels of text {place} must be a list or set of names, got "
                f"{own!r:.40}; a single label is a list of one"
            )
        ordered = sorted(own) if isinstance(own, (set, frozenset)) else list(own)
        if not all(isinstance(name, str) and name for name in ordered):
            raise ValueError(
                f"the labels of text {place} must be non-empty strings, got {own!r:.60}"
            )
        found.append(tuple(dict.fromkeys(str(name) for name in ordered)))
    return tuple(found)
