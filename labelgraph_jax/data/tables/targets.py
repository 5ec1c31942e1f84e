"""Target columns of a table: what a task predicts, and its targets as numbers."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.lists import item_names, parse_list
from labelgraph_jax.data.tables.readings import Numbers, read_numbers, value_names
from labelgraph_jax.data.tables.values import category_name

TargetKind = Literal["binary", "multi_class", "multi_label", "squared"]

SQUARED_MUST = "numbers for a squared task"
# Written where they say something.
_OPTIONAL = ("delimiter", "reads", "strays", "verbatim", "given")
# In a column of labels: annotated, and none applies.
_NO_LABELS = frozenset({"", "-", "none", "[]"})


@dataclasses.dataclass(frozen=True)
class Target:
    """One task over a table, as learned from the training rows.

    Attributes:
        name: of the column.
        kind: how it is learned.
        values: binary: the negative value ("" for every other one) and the positive
            one; classes or labels of the other kinds; () of a squared task.
        prior: share of each target column's ones in training; () of a squared task.
        mean, scale: a squared target y is learned as (y - mean) / scale.
        low, high: a squared target is predicted between them, see `readings.widened`;
            None of what earlier versions trained.
        reads: how numbers are written, one of `readings.READS`.
        strays: texts among numbers that stand for not annotated.
        verbatim: values count as they are written, see `readings.learn_reading`; of
            multi_label always, but for what earlier versions trained.
        delimiter: what stands between the labels of a multi_label field.
        rows: training rows that are annotated for it.
        given: a binary task, where this one is known only if that one is positive; what
            is learned is that both are, which is known of every other row too.
    """

    name: str
    kind: TargetKind
    values: tuple[str, ...] = ()
    prior: tuple[float, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    delimiter: str = ""
    rows: int = 0
    low: float | None = None
    high: float | None = None
    reads: str = ""
    strays: tuple[str, ...] = ()
    verbatim: bool = False
    given: str = ""

    @property
    def width(self) -> int:
        """Columns of outputs and targets."""
        return len(self.values) if self.kind.startswith("multi") else 1

    @property
    def is_constant(self) -> bool:
        """True if the training rows hold a single value."""
        if self.kind == "squared":
            return self.scale == 0.0
        return all(share in (0.0, 1.0) for share in self.prior)

    def encode(self, table: Table) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
        """Targets of the rows.

        Returns:
            Targets float32 `[M, width]`; which of them are annotated, bool `[M]`; and
            classes or labels that training lacks, counted: rows of such a class count
            as not annotated, such labels are left out.

        Raises:
            DataError: there is no such column, or a field is not of this kind.
        """
        if self.kind == "squared":
            numbers, strays = self.numbers(table)
            known = ~np.isnan(numbers)
            scaled = (np.where(known, numbers, self.mean) - self.mean) / (
                self.scale or 1.0
            )
            return scaled[:, None].astype(np.float32), known, strays
        if self.kind == "multi_label":
            return self._labels(table)
        index, names = value_names(
            table, self.name, verbatim=self.verbatim, known=self.values
        )
        codes = np.array([self._code(table, index, i, n) for i, n in enumerate(names)])
        known = codes[index] >= 0
        unseen: Counter[str] = Counter()
        for code, name, count in zip(
            codes, names, np.bincount(index, minlength=len(names)), strict=True
        ):
            if code == -2 and count:
                unseen[str(name)] += int(count)
        if self.kind == "binary":
            return (codes[index] == 1).astype(np.float32)[:, None], known, unseen
        targets = np.zeros((len(table), self.width), np.float32)
        rows = np.flatnonzero(known)
        targets[rows, codes[index][rows]] = 1.0
        return targets, known, unseen

    def _code(
        self, table: Table, index: np.ndarray, number: int, name: str | None
    ) -> int:
        """Return the id of a field's value; -1: none, -2: one that training lacks."""
        if name is None or name in self.strays:
            return -1
        if self.kind == "binary" and self._is_not_annotated(name):
            return -1
        if name in self._places:
            return self._places[name]
        if self.kind == "multi_class":
            return -2
        if self.values[0] == "":
            return 0
        row = int(np.argmax(index == number))
        raise DataError(
            f"{table.where(row)}: column {self.name!r} must hold {self.values[0]} or "
            f"{self.values[1]}; got {shown(table.columns[self.name][row])}"
        )

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        """Values by name; earlier versions kept "True" where it is "1" now."""
        if self.verbatim or self.kind == "multi_label":
            return {value: i for i, value in enumerate(self.values)}
        named = {category_name(v): i for i, v in enumerate(self.values) if v}
        return named | {value: i for i, value in enumerate(self.values) if value}

    def numbers(self, table: Table) -> Numbers:
        """A squared target's column, in its own unit.

        Raises:
            DataError: there is no such column, or a field is no finite number.
        """
        options: Any = {"strays": self.strays, "low": self.low, "high": self.high}
        read = read_numbers(table, self.name, self.reads, must=SQUARED_MUST, **options)
        if np.isinf(read.values).any():
            row = int(np.argmax(np.isinf(read.values)))
            raise DataError(
                f"{table.where(row)}: column {self.name!r} must hold finite numbers; "
                f"got {shown(read.values[row])}"
            )
        return read

    def in_units(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions of a squared task, in the unit of its column.

        They are kept within the range that training knows.

        Args:
            outputs: of the network, of any shape.
        """
        values = outputs * self.scale + self.mean
        if self.low is None or self.high is None:
            return values
        return np.clip(values, self.low, self.high)

    def _is_not_annotated(self, name: str) -> bool:
        return name == "-1" and "-1" not in self.values and self.values[0] != ""

    def _labels(self, table: Table) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
        place = {label: i for i, label in enumerate(self.values)}
        targets = np.zeros((len(table), self.width), np.float32)
        known = np.zeros(len(table), bool)
        unseen: Counter[str] = Counter()
        lists = label_lists(table, self.name, self.delimiter, verbatim=self.verbatim)
        for row, labels in enumerate(lists):
            known[row] = labels is not None
            for label in labels or ():
                if label in place:
                    targets[row, place[label]] = 1.0
                else:
                    unseen[label] += 1
        return targets, known, unseen

    def to_json(self) -> dict[str, object]:
        """JSON values that a person can read."""
        fields = dataclasses.asdict(self)
        kept = {"name", "kind", "rows"}
        kept |= {"mean", "scale"} if self.kind == "squared" else {"values", "prior"}
        kept |= {n for n in _OPTIONAL if fields[n]} | (
            {"low", "high"} if self.low is not None else set()
        )
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
            if name in kept
        }

    @staticmethod
    def from_json(values: Mapping[str, object]) -> Target:
        """Read what `to_json` made.

        Raises:
            DataError: it is something else.
        """
        try:
            kept: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
            }
            return Target(**kept)
        except (TypeError, AttributeError) as error:
            raise DataError(f"must be a task of a table; {error}") from None


def encode_targets(
    targets: Sequence[Target], table: Table, *, absent: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray, dict[str, Counter[str]]]:
    """The targets of all tasks side by side.

    Args:
        targets: the tasks.
        table: the rows.
        absent: tasks whose column the table lacks: not annotated in any row.

    Returns:
        Targets float32 `[M, O]`, which are annotated bool `[M, O]`, and per task what
        `Target.encode` counts, where there is anything.
    """
    arrays, masks = [], []
    unseen: dict[str, Counter[str]] = {}
    for target in targets:
        if target.name in absent:
            array = np.zeros((len(table), target.width), np.float32)
            known = np.zeros(len(table), bool)
        else:
            array, known, unknown = target.encode(table)
            if unknown:
                unseen[target.name] = unknown
        arrays.append(array)
        masks.append(np.repeat(known[:, None], target.width, axis=1))
    return np.concatenate(arrays, axis=1), np.concatenate(masks, axis=1), unseen


def joint_targets(
    targets: Sequence[Target],
    values: np.ndarray,
    mask: np.ndarray,
    absent: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Targets of conditional tasks over all rows: negative where the parent is.

    Args:
        targets: the tasks.
        values: from `encode_targets`.
        mask: from `encode_targets`.
        absent: tasks whose column the table lacks; they stay unknown everywhere.

    Returns:
        Targets and mask anew, and per task the rows that held a positive target where
        the parent is negative, if there are any.
    """
    starts = np.cumsum([0, *(target.width for target in targets)])
    place = {t.name: int(at) for t, at in zip(targets, starts, strict=False)}
    given = {t.name: t.given for t in targets if t.given and t.name not in absent}
    values, mask = values.copy(), mask.copy()
    against: dict[str, int] = {}
    while given:
        # Parents first: a parent may be conditional itself.
        name = next(name for name, parent in given.items() if parent not in given)
        own, above = place[name], place[given.pop(name)]
        negative = mask[:, above] & (values[:, above] < 0.5)
        wrong = int((negative & mask[:, own] & (values[:, own] > 0.5)).sum())
        if wrong:
            against[name] = wrong
        values[negative, own] = 0.0
        mask[negative, own] = True
    return values, mask, against


def label_lists(
    table: Table, name: str, delimiter: str, *, verbatim: bool = True
) -> list[tuple[str, ...] | None]:
    """The labels of each row; None where it is not annotated.

    Args:
        table: any rows.
        name: of the column.
        delimiter: what stands between the labels of a text.
        verbatim: texts are labels as they are written, "1.1" and "1.10" being two,
            in lists and between delimiters; else, in lists, as `category_name` says.
    """
    values = table.column(name)
    if values.dtype != object:
        written = table.written.get(name) if verbatim else None
        texts: Any = values if written is None else written
        return [
            None if np.isnan(value) else (_label_of_number(value, text),)
            for value, text in zip(values, texts, strict=True)
        ]
    known: dict[Any, tuple[str, ...] | None] = {}
    for value in dict.fromkeys(values):
        if value is None or isinstance(value, tuple):
            known[value] = value and item_names(value, verbatim=verbatim)
        elif value.lower() in _NO_LABELS:
            known[value] = ()
        elif (items := parse_list(value)) is not None:
            known[value] = item_names(items, verbatim=verbatim)
        else:
            parts = value.split(delimiter) if delimiter else [value]
            known[value] = tuple(dict.fromkeys(p.strip() for p in parts if p.strip()))
    return [known[value] for value in values]


def _label_of_number(number: float, text: object) -> str:
    """A label in a column of numbers: 1.10 as it is written, 3.0 as 3."""
    if isinstance(text, str) and not float(number).is_integer():
        return text
    return category_name(number)
