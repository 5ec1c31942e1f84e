"""Reading of a table by a model: columns -> category ids and standardised numbers."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.columns import (
    FIRST_CATEGORY,
    MISSING,
    TEXT_REASONS,
    UNSEEN,
    Column,
    ColumnKind,
    beyond_range,
    category_ids,
    is_numeric,
    learn_categorical,
    learn_numeric,
    no_category,
)
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.lists import (
    bag_ids,
    holds_lists,
    learn_bag,
    learn_vector,
    list_fields,
    read_vectors,
    standard_vectors,
)
from labelgraph_jax.data.tables.readings import (
    READS,
    Learned,
    learn_reading,
    stray_remark,
    why_no_numbers,
)

__all__ = [
    "FIRST_CATEGORY",
    "MISSING",
    "UNSEEN",
    "Column",
    "EncodedTable",
    "TableSchema",
]


class EncodedTable(NamedTuple):
    """A table as a model reads it.

    Attributes:
        categories: int32 `[M, C]`, one column per categorical column, then as many as
            its `length` for each column of lists or texts.
        numbers: float32 `[M, Q]`: the numeric columns, then one 0 / 1 column for each
            of them that had missing values in training; then every vector, with such a
            column behind it.
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
    """The columns that a model reads, in order, and those it does not, with reasons.

    Attributes:
        columns: that a model reads.
        dropped: by the name of each other column the reason.
        remarks: sentences on columns that may have been meant otherwise; not kept.
    """

    columns: tuple[Column, ...]
    dropped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    remarks: tuple[str, ...] = dataclasses.field(default=(), compare=False)

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
        """Learn how to read a table from its rows, which must be training rows alone.

        Texts are categories, unless `learn_reading` finds numbers or times in them;
        numbers are numeric, unless they are whole and the name ends in id, code, zip or
        postcode; lists of names or whole numbers are bags of ids, lists of other
        numbers vectors where all are of one length, and texts of several words that
        differ from row to row bags of words. Left out, with the reason: columns with
        one value or none, categories of which nine in ten rows have their own, texts
        and lists that share nothing. A column that is named in an argument is never
        left out.

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
        # Columns that are named must be there, and be of one sort.
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
        remarks: list[str] = []
        limits = min_count, max_categories
        # Each column: lists, numbers, names, words of texts, or why it is left out.
        for name, values in table.columns.items():
            if name in table.unreadable:
                reason = table.unreadable[name]
                dropped[name] = f"holds no {reason.split(' must hold ')[-1]}"
                continue
            lists = holds_lists(table, name)
            learned = Learned(None) if lists else learn_reading(table, name)
            column: Column | str
            if lists and name not in categorical:
                column = _of_lists(table, name, name in numeric, limits)
            elif name in numeric or (
                name not in categorical and is_numeric(name, values, learned)
            ):
                column = learn_numeric(
                    table, name, longest_tail, learned, name in numeric
                )
            elif name not in categorical and (why := no_category(table, name)):
                # Texts that differ from row to row may still share their words.
                words = why in TEXT_REASONS and learn_bag(table, name, "text", *limits)
                column = words or why
            else:
                column = learn_categorical(table, name, *limits, learned.verbatim)
            if learned.others and name not in (*categorical, *numeric):
                why, remark = why_no_numbers(table, name, learned.others)
                was = "left out" if isinstance(column, str) else "read as names"
                remarks.append(f"{remark} ({was})")
                column = why if isinstance(column, str) else column
            if isinstance(column, str):
                dropped[name] = column
            else:
                columns.append(column)
        if not columns:
            reasons = ", ".join(f"{name} ({why})" for name, why in dropped.items())
            raise DataError(f"{table.name}: no column to learn from is left: {reasons}")
        return TableSchema(tuple(columns), dropped, tuple(remarks))

    @property
    def categorical(self) -> tuple[Column, ...]:
        """Columns that are read as one category each, in order."""
        return tuple(c for c in self.columns if c.kind == "categorical")

    @property
    def numeric(self) -> tuple[Column, ...]:
        """Columns that are read as one number each, in order."""
        return tuple(c for c in self.columns if c.kind == "numeric")

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of ids of each categorical column, those of unseen and missing in."""
        return tuple(FIRST_CATEGORY + len(c.categories) for c in self.categorical)

    @property
    def bags(self) -> tuple[tuple[int, int], ...]:
        """Number of ids, and of ids of a row, of each column of lists or texts."""
        return tuple((FIRST_CATEGORY + len(c.categories), c.length) for c in self._bags)

    @property
    def _bags(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.kind in ("ids", "text"))

    @property
    def _vectors(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.kind == "vector")

    @property
    def category_width(self) -> int:
        """Columns of `EncodedTable.categories`."""
        return len(self.categorical) + sum(length for _, length in self.bags)

    @property
    def number_width(self) -> int:
        """Columns of `EncodedTable.numbers`."""
        read = *self.numeric, *self._vectors
        widths = len(self.numeric) + sum(len(c.means) for c in self._vectors)
        return widths + sum(c.missing > 0 for c in read)

    def encode(self, table: Table, *, strict: bool = False) -> EncodedTable:
        """Read the columns of the schema; others are passed over.

        Args:
            table: any rows.
            strict: a text in a numeric column is refused, unless training has it among
                its numbers; else a few of many rows may hold one, and are missing.

        Raises:
            DataError: the table lacks a column; a text in a numeric column.
        """
        unseen: dict[str, Counter[str]] = {}
        ids = [np.empty((len(table), 0), np.int32)]
        for column in (*self.categorical, *self._bags):
            read = category_ids if column.kind == "categorical" else bag_ids
            found, unknown = read(column, table)
            ids.append(found.reshape(len(table), -1))
            if unknown:
                unseen[column.name] = unknown
        numbers, absent, remarks = [], [], []
        for column in self.numeric:
            values, strays = column.read(table, strict=strict)
            if strays:
                remarks.append(stray_remark(table, column.name, strays))
            remarks += beyond_range(column, values)
            numbers.append(column.standardise(values))
            if column.missing:
                absent.append(np.isnan(values))
        parts = [array[:, None] for array in (*numbers, *absent)]
        for column in self._vectors:
            values = read_vectors(column, table)
            parts.append(standard_vectors(column, values))
            if column.missing:
                parts.append(np.isnan(values[:, :1]))
        stacked = np.concatenate([np.empty((len(table), 0)), *parts], axis=1)
        return EncodedTable(
            np.concatenate(ids, axis=1),
            stacked.astype(np.float32),
            unseen,
            tuple(remarks),
        )

    def to_json(self) -> str:
        """The schema as JSON that a person can read."""
        columns = []
        for column in self.columns:
            fields: dict[str, Any] = {"name": column.name, "kind": column.kind}
            if column.kind == "vector":
                fields |= {"means": list(column.means), "scale": column.scale}
                fields |= {"low": column.low, "high": column.high}
            elif column.kind == "numeric":
                fields |= {"mean": column.mean, "scale": column.scale}
                fields |= {"low": column.low, "high": column.high}
                fields |= {"unit": column.unit} if column.unit else {}
                fields |= {"reads": column.reads} if column.reads else {}
                fields |= {"strays": list(column.strays)} if column.strays else {}
            else:
                fields |= {"categories": list(column.categories), "rare": column.rare}
                fields |= {"verbatim": True} if column.verbatim else {}
                fields |= {"length": column.length} if column.length else {}
            columns.append(fields | {"missing": column.missing})
        values = {"columns": columns, "dropped": dict(self.dropped)}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> TableSchema:
        """Read what `to_json` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            values = parse_json(text)
            columns = []
            for fields in values["columns"]:
                if fields["kind"] not in get_args(ColumnKind):
                    raise ValueError(f"no kind of column: {shown(fields['kind'])}")
                if fields.get("reads", "") not in READS:
                    raise ValueError(f"no way to read: {shown(fields['reads'])}")
                lists: Any = {
                    listed: tuple(map(str, fields.pop(listed, ())))
                    for listed in ("categories", "strays")
                }
                lists["means"] = tuple(map(float, fields.pop("means", ())))
                columns.append(Column(**lists, **fields))
            return TableSchema(tuple(columns), dict(values["dropped"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"must be a table schema; {error}") from None


def _of_lists(
    table: Table, name: str, forced: bool, limits: tuple[int, int]
) -> Column | str:
    """Learn how a column of lists is read, or why it is not."""
    fields = list_fields(table, name) or ()
    items = [item for field in fields if field for item in field]
    if forced or any(isinstance(item, float) for item in items):
        return learn_vector(table, name, forced=forced)
    return learn_bag(table, name, "ids", *limits) or "lists"
