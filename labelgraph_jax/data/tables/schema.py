"""What a model reads of a table: columns -> category ids and standardised numbers."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.readings import (
    READS,
    Learned,
    Numbers,
    learn_reading,
    read_numbers,
    stray_remark,
    value_counts,
    value_names,
    widened,
)
from labelgraph_jax.data.tables.values import category_name, moment_name

ColumnKind = Literal["categorical", "numeric"]

UNSEEN, MISSING, FIRST_CATEGORY = 0, 1, 2
"""Category ids: a value without an id of its own, no value, the first category."""

# Whole numbers under such names count nothing: they name something.
_CODE_NAME = re.compile(r"(^|_)(id|code|zip|postcode)$|[a-z]Id$", re.IGNORECASE)
# Above this share of distinct values a category tells rows apart, not kinds of rows.
_IDENTIFIER = 0.9
_FEWEST_FOR_IDENTIFIER = 50
_FREE_TEXT_WORDS = 6.0


@dataclasses.dataclass(frozen=True)
class Column:
    """How one column is read, learned from the training rows.

    Attributes:
        name: of the column.
        kind: `categorical` (one id per value) or `numeric`.
        categories: values with an id of their own, the most frequent first.
        mean, scale: a number x is read as (x - mean) / scale, or where there is a
            `unit` as (asinh(x / unit) - mean) / scale: linear near 0, then logarithmic.
        unit: of a column with a long tail; 0 of the others.
        low, high: numbers beyond them are read as these, the range of training a tenth
            wider, see `readings.widened`; None of what earlier versions trained.
        reads: how numbers are written, one of `readings.READS`.
        strays: texts among numbers that stand for a missing value.
        verbatim: categories count as they are written, 1.1 and 1.10 being two.
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
    missing: int = 0
    rare: int = 0

    def read(self, table: Table) -> Numbers:
        """The column's numbers, NaN where missing or infinite.

        Raises:
            DataError: there is no such column, or a field is no number.
        """
        range: Any = {"low": self.low, "high": self.high}
        read = read_numbers(table, self.name, self.reads, strays=self.strays, **range)
        values = np.where(np.isinf(read.values), np.nan, read.values)
        return Numbers(values, read.strays)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Numbers as a model reads them: within the known range, a missing one as the
        mean, 0."""
        if self.low is not None and self.high is not None:
            values = np.clip(values, self.low, self.high)
        if self.unit:
            values = np.arcsinh(values / self.unit)
        return np.nan_to_num((values - self.mean) / self.scale, nan=0.0)


class EncodedTable(NamedTuple):
    """A table as a model reads it.

    Attributes:
        categories: int32 `[M, C]`, one column per categorical column.
        numbers: float32 `[M, Q]`: the numeric columns, then one 0 / 1 column for each
            of them that had missing values in training.
        unseen: per categorical column the values without an id of their own, counted;
            columns without any are left out.
        remarks: a sentence for each column with numbers far from training's, which are
            read as the nearest known ones, or with texts among its numbers.
    """

    categories: np.ndarray
    numbers: np.ndarray
    unseen: dict[str, Counter[str]]
    remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class TableSchema:
    """The columns that a model reads, in order, and those it does not, with reasons."""

    columns: tuple[Column, ...]
    dropped: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @staticmethod
    def infer(
        table: Table,
        *,
        categorical: Sequence[str] = (),
        numeric: Sequence[str] = (),
        min_count: int = 1,
        max_categories: int = 100_000,
        longest_tail: float = np.inf,
    ) -> TableSchema:
        """Learns how to read a table from its rows, which must be training rows alone.

        Texts are categories, unless `learn_reading` finds numbers or times in them;
        numbers are numeric, unless they are whole and the name ends in id, code, zip or
        postcode. Left out, with the reason: columns with one
        value or none, categories of which nine in ten rows have their own, free text,
        lists. A column that is named in an argument is never left out.

        Args:
            table: without the targets.
            categorical: columns to read as categories, whatever they hold.
            numeric: columns to read as numbers.
            min_count: values in fewer rows share the id of unseen values.
            max_categories: likewise the rarest values beyond so many per column.
            longest_tail: numbers of a larger skewness (third standardised moment) are
                read through asinh, in units of their median size.

        Raises:
            DataError: no such column; a column in both lists; a text in a numeric
                column; lists in a categorical one; no column is left.
        """
        for name in (*categorical, *numeric):
            table.column(name)
        both = set(categorical) & set(numeric)
        if both:
            raise DataError(
                f"{table.name}: a column must be categorical or numeric; "
                f"{sorted(both)[0]!r} is named as both"
            )
        columns: list[Column] = []
        dropped: dict[str, str] = {}
        for name, values in table.columns.items():
            if name in table.unreadable:
                reason = table.unreadable[name]
                dropped[name] = f"holds no {reason.split(' must hold ')[-1]}"
                continue
            if any(isinstance(value, tuple) for value in values):
                learned = Learned(None)
            else:
                learned = learn_reading(table, name)
            column: Column | str
            if name in numeric or (
                name not in categorical and _is_numeric(name, values, learned)
            ):
                column = _numeric(table, name, longest_tail, learned, name in numeric)
            elif name not in categorical and (why := _no_category(table, name)):
                column = why
            else:
                column = _categorical(
                    table, name, min_count, max_categories, learned.verbatim
                )
            if isinstance(column, str):
                dropped[name] = column
            else:
                columns.append(column)
        if not columns:
            reasons = ", ".join(f"{name} ({why})" for name, why in dropped.items())
            raise DataError(f"{table.name}: no column to learn from is left: {reasons}")
        return TableSchema(tuple(columns), dropped)

    @property
    def categorical(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.kind == "categorical")

    @property
    def numeric(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.kind == "numeric")

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of ids of each categorical column, those of unseen and missing in."""
        return tuple(FIRST_CATEGORY + len(c.categories) for c in self.categorical)

    @property
    def number_width(self) -> int:
        """Columns of `EncodedTable.numbers`."""
        return len(self.numeric) + sum(c.missing > 0 for c in self.numeric)

    def encode(self, table: Table) -> EncodedTable:
        """Reads the columns of the schema; others are passed over.

        Raises:
            DataError: the table lacks a column; a text in a numeric column.
        """
        unseen: dict[str, Counter[str]] = {}
        ids = np.empty((len(table), len(self.categorical)), np.int32)
        for i, column in enumerate(self.categorical):
            ids[:, i], unknown = _category_ids(column, table)
            if unknown:
                unseen[column.name] = unknown
        numbers, absent, remarks = [], [], []
        for column in self.numeric:
            values, strays = column.read(table)
            if strays:
                remarks.append(stray_remark(table, column.name, strays))
            remarks += _beyond(column, values)
            numbers.append(column.standardise(values))
            if column.missing:
                absent.append(np.isnan(values))
        width = self.number_width
        stacked = (
            np.stack([*numbers, *absent], 1) if width else np.empty((len(table), 0))
        )
        numbers_read = stacked.astype(np.float32)
        return EncodedTable(ids, numbers_read, unseen, tuple(remarks))

    def to_json(self) -> str:
        """The schema as JSON that a person can read."""
        columns = []
        for column in self.columns:
            fields: dict[str, Any] = {"name": column.name, "kind": column.kind}
            if column.kind == "numeric":
                fields |= {"mean": column.mean, "scale": column.scale}
                fields |= {"low": column.low, "high": column.high}
                fields |= {"unit": column.unit} if column.unit else {}
                fields |= {"reads": column.reads} if column.reads else {}
                fields |= {"strays": list(column.strays)} if column.strays else {}
            else:
                fields |= {"categories": list(column.categories), "rare": column.rare}
                fields |= {"verbatim": True} if column.verbatim else {}
            columns.append(fields | {"missing": column.missing})
        values = {"columns": columns, "dropped": dict(self.dropped)}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> TableSchema:
        """Reads what `to_json` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            values = json.loads(text)
            columns = []
            for fields in values["columns"]:
                if fields["kind"] not in ("categorical", "numeric"):
                    raise ValueError(f"no kind of column: {shown(fields['kind'])}")
                if fields.get("reads", "") not in READS:
                    raise ValueError(f"no way to read: {shown(fields['reads'])}")
                lists: Any = {
                    listed: tuple(map(str, fields.pop(listed, ())))
                    for listed in ("categories", "strays")
                }
                columns.append(Column(**lists, **fields))
            return TableSchema(tuple(columns), dict(values["dropped"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"must be a table schema; {error}") from None


def _is_numeric(name: str, values: np.ndarray, learned: Learned) -> bool:
    """Whether a column is read as numbers where nobody says how it is read."""
    if learned.reads is None:
        return False
    if values.dtype == object or not _CODE_NAME.search(name):
        return True
    known = values[~np.isnan(values)]
    return not (known == np.floor(known)).all()


def _no_category(table: Table, name: str) -> str | None:
    """Why a column is not read as categories, if it is not."""
    values = table.columns[name]
    if any(isinstance(value, tuple) for value in values):
        return "lists"
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
            return "free text"
    if share > _IDENTIFIER and rows >= _FEWEST_FOR_IDENTIFIER:
        return "a value of its own in nearly every row"
    return None


def _numeric(
    table: Table, name: str, longest_tail: float, learned: Learned, forced: bool
) -> Column | str:
    """How a column of numbers is read, or why it is not."""
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


def _beyond(column: Column, values: np.ndarray) -> Iterator[str]:
    """A sentence where numbers lie beyond the known range."""
    if column.low is None or column.high is None:
        return
    beyond = int(((values < column.low) | (values > column.high)).sum())
    if beyond:
        named = moment_name if column.reads == "time" else "{:,.6g}".format
        yield (
            f"column {column.name}: {beyond:,} of {len(values):,} rows hold a number "
            "far from those of training, read as the nearest from "
            f"{named(column.low)} to {named(column.high)}"
        )


def _skewness(values: np.ndarray) -> float:
    deviation = values.std()
    if not deviation:
        return 0.0
    return float(np.mean(((values - values.mean()) / deviation) ** 3))


def _categorical(
    table: Table, name: str, min_count: int, max_categories: int, verbatim: bool
) -> Column:
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


def _category_ids(column: Column, table: Table) -> tuple[np.ndarray, Counter[str]]:
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
