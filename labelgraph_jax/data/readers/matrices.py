"""Sparse matrices of the Extreme Classification Repository and of PECOS, checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from labelgraph_jax.data.arrays import UNREADABLE, Archive
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.readers.lines import read_lines, split_suffix
from labelgraph_jax.data.readers.sparse_rows import (
    check_row_count,
    header_of,
    parse_pairs,
)

_LARGEST = np.iinfo(np.int32).max


def read_matrix(path: Path, *, what: str, increasing: bool) -> sparse.csr_array:
    """A matrix of `rows columns` and `id:value` rows, or a scipy .npz in CSR form.

    Args:
        path: the file; a text may be .gz or .xz.
        what: a column is called, for errors.
        increasing: the ids of a row of text must increase.

    Raises:
        DataError: a row or the header is wrong, or the file holds no such matrix.
    """
    if split_suffix(path)[0] == ".npz" or path.suffix.lower() == ".npz":
        return _read_npz(path, what)
    # The header: how many rows and columns.
    lines = read_lines(path, keep_blank=True)
    number, first = next(lines, (1, ""))
    header = header_of(first, 2)
    if header is None:
        raise DataError(
            f"{path}:{number}: must begin with a header `rows columns`; "
            f"got {shown(first)}"
        )
    rows, columns = header
    if not 1 <= columns <= _LARGEST:
        raise DataError(
            f"{path}:{number}: the columns of the header must be from 1 to "
            f"{_LARGEST:,}; got {shown(first)}"
        )
    # A row of pairs on every line.
    ids: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for number, line in lines:
        if len(ids) == rows and not line.strip():
            continue  # a blank line after the last row
        found = parse_pairs(
            line,
            f"{path}:{number}",
            columns=columns,
            increasing=increasing,
            what=what,
        )
        ids.append(found[0])
        values.append(found[1])
    check_row_count(str(path), rows, len(ids))
    return _csr(ids, values, (rows, columns))


def _csr(
    ids: Sequence[np.ndarray], values: Sequence[np.ndarray], shape: tuple[int, int]
) -> sparse.csr_array:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in ids])])
    empty = np.zeros(0)
    return sparse.csr_array(
        (
            np.concatenate([empty, *values]).astype(np.float32),
            np.concatenate([empty, *ids]).astype(np.int32),
            indptr.astype(np.int64),
        ),
        shape=shape,
    )


def _read_npz(path: Path, what: str) -> sparse.csr_array:
    try:
        with path.open("rb") as file:
            stored = Archive(path, file, DataError)
            held = {name: stored[name] for name in stored if name in _NPZ}
            stored.close()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UNREADABLE as error:
        if "pickle" in str(error):
            raise DataError(
                f"{path}: holds pickled objects, which are never loaded; save the "
                "matrix with scipy.sparse.save_npz"
            ) from None
        raise DataError(f"{path}: must be a sparse matrix .npz; {error}") from None
    return _checked_csr(path, held, what)


_NPZ = ("indptr", "indices", "data", "shape", "format")
_KINDS = {"indptr": "iu", "indices": "iu", "shape": "iu", "data": "biuf"}


def _checked_csr(
    path: Path, held: dict[str, np.ndarray], what: str
) -> sparse.csr_array:
    # The arrays that scipy writes for a matrix of rows, and their types.
    missing = [name for name in _NPZ if name not in held]
    if missing:
        raise DataError(
            f"{path}: must hold {', '.join(_NPZ)}, as scipy.sparse.save_npz writes; "
            f"it lacks {', '.join(missing)}"
        )
    kind = held["format"].tolist()
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    if kind != "csr":
        raise DataError(
            f"{path}: must be a matrix of rows (csr); it is {kind}: save its .tocsr()"
        )
    for name, kinds in _KINDS.items():
        found = held[name].dtype
        if found.kind not in kinds:
            wanted = "numbers" if name == "data" else "whole numbers"
            raise DataError(f"{path}: {name} must be {wanted}; it is {found}")
    # The shape, and where rows begin.
    shape = tuple(int(size) for size in held["shape"].ravel())
    indptr, ids, values = (held[name] for name in _NPZ[:3])
    # Unsigned numbers have no negative differences.
    indptr = indptr.astype(np.int64)
    rows_fit = (
        len(shape) == 2
        and shape[0] >= 0
        and 1 <= shape[1] <= _LARGEST
        and indptr.shape == (shape[0] + 1,)
        and ids.shape == values.shape == (int(indptr[-1]),)
        and indptr[0] == 0
        and (np.diff(indptr) >= 0).all()
    )
    if not rows_fit:
        raise DataError(f"{path}: its shape, indptr, indices and data do not fit")

    # Every id in range and once in its row, every value finite.
    def row_of(place: int) -> int:
        return int(np.searchsorted(indptr, place, side="right"))

    outside = (ids < 0) | (ids >= shape[1])
    if outside.any():
        place = int(np.argmax(outside))
        raise DataError(
            f"{path}: row {row_of(place)}: a {what} must be below {shape[1]:,}; got "
            f"{ids[place]}"
        )
    finite = np.isfinite(values)
    if not finite.all():
        place = int(np.argmin(finite))
        raise DataError(
            f"{path}: row {row_of(place)}: a value must be a finite number; got "
            f"{values[place]}"
        )
    matrix = sparse.csr_array(
        (values.astype(np.float32), ids.astype(np.int32), indptr.astype(np.int64)),
        shape=shape,
    )
    matrix.sort_indices()
    rows = np.repeat(np.arange(shape[0]), np.diff(matrix.indptr))
    twice = (np.diff(matrix.indices) == 0) & (np.diff(rows) == 0)
    if twice.any():
        place = int(np.argmax(twice))
        raise DataError(
            f"{path}: row {rows[place] + 1}: a {what} must stand there once; got "
            f"{matrix.indices[place]} twice"
        )
    return matrix


def label_rows(
    path: Path, matrix: sparse.csr_array, names: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """The labels of each row of a label matrix.

    Raises:
        DataError: a value that is not positive.
    """
    wrong = matrix.data <= 0
    if wrong.any():
        place = int(np.argmax(wrong))
        row = int(np.searchsorted(matrix.indptr, place, side="right"))
        raise DataError(
            f"{path}: row {row}: the value of a label must be above 0; got "
            f"{matrix.data[place]:g}"
        )
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        yield tuple(names[i] for i in matrix.indices[start:end])


def read_pairs(path: Path, rows: int, labels: int) -> np.ndarray:
    """A filter file: `row label` a line, both from 0.

    Returns:
        int64 [E, 2].

    Raises:
        DataError: a line is not two numbers, or they are out of range.
    """
    pairs = []
    for number, line in read_lines(path):
        parts = line.split()
        if len(parts) != 2 or not all(p.isascii() and p.isdigit() for p in parts):
            raise DataError(
                f"{path}:{number}: must be two whole numbers, document and label; got "
                f"{shown(line)}"
            )
        row, label = map(int, parts)
        if row >= rows or label >= labels:
            raise DataError(
                f"{path}:{number}: must name one of {rows:,} documents and of "
                f"{labels:,} labels, from 0; got {row} and {label}"
            )
        pairs.append((row, label))
    return np.asarray(pairs, np.int64).reshape(-1, 2)
