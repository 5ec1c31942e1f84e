"""Lists of ids, vectors, texts, and what no model reads, as inputs."""

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

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.columns import MISSING
from labelgraph_jax.data.tables.files import Table, read_table, table_of
from labelgraph_jax.data.tables.learn_targets import learn_target
from labelgraph_jax.data.tables.lists import parse_list
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.predictors.tables.inputs import as_table

COLUMNS: Mapping[str, list[Any]] = {
    "watched": [[7, 12], [12], [], None, [7, 12, 300], [12, 7]],
    "tags": [["a", "b"], ["b"], ["a"], [], None, ["b", "c"]],
    "vector": [[0.5, 1.0], [0.25, -1.0], None, [1.5, 2.0], [0.0, 0.0], [2.5, 7.0]],
    "review": [
        "a good film with a good end, and a long one",
        "A bad film; the end is bad, and far too long",
        "Good! this film is one that we would all see again",
        None,
        "the worst of all that were shown to us this year",
        "bad, bad, bad: nobody should have to see such a thing",
    ],
    "n": [1, 2, 3, 4, 5, 6],
}


def every_format(columns: Mapping[str, list[Any]], folder: Path) -> dict[str, Table]:
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    lines = "\n".join(map(json.dumps, rows))
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    pa.parquet.write_table(pa.table(dict(columns)), folder / "rows.parquet")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {n: json.dumps(v) if isinstance(v, list) else v for n, v in row.items()}
            )
    pd.DataFrame(rows).to_csv(folder / "pandas.csv", index=False)
    names = ("rows.jsonl", "rows.parquet", "rows.csv", "pandas.csv")
    arrays = {
        name: [np.array(v) if isinstance(v, list) and v else v for v in values]
        for name, values in columns.items()
    }
    return {
        **{name: read_table(folder / name) for name in names},
        "frame": as_table(pd.DataFrame(rows)),
        "arrays": as_table(pd.DataFrame(arrays)),
        "rows": as_table(rows),
    }


def test_lists_vectors_and_texts_are_inputs_the_same_in_every_format(
    tmp_path: Path,
) -> None:
    tables = every_format(COLUMNS, tmp_path)
    schemas = {name: TableSchema.infer(table) for name, table in tables.items()}
    first = schemas["rows"]
    kinds = {column.name: column.kind for column in first.columns}
    assert kinds == {
        "watched": "ids",
        "tags": "ids",
        "vector": "vector",
        "review": "text",
        "n": "numeric",
    }
    assert TableSchema.from_json(first.to_json()) == first
    expected = first.encode(tables["rows"])
    assert expected.categories.shape == (6, first.category_width)
    assert expected.numbers.shape == (6, first.number_width) == (6, 4)
    for name, table in tables.items():
        assert schemas[name] == first, name
        found = first.encode(table)
        np.testing.assert_array_equal(found.categories, expected.categories, name)
        np.testing.assert_array_equal(found.numbers, expected.numbers, name)
        alone = [first.encode(table.select([row])) for row in range(6)]
        np.testing.assert_array_equal(
            np.concatenate([one.numbers for one in alone]), expected.numbers, name
        )


def test_ids_are_places_and_an_empty_list_has_one_of_its_own() -> None:
    schema = TableSchema.infer(
        table_of("train", {"x": COLUMNS["watched"]}), min_count=2
    )
    (column,) = schema.columns
    assert (column.categories, column.length, column.rare) == (("12", "7"), 2, 1)
    rows = table_of("new", {"x": [[7], [300, 12], [], None, [9]]})
    found = schema.encode(rows)
    expected = [[3, 0], [2, 0], [MISSING, 0], [MISSING, 0], [0, 0]]
    assert found.categories.tolist() == expected
    assert found.unseen == {"x": Counter({"300": 1, "9": 1})}
    texts = table_of("new", {"x": ["[7]", '["300", "12"]', "[]", "", "[9]"]})
    assert schema.encode(texts).categories.tolist() == expected
    with pytest.raises(DataError, match=r"new:1: column 'x' must hold lists; got 7"):
        schema.encode(table_of("new", {"x": [7]}))


def test_long_lists_are_read_by_their_last_ids() -> None:
    train = [[i, i + 1] for i in range(100)] + [list(range(100))]
    schema = TableSchema.infer(table_of("train", {"x": train}))
    (column,) = schema.columns
    assert column.length == 64
    ids = schema.encode(table_of("new", {"x": [list(range(100))]})).categories[0]
    assert [column.categories[i - 2] for i in ids] == [str(i) for i in range(36, 100)]


