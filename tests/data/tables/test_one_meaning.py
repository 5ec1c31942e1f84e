"""One value has one meaning, whatever the format that it stands in."""

import csv
import datetime
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import Table, read_table, table_of
from labelgraph_jax.data.tables.learn_targets import learn_target
from labelgraph_jax.data.tables.readings import learn_reading, widened
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.predictors.tables.inputs import as_table

Columns = Mapping[str, list[Any]]
FORMATS = ("csv", "tsv", "jsonl", "parquet", "frame", "rows")


def stored(columns: Columns, form: str, folder: Path) -> Table:
    """The columns as a program that writes such files writes them, read again."""
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    path = folder / f"rows.{form}"
    if form == "rows":
        return as_table(rows)
    if form == "frame":
        return as_table(pd.DataFrame(columns))
    if form == "parquet":
        pa.parquet.write_table(pa.table(dict(columns)), path)
    elif form == "jsonl":
        lines = (
            json.dumps(row, default=lambda moment: moment.isoformat()) for row in rows
        )
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if form == "tsv" else ",")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    return read_table(path)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, min_size=8, max_size=8)


moments = st.datetimes(
    datetime.datetime(1950, 1, 1), datetime.datetime(2100, 1, 1)
).map(lambda moment: moment.replace(microsecond=0))
zones = st.integers(-12, 12).map(
    lambda hours: datetime.timezone(datetime.timedelta(hours=hours))
)
KINDS = {
    "truth": maybe(st.booleans()),
    "words": maybe(st.sampled_from(["a", "b c", "True", "x,y", "7", "1.10", "-"])),
    "versions": maybe(st.sampled_from(["1.1", "1.10", "1.2", "2.0", "007", "7"])),
    "numbers": maybe(st.floats(-1e9, 1e9, allow_nan=False)),
    "counts": maybe(st.integers(-(10**6), 10**6)),
    "dates": maybe(st.dates(datetime.date(1950, 1, 1), datetime.date(2100, 1, 1))),
    "moments": maybe(moments),
    "zoned": maybe(st.builds(lambda m, z: m.replace(tzinfo=z), moments, zones)),
}


def encoded(schema: TableSchema, table: Table) -> Any:
    found = schema.encode(table)
    return found.categories.tolist(), found.numbers.tolist(), found.unseen


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.fixed_dictionaries(KINDS), st.sampled_from(FORMATS), st.data())
def test_every_format_gives_a_model_the_same_inputs_and_targets(
    tmp_path: Path, columns: Columns, trained: str, data: st.DataObject
) -> None:
    columns = {"number": [*range(8)], **columns}
    tables = {form: stored(columns, form, tmp_path) for form in FORMATS}
    schemas = {form: TableSchema.infer(table) for form, table in tables.items()}
    first = schemas[trained]
    for form, schema in schemas.items():
        assert schema == first, form
        assert encoded(first, tables[form]) == encoded(first, tables[trained]), form
        # One row alone means what it means among others.
        row = data.draw(st.integers(0, 7))
        one = {name: [values[row]] for name, values in columns.items()}
        try:
            alone = encoded(first, stored(one, form, tmp_path))
        except DataError as error:
            raise AssertionError(form) from error
        whole = encoded(first, tables[trained].select([row]))
        assert alone[:2] == whole[:2], (form, one, alone, whole)
    for name in columns:
        targets = {}
        for form, table in tables.items():
            try:
                targets[form] = learn_target(table, name)
            except DataError as error:
                targets[form] = str(error).partition("column")[2]
        assert len({str(target) for target in targets.values()}) == 1, targets
        target = targets[trained]
        if isinstance(target, Target):
            answers = {
                str([part.tolist() for part in target.encode(table)[:2]])
                for table in tables.values()
            }
            assert len(answers) == 1


