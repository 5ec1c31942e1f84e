"""Reading documents: every format, and what each mistake is told."""

import gzip
import io
import json
import lzma
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.readers import texts as readers
from labelgraph_jax.data.readers.texts import read_documents, read_texts

LINES = (
    '{"id": "a", "text": "wheat and corn", "labels": ["wheat", "corn"]}',
    '{"id": "b", "text": "gold", "labels": []}',
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def contents(documents: list[Document]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(d.id, d.text, d.labels) for d in documents]


EXPECTED = [("a", "wheat and corn", ("wheat", "corn")), ("b", "gold", ())]


def test_jsonl_gives_id_text_labels_and_source(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", "\n".join(LINES))
    documents = read_documents(path)
    assert contents(documents) == EXPECTED
    assert documents[1].source == f"{path}:2"


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(LINES) + "\n\n  \n",
        "\r\n".join(LINES) + "\r\n",
        "\ufeff" + "\n".join(LINES),
    ],
    ids=["blank lines at the end", "CRLF", "byte order mark"],
)
def test_jsonl_tolerates(tmp_path: Path, content: str) -> None:
    assert contents(read_documents(write(tmp_path / "d.jsonl", content))) == EXPECTED


def test_a_line_separator_character_ends_no_line(tmp_path: Path) -> None:
    line = json.dumps({"text": "a\u2028b\x85c", "labels": []}, ensure_ascii=False)
    path = write(tmp_path / "d.jsonl", line)
    assert read_documents(path)[0].text == "a\u2028b\x85c"


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip), (".xz", lzma)])
def test_compressed_files_read_the_same(
    tmp_path: Path, suffix: str, pack: types.ModuleType
) -> None:
    packed = pack.compress("\n".join(LINES).encode())
    path = write(tmp_path / f"d.jsonl{suffix}", packed)
    assert contents(read_documents(path)) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        "a\twheat corn\twheat and corn\nb\t\tgold\n",
        "id\tlabels\ttext\na\twheat corn\twheat and corn\nb\t\tgold\n",
    ],
    ids=["without header", "with header"],
)
def test_tsv_with_ids(tmp_path: Path, text: str) -> None:
    assert contents(read_documents(write(tmp_path / "d.tsv", text))) == EXPECTED


def test_tsv_without_ids_counts_lines_and_leaves_quotes_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "d.tsv", 'wheat\t"quoted\ngold corn\ttwo "" more\n')
    assert contents(read_documents(path)) == [
        ("line-1", '"quoted', ("wheat",)),
        ("line-2", 'two "" more', ("gold", "corn")),
    ]


def test_tsv_takes_another_label_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path / "d.tsv", "crude oil; gas\ttext\n")
    labels = read_documents(path, label_delimiter=";")[0].labels
    assert labels == ("crude oil", "gas")


@pytest.mark.parametrize("mark", ["|", ";", ","])
def test_csv_finds_what_stands_between_labels(tmp_path: Path, mark: str) -> None:
    rows = f'id,text,labels\na,"one, two","crude oil{mark} gas"\nb,three,gold\n'
    documents = read_documents(write(tmp_path / "d.csv", rows))
    assert [d.labels for d in documents] == [("crude oil", "gas"), ("gold",)]
    assert documents[0].text == "one, two"


def test_csv_labels_without_other_delimiter_stand_between_spaces(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "d.csv", "text,labels\none,a b\ntwo,a\n")
    assert [d.labels for d in read_documents(path)] == [("a", "b"), ("a",)]


def test_csv_with_two_possible_delimiters_asks_which(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", 'text,labels\none,a|b\ntwo,"a, b"\n')
    with pytest.raises(DataError, match=r"d\.csv:3: labels stand between '\|' or ','"):
        read_documents(path)
    documents = read_documents(path, label_delimiter="|")
    assert [d.labels for d in documents] == [("a", "b"), ("a, b",)]


def test_csv_reads_a_zero_one_column_per_label(tmp_path: Path) -> None:
    path = write(
        tmp_path / "d.csv",
        "id,comment_text,toxic,severe toxic\n7,one,0,1\n8,two,0,0\n9,three,1.0,true\n",
    )
    assert contents(read_documents(path)) == [
        ("7", "one", ("severe toxic",)),
        ("8", "two", ()),
        ("9", "three", ("toxic", "severe toxic")),
    ]


def test_csv_reads_the_named_columns_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "body,year,x,y\none,1999,0,1\n")
    documents = read_documents(path, text_column="body", label_columns=["x", "y"])
    assert contents(documents) == [("line-2", "one", ("y",))]


