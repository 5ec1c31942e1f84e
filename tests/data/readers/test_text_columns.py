"""Texts of several columns are one, with a blank line between them."""

import json
from pathlib import Path

import pandas as pd
import pytest

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.data.readers.row_documents import read_frame
from labelgraph_jax.data.readers.texts import read_documents, read_files, read_texts

ROWS = [("Wheat", "Exports rose."), ("", "Oil fell."), ("Gold", "")]
TEXTS = ["Wheat\n\nExports rose.", "Oil fell.", "Gold"]
BOTH = ReadingConfig(text_column="title,body")


def write(folder: Path, suffix: str) -> Path:
    path = folder / f"d.{suffix}"
    mark = "\t" if suffix == "tsv" else ","
    lines = [mark.join(["id", "title", "body", "labels"])]
    lines += [mark.join([f"d{i}", *row, "a|b"]) for i, row in enumerate(ROWS)]
    if suffix == "jsonl":
        keys = ("title", "body")
        rows = [{k: v or None for k, v in zip(keys, r, strict=True)} for r in ROWS]
        lines = [json.dumps({**row, "labels": ["a", "b"]}) for row in rows]
    if suffix == "parquet":
        columns = {"title": [a for a, _ in ROWS], "body": [b for _, b in ROWS]}
        pd.DataFrame(columns | {"labels": [["a", "b"]] * 3}).to_parquet(path)
        return path
    path.write_text("\n".join(lines) + "\n")
    return path


def texts(documents: list[Document]) -> list[str]:
    return [document.text for document in documents]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_columns_are_joined_and_the_layout_keeps_them(
    suffix: str, tmp_path: Path
) -> None:
    path = write(tmp_path, suffix)
    documents, layout = read_files([path], BOTH)
    assert texts(documents) == TEXTS
    assert {d.labels for d in documents} == {("a", "b")}
    assert layout.text_column == "title,body" and not layout.passed_over
    assert "text from 'title', 'body'" in layout.describe("d", "x", ())[0]
    kept = Layout.from_json(layout.to_json())
    assert texts(read_texts(path, layout=kept)) == TEXTS
    later, _ = read_files([path], ReadingConfig(), layout=kept)
    assert texts(later) == TEXTS


def test_a_column_whose_name_has_a_comma_is_one(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('"title,body",labels\none,a\n')
    assert texts(read_documents(path, text_column="title,body")) == ["one"]


def test_numbered_columns_are_joined_too(tmp_path: Path) -> None:
    path = tmp_path / "d.tsv"
    path.write_text("Wheat\ta\tExports rose.\nOil\tb\tIt fell.\n")
    documents = read_documents(path, text_column="1,3", label_columns=["2"])
    assert texts(documents) == ["Wheat\n\nExports rose.", "Oil\n\nIt fell."]


def test_a_data_frame_may_have_several(tmp_path: Path) -> None:
    columns = {
        "title": ["Wheat", float("nan")],
        "body": ["Rose.", "Fell."],
        "labels": ["a"] * 2,
    }
    assert read_frame(columns, BOTH) == (["Wheat\n\nRose.", "Fell."], [["a"], ["a"]])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "csv")
    with pytest.raises(DataError, match="no text column 'bdy'; the nearest is 'body'"):
        read_documents(path, text_column="title,bdy")
    path.write_text("title,labels\none,a\n")
    kept = Layout(text_column="title,body", label_columns=("labels",))
    with pytest.raises(DataError, match="no text column 'body'"):
        read_texts(path, layout=kept)
    path = tmp_path / "d.jsonl"
    path.write_text('{"title": "one", "labels": ["a"]}\n{"labels": ["b"]}\n')
    with pytest.raises(DataError, match=r':2: must have "title,body"; the keys are: l'):
        read_documents(path, text_column="title,body")
    path.write_text('{"title": "one", "body": 3, "labels": ["a"]}\n')
    with pytest.raises(DataError, match='"title,body" must be a string; got 3'):
        read_documents(path, text_column="title,body")
    path.write_text('{"title": " ", "body": null, "labels": ["a"]}\n')
    with pytest.raises(DataError, match='"title,body" must not be empty'):
        read_documents(path, text_column="title, body".replace(" ", ""))