def test_truth_is_one_and_zero_in_every_format(tmp_path: Path) -> None:
    seen = {"seen": [True, False, None, True] * 5, "n": [*range(20)]}
    tables = [stored(seen, form, tmp_path) for form in FORMATS]
    for spelling in ("TRUE FALSE", "true false", "1 0", "1.0 0.0"):
        yes, no = spelling.split()
        tables.append(table_of("made", seen | {"seen": [yes, no, "", yes] * 5}))
    for table in tables:
        assert TableSchema.infer(table) == TableSchema.infer(tables[0])
        target = learn_target(table, "seen")
        assert (target.kind, target.values) == ("binary", ("0", "1"))
        assert target.encode(tables[0])[0].sum() == 10


def test_what_earlier_versions_learned_of_true_and_false_still_holds() -> None:
    fields = {"name": "seen", "kind": "categorical", "categories": ["True", "False"]}
    text = json.dumps({"columns": [fields | {"rare": 0, "missing": 0}], "dropped": {}})
    schema = TableSchema.from_json(text)
    values = {"name": "x", "kind": "binary", "values": ["False", "True"], "rows": 2}
    target = Target.from_json(values | {"prior": [0.5]})
    for column in (["True", "False"], [True, False], ["true", "FALSE"], [1, 0]):
        table = table_of("new", {"seen": column, "x": column})
        assert schema.encode(table).categories[:, 0].tolist() == [2, 3]
        assert target.encode(table)[0][:, 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "later",
    [
        ["2021-03-04", "2021-03-05 12:00"],
        ["2021-03-04T00:00:00Z", "2021-03-05T14:00:00.000+02:00"],
        [1614816000, 1614945600],
        ["1614816000000", "1614945600000"],
        [1614816000000000000, 1614945600000000000],
        [datetime.date(2021, 3, 4), datetime.datetime(2021, 3, 5, 12)],
        pd.to_datetime(["2021-03-04 00:00", "2021-03-05 12:00"]).tz_localize("UTC"),
        np.array(["2021-03-04", "2021-03-05T12:00"], "M8[ms]"),
        np.array(["2021-03-04", "2021-03-05T12:00"], "M8[ns]"),
    ],
)
@pytest.mark.parametrize("trained", ["text", "typed", "seconds", "milliseconds"])
def test_a_moment_is_the_same_as_text_as_a_type_and_as_an_epoch(
    trained: str, later: Any
) -> None:
    days = [
        datetime.datetime(2019, 1, 1) + datetime.timedelta(5 * i) for i in range(300)
    ]
    epochs = [
        int((day - datetime.datetime(1970, 1, 1)).total_seconds()) for day in days
    ]
    column = {
        "text": [day.isoformat() for day in days],
        "typed": days,
        "seconds": epochs,
        "milliseconds": [1000 * epoch for epoch in epochs],
    }[trained]
    plain = isinstance(later, list) and str(later[0]).isdigit()
    if plain and trained.endswith("seconds"):
        return  # Nothing says that these are times, here or there.
    schema = TableSchema.infer(table_of("train", {"when": column}))
    found = schema.encode(table_of("new", {"when": later}))
    wanted = (np.array([1614816000, 1614945600]) - np.mean(epochs)) / np.std(epochs)
    np.testing.assert_allclose(found.numbers[:, 0], wanted, atol=1e-5)
    assert found.remarks == ()


@pytest.mark.parametrize(
    "later", [[20210304, 20210305], ["20210304", "20210305"], [1614816000, 20210305]]
)
def test_a_date_without_hyphens_is_that_date_among_dates(later: Any) -> None:
    days = [datetime.date(2019, 1, 1) + datetime.timedelta(5 * i) for i in range(300)]
    schema = TableSchema.infer(table_of("train", {"when": days}))
    found = schema.encode(table_of("new", {"when": later}))
    wanted = schema.encode(table_of("new", {"when": ["2021-03-04", "2021-03-05"]}))
    np.testing.assert_array_equal(found.numbers, wanted.numbers)
    # The 31st of February is none, and told as what lies far outside.
    odd = schema.encode(table_of("new", {"when": [20210231, 20210305]}))
    assert odd.numbers[0, 0] != wanted.numbers[0, 0]


