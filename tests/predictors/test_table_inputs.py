"""Rows in every form that they are given in, and values that no column may hold."""

import datetime
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.predictors.tables.inputs import as_table


@pytest.mark.parametrize(
    "value",
    [
        {1},
        bytearray(b"x"),
        [{1}],
        [[{"a": {1}}]],
        ({1},),
        pd.DataFrame({"a": [1], "b": [2]}),
        [pd.Series([1, 2])],
        np.void(b"x"),
        np.array({1}),
        jnp.ones((2, 2)),
        slice(1),
        {"a": bytearray()},
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_have_no_hash_are_left_out_where_no_model_reads_them(
    value: Any,
) -> None:
    rows = [{"age": age, "extra": value} for age in (1, 2, 3)]
    for given in (rows, {"age": [1, 2, 3], "extra": [value] * 3}, rows[:1]):
        table = as_table(given)
        assert "rows:1: column 'extra' must hold " in table.unreadable["extra"]
        assert "\n" not in table.unreadable["extra"]
        with pytest.raises(DataError, match="rows:1: column 'extra' must hold"):
            table.column("extra")
    assert list(TableSchema.infer(as_table(rows)).dropped) == ["extra"]


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (np.array(3), 3.0),
        (jnp.array(2.5), 2.5),
        (np.array("a"), "a"),
        (np.ma.masked, None),
        (pd.Series([1, 2]), ("1", "2")),
        (jnp.array([0.5, 1.0]), (0.5, 1.0)),
        (np.array(datetime.date(2024, 1, 1), "M8[D]"), 1704067200.0),
    ],
)
def test_arrays_of_any_kind_are_the_value_or_the_list_that_they_hold(
    value: Any, held: Any
) -> None:
    (found,) = as_table([{"x": value}]).columns["x"]
    assert found == held or (held is None and np.isnan(found))


def same(one: Table, other: Table) -> bool:
    return one.columns.keys() == other.columns.keys() and all(
        np.array_equal(one.columns[name], other.columns[name]) for name in one.columns
    )


def test_names_of_any_type_are_their_texts_in_every_form() -> None:
    frame = pd.DataFrame([[1, "a"], [2, "b"]])
    expected = as_table(frame)
    assert list(expected.columns) == ["0", "1"]
    rows: Any = frame.to_dict("records")
    assert same(as_table(rows), expected)
    assert same(as_table(frame.to_dict("list")), expected)
    frame.columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    rows = frame.to_dict("records")
    assert same(as_table(rows), as_table(frame))


@pytest.mark.parametrize(
    "rows",
    [
        [{0: 1, "0": 2}],
        [{0: 1}, {"0": 2}],
        {0: [1], "0": [2]},
        pa.table([[1], [2]], names=["0", "0"]),
        pd.DataFrame([[1, 2]], columns=[0, "0"]),
    ],
    ids=["row", "rows", "columns", "arrow", "frame"],
)
def test_two_columns_of_one_name_are_refused(rows: Any) -> None:
    with pytest.raises(ValueError, match="must have distinct names; got '0' twice"):
        as_table(rows)


def test_a_table_of_arrow_is_read_as_its_file_is() -> None:
    stamps = pa.array([0, 86_400_000_000_001], pa.timestamp("ns", "Asia/Tokyo"))
    columns = {"when": stamps, "x": [1, None], "l": [["a"], ["b", "c"]]}
    table = pa.table(columns)
    found = as_table(table)
    assert found.columns["when"].tolist() == [0.0, 86_400.0]
    assert found.times == {"when"}
    assert found.columns["l"].tolist() == [("a",), ("b", "c")]
    (batch,) = table.to_batches()
    again = as_table(batch)
    np.testing.assert_array_equal(again.columns["x"], [1.0, np.nan])
    assert again.times == {"when"}


@pytest.mark.parametrize("rows", [3, b"x", np.ones((2, 2)), pd.Series([1]), None])
def test_what_holds_no_rows_is_refused_in_a_sentence(rows: Any) -> None:
    with pytest.raises(DataError, match=r"^rows? (0 )?must be a "):
        as_table(rows)
