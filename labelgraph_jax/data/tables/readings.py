"""Whole columns of a table as numbers, and as names of categories."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.values import (
    NOTATIONS,
    as_given,
    category_name,
    epoch_seconds,
    is_missing,
    moment_name,
    parse_moment,
    parse_number,
    parse_quantity,
    unit_of_moments,
)

READS = (*NOTATIONS, "time")
"""Ways to read a column as numbers: one of `NOTATIONS`, or ISO times."""

MOST_STRAYS = 0.01
"""Largest share of rows with a value that may be texts among numbers; or one row."""
_FEWEST_FOR_STRAYS = 50
_LATER_STRAYS, _FEWEST_LATER = 0.1, 5
# In a column of versions 1.10 stands beside 1.9: as numbers it would be 1.1.
_DECIMALS = re.compile(r"\d+\.(\d+)", re.A)
_MOST_VERSIONS = 30
# Where none of so many texts is a number, not all of them need be tried.
_SAMPLE = 200
_WIDENED = 0.1
# Where so many of the rows, and more than so many different texts, are numbers, a
# column is one of numbers to a person.
_MOSTLY, _FEW_NUMBERS = 0.8, 10


class Learned(NamedTuple):
    """Reading of a column of training rows.

    Attributes:
        reads: one of `READS`; None where it holds names.
        strays: texts among the numbers, read as missing.
        verbatim: names count as they are written, 1.1 and 1.10 being two.
        others: for which texts a column of names that is mostly numbers is none.
    """

    reads: str | None
    strays: tuple[str, ...] = ()
    verbatim: bool = False
    others: tuple[str, ...] = ()


class Numbers(NamedTuple):
    """A column as numbers.

    Attributes:
        values: float64 `[M]`, NaN where missing.
        strays: texts that are no numbers, counted; they are missing.
    """

    values: np.ndarray
    strays: Counter[str]


def widened(low: float, high: float) -> tuple[float, float]:
    """The range of training values with a tenth of its width on each side.

    It does not go beyond zero where no value does.
    """
    margin = _WIDENED * (high - low)
    least = max(low - margin, 0.0) if low >= 0 else low - margin
    most = min(high + margin, 0.0) if high <= 0 else high + margin
    return least, most


def learn_reading(table: Table, name: str) -> Learned:
    """Learn how a column is read, from all of its training rows.

    It is numbers where every text is one in the same notation, or an ISO time; a text
    in a hundred rows with a value, or one in fifty rows or more, may be something else,
    unless it is a code as 007 is.
    It is names, as they are written, where one text ends in a zero behind the point and
    another has fewer decimals (1.10 and 1.9), and where the different texts are few.

    Raises:
        DataError: no such column, or one that no model reads.
    """
    values = table.written.get(name, table.column(name))
    if values.dtype != object:
        return Learned("time" if name in table.times else "")
    counts = Counter(v for v in values if isinstance(v, str))
    counts = Counter(
        {t: n for t, n in counts.items() if not is_missing(t, number=True)}
    )
    rows = counts.total()
    if _are_versions(counts, rows):
        return Learned(None, verbatim=True)
    few = list(itertools.islice(counts, _SAMPLE))
    if few and all(_parse(text, reads) is None for text in few for reads in READS):
        return Learned(None)
    best: tuple[int, str, list[str]] | None = None
    for reads in READS:
        strays = [text for text in counts if _parse(text, reads) is None]
        count = sum(counts[text] for text in strays)
        if best is None or count < best[0]:
            best = count, reads, strays
    assert best is not None
    count, reads, strays = best
    if count and not _may_stray(count, rows, strays):
        return Learned(None, others=_others(counts, strays))
    return Learned(reads, tuple(strays))


def _parse(text: str, reads: str) -> float | None:
    return parse_moment(text) if reads == "time" else parse_quantity(text, reads)


def _are_versions(texts: Collection[str], rows: int) -> bool:
    if not all(parse_number(text) is not None for text in texts):
        texts = [text for text in texts if _DECIMALS.fullmatch(text)]
    decimals = [m[1] for text in texts if (m := _DECIMALS.fullmatch(text))]
    fewest = min(map(len, decimals), default=0)
    padded = any(d[-1] == "0" and len(d) > max(fewest, 1) for d in decimals)
    return padded and len(texts) <= max(_MOST_VERSIONS, rows // 10)


def _may_stray(count: int, rows: int, texts: Collection[str]) -> bool:
    few = rows >= _FEWEST_FOR_STRAYS and count <= max(1, MOST_STRAYS * rows)
    return few and not _are_codes(texts)


def _are_codes(texts: Collection[str]) -> bool:
    return any(text.lstrip("+-").isdigit() for text in texts)


def _others(counts: Counter[str], strays: Sequence[str]) -> tuple[str, ...]:
    """The texts that are no numbers as most are, in a column of many numbers."""
    if _are_codes(strays):
        return ()
    numbers = [
        text
        for text in counts
        if any(_parse(text, reads) is not None for reads in READS)
    ]
    most = sum(counts[text] for text in numbers) >= _MOSTLY * counts.total()
    return tuple(strays) if most and len(numbers) > _FEW_NUMBERS else ()


def why_no_numbers(table: Table, name: str, others: Collection[str]) -> tuple[str, str]:
    """Say why a mostly numeric column is read as names, and how to change that.

    Args:
        table: the training rows.
        name: of the column.
        others: see `Learned`.

    Returns:
        The reason, and a sentence with the line of the first such text.
    """
    column = table.written.get(name, table.column(name))
    rows = [i for i, value in enumerate(column) if value in others]
    first = column[rows[0]]
    known = sum(not is_missing(value, number=True) for value in column)
    if any(_parse(first, reads) is not None for reads in READS):
        share = f"{len(rows):,} of {known:,} rows are written in another way"
        advice = "write all numbers in one way"
    else:
        share = f"{len(rows):,} of {known:,} rows are no numbers"
        advice = "leave these fields empty"
        if len(rows) <= _LATER_STRAYS * known:
            advice += f", or --table.numeric {name}"
    reason = f"holds {shown(first)} among numbers ({share})"
    return reason, f"{table.where(rows[0])}: column {name!r} {reason}: {advice}"


def read_numbers(
    table: Table,
    name: str,
    reads: str = "",
    *,
    must: str = "numbers",
    strays: Sequence[str] = (),
    low: float | None = None,
    high: float | None = None,
    strict: bool = False,
) -> Numbers:
    """A column as numbers, read as the training rows say.

    Args:
        table: any rows.
        name: of the column.
        reads: one of `READS`.
        must: what errors say that it must hold.
        strays: texts that stand for a missing value.
        low: least number of training; the range tells the unit of times.
        high: largest number of training.
        strict: refuse every text that is no number and no stray, so that a row means
            what it means alone.

    Raises:
        DataError: no such column, or a field is no number; but unless `strict`, where
            one field in ten is none, or one in five rows or more, these are missing.
    """
    column = table.written.get(name, table.column(name))
    if column.dtype != object:
        values = column
        if reads == "time" and name not in table.times:
            values = epoch_seconds(values, low, high)
        elif reads != "time" and name in table.times:
            values = values * _unit(table, name, must, low, high, 0, column)
        return Numbers(values, Counter())
    distinct = {value: i for i, value in enumerate(dict.fromkeys(column))}
    index = np.fromiter(map(distinct.__getitem__, column), np.int64, len(column))
    counts = np.bincount(index, minlength=len(distinct))
    read = np.full(len(distinct), np.nan)
    odd: Counter[str] = Counter()
    missing = 0
    for text, i in distinct.items():
        if isinstance(text, tuple):
            _refuse(table, name, must, column, int(np.argmax(index == i)))
        if is_missing(text, number=True) or text in strays:
            missing += counts[i]
            continue
        value = _parse(text, reads)
        if value is None and reads == "time":
            # Nanoseconds are beyond what `parse_number` takes for a number.
            whole = text.lstrip("-").isdigit()
            value = float(text) if whole else parse_quantity(text)
            if value is not None:
                value = float(epoch_seconds(np.array([value]), low, high)[0])
        elif value is None and (moment := parse_moment(text)) is not None:
            row = int(np.argmax(index == i))
            value = moment * _unit(table, name, must, low, high, row, column)
        elif value is None:  # a plain file after one of another notation
            value = parse_quantity(text)
        if value is None:
            odd[text] += int(counts[i])
        else:
            read[i] = value
    rows = len(column) - missing
    # A split may be small; what its column holds is known.
    many = rows < _FEWEST_LATER or odd.total() > max(1, _LATER_STRAYS * rows)
    if odd and (strict or many):
        row = next(i for i, value in enumerate(column) if value in odd)
        _refuse(table, name, must, column, row)
    return Numbers(read[index], odd)


def _unit(
    table: Table,
    name: str,
    must: str,
    low: float | None,
    high: float | None,
    row: int,
    column: np.ndarray,
) -> float:
    unit = unit_of_moments(low, high)
    if unit is None:
        _refuse(table, name, f"{must}, and no times", column, row)
    assert unit is not None
    return unit


def _refuse(table: Table, name: str, must: str, column: np.ndarray, row: int) -> None:
    value = column[row]
    got = moment_name(value) if name in table.times else as_given(value)
    raise DataError(
        f"{table.where(row)}: column {name!r} must hold {must}; got {shown(got)}"
    )


def stray_remark(table: Table, name: str, strays: Collection[str]) -> str:
    """A sentence on the texts among a column's numbers, with the line of the first."""
    column = table.written.get(name, table.column(name))
    rows = [i for i, value in enumerate(column) if value in strays]
    more = len(strays) - 1
    others = f" and {counted(more, 'other text')}" if more else ""
    return (
        f"{table.where(rows[0])}: column {name} holds {shown(column[rows[0]])}{others} "
        f"among numbers: read as missing ({len(rows):,} of {len(table):,} rows)"
    )