def test_pandas_milliseconds_of_a_frame_are_the_moments_of_its_file(
    tmp_path: Path,
) -> None:
    frame = pd.DataFrame({"when": pd.date_range("1968-01-01", periods=80, freq="30D")})
    schema = TableSchema.infer(as_table(frame))
    lines = [json.dumps({"when": int(m.timestamp() * 1000)}) for m in frame["when"]]
    (tmp_path / "ms.jsonl").write_text("\n".join(lines), encoding="utf-8")
    frame.to_csv(tmp_path / "text.csv", index=False)
    frame.to_parquet(tmp_path / "typed.parquet")
    expected = schema.encode(as_table(frame)).numbers
    for name in ("ms.jsonl", "text.csv", "typed.parquet"):
        found = schema.encode(read_table(tmp_path / name)).numbers
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)


def test_a_time_in_a_column_of_small_numbers_is_refused() -> None:
    schema = TableSchema.infer(table_of("train", {"age": [20, 30, 40]}))
    for value in ("2021-03-04", datetime.date(2021, 3, 4)):
        with pytest.raises(
            DataError, match=r"new:1: column 'age' must hold numbers, an"
        ):
            schema.encode(table_of("new", {"age": [value]}))


def test_arrows_nanoseconds_zones_and_durations_are_read(tmp_path: Path) -> None:
    stamps = pa.array([0, 86_400_000_000_001, None], pa.timestamp("ns", "Asia/Tokyo"))
    spans = pa.array([1_500_000_000, None, 0], pa.duration("ns"))
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table({"when": stamps, "for": spans}), path)
    table = read_table(path)
    np.testing.assert_array_equal(table.columns["when"], [0.0, 86_400.0, np.nan])
    np.testing.assert_array_equal(table.columns["for"], [1.5, np.nan, 0.0])
    assert table.times == {"when"}


def test_durations_are_seconds_as_types_and_as_texts() -> None:
    spans = [datetime.timedelta(days=1, hours=2), datetime.timedelta(seconds=-1)]
    table = table_of("made", {"typed": spans, "text": [str(span) for span in spans]})
    schema = TableSchema.infer(table)
    numbers = schema.encode(table).numbers
    np.testing.assert_array_equal(numbers[:, 0], numbers[:, 1])
    assert schema.columns[0].mean == (93_600 - 1) / 2


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["1.1", "1.10", "1.2"] * 4, {"1.1", "1.10", "1.2"}),
        (["1.9", "1.10", "1.11"] * 4, {"1.9", "1.10", "1.11"}),
        (["3.9", "3.10", "nightly"] * 4, {"3.9", "3.10", "nightly"}),
        (["7", "007", "07"] * 4, {"7", "007", "07"}),
        (["1.50", "2.25", "3.00"] * 4, None),
        (["1.5", "2", "3.0"] * 4, None),
        ([1.1, 1.10, 1.2] * 4, None),
        ([f"{n / 100:.2f}".removesuffix("0") + "0" * (n % 2) for n in range(99)], None),
    ],
)
def test_versions_and_codes_are_names_and_prices_are_numbers(
    values: list[Any], names: set[str] | None
) -> None:
    table = table_of("made", {"x": values, "y": values})
    (column, _) = TableSchema.infer(table).columns
    assert (column.kind == "numeric") == (names is None)
    if names is None:
        return
    assert set(column.categories) == names
    schema = TableSchema.from_json(TableSchema.infer(table).to_json())
    for i, name in enumerate(column.categories, 2):
        alone = table_of("one", {"x": [name], "y": [name]})
        assert schema.encode(alone).categories.tolist() == [[i, i]], name
    target = Target.from_json(learn_target(table, "x", "multi_class").to_json())
    assert set(target.values) == names
    for name in names:
        found = target.encode(table_of("one", {"x": [name]}))[0][0]
        assert target.values[int(found.argmax())] == name
    other = table_of("one", {"x": ["1.20"], "y": ["1.100"]})
    assert schema.encode(other).categories.tolist() == [[0, 0]]
    forced = TableSchema.infer(table_of("made", {"x": ["1.1", "1.10"]}), numeric=["x"])
    assert forced.columns[0].kind == "numeric"


