"""Predictions of a model of a table's tasks, row by row, as JSON."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import read_table
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.data.tables.values import category_name, parse_number
from labelgraph_jax.predictors.label_model import write_rows
from labelgraph_jax.predictors.table_metrics import count_unseen, unseen_lines

if TYPE_CHECKING:
    from labelgraph_jax.predictors.table_model import TableModel


def prediction(
    target: Target, scores: np.ndarray, all_scores: bool = False
) -> dict[str, Any]:
    """What one task says of one row, as JSON values; see `TableModel.predict`."""
    if target.kind == "squared":
        return {"value": _rounded(scores)}
    if target.kind == "binary":
        name = target.values[int(scores >= 0.5)] or f"not {target.values[1]}"
        return {"value": _value(name), "probability": _rounded(scores)}
    every = {
        name: _rounded(score) for name, score in zip(target.values, scores, strict=True)
    }
    if target.kind == "multi_class":
        best = target.values[int(np.argmax(scores))]
        found: dict[str, Any] = {"value": _value(best), "probability": every[best]}
    else:
        order = np.argsort(-scores, kind="stable")
        chosen = [target.values[i] for i in order if scores[i] >= 0.5]
        found = {"value": chosen, "scores": [every[name] for name in chosen]}
    return found | ({"probabilities": every} if all_scores else {})


def _value(name: str) -> str | int | float:
    """What a column holds by that name: a number where it is one."""
    number = parse_number(name)
    if number is None or math.isinf(number):
        return name
    return int(number) if number.is_integer() else number


def _rounded(value: Any) -> float:
    return float(f"{float(value):.6g}")


def write_table_predictions(
    model: "TableModel",
    source: str,
    output: str,
    *,
    format: str | None = None,
    all_scores: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Predicts every row of a table and writes one JSON object a line.

    Each holds `row`, counted from 1, the row's `id` where the table has such a column,
    and an object per task, see `TableModel.predict`.

    Args:
        source: a table, or `-` for CSV on standard input.
        output: a file, written whole or not at all, or `-` for standard output.
        format: of the source, against its suffix: csv, tsv, jsonl or parquet.
        all_scores: add the probability of every class and label.
        say: takes a line for each column with values that training has not seen.

    Returns:
        How many rows were written.

    Raises:
        DataError: the table cannot be read, or no file can be made at `output`.
    """
    if output != "-" and not Path(output).parent.is_dir():
        raise DataError(f"{output}: no such folder {Path(output).parent}")
    table = read_table(source, format=format)
    encoded = model.encode(table, labelled=False)
    for line in unseen_lines(count_unseen(encoded.unseen), len(table)):
        say(line)
    ids = table.columns.get("id")
    rows = [
        {"row": number, **_id(ids, number), **found}
        for number, found in enumerate(model.predictions(encoded, all_scores), 1)
    ]
    write_rows(rows, output)
    return len(rows)


def _id(ids: np.ndarray | None, number: int) -> dict[str, Any]:
    if ids is None:
        return {}
    value = ids[number - 1]
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return {"id": None if missing else _value(category_name(value))}
