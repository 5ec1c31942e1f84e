"""Labels that are names with blanks, lists, or 0 and 1: what is read, what is asked."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

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


def test_numbers_in_lists_are_names_in_every_format(tmp_path: Path) -> None:
    lists = [[1, 2], [2], [0, 1]]
    lines = [json.dumps({"text": "x", "labels": labels}) for labels in lists]
    for path in (
        column(tmp_path, [str(labels) for labels in lists]),
        write(tmp_path / "d.jsonl", *lines),
    ):
        assert [d.labels for d in read_documents(path)] == [
            ("1", "2"),
            ("2",),
            ("0", "1"),
        ]
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


def test_a_data_frame_with_two_columns_of_one_name_is_refused() -> None:
    frame = pd.DataFrame([["x", "a", "b"]], columns=["text", "label", "label"])
    with pytest.raises(ValueError, match="distinct names; got 'label' twice"):
        lg.fit(frame)