@pytest.mark.parametrize("gap", ["", "NaN", "nan", "inf", "-inf", "NA", "N/A", "null"])
def test_a_gap_is_a_gap_however_it_is_spelled(gap: str) -> None:
    table = table_of("made", {"x": ["1", "2", gap, "4"]})
    (column,) = TableSchema.infer(table).columns
    assert (column.kind, column.missing, column.mean) == ("numeric", 1, 7 / 3)
    assert table_of("made", {"x": ["a", gap]}).columns["x"][1] in (None, "", gap)
    assert TableSchema.infer(table).encode(table).numbers[2].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "gap", [None, np.nan, float("inf"), pd.NA, pd.NaT, "None", "NULL", "?", "-", "<NA>"]
)
def test_a_gap_of_python_or_pandas_is_one(gap: Any) -> None:
    for values in ([1, 2, gap, 4], ["1", "2", gap, "4"]):
        (column,) = TableSchema.infer(table_of("made", {"x": values})).columns
        assert (column.kind, column.missing) == ("numeric", 1)
    if str(gap) not in ("?", "-", "inf"):
        table = table_of("made", {"x": ["a", "b", gap, "a"]})
        (column,) = TableSchema.infer(table).columns
        assert (column.categories, column.missing) == (("a", "b"), 1)


def test_numbers_far_outside_training_are_read_as_the_nearest_and_counted() -> None:
    schema = TableSchema.infer(
        table_of("train", {"age": [20, 60, 30], "z": [0, -9, -1]})
    )
    age, z = schema.columns
    assert (age.low, age.high) == (16.0, 64.0)
    assert (z.low, z.high) == (-9.9, 0.0)
    rows = table_of("new", {"age": [1e9, 64, -1e9, 61, None], "z": [5, 0, 0, 0, 0]})
    found = schema.encode(rows)
    near = schema.encode(table_of("new", {"age": [64, 64, 16, 61, None], "z": [0] * 5}))
    np.testing.assert_array_equal(found.numbers, near.numbers)
    assert near.remarks == ()
    assert found.remarks[0] == (
        "column age: 2 of 5 rows hold a number far from those of training, read as the "
        "nearest from 16 to 64"
    )
    assert len(found.remarks) == 2
    assert TableSchema.from_json(schema.to_json()) == schema


def test_a_schema_of_earlier_versions_has_no_range() -> None:
    fields = {"name": "n", "kind": "numeric", "mean": 1.0, "scale": 2.0, "missing": 0}
    schema = TableSchema.from_json(json.dumps({"columns": [fields], "dropped": {}}))
    assert schema.encode(table_of("new", {"n": [1e9]})).numbers[0, 0] == 5e8 - 0.5


def test_a_target_is_predicted_within_its_known_range_and_sign() -> None:
    target = learn_target(table_of("train", {"y": [0.0, 5.0, 10.0]}), "y")
    assert (target.low, target.high) == (0.0, 11.0)
    outputs = np.array([-1.6e11, 0.0, 1e9, np.float32(0.1)])
    found = target.in_units(outputs)
    assert found[:3].tolist() == [0.0, 5.0, 11.0]
    assert Target.from_json(target.to_json()) == target
    assert widened(-10.0, -2.0) == (-10.8, -1.2)
    assert widened(-10.0, 0.0) == (-11.0, 0.0)
    old = Target("y", "squared", mean=1.0, scale=2.0)
    assert old.in_units(np.array([-1e9])).tolist() == [1.0 - 2e9]


