"""Conversion of scikit-learn's y to label names per text, and back."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from labelgraph_jax.config.settings import short
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import require_unicode

Names = tuple[tuple[str, ...], ...]


LabelsOf: TypeAlias = (
    Sequence[Collection[str] | Mapping[str, float]]
    | np.ndarray
    | sparse.sparray
    | sparse.spmatrix
)
"""Labels of texts: names of each, or an indicator matrix or frame `[texts, labels]`."""


@dataclass(frozen=True)
class Targets:
    """Label names of texts, in the form in which they came.

    Attributes:
        names: of each text its labels.
        unannotated: of each text the labels of which nothing is known.
        classes: what `classes_` holds, `[N]`: names, or columns of the matrix.
        columns: the model's name of every class.
        matrix: whether y was an indicator matrix; `sparse`: whether a sparse one.
    """

    names: Names
    unannotated: Names
    classes: np.ndarray
    columns: tuple[str, ...]
    matrix: bool
    sparse: bool

    @classmethod
    def read(cls, y: LabelsOf, label_names: Sequence[str] | None = None) -> "Targets":
        """Label names per text, read from y.

        Args:
            y: of each text a list or set of names, or a dictionary of 0 and 1 by name;
                or an indicator matrix `[M, N]`: an array, a scipy sparse matrix or a
                pandas frame, whose columns are the classes. NaN or None in place of 0
                and 1 stands for what is not known.
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
        rows = read_names(y)
        known = sorted({name for own in rows for name in own})
        return cls(*_split(rows), np.array(known, object), tuple(known), False, False)

    @classmethod
    def _of_matrix(cls, y: LabelsOf, label_names: Sequence[str] | None) -> "Targets":
        classes = getattr(y, "columns", None)
        matrix = read_matrix(y)
        count = matrix.shape[1]
        found = np.arange(count)
        if isinstance(label_names, str) or not isinstance(
            label_names, (Iterable, type(None))
        ):
            raise ValueError(
                f"label_names must be a list of names, got {short(label_names)}"
            )
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
        for name in columns:
            require_unicode(name, "the name of a column of y")
        if len(set(columns)) < count:
            raise ValueError("the columns of y must have different names")
        rows = [
            {columns[i]: matrix.data[at] for at, i in enumerate(matrix.indices[a:b], a)}
            for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
        ]
        return cls(*_split(rows), found, columns, True, sparse.issparse(y))


def _split(rows: Sequence[Mapping[str, float]]) -> tuple[Names, Names]:
    """Return the labels of each text, and those of which nothing is known."""
    return (
        tuple(tuple(name for name, v in own.items() if v == 1) for own in rows),
        tuple(tuple(name for name, v in own.items() if v != v) for own in rows),
    )


def is_matrix(y: LabelsOf) -> bool:
    """Return True if y is an indicator matrix rather than names per text."""
    if sparse.issparse(y) or hasattr(y, "columns"):
        return True
    return isinstance(y, np.ndarray) and (y.ndim == 2 or y.dtype.kind in "biuf")


def read_matrix(y: LabelsOf) -> sparse.csr_array:
    """An indicator matrix as a sparse one with sorted rows of 1 and NaN.

    Raises:
        ValueError: it is not of two axes, or holds other values than 0, 1 and NaN.
    """
    if not sparse.issparse(y):
        y = np.asarray(y)
        if y.ndim != 2:
            raise ValueError(
                "y must be a list of label names per text or an indicator matrix "
                f"[texts, labels], got an array of shape {y.shape}"
            )
        if y.dtype.kind not in "biuf":
            numbers = [[indicator(value) for value in row] for row in y]
            for place in np.argwhere(np.array(numbers) == None):  # noqa: E711
                raise _wrong_cell(y[tuple(place)], *place)
            y = np.array(numbers, float).reshape(y.shape)
    matrix = sparse.csr_array(y)
    matrix.sum_duplicates()
    wrong = ~(np.isin(matrix.data, (0, 1)) | np.isnan(matrix.data))
    for at in np.flatnonzero(wrong):
        row = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
        raise _wrong_cell(matrix.data[at], row, matrix.indices[at])
    matrix = matrix.astype(float)
    matrix.eliminate_zeros()
    return matrix