def test_csv_fields_hold_line_breaks_and_may_be_huge(tmp_path: Path) -> None:
    huge = "word " * 100_000
    path = write(tmp_path / "d.csv", f'text,labels\n"one\r\ntwo\n\n",a\n{huge},b\n')
    documents = read_documents(path)
    assert [d.text for d in documents] == ["one\ntwo\n\n", huge]
    assert [d.id for d in documents] == ["line-2", "line-6"]


def test_csv_with_semicolons_is_understood(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "id;text;labels\n1;one, two;a|b\n")
    assert contents(read_documents(path)) == [("1", "one, two", ("a", "b"))]


def test_parquet_reads_lists_and_zero_one_columns(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    listed = {"id": ["a", "b"], "text": ["wheat and corn", "gold"]}
    table = pyarrow.table(listed | {"labels": [["wheat", "corn"], []]})
    parquet.write_table(table, tmp_path / "l.parquet")
    assert contents(read_documents(tmp_path / "l.parquet")) == EXPECTED
    table = pyarrow.table(listed | {"wheat": [1, 0], "corn": [True, False]})
    parquet.write_table(table, tmp_path / "f.parquet")
    packed = gzip.compress((tmp_path / "f.parquet").read_bytes())
    path = write(tmp_path / "f.parquet.gz", packed)
    assert contents(read_documents(path)) == EXPECTED


def test_parquet_rows_are_named_in_errors(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": ["one", None], "labels": [["a"], ["b"]]})
    parquet.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r'd\.parquet:2: "text" must be a string; got'):
        read_documents(tmp_path / "d.parquet")
    path = write(tmp_path / "no.parquet", "text")
    with pytest.raises(DataError, match=r"no\.parquet: must be an intact parquet"):
        read_documents(path)


def test_a_task_is_chosen_and_unannotated_documents_are_left_out(
    tmp_path: Path,
) -> None:
    path = write(
        tmp_path / "d.jsonl",
        '{"text": "one", "tasks": {"topics": ["gold"], "places": null}}\n'
        '{"text": "two", "tasks": {"topics": [], "places": ["uk", "usa"]}}\n',
    )
    assert contents(read_documents(path, task="places")) == [
        ("line-2", "two", ("uk", "usa"))
    ]
    assert [d.labels for d in read_documents(path, task="topics")] == [("gold",), ()]
    with pytest.raises(DataError, match="no task 'people'; the tasks are: topics, pl"):
        read_documents(path, task="people")
    with pytest.raises(DataError, match=r":1: must have \"labels\", or one of its tas"):
        read_documents(path)
    both = read_documents(path, require_labels=False)
    assert both[0].tasks == {"topics": ("gold",), "places": None}


def test_a_label_given_twice_is_kept_once(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", '{"text": "one", "labels": ["b", "a", "b"]}')
    assert read_documents(path)[0].labels == ("b", "a")


def test_labels_may_be_missing_where_none_are_required(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", '{"text": "one"}\n{"text": "b", "labels": null}')
    with pytest.raises(DataError, match=r':1: must have "labels", a list of strings'):
        read_documents(path)
    documents = read_documents(path, require_labels=False)
    assert [d.labels for d in documents] == [(), ()]


GOOD = '{"id": "a", "text": "one", "labels": ["x"]}\n'
BAD_JSON = {
    "malformed": ("{'text': 1}", "must be one JSON object; Expecting property name"),
    "cut off": (
        '{"text": "on',
        "must be one JSON object; Unterminated string starting at column 10",
    ),
    "an array": ("[]", r"must be one JSON object; got \[\]"),
    "not a number": ('{"text": NaN}', "must be one JSON object; NaN is no JSON value"),
    "nested": ("[" * 200_000, "must be one JSON object; nested too deep"),
    "number": ('{"text": 1' + "0" * 9999 + "}", "must be one JSON object; Exceeds"),
    "blank line": ("\n" + GOOD, "must be one JSON object; got a blank line"),
    "no text": ('{"labels": []}', 'must have "text"; the keys are: labels'),
    "null text": ('{"text": null, "labels": []}', '"text" must be a string; got None'),
    "text a number": ('{"text": 3, "labels": []}', '"text" must be a string; got 3'),
    "empty text": ('{"text": "", "labels": []}', "\"text\" must not be empty; got ''"),
    "blank text": (
        '{"text": " \\n", "labels": []}',
        r"\"text\" must not be empty; got ' \\n'",
    ),
    "surrogate": (
        '{"text": "a\\ud800", "labels": []}',
        '"text" must be valid Unicode; character 2 is half of a surrogate pair',
    ),
    "labels a string": (
        '{"text": "t", "labels": "x"}',
        "\"labels\" must be a list of strings; got 'x'",
    ),
    "label a number": (
        '{"text": "t", "labels": ["x", 3]}',
        '"labels" must be a list of strings; it holds 3',
    ),
    "empty label": (
        '{"text": "t", "labels": [""]}',
        "a label must not be empty; got ''",
    ),
    "label with spaces around": (
        '{"text": "t", "labels": [" x"]}',
        "a label must have no spaces around it; got ' x'",
    ),
    "label with a tab": (
        '{"text": "t", "labels": ["x\\ty"]}',
        "a label must have no tab or line break in it",
    ),
    "tasks a list": (
        '{"text": "t", "labels": [], "tasks": ["x"]}',
        r"\"tasks\" must be an object of label lists; got \['x'\]",
    ),
    "task a string": (
        '{"text": "t", "labels": [], "tasks": {"p": "x"}}',
        "\"tasks.p\" must be a list of strings; got 'x'",
    ),
    "id a list": (
        '{"id": [], "text": "t", "labels": []}',
        r'"id" must be a non-empty string or an integer; got \[\]',
    ),
    "id true": (
        '{"id": true, "text": "t", "labels": []}',
        '"id" must be a non-empty string or an integer; got True',
    ),
    "id twice": (GOOD, "ids must differ; line 1 has 'a' too"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_jsonl_is_told_in_one_line_with_its_place(
    tmp_path: Path, case: str
) -> None:
    line, message = BAD_JSON[case]
    path = write(tmp_path / "d.jsonl", GOOD + line)
    with pytest.raises(DataError, match=rf"d\.jsonl:2: {message}") as caught:
        read_documents(path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 250 + len(str(path))


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("d.jsonl", b"", r"d\.jsonl: must hold at least one document; got none"),
    "blank": ("d.jsonl", b" \n\n", "must hold at least one document; got none"),
    "empty tsv": ("d.tsv", b"", "must hold at least one document; the file is empty"),
    "empty csv": ("d.csv", b"", "must hold a header and documents; the file is empty"),
    "header alone": ("d.csv", b"text,labels\n", "must hold at least one document"),
    "latin-1": (
        "d.tsv",
        "x\tone\nx\tcafé\n".encode("latin-1"),
        r"d\.tsv:2: must be UTF-8 text; byte 6 of the line is 0xe9",
    ),
    "cut gz": (
        "d.jsonl.gz",
        gzip.compress(GOOD.encode())[:-12],
        r"d\.jsonl\.gz:1: the compressed file ends too early",
    ),
    "no gz": ("d.jsonl.gz", GOOD.encode(), "compressed data must be intact; Not a gz"),
    "cut xz": (
        "d.jsonl.xz",
        lzma.compress(GOOD.encode())[:-12],
        r"d\.jsonl\.xz:\d: the compressed file ends too early",
    ),
    "no xz": ("d.jsonl.xz", GOOD.encode(), "the compressed data must be intact; Input"),
    "suffix": (
        "d.docx",
        b"",
        r"name must end in one of \.jsonl, \.ndjson, \.json, \.tsv, \.csv, \.parquet, "
        r"\.svm, \.libsvm, \.txt, \.ft \(perhaps with \.gz, \.bz2, \.xz or \.zip after "
        r"it\), or say --format; got '\.docx'",
    ),
    "no suffix": ("data", b"", "must end in one of .*; got 'no suffix'"),
    "tsv with one field": (
        "d.tsv",
        b"only text\n",
        r"d\.tsv:1: must have 2 or 3 fields between tabs: \[id,\] labels, text; got 1 "
        r"\(.*need JSONL\)",
    ),
    "tsv with too many": ("d.tsv", b"x\ty\tz\tt\n", "must have 2 or 3 fields .* got 4"),
    "tsv with a tab in a text": (
        "d.tsv",
        b"x\tone\nx\ttwo\tthree\n",
        r"d\.tsv:2: must have 2 fields, as line 1 has; got 3 \(.*need JSONL\)",
    ),
    "tsv with an empty text": (
        "d.tsv",
        b"x\tone\nx\t\n",
        r"d\.tsv:2: \"text\" must not be empty",
    ),
    "tsv with an id twice": (
        "d.tsv",
        b"1\tx\tone\n1\tx\ttwo\n",
        r"d\.tsv:2: ids must differ; line 1 has '1' too",
    ),
    "csv without text": (
        "d.csv",
        b"body,labels\none,x\n",
        "must have a column called text .*; the columns are: body, labels",
    ),
    "csv without labels": (
        "d.csv",
        b"id,text\n1,one\n",
        "must have a column called labels or a 0/1 column per label; .* are: id, text",
    ),
    "csv of mixed columns": (
        "d.csv",
        b"text,x,year\none,1,1999\n",
        r"d\.csv:2: column 'year' must hold 0 or 1; got '1999' \(name the label columns"
        r" with label_columns\)",
    ),
    "csv with a short row": (
        "d.csv",
        b"text,labels\none,x\ntwo\n",
        r"d\.csv:3: must have 2 fields, as the header has; got 1 field",
    ),
    "csv with a blank line": (
        "d.csv",
        b"text,labels\n\none,x\n",
        r"d\.csv:2: must have 2 fields, as the header has; got a blank line",
    ),
    "csv with a column twice": (
        "d.csv",
        b"text,x,x\n",
        r"d\.csv:1: column names must be distinct and not empty; got 'x'",
    ),
    "csv with an open quote": (
        "d.csv",
        b'text,labels\none,x\n"two,x\n',
        r"d\.csv:3: must be valid CSV; unexpected end of data",
    ),
    "csv with a list in some fields": (
        "d.csv",
        b"text,labels\none,\"['x', 'y']\"\ntwo,z\n",
        r"d\.csv:2: labels in a column must stand between delimiters, as a\|b; got",
    ),
    "csv with an object in a field": (
        "d.csv",
        b"text,labels\none,\"{'x': 1, 'y': 0}\"\n",
        r"d\.csv:2: labels in a column must stand between delimiters, as a\|b; got",
    ),
    "csv with nothing between delimiters": (
        "d.csv",
        b"text,labels\none,x||y\n",
        r"d\.csv:2: a label must stand on either side of each '\|'; got 'x\|\|y'",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, case: str) -> None:
    name, content, message = BAD_FILES[case]
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_documents(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"d\.jsonl: no such file"):
        read_documents(tmp_path / "d.jsonl")
    (tmp_path / "f.jsonl").mkdir()
    with pytest.raises(DataError, match=r"f\.jsonl: must be a file; it is a folder"):
        read_documents(tmp_path / "f.jsonl")


def test_an_unknown_column_or_format_lists_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "text,labels\none,x\n")
    with pytest.raises(DataError, match="no text column 'body'; the columns are: text"):
        read_documents(path, text_column="body")
    with pytest.raises(DataError, match="no label column 'y'; the columns are: text, "):
        read_documents(path, label_columns=["y"])
    with pytest.raises(
        DataError, match="must be one of jsonl, json, tsv, csv, parquet, svm, fasttext"
    ):
        read_documents(path, format="pickle")


def test_read_texts_passes_over_labels(tmp_path: Path) -> None:
    files = {
        "d.jsonl": '{"id": "line-1", "text": "one", "labels": 3}\n',
        "a.tsv": "one\n",
        "b.tsv": "x y\tone\n",
        "d.csv": "\ufeffid,text,year\nline-1,one,1999\n",
        "d.txt": "one\n",
    }
    for name, content in files.items():
        assert contents(read_texts(write(tmp_path / name, content))) == [
            ("line-1", "one", ())
        ]


def test_read_texts_reads_streams_and_standard_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = [("line-1", "one", ()), ("line-2", "zwei ü", ())]
    content = "one\r\nzwei ü\n"
    assert contents(read_texts(io.StringIO(content, newline=""))) == expected
    assert contents(read_texts(io.BytesIO(content.encode()))) == expected
    stdin = io.TextIOWrapper(io.BytesIO(content.encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stdin)
    assert contents(read_texts("-")) == expected
    with pytest.raises(
        DataError, match="stream: a stream must be jsonl, tsv, csv, svm or "
    ):
        read_texts(io.BytesIO(b""), format="parquet")
    blank = read_texts(io.StringIO("one\n\nthree\n"))
    assert [text for _, text, _ in contents(blank)] == ["one", "", "three"]
    documents = read_texts(io.StringIO('{"text": "one", "id": 3}'), format="jsonl")
    assert contents(documents) == [("3", "one", ())]


def test_the_reader_imports_nothing_that_executes_data() -> None:
    folder = Path(readers.__file__).parent
    for name in ("texts", "columns", "fields", "lines"):
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        assert not re.search(r"\b(pickle|eval|exec|literal_eval|yaml)\b", source)


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_reading_parquet_leaves_no_thread_that_frees_memory_at_the_end(
    tmp_path: Path,
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"text": ["a"], "labels": [["x"]]}), path)
    code = (
        "import os, sys, pyarrow.parquet\n"
        "from labelgraph_jax.data.readers.texts import read_documents\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        f"assert len(read_documents({str(path)!r})) == 1\n"
        "assert len(os.listdir('/proc/self/task')) == before\n"
        "assert 'pyarrow.dataset' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