def test_vectors_are_centred_clipped_and_told_when_they_are_missing() -> None:
    schema = TableSchema.infer(table_of("train", {"x": COLUMNS["vector"]}))
    (column,) = schema.columns
    known = np.array([v for v in COLUMNS["vector"] if v])
    np.testing.assert_allclose(column.means, known.mean(axis=0))
    found = schema.encode(table_of("new", {"x": [[0.95, 1e9], None, [1, 2]]})).numbers
    assert column.high == pytest.approx(7.8)
    np.testing.assert_allclose(found[0, 1], (7.8 - 1.8) / column.scale, rtol=1e-5)
    np.testing.assert_array_equal(found[:, 2], [0, 1, 0])
    np.testing.assert_array_equal(found[1, :2], [0, 0])
    with pytest.raises(DataError, match="new:1: column 'x' must hold lists of 2 num"):
        schema.encode(table_of("new", {"x": [[1.0, 2.0, 3.0]]}))
    whole = table_of("train", {"x": [[1, 0], [0, 1], [1, 1]]})
    assert TableSchema.infer(whole).columns[0].kind == "ids"
    forced = TableSchema.infer(whole, numeric=["x"])
    assert (forced.columns[0].kind, forced.number_width) == ("vector", 2)


def test_lists_that_teach_nothing_are_left_out_with_the_reason() -> None:
    schema = TableSchema.infer(
        table_of(
            "train",
            {
                "same": [["x"]] * 4,
                "own": [[1], [2], [3], [4]],
                "ragged": [[0.5], [0.5, 1.5], [], [2.5]],
                "n": [1, 2, 3, 4],
            },
        )
    )
    assert schema.dropped == {
        "same": "lists",
        "own": "lists",
        "ragged": "lists of 0 to 2 numbers: not all are of one length",
    }


def test_what_no_model_reads_is_left_out_and_stops_nothing(tmp_path: Path) -> None:
    columns = {
        "struct": [{"a": 1}, {"a": 2}, None],
        "bytes": [b"x", b"y", None],
        "nested": [[[1]], [[2]], None],
        "mixed": [1, "x", {"y": 1}],
        "complex": [1j, 2j, 3j],
        "n": [1, 2, 3],
    }
    table = table_of("made", columns)
    schema = TableSchema.infer(table)
    assert [column.name for column in schema.columns] == ["n"]
    assert schema.dropped["bytes"] == (
        "holds no numbers, texts or lists of texts; got b'x'"
    )
    assert list(table.drop(["struct"]).columns) == list(columns)[1:]
    with pytest.raises(DataError, match=r"made:1: column 'struct' must hold numbers"):
        learn_target(table, "struct")
    with pytest.raises(DataError, match="made:1: column 'bytes' must hold numbers"):
        TableSchema.infer(table, categorical=["bytes"])
    path = tmp_path / "x.parquet"
    kept = {n: columns[n] for n in ("struct", "bytes", "nested", "n")}
    span = pa.array([datetime.timedelta(1), None, datetime.timedelta(2)])
    pa.parquet.write_table(pa.table(kept | {"span": span}), path)
    read = read_table(path)
    assert set(read.unreadable) == {"struct", "bytes", "nested"}
    np.testing.assert_array_equal(read.columns["span"], [86_400, np.nan, 172_800])
    np.testing.assert_array_equal(
        schema.encode(read).numbers, schema.encode(table).numbers
    )


def test_short_texts_of_their_own_are_read_by_their_words() -> None:
    titles = [f"the {colour} film {i}" for i in range(30) for colour in ("red", "blue")]
    schema = TableSchema.infer(table_of("train", {"title": titles}))
    (column,) = schema.columns
    assert column.kind == "text"
    assert {"red", "blue", "the", "film"} <= set(column.categories)
    keys = [f"k{i}" for i in range(60)]
    dropped = TableSchema.infer(
        table_of("train", {"key": keys, "title": titles})
    ).dropped
    assert dropped == {"key": "a value of its own in nearly every row"}


def test_columns_that_have_changed_their_kind_are_refused_with_the_line() -> None:
    schema = TableSchema.infer(table_of("train", COLUMNS))
    new = {name: [values[0]] for name, values in COLUMNS.items()}
    for name, value, must in (
        ("review", ["a", "list"], "texts"),
        ("watched", "7 and 12", "lists"),
        ("tags", 3, "lists"),
        ("vector", 0.5, "lists of 2 numbers"),
        ("vector", ["a", "b"], "lists of 2 numbers"),
        ("n", [1.5], "numbers"),
        ("n", {"a": 1}, "numbers, texts or lists"),
    ):
        with pytest.raises(DataError) as caught:
            schema.encode(table_of("new", new | {name: [value]}))
        assert f"new:1: column {name!r} must hold {must}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_lists_of_whole_numbers_and_lists_in_a_csv_are_labels_too() -> None:
    for values in ([[7, 12], [], [7], None], ["[7, 12]", "[]", "[7]", ""]):
        target = learn_target(table_of("made", {"x": [*values[:3], None]}), "x")
        assert (target.kind, target.values) == ("multi_label", ("12", "7"))
        found, known, _ = target.encode(table_of("made", {"x": [*values[:3], None]}))
        assert found.tolist() == [[1, 1], [0, 0], [0, 1], [0, 0]]
        assert known.tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[1, 2]", ("1", "2")),
        ("[]", ()),
        ("[1. 0.5]", (1.0, 0.5)),
        ("[-0.5, 1e-3]", (-0.5, 0.001)),
        ("[12345678901234567890]", ("12345678901234567890",)),
        ("['a', \"b c\"]", ("a", "b c")),
        ("[a", None),
        ("a|b", None),
        ("(1, 2)", None),
    ],
)
def test_a_written_list_is_a_list(text: str, items: tuple[Any, ...] | None) -> None:
    assert parse_list(text) == items


