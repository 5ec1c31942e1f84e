"""Rows of `id:value` pairs, as LIBSVM and the Extreme Classification Repository write.

    rows features labels        of a bag-of-words file of the repository (with header)
    3,17 0:0.5 12:1.25          labels between commas, then the features
     4:2                        a row that begins with a blank has no label

    rows columns                of a matrix of the repository, such as trn_X_Y.txt
    17:1.0 3:1.0                one row of it

What a row gets wrong is a `DataError` with file and line, which `load_svmlight_file` of
scikit-learn does not say; nor does it read these headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.readers.lines import Complain, Line, refuse

_PAIRS = re.compile(r"\s*(?:[0-9]+:[^\s:]+(?:\s+|$))*")
_PAIR = re.compile(r"[0-9]+:[^\s:]+")
_HEADER = re.compile(r"\s*[0-9]{1,4000}(?:\s+[0-9]{1,4000}){1,2}\s*")
_LARGEST = np.iinfo(np.int32).max


def header_of(line: str, count: int) -> tuple[int, ...] | None:
    """The header that a line of `count` whole numbers is; None of another line.

    It says how many rows, columns and perhaps labels there are.
    """
    sizes = tuple(map(int, line.split())) if _HEADER.fullmatch(line) else ()
    return sizes if len(sizes) == count else None


def parse_pairs(
    text: str, where: str, *, columns: int | None, increasing: bool, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """The ids and values of one row.

    Args:
        text: `id:value id:value`, perhaps nothing.
        where: for the error.
        columns: ids lie below it, where that is known.
        increasing: ids must increase; else each may stand there once, in any order.
        what: an id is called, for the error.

    Returns:
        int64 [S] and float64 [S].

    Raises:
        DataError: a malformed pair, an id out of range, twice or out of order, or a
            value that is no finite number.
    """
    # Pairs throughout, or the first that is none.
    if not _PAIRS.fullmatch(text):
        wrong = next(p for p in text.split() if not _PAIR.fullmatch(p))
        raise DataError(
            f"{where}: must be pairs `{what}:value` between blanks, the {what} a whole "
            f"number from 0; got {shown(wrong)}"
        )
    # Ids and values; an id beyond 64 bits is refused as one out of range.
    numbers = text.replace(":", " ").split()
    try:
        values = np.array(numbers[1::2], np.float64)
    except ValueError:
        wrong = next(p for p in text.split() if not _is_number(p.partition(":")[2]))
        raise DataError(
            f"{where}: a value must be a number; got {shown(wrong)}"
        ) from None
    try:
        ids = np.array(numbers[::2], np.int64)
    except (ValueError, OverflowError):
        ids = np.full(len(values), _LARGEST + 1)
    # Values are finite, ids in range and in order.
    pairs = text.split()
    finite = np.abs(values) <= np.finfo(np.float32).max
    if not finite.all():
        place = int(np.argmin(finite))
        raise DataError(
            f"{where}: a value must be a finite number; got {shown(pairs[place])}"
        )
    least = _LARGEST if columns is None else columns - 1
    if ids.size and ids.max() > least:
        pair = pairs[int(np.argmax(ids > least))]
        known = f"below {columns:,}" if columns is not None else "a 32-bit number"
        raise DataError(f"{where}: a {what} must be {known}; got {shown(pair)}")
    _check_order(ids, where, increasing, what)
    return ids, values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_order(ids: np.ndarray, where: str, increasing: bool, what: str) -> None:
    steps = np.diff(ids if increasing else np.sort(ids))
    if not steps.size or steps.min() > 0:
        return
    place = int(np.argmax(steps <= 0))
    if increasing and steps[place] < 0:
        raise DataError(
            f"{where}: {what}s must increase; {ids[place + 1]} stands after "
            f"{ids[place]}"
        )
    twice = (ids if increasing else np.sort(ids))[place]
    raise DataError(f"{where}: a {what} must stand there once; got {twice} twice")


def labelled_rows(
    lines: Iterator[Line],
    name: str,
    *,
    need_header: bool,
    ignore_labels: bool = False,
    complain: Complain = refuse,
) -> list[Document]:
    """The documents of a LIBSVM or bag-of-words file.

    Labels are called after what the file writes; documents after their line.

    Args:
        lines: of the file, blank ones at its end too.
        name: of the file, for errors.
        need_header: refuse a file without a header, which may be plain text.
        ignore_labels: pass over them.
        complain: is told of a row that cannot be read.

    Raises:
        DataError: see the module; a header that says other sizes than the file has.
    """
    documents: list[Document] = []
    header: tuple[int, ...] | None = None
    seen = wrong = 0
    for number, line in lines:
        where = f"{name}:{number}"
        # The header, which a bag-of-words file must have.
        if number == 1:
            header = header_of(line, 3)
            if header is not None:
                continue
            if need_header:
                raise DataError(
                    f"{where}: a .txt of documents must begin with a header `rows "
                    "features labels`, as the Extreme Classification Repository "
                    f"writes it (a LIBSVM file is called .svm); got {shown(line)}"
                )
        # Blank lines may end a file, and stand nowhere else.
        if header is not None and len(documents) == header[0] and not line.strip():
            continue  # a blank line after the last row
        if header is None and not line.strip():
            seen += 1
            continue
        # A document, or what is wrong with its line.
        try:
            if seen:
                raise DataError(
                    f"{where}: a row must not follow a blank line; there are {seen} "
                    "before it"
                )
            documents.append(_labelled(line, where, number, header, ignore_labels))
        except DataError as error:
            wrong += 1
            complain(error)
    # As many rows as the header says, and at least one.
    if header is not None and not wrong:
        check_row_count(name, header[0], len(documents))
    if not documents and not wrong:
        raise DataError(f"{name}: must hold at least one document; got none")
    return documents


def check_row_count(name: str, said: int, rows: int) -> None:
    """Raise a DataError where a file has other rows than its header says."""
    if rows != said:
        raise DataError(f"{name}: the header says {said:,} rows; the file has {rows:,}")


def _labelled(
    line: str,
    where: str,
    number: int,
    header: tuple[int, ...] | None,
    ignore_labels: bool,
) -> Document:
    first, rest = "", line
    if line and not line[0].isspace():
        parts = line.split(maxsplit=1)
        if ":" not in parts[0]:
            first, rest = parts[0], parts[1] if len(parts) > 1 else ""
    columns, count = (None, None) if header is None else header[1:]
    # svmlight allows a remark after the pairs.
    ids, values = parse_pairs(
        rest.partition("#")[0], where, columns=columns, increasing=True, what="feature"
    )
    labels: tuple[str, ...] = ()
    if first and not ignore_labels:
        labels = _labels(first, where, count)
    features = Features(ids.astype(np.int32), values.astype(np.float32))
    return Document(f"line-{number}", "", labels, None, where, features=features)


def _labels(cell: str, where: str, count: int | None) -> tuple[str, ...]:
    labels = tuple(cell.split(","))
    for label in labels:
        if not label:
            raise DataError(
                f"{where}: a label must stand on either side of each ','; got "
                f"{shown(cell)}"
            )
        if count is None:
            continue
        if not (label.isascii() and label.isdigit()) or int(label) >= count:
            raise DataError(
                f"{where}: a label must be a whole number below {count:,}, as the "
                f"header says; got {shown(label)}"
            )
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise DataError(
            f"{where}: a label must stand in a row once; got {twice!r} twice"
        )
    return labels
