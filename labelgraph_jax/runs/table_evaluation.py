"""A model of a table's tasks on its own test split, or on a file."""

from pathlib import Path
from typing import Any

from labelgraph_jax.data.tables.files import Table, read_table
from labelgraph_jax.predictors.table_data import read_splits
from labelgraph_jax.predictors.table_model import TableModel
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.restore import load_table


def evaluate_table(
    workdir: str | Path, *, data: str = "", batch_size: int | None = None
) -> dict[str, Any]:
    """Evaluates a model of a table's tasks, on its own test split or on a file.

    Args:
        workdir: what `labelgraph train` left.
        data: a table that holds the column of a task at least; by default the test
            split of the run.
        batch_size: rows per batch; it does not change the numbers.

    Raises:
        WorkdirError: no finished run stands there, or its test rows have changed.
        DataError: the table is malformed, or lacks a column.
    """
    model = load_table(workdir)
    finished = model.workdir.results() if not data else {}
    name, rows = run_rows(model, data)
    results = model.evaluate(rows, batch_size=batch_size)
    if not data and results["fingerprint"] != finished["test"]["fingerprint"]:
        raise WorkdirError(
            f"{workdir}: the test rows are not those of the training run (the data has "
            "changed); name the file to evaluate with --data"
        )
    return {
        "data": name,
        "workdir": str(workdir),
        "split": "file" if data else "test",
        "mixture": model.config.mixture.kind,
        "test": results,
        "baseline": finished.get("baseline"),
    }


def run_rows(model: TableModel, data: str = "") -> tuple[str, Table]:
    """The name and the rows of a table, by default of the run's own test split."""
    if data:
        return Path(data).name, read_table(data)
    splits = read_splits(model.config)
    test = splits.tables["test"]
    assert test is not None  # a split is cut off where no file gives it
    return splits.name, test