def value_names(
    table: Table, name: str, *, verbatim: bool = False, known: Collection[str] = ()
) -> tuple[np.ndarray, list[str | None]]:
    """Return which distinct value of a column each row holds, and those values' names.

    Args:
        table: any rows.
        name: of the column.
        verbatim: texts are names as they are written; else as `category_name` says.
        known: names that hold even where a column of numbers has them for a gap: -, ?.

    Returns:
        Number of the value, int `[M]`; per value its name, None where there is none
        (several values may have one name).

    Raises:
        DataError: no such column, or it holds lists.
    """
    values = table.column(name)
    written = table.written.get(name)
    if written is not None and (verbatim or not set(known).isdisjoint(written)):
        values = written
    if values.dtype != object:
        to_name = moment_name if name in table.times else category_name
        distinct, index = np.unique(values, return_inverse=True)
        return index, [None if np.isnan(v) else to_name(v) for v in distinct]
    for row, value in enumerate(values):
        if isinstance(value, tuple):
            raise DataError(
                f"{table.where(row)}: column {name!r} must hold one value per row; "
                f"got the list {shown(as_given(value))}"
            )
    numbered = {value: i for i, value in enumerate(dict.fromkeys(values))}
    index = np.fromiter(map(numbered.__getitem__, values), np.int64, len(values))
    gaps = {
        text
        for text in numbered
        if not text
        or (text not in known and is_missing(text, number=values is written))
    }
    return index, [
        None if text in gaps else text if verbatim else category_name(text)
        for text in numbered
    ]


def value_counts(
    table: Table, name: str, *, verbatim: bool = False
) -> Counter[str | None]:
    """Count how often each value of a column stands in a row; None for missing ones.

    Raises:
        DataError: as `value_names`.
    """
    index, names = value_names(table, name, verbatim=verbatim)
    counts: Counter[str | None] = Counter()
    for value, count in zip(names, np.bincount(index).tolist(), strict=True):
        counts[value] += count
    return counts
