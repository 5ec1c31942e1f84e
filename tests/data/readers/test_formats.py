"""Formats that other tools write, and several files as one."""

import bz2
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.config import DataConfig, ReadingConfig
from labelgraph_jax.data.documents import Corpus, DataError
from labelgraph_jax.data.readers.texts import read_documents, read_files, read_texts
from labelgraph_jax.data.tables.files import read_table
from labelgraph_jax.runs.corpus import read_corpus

CSV = "text,labels\none,a|b\ntwo,a\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def labels(path: Path, **options: Any) -> list[tuple[str, ...]]:
    return [d.labels for d in read_documents(path, **options)]


def folder(path: Path | str, **options: Any) -> Corpus:
    return read_corpus(DataConfig(data=str(path), **options), split=False)


def objects(*values: Any) -> str:
    return "\n".join(map(json.dumps, values))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"text": "x", "label": "a b"}, {"text": "y", "label": "c"}], ["a b", "c"]),
        ([{"doc_token": ["x", "y"], "doc_label": ["A--B"], "doc_topic": []}], ["A--B"]),
        ([{"token": ["x", "y"], "label": ["A", "B"]}], ["A", "B"]),
        ([{"text": "x", "cats": {"A": 1.0, "B": 0.0}}], ["A"]),
        (
            [
                {"text": "x", "accept": ["A"], "answer": "accept"},
                {"text": "y", "accept": [], "answer": "ignore"},
            ],
            ["A"],
        ),
    ],
    ids=["label", "NeuralClassifier", "HiAGM", "spaCy", "Prodigy"],
)
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_keys_of_other_tools_are_known(
    tmp_path: Path, content: list[Any], expected: list[str], suffix: str
) -> None:
    text = objects(*content) if suffix == "jsonl" else json.dumps(content, indent=1)
    documents = read_documents(write(tmp_path / f"d.{suffix}", text))
    assert [name for d in documents for name in d.labels] == expected
    assert documents[0].text in ("x", "x y")


def test_a_category_that_an_object_lacks_is_not_annotated(tmp_path: Path) -> None:
    rows = {"text": "x", "cats": {"A": 1, "B": 0}}, {"text": "y", "cats": {"A": False}}
    documents = read_documents(write(tmp_path / "d.jsonl", objects(*rows)))
    assert [(d.labels, d.unannotated) for d in documents] == [
        (("A",), ()),
        ((), ("B",)),
    ]
    path = write(tmp_path / "d.jsonl", objects({"text": "x", "cats": {"A": 0.7}}))
    with pytest.raises(DataError, match=r":1: column 'A' must hold 0 or 1; got 0\.7"):
        read_documents(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[{"text": "x", "labels": []},\n{"text": "y", "labels": [}]',
            r":2: .* column",
        ),
        ('[{"text": "x", "labels": []},\n3]', r":2: must be one JSON object; got 3"),
        ('{\n"text": {"0": "x"}}', r"an object a line; it is one object over several"),
        ("[]", r"must hold at least one document"),
    ],
)
def test_a_wrong_array_is_told_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_documents(write(tmp_path / "d.json", text))


def test_fasttext_files_are_known_by_their_prefix(tmp_path: Path) -> None:
    text = "__label__a __label__b some text\n__label__c other\n"
    for name, format in (("d.txt", None), ("d.ft", None), ("d.any", "fasttext")):
        path = write(tmp_path / name, text)
        assert labels(path, format=format) == [("a", "b"), ("c",)]
    assert [d.text for d in read_texts(tmp_path / "d.txt")] == ["some text", "other"]


def test_the_index_that_pandas_writes_is_passed_over(tmp_path: Path) -> None:
    assert labels(write(tmp_path / "d.csv", ",text,a,b\n0,x,1,0\n1,y,0,1\n")) == [
        ("a",),
        ("b",),
    ]
    path = write(tmp_path / "e.csv", "Unnamed: 0,text,labels\n0,x,a\n")
    assert labels(path) == [("a",)]
    assert list(read_table(write(tmp_path / "t.csv", ",x,y\n0,1,2\n")).columns) == [
        "x",
        "y",
    ]


