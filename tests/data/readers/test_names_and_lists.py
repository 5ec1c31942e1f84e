"""Labels that are names with blanks, lists, or 0 and 1: what is read, what is asked."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import labelgraph_jax as lg
from labelgraph_jax.config import DataConfig, ReadingConfig
from labelgraph_jax.data.documents import Corpus, DataError
from labelgraph_jax.data.readers.row_documents import read_frame
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.runs.corpus import read_corpus

NAMES = (
    "very positive/positive/neutral/negative/very negative",
    "mostly true/half true/true/mostly false/false",
    "left/center left/center/center right/right",
    "toxic/severe toxic/obscene/severe obscene",
    "new york/york/new jersey/jersey",
    "deep learning/machine learning/deep sea/sea machine",
    "food good/food bad/service good/service bad/price good/price bad/good/bad",
    "head of state/state/head",
    "New York/Paris/Los Angeles/San Diego/San Jose",
)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def column(folder: Path, cells: list[str], name: str = "labels") -> Path:
    rows = [f'text {i} words,"{cell}"' for i, cell in enumerate(cells)]
    return write(folder / "d.csv", f"text,{name}", *rows)


def corpus(path: Path) -> Corpus:
    return read_corpus(DataConfig(data=str(path)), split=False)


@pytest.mark.parametrize("names", NAMES)
def test_names_of_several_words_are_asked_about(tmp_path: Path, names: str) -> None:
    cells = names.split("/") * 12
    for path in (
        column(tmp_path, cells),
        write(tmp_path / "d.tsv", *(f"{c}\ttext {i} w" for i, c in enumerate(cells))),
    ):
        with pytest.raises(DataError, match=r"say which with label_delimiter: .none."):
            read_documents(path)
    one = read_documents(column(tmp_path, cells, "label"))
    assert {label for d in one for label in d.labels} == set(names.split("/"))


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize(
    "names", ["a b c", "corn oil ship gas", "crude_oil gas", "10 11 12"]
)
def test_labels_between_blanks_are_found_where_they_combine(
    tmp_path: Path, names: str, shuffled: bool
) -> None:
    draw, labels = random.Random(0), names.split()
    some = [
        list(found)
        for n in range(1, len(labels) + 1)
        for found in itertools.combinations(labels, n)
    ] * 5
    for found in some if shuffled else ():
        draw.shuffle(found)
    read = read_documents(column(tmp_path, [" ".join(found) for found in some]))
    assert [list(d.labels) for d in read] == some


@pytest.mark.parametrize("form", ["[{}]", "{}", "({})"])
@pytest.mark.parametrize("mark", [", ", ",", " ", ";"])
@pytest.mark.parametrize("bits", ["01", ("0.", "1.")])
def test_a_0_or_1_for_each_label_is_no_list_of_names(
    tmp_path: Path, form: str, mark: str, bits: tuple[str, str]
) -> None:
    rows = [(1, 0, 1), (0, 0, 1), (1, 1, 0)]
    cells = [form.format(mark.join(bits[bit] for bit in row)) for row in rows]
    with pytest.raises(DataError, match=r"d.csv:2: .* 0 or 1 for each of 3 labels"):
        read_documents(column(tmp_path, cells))


def test_numbers_in_lists_are_names_but_in_json(tmp_path: Path) -> None:
    lists = [[1, 2], [2], [0, 1]]
    read = read_documents(column(tmp_path, [str(labels) for labels in lists]))
    assert [d.labels for d in read] == [("1", "2"), ("2",), ("0", "1")]
    frame = {"text": ["x"] * 3, "labels": lists}
    assert read_frame(frame, ReadingConfig())[1] == [list(d.labels) for d in read]
    lines = [json.dumps({"text": "x", "labels": labels}) for labels in lists]
    with pytest.raises(DataError, match="must be a list of strings; it holds 1"):
        read_documents(write(tmp_path / "d.jsonl", *lines))
    bits = [json.dumps({"text": "x", "labels": v}) for v in ([1, 0], [0, 1])]
    with pytest.raises(DataError, match=r"d.jsonl:1: .* a 0 or 1 for each of 2"):
        read_documents(write(tmp_path / "d.jsonl", *bits))


def test_objects_on_one_line_are_numbered_and_nothing_follows_them(
    tmp_path: Path,
) -> None:
    content = '[{"text": "a", "labels": ["x"]}, {"text": "b", "labels": []}]'
    read = read_documents(write(tmp_path / "d.json", content))
    assert [d.id for d in read] == ["line-1", "line-2"]
    for more in (content, "garbage", "{}"):
        with pytest.raises(DataError, match=r":2: must be one array .* after it"):
            read_documents(write(tmp_path / "d.json", content, more))


@pytest.mark.parametrize("kind", [np.array, tuple, set, frozenset])
def test_lists_of_any_kind_in_a_data_frame_are_lists(kind: Any) -> None:
    cells = [kind(["a", "b"]), kind(["c"])]
    _, labels = read_frame({"text": ["x", "y"], "labels": cells}, ReadingConfig())
    assert [sorted(found) for found in labels] == [["a", "b"], ["c"]]


def test_whole_numbers_of_a_data_frame_are_named_alike() -> None:
    for cells in ([0.0, 1.0], [0, 1], ["0", "1"]):
        _, labels = read_frame({"text": ["x", "y"], "label": cells}, ReadingConfig())
        assert labels == [["0"], ["1"]]


@pytest.mark.parametrize("names", [("label", "label"), (1, "1")])
def test_a_data_frame_with_two_columns_of_one_name_is_refused(
    names: tuple[Any, Any],
) -> None:
    frame = pd.DataFrame([["x", "a", "b"]], columns=["text", *names])
    with pytest.raises(ValueError, match=f"distinct names; got '{names[0]}' twice"):
        lg.fit(frame)


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["{a}", "{b}"], [("a",), ("b",)]),
        (["(a)", "(b c)"], [("a",), ("b c",)]),
        (["{a}", "{a,b}"], [("a",), ("a", "b")]),
        (["['a', nan]", "[None]"], [("a",), ()]),
        (["['nan']", "['a']"], [("nan",), ("a",)]),
    ],
)
def test_lists_of_one_and_what_stands_for_nothing_in_them(
    tmp_path: Path, cells: list[str], labels: list[tuple[str, ...]]
) -> None:
    assert [d.labels for d in read_documents(column(tmp_path, cells))] == labels


@pytest.mark.parametrize("cell", ["nan", "NA", "NaN", "<NA>"])
def test_a_field_that_says_nothing_is_asked_about(tmp_path: Path, cell: str) -> None:
    path = column(tmp_path, ["a", cell, "b"])
    with pytest.raises(DataError, match=rf"d.csv:3: '{cell}' may be a label, or say"):
        read_documents(path)
    read = read_documents(path, label_delimiter="none")
    assert [d.labels for d in read] == [("a",), (cell,), ("b",)]


def test_null_of_an_object_of_labels_is_not_annotated(tmp_path: Path) -> None:
    lines = ['{"text": "x", "cats": {"a": null, "b": 1}}']
    (read,) = read_documents(write(tmp_path / "d.jsonl", *lines))
    assert (read.labels, read.unannotated) == (("b",), ("a",))


@pytest.mark.parametrize("name", ["sentiment", "label", "kind"])
def test_class_names_are_read_whatever_their_column_is_called(
    tmp_path: Path, name: str
) -> None:
    feature = {"_type": "ClassLabel", "names": ["neg", "pos"]}
    said = json.dumps({"info": {"features": {name: feature}}})
    table = pa.table({"text": ["x", "y"], name: [0, 1], "index": [0, 1]})
    path = tmp_path / "d.parquet"
    parquet.write_table(table.replace_schema_metadata({"huggingface": said}), path)
    assert [d.labels for d in read_documents(path)] == [("neg",), ("pos",)]


def test_fasttext_with_a_tab_is_fasttext(tmp_path: Path) -> None:
    path = write(tmp_path / "d.tsv", "__label__a\tone two", "__label__b\tthree")
    assert [(d.labels, d.text) for d in read_documents(path)] == [
        (("a",), "one two"),
        (("b",), "three"),
    ]


@pytest.mark.parametrize("header", ["polarity\tsnippet", '"kind"\t"body"'])
def test_a_header_over_short_texts_is_seen(tmp_path: Path, header: str) -> None:
    lines = [f"{'ab'[i % 2]}\tword {i}" for i in range(20)]
    with pytest.raises(DataError, match="looks like a header"):
        read_documents(write(tmp_path / "d.tsv", header, *lines))


def test_a_quoted_header_of_a_tsv_is_read(tmp_path: Path) -> None:
    lines = ['"text"\t"labels"', '"one, two"\t"a"', '"three"\t"b"']
    read = read_documents(write(tmp_path / "d.tsv", *lines))
    assert [(d.text, d.labels) for d in read] == [
        ("one, two", ("a",)),
        ("three", ("b",)),
    ]


def test_nothing_in_one_of_several_columns_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "text,label_1,label_2", "x,NA,b", "y,a,")
    with pytest.raises(DataError, match=r"d.csv:2: 'NA' may be a label"):
        read_documents(path)
    assert read_documents(path, label_delimiter="none")[0].labels == ("NA", "b")
    path = write(tmp_path / "d.jsonl", '{"text": "x", "label": "NA"}')
    assert read_documents(path)[0].labels == ("NA",)
