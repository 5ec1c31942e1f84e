"""Checks of a table that a run is to learn from, before training."""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.problems import Problem, unreadable
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.predictors.tables.data import (
    encode_rows,
    learn_schema,
    learn_targets,
    read_own,
    split_files,
)
from labelgraph_jax.runs.tables.problem import TableProblem

# Names as Python writes them: in double quotes where they hold a single one.
_AT_ROW = re.compile(r""":(\d+): column ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") """)
MOST_VALUES = 200
"""Different values that are looked at and refused; many more are one fault."""


def validate_table(config: Config) -> list[Problem]:
    """List what is wrong with the files of a run over a table, the worst first.

    Errors: fields that training would refuse, how many there are and the first 20 with
    their lines, file by file; and what it refuses of the whole. Warnings and notes are
    those that training begins with: targets that do not vary, columns that give one
    away, texts among numbers, splits that are cut off.

    Args:
        config: with `data.data`, a file or a folder of splits, further files perhaps,
            and the tasks.

    Raises:
        DataError: a file cannot be read as a table, or lacks a column.
    """
    settings, data = config.table, config.data
    beside: dict[str, Any] = {"weight": settings.weight, "group": settings.group}
    errors: list[DataError] = []
    own = split_files(data.data)
    train = read_own(own["train"], data)
    for spec in settings.specs:
        train.require(spec.name)

    def learn(table: Table) -> None:
        targets = learn_targets(config, table)
        schema = learn_schema(config, table)
        encode_rows(table, schema, targets, labelled=True, **beside)

    good = _without_bad_rows(train, learn, errors)
    if good is not None:
        targets, schema = learn_targets(config, good), learn_schema(config, good)

        def encode(table: Table) -> None:
            encode_rows(table, schema, targets, labelled=True, **beside)

        files = (own.get(s) or getattr(data, s) for s in ("validation", "test"))
        for path in filter(None, files):
            _without_bad_rows(read_own(path, data), encode, errors)
    if errors:
        return unreadable(errors, "field")
    return list(_remarks(config))


def _remarks(config: Config) -> Iterator[Problem]:
    """Remarks that training begins with, or its refusal of the whole."""
    lines: list[str] = []
    problem = TableProblem(config)
    try:
        prepared = problem.prepare(problem.read(), lines.append)
    except DataError as error:
        yield Problem("error", str(error))
        return
    for line in lines:
        if line.startswith("warning: "):
            yield Problem("warning", line.removeprefix("warning: "))
    for note in prepared.splits.notes:
        yield Problem("note", note)


def _without_bad_rows(
    table: Table, check: Callable[[Table], None], errors: list[DataError]
) -> Table | None:
    """The rows that pass a check, and an error for every field that does not.

    Args:
        table: all rows.
        check: raises at the first field that is wrong.
        errors: takes them.

    Returns:
        None where what is left cannot be checked.
    """
    rows = np.arange(len(table))
    for _ in range(MOST_VALUES):
        left = table.select(rows)
        try:
            check(left)
        except DataError as error:
            found = _AT_ROW.search(str(error))
            column = ast.literal_eval(found[2]) if found else ""
            if found is None or column not in table.columns:
                errors.append(error)
                return None
            line = int(found[1])
            numbers = range(1, len(left) + 1) if left.lines is None else left.lines
            (at,) = np.flatnonzero(np.asarray(numbers) == line)[:1]
            fields = left.written.get(column, left.columns[column])
            same = np.array([_alike(field, fields[at]) for field in fields])
            for row in np.flatnonzero(same):
                where, place = left.where(int(at)), left.where(int(row))
                errors.append(DataError(str(error).replace(where, place, 1)))
            rows = rows[~same]
            if not len(rows):
                return None
        else:
            return left
    return None


def _alike(one: object, other: object) -> bool:
    """Return whether two fields are equal; NaN is NaN."""
    return one == other or (one != one and other != other)
