"""Targets of tasks over a table, learned from the training rows of their columns."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.cells import WHOLE, find_delimiter
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.lists import holds_lists
from labelgraph_jax.data.tables.readings import (
    Learned,
    learn_reading,
    value_counts,
    widened,
)
from labelgraph_jax.data.tables.targets import (
    Target,
    TargetKind,
    label_lists,
)
from labelgraph_jax.data.tables.values import category_name, parse_number

NEGATIVE_NAMES = frozenset({"0", "false", "no", "n", "f", "off"})
POSITIVE_NAMES = frozenset({"1", "true", "yes", "y", "t", "on"})
_FEW_CLASSES = 10
_OTHERS = {"0": "1", "1": "0"} | {"no": "yes", "yes": "no", "n": "y", "y": "n"}
_OTHERS |= {"false": "true", "true": "false", "f": "t", "t": "f"}
_OTHERS |= {"off": "on", "on": "off"}


def learn_target(
    table: Table,
    name: str,
    kind: str = "auto",
    *,
    positive: str = "",
    delimiter: str = "",
) -> Target:
    """Learn the target of a task from the training rows alone.

    `auto`: lists, and texts of which some hold a delimiter, are multi_label; two values
    are binary; further texts multi_class, further numbers squared. Of two numbers the
    larger one is positive; of two texts true, yes, y, t or on, else the rarer one. In a
    column of 0 and 1, -1 stands for not annotated.

    Args:
        table: the training rows.
        name: of the column.
        kind: binary, multi_class, multi_label, squared or auto.
        positive: binary: this value against all others.
        delimiter: multi_label: what stands between labels; by default that one of | ; ,
            which occurs.

    Raises:
        DataError: no such column, no target in any row, or values that such a task
            cannot have.
    """
    lists = holds_lists(table, name)
    learned = Learned(None) if lists else learn_reading(table, name)
    if kind == "auto":
        kind = "multi_label" if lists else _guess(table, name, learned, delimiter)
    match kind:
        case "squared":
            target = _squared(table, name, learned)
        case "multi_label":
            target = _multi_label(table, name, delimiter)
        case "multi_class":
            target = _multi_class(table, name, learned.verbatim)
        case _:
            target = _binary(table, name, positive, learned)
    encoded, known, _ = target.encode(table)
    rows = int(known.sum())
    if not rows:
        raise DataError(
            f"{table.name}: column {name!r} holds no target in any of the "
            f"{len(table):,} training rows"
        )
    prior: tuple[float, ...] = ()
    if kind != "squared":
        prior = tuple(encoded[known].mean(axis=0, dtype=np.float64).tolist())
    return dataclasses.replace(target, prior=prior, rows=rows)


def _guess(table: Table, name: str, learned: Learned, delimiter: str) -> TargetKind:
    counts = _counts(table, name, learned.verbatim)
    names = counts.keys() - set(learned.strays)
    delimiters = (delimiter,) if delimiter else ("|", ";")
    texts = table.columns[name].dtype == object and learned.reads is None
    if texts and any(d in n for n in names for d in delimiters):
        return "multi_label"
    if len(names - {"-1"} if {"0", "1"} <= names else names) <= 2:
        return "binary"
    return "multi_class" if learned.reads is None else "squared"


def _squared(table: Table, name: str, learned: Learned) -> Target:
    target = Target(name, "squared", reads=learned.reads or "", strays=learned.strays)
    numbers = target.numbers(table).values
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return dataclasses.replace(target, scale=0.0)
    low, high = widened(float(known.min()), float(known.max()))
    return dataclasses.replace(
        target, mean=float(known.mean()), scale=float(known.std()), low=low, high=high
    )


def _counts(table: Table, name: str, verbatim: bool = False) -> Counter[str]:
    counts = value_counts(table, name, verbatim=verbatim)
    return Counter({value: n for value, n in counts.items() if value is not None})


def _binary(table: Table, name: str, positive: str, learned: Learned) -> Target:
    verbatim = learned.verbatim
    counts = _counts(table, name, verbatim)
    strays = tuple(filter(counts.__contains__, learned.strays))
    # A positive value that was named stands against all others.
    if positive:
        positive = positive if verbatim else category_name(positive)
        if positive not in counts:
            raise DataError(
                f"{table.name}: no training row of column {name!r} holds {positive!r}; "
                f"{_most_frequent(counts)}"
            )
        values = "", positive
        return Target(name, "binary", values, verbatim=verbatim)
    # Else there are two values, without strays, and without -1 beside 0 and 1.
    for stray in strays if len(counts) > 2 else ():
        del counts[stray]
    if {"0", "1"} <= counts.keys():
        counts.pop("-1", None)
    if len(counts) > 2:
        numbers = table.columns[name].dtype != object
        other = "squared or multi_class" if numbers else "multi_class"
        raise DataError(
            f"{table.name}: column {name!r} holds {len(counts):,} different values, so "
            f"a binary task must say which is positive: "
            f"--task '{name}=binary[{counts.most_common(1)[0][0]}]'; or it is "
            f"{other}. {_most_frequent(counts)}"
        )
    # Negative and positive value in order; a single one has its opposite.
    if len(counts) < 2:
        only = next(iter(counts), "1")
        values = _OTHERS.get(only.lower(), ""), only
        values = values[::-1] if only.lower() in NEGATIVE_NAMES else values
    else:
        values = _ordered(counts)
    strays = tuple(stray for stray in strays if stray not in counts)
    return Target(name, "binary", values, strays=strays, verbatim=verbatim)


def _ordered(counts: Counter[str]) -> tuple[str, str]:
    """The negative and the positive one of two values."""
    one, other = sorted(counts)
    first, second = parse_number(one), parse_number(other)
    if first is not None and second is not None:
        return (one, other) if first < second else (other, one)
    lower = {one.lower(): one, other.lower(): other}
    for name, value in lower.items():
        rest = other if value == one else one
        if name in POSITIVE_NAMES:
            return rest, value
        if name in NEGATIVE_NAMES:
            return value, rest
    return (other, one) if counts[one] < counts[other] else (one, other)


def _multi_class(table: Table, name: str, verbatim: bool) -> Target:
    counts = _counts(table, name, verbatim)
    rows = counts.total()
    if len(counts) < 2:
        raise DataError(
            f"{table.name}: column {name!r} must hold two classes or more to learn "
            f"multi_class; got {_most_frequent(counts) or 'none'}"
        )
    if len(counts) > max(rows // 2, _FEW_CLASSES):
        raise DataError(
            f"{table.name}: column {name!r} holds {len(counts):,} different values in "
            f"{rows:,} rows: these are no classes; "
            + ("squared?" if table.columns[name].dtype != object else "free text?")
        )

    def order(value: str) -> tuple[float, str]:
        number = parse_number(value)
        return (math.inf if number is None else number), value

    values = tuple(sorted(counts, key=order))
    return Target(name, "multi_class", values, verbatim=verbatim)


def _multi_label(table: Table, name: str, delimiter: str) -> Target:
    values = table.column(name)
    if not delimiter and values.dtype == object and not holds_lists(table, name):
        texts = Counter(v.strip() for v in values if isinstance(v, str) and v.strip())
        lines = {
            v.strip(): int(table.where(row).rpartition(":")[2])
            for row, v in reversed(list(enumerate(values)))
            if isinstance(v, str)
        }
        cells = {text: lines[text] for text in texts}
        delimiter = find_delimiter(cells, texts, table.name, blanks=False)
    delimiter = "" if delimiter == WHOLE else delimiter
    counts: Counter[str] = Counter()
    for row in label_lists(table, name, delimiter):
        counts.update(row or ())
    if not counts:
        raise DataError(
            f"{table.name}: no training row of column {name!r} carries a label"
        )
    labels = tuple(sorted(counts))
    return Target(name, "multi_label", labels, delimiter=delimiter, verbatim=True)


def _most_frequent(counts: Counter[str]) -> str:
    if not counts:
        return ""
    shown_values = ", ".join(f"{v!r} ({n:,})" for v, n in counts.most_common(4))
    return f"the most frequent: {shown_values}" + (", ..." if len(counts) > 4 else "")