def spelled(rows: list[list[Any]], form: str, folder: Path) -> Table:
    """Lists of texts as a format has them."""
    path = folder / f"spelled.{form}"
    if form == "delimited":
        path = path.with_suffix(".csv")
        lines = ["x,n", *(f"{'|'.join(row)},{i}" for i, row in enumerate(rows))]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif form in ("json", "python"):
        with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            write = json.dumps if form == "json" else str
            csv.writer(file).writerows([["x"], *([write(row)] for row in rows)])
        path = path.with_suffix(".csv")
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps({"x": row}) for row in rows), "utf-8")
    elif form == "parquet":
        pa.parquet.write_table(pa.table({"x": rows}), path)
    else:
        return as_table([{"x": row} for row in rows])
    return read_table(path)


@pytest.mark.parametrize(
    "names",
    [
        ("1.1", "1.10", "2"),
        ("1", "1.0", "1e5", "100000"),
        ("1", "true", "True", "TRUE"),
        ("2024-05-01", "2024-05-01 00:00", "2024-05-01T00:00:00Z"),
        ("007", "7", "+7"),
    ],
)
@pytest.mark.parametrize("trained", ["delimited", "jsonl", "json", "parquet"])
def test_texts_in_lists_keep_their_spelling_in_every_format(
    names: tuple[str, ...], trained: str, tmp_path: Path
) -> None:
    rows = [[name, names[i - 1]] for i, name in enumerate(names)] * 3
    rows += [[name] for name in names]
    target = learn_target(spelled(rows, trained, tmp_path), "x", "multi_label")
    assert set(target.values) == set(names)
    target = type(target).from_json(target.to_json())
    forms = "jsonl", "json", "python", "parquet", "rows"
    # Without a delimiter in training, a text with one is one label.
    for form in (*forms, *(["delimited"] if trained == "delimited" else [])):
        found, known, unseen = target.encode(spelled(rows, form, tmp_path))
        assert known.all() and not unseen, form
        assert [
            {target.values[i] for i in np.flatnonzero(row)} for row in found
        ] == list(map(set, rows)), form
        if form == "delimited":
            continue
        schema = TableSchema.infer(spelled(rows, form, tmp_path))
        schema = TableSchema.from_json(schema.to_json())
        assert set(schema.columns[0].categories) == set(names), form


def test_lone_labels_in_a_column_of_numbers_keep_their_spelling(tmp_path: Path) -> None:
    train = spelled([["1.1", "2"], ["1.10"], ["1.1"]] * 3, "delimited", tmp_path)
    target = learn_target(train, "x", "multi_label")
    later = spelled([["1.10"], ["1.1"], ["2"]], "delimited", tmp_path)
    assert later.columns["x"].dtype == float
    found = target.encode(later)[0]
    assert [target.values[i] for i in found.argmax(1)] == ["1.10", "1.1", "2"]
    assert learn_target(later, "x", "multi_label").values == ("1.1", "1.10", "2")
    whole = table_of("frame", {"x": [1.0, 2.0, None]})
    assert learn_target(whole, "x", "multi_label").values == ("1", "2")


def test_truths_and_numbers_in_lists_have_one_name_in_every_format() -> None:
    for values in ([[True, False], [True]], ["[true, false]", "[True]"]):
        target = learn_target(table_of("x", {"x": values}), "x", "multi_label")
        assert target.values == ("0", "1")
    for values in ([[1.0, 2.5], [1.0]], ["[1.0, 2.5]", "[1.]"]):
        target = learn_target(table_of("x", {"x": values}), "x", "multi_label")
        assert target.values == ("1", "2.5")


def test_lists_of_what_earlier_versions_trained_are_read_as_they_were() -> None:
    fields = {"name": "x", "kind": "ids", "categories": ["1.1"], "length": 2}
    text = json.dumps({"columns": [fields | {"rare": 0, "missing": 0}], "dropped": {}})
    table = table_of("new", {"x": [["1.10"], ["1.1"]]})
    assert TableSchema.from_json(text).encode(table).categories[:, 0].tolist() == [2, 2]
    values = {"name": "x", "kind": "multi_label", "values": ["1.1"], "rows": 2}
    target = type(learn_target(table, "x")).from_json(values | {"prior": [0.5]})
    assert target.encode(table)[0][:, 0].tolist() == [1.0, 1.0]
