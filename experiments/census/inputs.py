"""The columns of Census-Income as arrays that networks read."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.census.corpus import (
    NUMERIC_COLUMNS,
    CensusIncome,
    group_tasks,
    inputs_of,
    targets_of,
)
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.functional.losses.tasks import Task

Arrays = dict[str, np.ndarray]
SPLITS = ("train", "validation", "test")
VALUE = " (value)"


@dataclass(frozen=True)
class CensusInputs:
    """One task group, ready to train on.

    Attributes:
        group: its name.
        tasks: binary, the main task first.
        splits: per split `categories` uint8 `[M, D]` (one-hot of all categorical
            columns, side by side), `numbers` float32 `[M, Q]`, `targets` float32
            `[M, T]`.
        columns: input columns of the files.
        unseen: per split how many fields had no category of their own.
    """

    group: str
    tasks: tuple[Task, ...]
    splits: Mapping[str, Arrays]
    columns: tuple[str, ...]
    unseen: Mapping[str, int]

    @property
    def width(self) -> int:
        """Inputs of a network."""
        train = self.splits["train"]
        return train["categories"].shape[1] + train["numbers"].shape[1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with any number of any split."""
        whole = hashlib.sha256()
        for arrays in self.splits.values():
            for name in sorted(arrays):
                whole.update(np.ascontiguousarray(arrays[name]).data)
        return whole.hexdigest()[:16]


def encode(data: CensusIncome, group: str, *, min_count: int) -> CensusInputs:
    """Categories one-hot; amounts as standardised log(1 + x) and one-hot as well.

    Amounts pile up on few values (many capital gains occur a hundred times), which a
    network cannot tell apart on one axis: values of at least `min_count` training rows
    are categories besides. Rarer values and rarer categories share one input each per
    column.
    """
    tables = {name: _with_values(getattr(data, name), group) for name in SPLITS}
    numeric = [n for n in NUMERIC_COLUMNS if n in tables["train"].columns]
    schema = TableSchema.infer(
        tables["train"],
        categorical=[n for n in tables["train"].columns if n not in numeric],
        numeric=numeric,
        min_count=min_count,
    )
    splits, unseen = {}, {}
    for name, table in tables.items():
        encoded = schema.encode(table)
        splits[name] = {
            "categories": one_hot(encoded.categories, schema.cardinalities),
            "numbers": encoded.numbers,
            "targets": targets_of(getattr(data, name), group),
        }
        unseen[name] = sum(sum(counts.values()) for counts in encoded.unseen.values())
    tasks = tuple(Task(task.name, "binary") for task in group_tasks(group))
    columns = tuple(inputs_of(data.train, group).columns)
    return CensusInputs(group, tasks, splits, columns, unseen)


def one_hot(categories: np.ndarray, cardinalities: tuple[int, ...]) -> np.ndarray:
    """Ids `[M, C]` -> uint8 `[M, sum of cardinalities]`, C ones in each row."""
    offsets = np.cumsum((0, *cardinalities[:-1]))
    hot = np.zeros((len(categories), sum(cardinalities)), np.uint8)
    np.put_along_axis(hot, categories + offsets, 1, axis=1)
    return hot


def correlations(inputs: CensusInputs) -> dict[str, float]:
    """Pearson's correlation of the main task with the other one, per split."""
    return {
        name: float(np.corrcoef(arrays["targets"].T)[0, 1])
        for name, arrays in inputs.splits.items()
    }


def _with_values(table: Table, group: str) -> Table:
    """Amounts twice: their logarithm, and their very value."""
    columns = dict(inputs_of(table, group).columns)
    for name in NUMERIC_COLUMNS:
        columns[name + VALUE] = columns[name]
        columns[name] = np.log1p(columns[name])
    return Table(table.name, columns, table.lines)