def _wrong_cell(value: object, row: int, column: int) -> ValueError:
    value = value.item() if isinstance(value, np.generic) else value
    return ValueError(
        f"an indicator matrix must hold 0 and 1, got {value!r:.40} in row {row}, "
        f"column {column}; what is not known is NaN; names are a list per text"
    )


def indicator(value: Any) -> float | None:
    """0, 1, or NaN where nothing is known; None for what is none of these.

    Numbers, bools, the strings "0" and "1", None and the NA of pandas are read.
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return math.nan
    if isinstance(value, str):
        return {"0": 0.0, "1": 1.0}.get(value.strip())
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number in (0.0, 1.0) or math.isnan(number) else None


def read_truth(y: LabelsOf, columns: Sequence[str]) -> list[tuple[set[str], set[str]]]:
    """Return the labels of each text, and those of which nothing is known.

    Args:
        y: as of `Targets.read`.
        columns: the classes of a fitted classifier.

    Raises:
        ValueError: y is no truth of this classifier's labels.
    """
    names = None
    if is_matrix(y):
        own = [str(name) for name in getattr(y, "columns", columns)]
        # A frame may have its columns in another order than in fit.
        names = own if set(own) == set(columns) else columns
        width = np.shape(y)[-1]  # type: ignore[arg-type]
        if width != len(columns):
            raise ValueError(
                f"y must have {len(columns)} columns, as in fit, got {width}"
            )
    targets = Targets.read(y, names)
    unknown = sorted(set(targets.columns) - set(columns))
    if unknown:
        raise ValueError(
            f"y holds {counted(len(unknown), 'label')} that fit did not see, as "
            f"{', '.join(repr(name) for name in unknown[:3])}; an indicator matrix "
            "knows every label in every part of the data"
        )
    rows = zip(targets.names, targets.unannotated, strict=True)
    return [(set(known), set(open_)) for known, open_ in rows]


def read_names(y: LabelsOf) -> list[dict[str, float]]:
    """Labels of each text as they are known: 1, 0 or NaN by name.

    Raises:
        ValueError: a text has no collection of strings, nor 0 and 1 by name.
    """
    one = isinstance(y, (str, bytes, Mapping)) or getattr(y, "ndim", 1) == 0
    if one or not isinstance(y, Iterable):
        raise ValueError(
            "y must be a list of label names per text or an indicator matrix, got a "
            f"{type(y).__name__}"
        )
    rows = [_names_of(own, place) for place, own in enumerate(y)]
    lengths = {len(own) for own in y if not isinstance(own, Mapping)}
    if max(lengths, default=0) > 1 and {n for own in rows for n in own} <= {"0", "1"}:
        raise ValueError(
            "y holds the names '0' and '1' alone, several a text: an indicator matrix "
            "is an array of numbers, as np.array(y, int)"
        )
    return rows


def _names_of(own: object, place: int) -> dict[str, float]:
    """Return what is known of the labels of one text."""
    if isinstance(own, (str, bytes)) or not isinstance(own, (Collection, np.ndarray)):
        raise ValueError(
            f"the labels of text {place} must be a list or set of names, got "
            f"{short(own)}; a single label is a list of one"
        )
    ordered = sorted(own, key=str) if isinstance(own, (set, frozenset)) else list(own)
    if not all(isinstance(name, str) and name for name in ordered):
        raise ValueError(
            f"the labels of text {place} must be non-empty strings, got {short(own)}; "
            "an indicator matrix is an array, as np.array(y)"
        )
    for name in ordered:
        require_unicode(name, f"a label of text {place}")
    if not isinstance(own, Mapping):
        return dict.fromkeys(map(str, ordered), 1.0)
    values = {str(name): indicator(value) for name, value in own.items()}
    for name, value in values.items():
        if value is None:
            raise ValueError(
                f"label {name!r} of text {place} must be 0 or 1 (NaN where it is not "
                f"known), got {short(own[name])}"
            )
    return {name: value for name, value in values.items() if value is not None}
