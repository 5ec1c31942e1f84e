"""One column of a table as a model reads it, learned from its training rows."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.readings import (
    Learned,
    Numbers,
    read_numbers,
    value_counts,
    value_names,
    widened,
)
from labelgraph_jax.data.tables.values import category_name, moment_name

ColumnKind = Literal["categorical", "numeric", "ids", "text", "vector"]

UNSEEN, MISSING, FIRST_CATEGORY = 0, 1, 2
"""Category ids: a value without an id of its own, no value, the first category."""

# Whole numbers under such names count nothing: they name something.
_CODE_NAME = re.compile(r"(^|_)(id|code|zip|postcode)$|[a-z]Id$", re.IGNORECASE)
# Above this share of distinct values a category tells rows apart, not kinds of rows.
_IDENTIFIER = 0.9
_FEWEST_FOR_IDENTIFIER = 50
_FREE_TEXT_WORDS = 6.0
TEXT_REASONS = ("free text", "a text of its own in nearly every row")
"""Reasons for not reading a column of several words as categories."""


@dataclasses.dataclass(frozen=True)
class Column:
    """Reading of one column, learned from the training rows.

    Attributes:
        name: of the column.
        kind: `categorical` (one id per value), `numeric`, `ids` (lists of names, of
            which the mean counts), `text` (likewise its words) or `vector` (lists of
            numbers of one length).
        categories: values with an id of their own, the most frequent first.
        mean, scale: a number x is read as (x - mean) / scale, or where there is a
            `unit` as (asinh(x / unit) - mean) / scale: linear near 0, then logarithmic.
        unit: of a column with a long tail; 0 of the others.
        low, high: numbers beyond them are read as these, the range of training a tenth
            wider, see `readings.widened`; None of what earlier versions trained.
        reads: how numbers are written, one of `readings.READS`.
        strays: texts among numbers that stand for a missing value.
        verbatim: categories count as they are written, 1.1 and 1.10 being two; of
            `ids` always, but for what earlier versions trained.
        length: so many ids of a row are read, of `ids` and `text`.
        means: of each number of a `vector`, which is read as (x - means) / scale.
        missing: how many training rows had no value.
        rare: how many training values had to do without an id of their own.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    unit: float = 0.0
    low: float | None = None
    high: float | None = None
    reads: str = ""
    strays: tuple[str, ...] = ()
    verbatim: bool = False
    length: int = 0
    means: tuple[float, ...] = ()
    missing: int = 0
    rare: int = 0

    def read(self, table: Table, *, strict: bool = False) -> Numbers:
        """The column's numbers, NaN where missing or infinite.

        Args:
            table: any rows.
            strict: see `read_numbers`.

        Raises:
            DataError: there is no such column, or a field is no number.
        """
        range: Any = {"low": self.low, "high": self.high, "strict": strict}
        read = read_numbers(table, self.name, self.reads, strays=self.strays, **range)
        values = np.where(np.isinf(read.values), np.nan, read.values)
        return Numbers(values, read.strays)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Numbers as a model reads them: within the known range, standardised.

        A missing one is read as the mean, 0.
        """
        if self.low is not None and self.high is not None:
            values = np.clip(values, self.low, self.high)
        if self.unit:
            values = np.arcsinh(values / self.unit)
        return np.nan_to_num((values - self.mean) / self.scale, nan=0.0)


def is_numeric(name: str, values: np.ndarray, learned: Learned) -> bool:
    """Return whether a column is read as numbers where nobody says how it is read."""
    if learned.reads is None:
        return False
    if not _CODE_NAME.search(name):
        return True
    if values.dtype == object:
        return False
    known = values[~np.isnan(values)]
    return not (known == np.floor(known)).all()


def no_category(table: Table, name: str) -> str | None:
    """The reason why a column is not read as categories, if it is not."""
    values = table.columns[name]
    counts = value_counts(table, name)
    missing = counts.pop(None, 0)
    rows = counts.total()
    if not rows:
        return "no value in any row"
    if len(counts) == 1 and not missing:
        return f"always {next(iter(counts))!r}"
    share = len(counts) / rows
    if values.dtype == object:
        sample = [len(str(value).split()) for value in list(counts)[:1_000]]
        if np.mean(sample) > _FREE_TEXT_WORDS and share > 0.5:
            return TEXT_REASONS[0]
    if share > _IDENTIFIER and rows >= _FEWEST_FOR_IDENTIFIER:
        words = values.dtype == object and np.mean(sample) >= 2
        return TEXT_REASONS[1] if words else "a value of its own in nearly every row"
    return None


def learn_numeric(
    table: Table, name: str, longest_tail: float, learned: Learned, forced: bool
) -> Column | str:
    """Learn how a column of numbers is read, or why it is not."""
    column = Column(name, "numeric", reads=learned.reads or "", strays=learned.strays)
    values = column.read(table).values
    missing = np.isnan(values)
    known = values[~missing]
    if not forced and not len(known):
        return "no value in any row"
    if not forced and len(known) == len(values) and (known == known[0]).all():
        named = moment_name if column.reads == "time" else category_name
        return f"always {named(known[0])!r}"
    if len(known):
        low, high = widened(float(known.min()), float(known.max()))
        column = dataclasses.replace(column, low=low, high=high)
    unit = 0.0
    if len(known) and known.any() and abs(_skewness(known)) > longest_tail:
        unit = float(np.median(np.abs(known[known != 0])))
        known = np.arcsinh(known / unit)
    mean = float(known.mean()) if len(known) else 0.0
    # A column with one value is all zeros, whatever it is divided by.
    scale = (float(known.std()) if len(known) else 0.0) or 1.0
    missed = int(missing.sum())
    return dataclasses.replace(
        column, mean=mean, scale=scale, unit=unit, missing=missed
    )


def beyond_range(column: Column, values: np.ndarray) -> Iterator[str]:
    """A sentence where numbers lie beyond the known range."""
    if column.low is None or column.high is None:
        return
    count = int(((values < column.low) | (values > column.high)).sum())
    if count:
        named = moment_name if column.reads == "time" else "{:,.6g}".format
        yield (
            f"column {column.name}: {count:,} of {len(values):,} rows hold a number "
            "far from those of training, read as the nearest from "
            f"{named(column.low)} to {named(column.high)}"
        )


def _skewness(values: np.ndarray) -> float:
    deviation = values.std()
    if not deviation:
        return 0.0
    return float(np.mean(((values - values.mean()) / deviation) ** 3))


def learn_categorical(
    table: Table, name: str, min_count: int, max_categories: int, verbatim: bool
) -> Column:
    """Learn the categories of a column: its frequent values, the most frequent first.

    Args:
        table: the training rows.
        name: of the column.
        min_count: rarer values are no category.
        max_categories: the rarest beyond so many are left out.
        verbatim: values are told apart as they are written.
    """
    counts = value_counts(table, name, verbatim=verbatim)
    missing = counts.pop(None, 0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
    kept = [value for value, count in ordered if count >= min_count and value]
    kept = kept[:max_categories]
    return Column(
        name,
        "categorical",
        categories=tuple(kept),
        verbatim=verbatim,
        missing=missing,
        rare=len(ordered) - len(kept),
    )


def category_ids(column: Column, table: Table) -> tuple[np.ndarray, Counter[str]]:
    """Return the category id of each row, and counts of values that are none."""
    known = column.categories
    index, names = value_names(
        table, column.name, verbatim=column.verbatim, known=known
    )
    ids: dict[str, int] = {}
    for i, value in enumerate(known, start=FIRST_CATEGORY):
        # Earlier versions kept "True" where the name is "1" now.
        ids.setdefault(value if column.verbatim else category_name(value), i)
    coded = [MISSING if name is None else ids.get(name, UNSEEN) for name in names]
    unknown: Counter[str] = Counter()
    for name, id, count in zip(
        names, coded, np.bincount(index, minlength=len(names)).tolist(), strict=True
    ):
        if id == UNSEEN and name is not None:
            unknown[name] += count
    return np.asarray(coded, np.int32)[index], unknown
