"""Columns -> category ids and standardised numbers, learned from training rows."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import table_of
from labelgraph_jax.data.tables.schema import MISSING, UNSEEN, TableSchema


def test_texts_become_categories_and_numbers_are_standardised() -> None:
    train = table_of("made", {"job": ["b", "a", "b", None], "age": [1, 2, None, 3]})
    schema = TableSchema.infer(train)
    job, age = schema.columns
    assert (job.kind, job.categories, job.missing) == ("categorical", ("b", "a"), 1)
    assert (age.kind, age.mean, age.missing) == ("numeric", 2.0, 1)
    assert schema.cardinalities == (4,)
    assert schema.number_width == 2
    encoded = schema.encode(train)
    assert encoded.categories.dtype == np.int32
    np.testing.assert_array_equal(encoded.categories[:, 0], [2, 3, 2, MISSING])
    spread = np.sqrt(2 / 3)
    expected = [[-1 / spread, 0], [0, 0], [0, 1], [1 / spread, 0]]
    np.testing.assert_allclose(encoded.numbers, expected, rtol=1e-6)
    assert encoded.numbers.dtype == np.float32
    assert encoded.unseen == {}


def test_a_category_unseen_in_training_has_a_bucket_of_its_own_and_is_counted() -> None:
    schema = TableSchema.infer(table_of("train", {"job": ["a", "b", "a"]}))
    rows = table_of("new", {"job": ["c", "a", None, "c", "d"], "more": [1] * 5})
    encoded = schema.encode(rows)
    assert encoded.categories[:, 0].tolist() == [UNSEEN, 2, MISSING, UNSEEN, UNSEEN]
    assert encoded.unseen == {"job": Counter({"c": 2, "d": 1})}


def test_rare_values_share_the_bucket_of_unseen_ones() -> None:
    train = table_of("train", {"job": ["a", "a", "b", "c", "c", "c"]})
    schema = TableSchema.infer(train, min_count=2)
    assert schema.columns[0].categories == ("c", "a")
    assert schema.columns[0].rare == 1
    assert schema.encode(train).unseen == {"job": Counter({"b": 1})}
    schema = TableSchema.infer(train, max_categories=1)
    assert schema.columns[0].categories == ("c",)


def test_numbers_that_name_something_are_categories_unless_told_otherwise() -> None:
    train = table_of(
        "train", {"user_id": [7, 7, 8], "area_code": [1, 2, 1], "n": [7] * 3}
    )
    kinds = {c.name: c.kind for c in TableSchema.infer(train).columns}
    assert kinds == {"user_id": "categorical", "area_code": "categorical"}
    forced = TableSchema.infer(train, numeric=["user_id"], categorical=["n"])
    kinds = {c.name: c.kind for c in forced.columns}
    assert kinds["user_id"] == "numeric"
    assert kinds["n"] == "categorical"


def test_a_number_has_the_same_id_whether_its_column_is_read_as_texts_or_not() -> None:
    schema = TableSchema.infer(table_of("train", {"user_id": [7, 7, 8]}))
    texts = table_of("new", {"user_id": ["8", "seven", "7.0"]})
    assert schema.encode(texts).categories[:, 0].tolist() == [3, UNSEEN, 2]
    schema = TableSchema.infer(table_of("train", {"floor": ["attic", "1.0", "1"]}))
    numbers = table_of("new", {"floor": [1, 2]})
    assert schema.encode(numbers).categories[:, 0].tolist() == [2, UNSEEN]


def test_columns_that_teach_nothing_are_left_out_with_the_reason() -> None:
    count = 60
    words = [f"this is review number {i} of a long list" for i in range(count)]
    train = table_of(
        "train",
        {
            "key": [f"row{i}" for i in range(count)],
            "review": words,
            "country": ["de"] * count,
            "nothing": [None] * count,
            "tags": [["x"]] * count,
            "x": list(range(count)),
        },
    )
    schema = TableSchema.infer(train)
    assert [column.name for column in schema.columns] == ["x"]
    assert schema.dropped == {
        "key": "a value of its own in nearly every row",
        "review": "free text",
        "country": "always 'de'",
        "nothing": "no value in any row",
        "tags": "lists",
    }
    with pytest.raises(DataError, match=r"no column to learn from is left: country"):
        TableSchema.infer(train.drop(["x", "key", "review", "nothing", "tags"]))


def test_a_value_in_some_rows_and_none_in_the_others_teaches_something() -> None:
    schema = TableSchema.infer(table_of("train", {"coupon": ["yes", None, "yes"]}))
    assert schema.columns[0].categories == ("yes",)


def test_a_column_of_one_number_that_is_asked_for_is_all_zeros() -> None:
    train = table_of("train", {"n": [5.0, 5.0]})
    schema = TableSchema.infer(train, numeric=["n"])
    np.testing.assert_array_equal(schema.encode(train).numbers, [[0.0], [0.0]])


def test_numbers_missing_only_after_training_are_read_as_the_mean() -> None:
    schema = TableSchema.infer(table_of("train", {"n": [1.0, 3.0]}))
    encoded = schema.encode(table_of("new", {"n": [None, 3.0]}))
    np.testing.assert_array_equal(encoded.numbers, [[0.0], [1.0]])


def test_numbers_with_a_long_tail_are_read_on_a_logarithmic_scale() -> None:
    amounts = [0.0] * 90 + [10.0, 100.0, 1000.0, 10_000.0, -10.0] * 2
    train = table_of("train", {"gain": amounts, "even": list(range(100))})
    schema = TableSchema.infer(train, longest_tail=3.0)
    gain, even = schema.columns
    assert (gain.unit, even.unit) == (100.0, 0.0)
    read = schema.encode(train).numbers.astype(np.float64)
    np.testing.assert_allclose(read.std(axis=0), 1.0, rtol=1e-4)
    tail = np.diff(read[91:94, 0])
    np.testing.assert_allclose(tail[1], tail[0], rtol=0.4)
    assert TableSchema.from_json(schema.to_json()) == schema
    assert TableSchema.infer(train).columns[0].unit == 0.0


def test_a_schema_can_be_read_by_people_and_comes_back() -> None:
    train = table_of(
        "train", {"job": ["ä", "b", "ä"], "age": [1, 2, None], "x": ["same"] * 3}
    )
    schema = TableSchema.infer(train)
    text = schema.to_json()
    assert '"ä"' in text
    assert TableSchema.from_json(text) == schema


@pytest.mark.parametrize(
    "text", ["", "[]", '{"columns": []}', '{"columns": [{"kind": "x"}], "dropped": {}}']
)
def test_something_else_is_no_schema(text: str) -> None:
    with pytest.raises(DataError, match="must be a table schema"):
        TableSchema.from_json(text)


def test_wrong_columns_are_named_with_the_line() -> None:
    train = table_of("rows.csv", {"job": ["a", "b"], "age": [1, 2], "t": [["x"], []]})
    with pytest.raises(
        DataError, match=r"rows.csv: no column 'jobs'; the nearest is 'job'"
    ):
        TableSchema.infer(train, categorical=["jobs"])
    with pytest.raises(DataError, match=r"rows.csv:1: column 'job' must hold numbers"):
        TableSchema.infer(train, numeric=["job"])
    with pytest.raises(DataError, match=r"'job' is named as both"):
        TableSchema.infer(train, categorical=["job"], numeric=["job"])
    with pytest.raises(DataError, match=r"rows.csv:1: column 't' must hold one value"):
        TableSchema.infer(train, categorical=["t"])
    schema = TableSchema.infer(train)
    with pytest.raises(DataError, match=r"new.csv: no column 'age'"):
        schema.encode(table_of("new.csv", {"job": ["a"]}))
    with pytest.raises(DataError, match=r"new.csv:2: column 'age' must hold numbers"):
        schema.encode(table_of("new.csv", {"job": ["a", "b"], "age": [1, "old"]}))


values = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12)


@settings(deadline=None)
@given(values, values)
def test_every_row_has_an_id_below_the_cardinality(train: list, rows: list) -> None:
    schema = TableSchema.infer(table_of("train", {"x": train}), categorical=["x"])
    encoded = schema.encode(table_of("rows", {"x": rows}))
    ids = encoded.categories[:, 0]
    assert (ids >= 0).all()
    assert (ids < schema.cardinalities[0]).all()
    unseen = sum(value is not None and value not in train for value in rows)
    assert sum(c.total() for c in encoded.unseen.values()) == unseen == (ids == 0).sum()
    missing = [value is None for value in rows]
    np.testing.assert_array_equal(ids == MISSING, missing)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_training_numbers_have_mean_zero_and_deviation_one(numbers: list) -> None:
    train = table_of("train", {"x": numbers})
    schema = TableSchema.infer(train, numeric=["x"])
    read = schema.encode(train).numbers[:, 0].astype(np.float64)
    assert abs(read.mean()) < 1e-3
    assert np.isfinite(read).all()
    if np.std(numbers) > 1e-3 * np.max(np.abs(numbers)):
        assert read.std() == pytest.approx(1.0, rel=1e-2)


NUMBERS = [f"{i / 7:.3f}1" for i in range(400)]


@pytest.mark.parametrize(
    ("values", "first", "reason", "advice"),
    [
        (
            [*NUMBERS[:392], *["unknown"] * 8],
            393,
            "holds 'unknown' among numbers (8 of 400 rows are no numbers)",
            "leave these fields empty, or --table.numeric q (left out)",
        ),
        (
            [*NUMBERS[:39], "unknown"],
            40,
            "holds 'unknown' among numbers (1 of 40 rows are no numbers)",
            "leave these fields empty, or --table.numeric q (read as names)",
        ),
        (
            [f"{i}.5" if i % 2 else f"{i},5" for i in range(200)],
            1,
            "holds '0,5' among numbers (100 of 200 rows are written in another way)",
            "write all numbers in one way (left out)",
        ),
        (
            [f"2024-01-{1 + i % 28:02}" if i % 9 else "later" for i in range(90)],
            1,
            "holds 'later' among numbers (10 of 90 rows are no numbers)",
            "leave these fields empty (read as names)",
        ),
    ],
)
def test_a_column_that_is_mostly_numbers_and_read_as_names_is_told(
    values: list[str], first: int, reason: str, advice: str
) -> None:
    table = table_of("rows.csv", {"q": values, "n": range(len(values))})
    schema = TableSchema.infer(table)
    assert schema.remarks == (f"rows.csv:{first}: column 'q' {reason}: {advice}",)
    if "left out" in advice:
        assert schema.dropped["q"] == reason
    assert TableSchema.infer(table, categorical=["q"]).remarks == ()
    if "--table.numeric" in advice:
        (q, _) = TableSchema.infer(table, numeric=["q"]).columns
        assert q.kind == "numeric"


@pytest.mark.parametrize(
    "values",
    [
        [*map(str, range(10_000, 10_399)), "02139"],  # codes
        ["1", "2", "3", "4", "5+"] * 20,  # grades
        ["1", "x"] * 20,
        [f"A{i}" for i in range(40)],
        NUMBERS,
    ],
)
def test_columns_of_names_are_not_taken_for_numbers(values: list[str]) -> None:
    table = table_of("rows.csv", {"q": values, "n": range(len(values))})
    assert TableSchema.infer(table).remarks == ()
