"""Files -> columns of numbers, texts and lists."""

import datetime
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import Table, read_table, table_of
from labelgraph_jax.data.tables.values import category_name, parse_number


def write(folder: Path, text: str, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_has_number_columns_and_text_columns(tmp_path: Path) -> None:
    text = "age,job,zip\n31, clerk ,00501\n,NA,\n4.5e1,?,10001\n"
    table = read_table(write(tmp_path, text))
    assert len(table) == 3
    np.testing.assert_array_equal(table.columns["age"], [31.0, np.nan, 45.0])
    assert table.columns["job"].tolist() == ["clerk", None, "?"]
    assert table.columns["zip"].tolist() == ["00501", "", "10001"]
    assert table.where(2).endswith("rows.csv:4")


def test_question_marks_among_numbers_are_missing(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "power\n130\n?\nnone\n-\n.\n"))
    np.testing.assert_array_equal(table.columns["power"], [130] + [np.nan] * 4)


def test_all_formats_give_the_same_table(tmp_path: Path) -> None:
    values = {"n": [1.0, None, 3.5], "word": ["a", "b c", None]}
    csv_text = "n,word\n1,a\n,b c\n3.5,\n"
    written = [
        write(tmp_path, csv_text),
        write(tmp_path, csv_text.replace(",", ";"), "semicolons.csv"),
        write(tmp_path, csv_text.replace(",", "\t"), "rows.tsv"),
        write(
            tmp_path,
            '{"n": 1, "word": "a"}\n{"word": "b c"}\n{"n": 3.5, "word": null}\n',
            "rows.jsonl",
        ),
        tmp_path / "rows.parquet",
        tmp_path / "rows.csv.gz",
    ]
    pa.parquet.write_table(pa.table(values), written[4])
    written[5].write_bytes(gzip.compress(csv_text.encode()))
    for path in written:
        table = read_table(path)
        np.testing.assert_array_equal(table.columns["n"], [1.0, np.nan, 3.5], str(path))
        words = [word or None for word in table.columns["word"]]
        assert words == ["a", "b c", None], path


def test_parquet_and_jsonl_know_truth_time_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    day = datetime.date(1970, 1, 2)
    columns = {
        "seen": [True, False, None],
        "day": [day, None, day],
        "tags": [["b", "a", "b"], [], None],
    }
    pa.parquet.write_table(pa.table(columns), path)
    table = read_table(path)
    np.testing.assert_array_equal(table.columns["seen"], [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(table.columns["day"], [86400.0, np.nan, 86400.0])
    assert table.columns["tags"].tolist() == [("b", "a"), (), None]
    lines = [json.dumps({"tags": tags, "ok": True}) for tags in (["x"], None)]
    table = read_table(write(tmp_path, "\n".join(lines), "rows.jsonl"))
    assert table.columns["tags"].tolist() == [("x",), None]


def test_numbers_among_texts_are_texts() -> None:
    table = table_of("made", {"floor": [1, 2.5, "attic", True, None]})
    assert table.columns["floor"].tolist() == ["1", "2.5", "attic", "1", None]


def test_ids_beyond_what_a_float_can_tell_apart_stay_texts() -> None:
    ids = [2**53 + 1, 2**53 + 2]
    assert table_of("made", {"id": ids}).columns["id"].tolist() == [*map(str, ids)]


def test_rows_can_be_selected_and_columns_dropped() -> None:
    table = table_of("made", {"a": [1, 2, 3], "b": ["x", "y", "z"]})
    part = table.select(np.array([False, True, True]))
    assert part.columns["b"].tolist() == ["y", "z"]
    assert part.where(0) == "made:2"
    assert table.select([2, 0]).columns["a"].tolist() == [3.0, 1.0]
    assert list(table.drop(["a"]).columns) == ["b"]
    with pytest.raises(DataError, match=r"made: no column 'c'; the columns are: a, b"):
        table.drop(["c"])
    with pytest.raises(DataError, match="at least one column"):
        table.drop(["a", "b"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "a.csv: must hold a header"),
        ("a.csv", "x,y\n", "a.csv: must hold at least one row; got none"),
        ("a.csv", "x,y\n1,2\n3\n", "a.csv:3: must have 2 fields, as the header has"),
        ("a.csv", "x,x\n1,2\n", "a.csv:1: column names must be distinct"),
        ("a.jsonl", '{"x": 1}\n[1]\n', "a.jsonl:2: must be one JSON object; got"),
        ("a.jsonl", '{"x": NaN}\n', "a.jsonl:1: must be one JSON object; NaN is no"),
        (
            "a.jsonl",
            '{"x": 1}\n{"x": {"y": 2}}\n',
            "a.jsonl:2: column 'x' must hold numbers, texts or lists of texts",
        ),
        (
            "a.jsonl",
            '{"x": ["p"]}\n{"x": [1]}\n',
            "a.jsonl:2: column 'x' must hold lists of texts; got",
        ),
        (
            "a.jsonl",
            '{"x": ["p"]}\n{"x": [["q"]]}\n',
            "a.jsonl:2: column 'x' must hold numbers, texts or lists of texts",
        ),
        (
            "a.docx",
            "x",
            "must end in one of .jsonl, .ndjson, .json, .tsv, .csv, .parquet",
        ),
        ("a.parquet", "x", "a.parquet: must be an intact parquet file"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path, text, name))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="made: columns must be of one length"):
        table_of("made", {"a": [1], "b": [1, 2]})
    with pytest.raises(DataError, match="made: columns must be of one length"):
        Table("made", {"a": np.zeros(1), "b": np.zeros(2)})


@settings(deadline=None)
@given(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53))
def test_every_number_is_read_as_it_was_written(number: float) -> None:
    assert parse_number(str(number)) == number


@pytest.mark.parametrize(
    "text", ["007", "1_000", "0x1", "1,5", "", "e5", ".", "nan", "٣", "1 2", "9" * 17]
)
def test_codes_are_no_numbers(text: str) -> None:
    assert parse_number(text) is None


def test_a_category_has_one_name_however_it_is_written() -> None:
    assert {category_name(v) for v in (3, 3.0, "3", "3.0", " 3")} == {"3"}
    assert category_name("2.50") == category_name(2.5) == "2.5"
    assert category_name("007") == "007"
    assert category_name("inf") == "inf"