@pytest.mark.parametrize("stray", ["unknown", "n/k", "<5", "V45"])
def test_one_text_among_hundreds_of_numbers_is_missing(stray: str) -> None:
    numbers = [str(i) for i in range(399)]
    table = table_of("rows.csv", {"x": [*numbers, stray], "y": [*numbers, stray]})
    schema = TableSchema.infer(table)
    column = schema.columns[0]
    assert (column.kind, column.strays, column.missing) == ("numeric", (stray,), 1)
    again = TableSchema.from_json(schema.to_json())
    assert again == schema
    alone = again.encode(table_of("one", {"x": [stray], "y": ["3"]}))
    assert alone.numbers[0, 2:].tolist() == [1.0, 0.0]
    target = Target.from_json(learn_target(table, "y").to_json())
    assert (target.kind, target.rows) == ("squared", 399)
    with pytest.raises(
        DataError, match="one:1: column 'x' must hold numbers; got 'old'"
    ):
        again.encode(table_of("one", {"x": ["old"], "y": ["3"]}))
    few = again.encode(table_of("few", {"x": [*numbers[:9], "old"], "y": [1] * 10}))
    assert len(few.remarks) == 1
    later = again.encode(table_of("new.csv", {"x": [*numbers, "old"], "y": [1] * 400}))
    assert later.remarks == (
        "new.csv:400: column x holds 'old' among numbers: read as missing (1 of 400 "
        "rows)",
    )


def test_codes_and_too_many_texts_among_numbers_make_names() -> None:
    numbers = [str(i) for i in range(10_000, 10_399)]
    for values in ([*numbers, "02139"], [*numbers, *["unknown"] * 5], ["1", "x"] * 20):
        assert learn_reading(table_of("made", {"x": values}), "x").reads is None


def test_a_stray_among_zeros_and_ones_is_not_annotated() -> None:
    table = table_of("made", {"x": ["0", "1"] * 200 + ["unknown"]})
    target = learn_target(table, "x")
    assert (target.kind, target.values, target.rows) == ("binary", ("0", "1"), 400)
    assert target.encode(table_of("one", {"x": ["unknown"]}))[1].tolist() == [False]


@pytest.mark.parametrize(
    ("values", "reads", "numbers"),
    [
        (["1,5", "2,25", "10"], "comma", [1.5, 2.25, 10]),
        (["1.234,5", "12", "0,123"], "comma", [1234.5, 12, 0.123]),
        (["1,234", "12", "1,234,567.5"], "thousands", [1234, 12, 1234567.5]),
        (["1 234", "12", "1\u202f000\u202f000"], "thousands", [1234, 12, 1e6]),
        (["1'234", "-5", "7"], "thousands", [1234, -5, 7]),
        (["1.234", "12.5", "7"], "", [1.234, 12.5, 7]),
    ],
)
def test_a_column_is_written_in_one_notation_which_later_files_keep(
    values: list[str], reads: str, numbers: list[float]
) -> None:
    schema = TableSchema.infer(table_of("train", {"x": values}))
    assert schema.columns[0].reads == reads
    expected = TableSchema.infer(table_of("train", {"x": numbers})).columns[0]
    assert schema.columns[0].mean == pytest.approx(expected.mean)
    schema = TableSchema.from_json(schema.to_json())
    alone = [
        schema.encode(table_of("one", {"x": [value]})).numbers[0, 0] for value in values
    ]
    typed = schema.encode(table_of("one", {"x": numbers})).numbers[:, 0]
    np.testing.assert_allclose(alone, typed, rtol=1e-6)
    target = learn_target(table_of("train", {"x": values}), "x")
    assert (target.kind, target.reads) == ("squared", reads)
    assert target.mean == pytest.approx(expected.mean)


