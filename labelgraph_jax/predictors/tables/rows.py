"""Weights and groups of the rows of a table."""

import dataclasses

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.readings import read_numbers, value_names
from labelgraph_jax.data.tables.targets import Target

MOST_WEIGHT = 1e18
"""Largest weight of a row: squares of sums of such weights are finite in float32."""
_MANY = 3


def row_weights(table: Table, name: str) -> np.ndarray | None:
    """Return the weight of each row, float32 `[M]`; None without such a column's name.

    Raises:
        DataError: there is no such column, a field is no number or negative, one is
            missing, or no row counts.
    """
    if not name:
        return None
    must = f"weights of rows, numbers of at least 0 and at most {MOST_WEIGHT:g}"
    weights = read_numbers(table, name, must=must).values
    wrong = ~((weights >= 0) & (weights <= MOST_WEIGHT))
    if wrong.any():
        row = int(np.argmax(wrong))
        got = table.written.get(name, table.column(name))[row]
        is_text = isinstance(got, str) and got
        held = shown(got) if is_text else f"{weights[row]:g}"
        if not is_text and np.isnan(weights[row]):
            held = "nothing"
        raise DataError(
            f"{table.where(row)}: column {name!r} must hold {must}; got {held}"
        )
    weights = weights.astype(np.float32)
    if not weights.any():
        raise DataError(
            f"{table.name}: column {name!r} must hold a weight above 0; all are 0"
        )
    return weights


def heavy_row(table: Table, name: str, weights: np.ndarray | None) -> str:
    """A sentence where one row of many holds more than half of all weight, or ""."""
    if weights is None or int((weights > 0).sum()) < _MANY:
        return ""
    row, total = int(np.argmax(weights)), weights.sum(dtype=np.float64)
    if weights[row] <= total / 2:
        return ""
    return (
        f"{table.where(row)}: column {name} holds {weights[row]:g}, "
        f"{weights[row] / total:.1%} of the weight of all {len(table):,} rows"
    )


def row_groups(table: Table, name: str) -> np.ndarray | None:
    """The group of each row, int64 `[M]`; -1 where its field is empty.

    Raises:
        DataError: there is no such column, or it holds lists.
    """
    if not name:
        return None
    index, names = value_names(table, name)
    known = [value for value in dict.fromkeys(names) if value is not None]
    place = {value: i for i, value in enumerate(known)}
    codes = [-1 if value is None else place[value] for value in names]
    return np.asarray(codes, np.int64)[index]


def weighted_target(target: Target, table: Table, weights: np.ndarray) -> Target:
    """A target whose shares, mean and deviation are those of weighted rows.

    Raises:
        DataError: no row that counts holds a target.
    """
    encoded, known, _ = target.encode(table)
    each = np.where(known, weights, 0.0).astype(np.float64)
    if not each.any():
        raise DataError(
            f"{table.name}: column {target.name!r} holds no target in any training row "
            "whose weight is above 0"
        )
    means = np.average(encoded.astype(np.float64), axis=0, weights=each)
    if target.kind != "squared":
        return dataclasses.replace(target, prior=tuple(means.tolist()))
    deviation = np.sqrt(np.average((encoded[:, 0] - means[0]) ** 2, weights=each))
    return dataclasses.replace(
        target,
        mean=float(target.mean + means[0] * (target.scale or 1.0)),
        scale=float(target.scale * deviation),
    )