def test_several_columns_may_hold_a_name_each(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "text,label_1,label_2\nx,a,b\ny,a,\n")
    assert labels(path) == [("a", "b"), ("a",)]
    path = write(tmp_path / "d.csv", "text,topic,place\nx,a,b\ny,a,\n")
    assert labels(path, label_columns=["topic", "place"]) == [("a", "b"), ("a",)]
    with pytest.raises(DataError, match="column 'topic' must hold 0 or 1; got 'a'"):
        read_documents(path)


def test_packed_files_are_read(tmp_path: Path) -> None:
    assert labels(write(tmp_path / "d.csv.bz2", bz2.compress(CSV.encode()))) == [
        ("a", "b"),
        ("a",),
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train.csv", CSV)
        archive.writestr("__MACOSX/._train.csv", "x")
    for name in ("d.csv.zip", "d.zip"):
        assert labels(write(tmp_path / name, packed.getvalue()))[0] == ("a", "b")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("test.csv", CSV)
    with pytest.raises(
        DataError, match=r"must hold one file; it holds train\.csv, tes"
    ):
        read_documents(write(tmp_path / "d.zip", packed.getvalue()))
    with pytest.raises(DataError, match=r"must be an intact \.zip"):
        read_documents(write(tmp_path / "d.csv.zip", b"x"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "d.csv", "text,labels\r\ncafé,é\r\n".encode(encoding))
    asked = encoding if encoding == "cp1252" else None
    documents = read_documents(path, encoding=asked)
    assert (documents[0].text, documents[0].labels) == ("café", ("é",))
    with pytest.raises(DataError, match="must be one that Python knows"):
        read_documents(write(tmp_path / "d.csv", CSV), encoding="cp99999")


def test_a_file_of_windows_is_told_the_option(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "text,labels\ncafé,a\n".encode("cp1252"))
    with pytest.raises(DataError, match=r":2: .* read with --encoding cp1252"):
        read_documents(path)


def test_columns_may_stand_between_other_characters(tmp_path: Path) -> None:
    for mark in (";", "\t", "|"):
        text = f"id{mark}text{mark}labels\n1{mark}one, two{mark}a\n"
        assert labels(write(tmp_path / "d.csv", text)) == [("a",)]
    path = write(tmp_path / "d.csv", "text~labels\none, two~a\n")
    assert labels(path, column_delimiter="~") == [("a",)]
    with pytest.raises(DataError, match="column_delimiter must be one character"):
        read_documents(path, column_delimiter="~l")


def test_class_names_of_hugging_face_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = {"names": ["neg", "very good"], "_type": "ClassLabel"}
    for feature, column, expected in (
        (names, [1, 0], [("very good",), ("neg",)]),
        ({"feature": names, "_type": "List"}, [[0, 1], []], [("neg", "very good"), ()]),
        ([names], [[1], [0]], [("very good",), ("neg",)]),
    ):
        table = pyarrow.table({"text": ["x", "y"], "labels": column})
        about = json.dumps({"info": {"features": {"labels": feature}}})
        table = table.replace_schema_metadata({"huggingface": about})
        parquet.write_table(table, tmp_path / "d.parquet")
        assert labels(tmp_path / "d.parquet") == expected
    table = table.set_column(1, "labels", [[[7], [0]]])
    parquet.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r":1: a class must be a number below 2"):
        read_documents(tmp_path / "d.parquet")


def test_structs_in_parquet_are_labels_with_0_and_1(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = [{"a": 1, "b": 0}, {"a": 0, "b": None}]
    table = pyarrow.table({"text": ["x", "y"], "labels": column})
    parquet.write_table(table, tmp_path / "d.parquet")
    documents = read_documents(tmp_path / "d.parquet")
    assert [(d.labels, d.unannotated) for d in documents] == [
        (("a",), ()),
        ((), ("b",)),
    ]


def test_shards_are_one_file(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"train-{number}.csv", CSV.replace("one", f"one {number}"))
    write(tmp_path / "test-0.csv", CSV)
    read = folder(tmp_path / "train-*.csv", test=str(tmp_path / "test-*.csv"))
    assert (len(read.train), len(read.test)) == (6, 2)
    assert len({d.id for d in read.train}) == 6
    read = folder(tmp_path)
    assert (len(read.train), len(read.validation), len(read.test)) == (6, 0, 2)
    with pytest.raises(DataError, match="no file has such a name"):
        folder(tmp_path / "absent-*.csv")


def test_a_folder_holds_splits_by_name(tmp_path: Path) -> None:
    for name in ("train.csv", "dev.csv", "test.csv"):
        write(tmp_path / "data" / name, CSV)
    read = folder(tmp_path)
    assert [len(split) for split in read.splits.values()] == [2, 2, 2]


def test_a_folder_holds_texts_by_class(tmp_path: Path) -> None:
    for path, text in (
        ("train/grain/1.txt", "wheat rose"),
        ("train/corn/1.txt", "corn fell"),
        ("train/corn/2.txt", "both"),
        ("train/grain/2.txt", "both"),
        ("test/corn/3.txt", "corn again"),
    ):
        write(tmp_path / path, text)
    read = folder(tmp_path)
    assert sorted((d.text, d.labels) for d in read.train) == [
        ("both", ("corn", "grain")),
        ("corn fell", ("corn",)),
        ("wheat rose", ("grain",)),
    ]
    assert [d.id for d in read.test] == ["corn/3.txt"]


def test_what_save_to_disk_leaves_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")

    table = pyarrow.table({"text": ["x", "y"], "labels": [["a"], ["b", "a"]]})
    for split in ("train", "test"):
        place = tmp_path / split
        place.mkdir()
        with (
            pyarrow.OSFile(str(place / "data-0.arrow"), "wb") as file,
            pyarrow.ipc.new_stream(file, table.schema) as writer,
        ):
            writer.write_table(table)
        write(place / "state.json", '{"_data_files": [{"filename": "data-0.arrow"}]}')
    write(tmp_path / "dataset_dict.json", '{"splits": ["train", "test"]}')
    read = folder(tmp_path)
    assert [d.labels for d in read.test] == [("a",), ("b", "a")]
    write(tmp_path / "test" / "data-0.arrow", b"x")
    with pytest.raises(DataError, match="must be what save_to_disk of datasets leaves"):
        folder(tmp_path)


def test_a_name_of_the_hub_needs_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"hf:x/y: .* pip install datasets"):
        folder("hf:x/y")


def test_a_data_set_of_the_hub_is_read_with_its_splits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import types

    table = pyarrow.table({"text": ["x"], "labels": [["a"]]})
    part = types.SimpleNamespace(data=types.SimpleNamespace(table=table))

    def load_dataset(name: str, config: str | None) -> dict[str, Any]:
        assert (name, config) == ("x/y", "z")
        return {"train": part, "test": part}

    loader = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", loader)
    read = folder("hf:x/y:z")
    assert (len(read.train), len(read.test)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", "text,labels\nx,a\n"),
        ("d.tsv", "a\tx\n"),
        ("d.jsonl", '{"text": "x", "labels": ["a"]}'),
        ("d.json", '[{"text": "x", "labels": ["a"]}]'),
        ("d.txt", "__label__a x\n"),
        ("d.ft", "__label__a x\n"),
    ],
)
@pytest.mark.parametrize("before", ["\n", " \r\n\n", "\ufeff\n"])
def test_blank_lines_at_the_beginning_are_passed_over(
    tmp_path: Path, name: str, content: str, before: str
) -> None:
    path = tmp_path / name
    path.write_bytes((before + content).encode())
    (document,) = read_documents(path)
    assert (document.text, document.labels) == ("x", ("a",))
    assert document.source.startswith(f"{path}:")


@pytest.mark.parametrize("name", ["d.jsonl", "d.tsv", "d.csv", "d.ft"])
def test_where_no_row_can_be_read_each_is_told_and_nothing_else(
    tmp_path: Path, name: str
) -> None:
    header = {"d.csv": "text,labels\n", "d.tsv": "a\ttext one\n"}.get(name, "")
    bad = {"d.jsonl": "{}", "d.ft": "__label__a"}.get(name, "one field")
    path = tmp_path / name
    path.write_text(header + f"{bad}\n" * 5, encoding="utf-8")
    told: list[DataError] = []
    read_files([path], ReadingConfig(), complain=told.append)
    assert [str(error).split(": ")[0] for error in told] == [
        f"{path}:{n}" for n in range(1 + bool(header), 6 + bool(header))
    ]