def test_a_point_between_thousands_is_one_where_training_had_decimal_commas() -> None:
    schema = TableSchema.infer(table_of("train", {"x": ["1.234,5", "900,25", "5.000"]}))
    later = schema.encode(table_of("new", {"x": ["1.234", "5.000"]})).numbers
    typed = schema.encode(table_of("new", {"x": [1234, 5000]})).numbers
    np.testing.assert_array_equal(later, typed)


def test_numbers_of_numpy_are_shown_as_numbers() -> None:
    target = learn_target(table_of("train", {"x": [0, 1]}), "x")
    with pytest.raises(DataError, match=r"must hold 0 or 1; got 2\.0$"):
        target.encode(table_of("new", {"x": [2]}))
    with pytest.raises(DataError, match=r"finite numbers; got inf$"):
        learn_target(table_of("new", {"x": [1.0, np.inf]}), "x", "squared")


def test_a_table_keeps_the_texts_by_which_a_run_knows_its_rows_again() -> None:
    columns = {
        "truth": ["True", "False"],
        "day": ["2024-01-01", "2024-01-02"],
        "gap": ["1", "<NA>"],
        "none": ["a", "None"],
        "comma": ["1,5", "2"],
    }
    table = table_of("rows", columns)
    assert {name: list(table.columns[name]) for name in columns} == columns
    versions = table_of("rows", {"x": ["1.1", "1.10"]}).columns["x"]
    assert versions.tolist() == [1.1, 1.1]
    fields = {"name": "x", "kind": "categorical", "categories": ["None", "a"]}
    text = json.dumps({"columns": [fields | {"rare": 0, "missing": 0}], "dropped": {}})
    old = TableSchema.from_json(text).encode(table_of("new", {"x": ["None", "a", ""]}))
    assert old.categories[:, 0].tolist() == [2, 3, 1]


def test_a_dash_alone_is_a_name_where_training_has_it_as_one() -> None:
    schema = TableSchema.infer(table_of("train", {"x": ["a", "-", "a", "7"]}))
    assert schema.columns[0].categories == ("a", "-", "7")
    for values, ids in (
        (["-"], [3]),
        (["7", "-", "?"], [4, 3, 1]),
        (["7", "?"], [4, 1]),
    ):
        found = schema.encode(table_of("new", {"x": values}))
        assert (found.categories[:, 0].tolist(), found.unseen) == (ids, {})


def test_unseen_names_are_counted_by_their_one_name() -> None:
    schema = TableSchema.infer(table_of("train", {"x": ["a", "b", "a"]}))
    later = table_of(
        "new", {"x": ["True", "a", "true", "2020-01-01", "2020-01-01 00:00"]}
    )
    assert schema.encode(later).unseen == {"x": Counter({"1": 2, "2020-01-01": 2})}


@pytest.mark.parametrize(
    ("value", "shown"),
    [([1, 2], "[1, 2]"), (["a"], "['a']"), ([0.5, 1], "[0.5, 1.0]"), ([], "[]")],
)
def test_a_list_where_one_value_must_be_is_shown_as_it_was_given(
    value: list[Any], shown: str
) -> None:
    columns = {"x": [1, 2, 3], "y": ["a", "b", "a"]}
    schema = TableSchema.infer(table_of("train", columns))
    for bad in columns:
        row = {"x": [1], "y": ["a"]} | {bad: [value]}
        with pytest.raises(DataError) as caught:
            schema.encode(table_of("new", row))
        assert str(caught.value).endswith(shown)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["x"], "holds 'x' among numbers"),
        (["x", "y"], "holds 'x' and 1 other text among"),
        (["x", "y", "z"], "holds 'x' and 2 other texts among"),
    ],
)
def test_texts_among_numbers_are_counted(texts: list[str], told: str) -> None:
    numbers = [*map(str, range(399))]
    schema = TableSchema.infer(table_of("train", {"x": numbers}))
    assert told in schema.encode(table_of("new", {"x": [*numbers, *texts]})).remarks[0]
