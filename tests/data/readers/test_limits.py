"""Files that unpack to far more than they are, and lines that never end."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.config import ConfigError, ReadingConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.limits import within
from labelgraph_jax.data.readers.lines import read_lines
from labelgraph_jax.data.readers.texts import read_files, read_text_batches, read_texts
from labelgraph_jax.predictors.tables.data import read_own

FEW = ReadingConfig(max_line=1, max_unpacked=2)
MORE = ReadingConfig(max_line=8, max_unpacked=64)
ROW = json.dumps({"text": "wheat and maize", "labels": ["grain"]}) + "\n"


def packed(path: Path, content: bytes) -> Path:
    """A file with this content, packed as its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, content)
        return path
    pack: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".bz2": bz2.compress,
    }
    path.write_bytes(pack[path.suffix](content))
    return path


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zip"])
def test_a_packed_file_of_many_lines_is_read_as_far_as_the_limit(
    suffix: str, tmp_path: Path
) -> None:
    file = packed(tmp_path / f"many.jsonl{suffix}", ROW.encode() * 5_000)
    assert file.stat().st_size < 5_000
    with pytest.raises(DataError) as refused:
        read_files([file], FEW)
    assert str(refused.value) == (
        f"{file}: must unpack to at most 2 MiB, with 500 bytes for each line beside "
        "its own; a larger --max-unpacked reads it"
    )
    documents, _ = read_files([file], MORE)
    assert len(documents) == 5_000


@pytest.mark.parametrize("name", ["one.jsonl", "one.csv", "one.tsv", "one.txt"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("encoding", ["", "utf-16"])
def test_a_line_that_is_too_long_is_named(
    name: str, suffix: str, encoding: str, tmp_path: Path
) -> None:
    first = {"one.csv": "text,labels\n", "one.jsonl": ROW}.get(name, "a\tb\n")
    long = first + "x" * (3 * 2**19)
    file = tmp_path / f"{name}{suffix}"
    content = long.encode(encoding or "utf-8")
    if suffix:
        packed(file, content)
    else:
        file.write_bytes(content)
    options = ReadingConfig(max_line=1, max_unpacked=64, encoding=encoding)
    with pytest.raises(DataError, match=r"a larger --max-line reads it$") as refused:
        read_texts(file, options=options)
    assert "a line must have at most 1 MiB" in str(refused.value)


def test_a_line_of_standard_input_is_limited_too(tmp_path: Path) -> None:
    stream = io.BufferedReader(io.BytesIO(b"short\n" + b"x" * (3 * 2**19)))
    with pytest.raises(DataError, match=":2: a line must have at most 1 MiB"):
        list(read_text_batches(stream, options=FEW))


def test_an_array_of_json_may_be_one_line(tmp_path: Path) -> None:
    rows = [
        {"text": f"wheat {i} " + "x" * 1_000, "labels": ["a"]} for i in range(1_500)
    ]
    plain = tmp_path / "array.json"
    plain.write_text(json.dumps(rows), encoding="utf-8")
    assert plain.stat().st_size > 2**20
    documents, _ = read_files([plain], FEW)
    assert len(documents) == 1_500
    file = packed(tmp_path / "blank.json.gz", b"[" + b" " * (3 * 2**20))
    with pytest.raises(DataError, match="must unpack to at most 2 MiB"):
        read_files([file], FEW)


def repeated(texts: int, size: int) -> dict[str, Any]:
    """Columns in which one long text stands again and again."""
    import pyarrow

    index = pyarrow.array([0] * texts, pyarrow.int32())
    words = pyarrow.DictionaryArray.from_arrays(index, ["x" * size])
    return {"text": words, "labels": ["a"] * texts}


def lists(rows: int, items: int, item: str | None) -> dict[str, Any]:
    """A column of long lists, of texts or of nothing."""
    import pyarrow

    ends = pyarrow.array(range(0, rows * items + 1, items), pyarrow.int32())
    index = pyarrow.array([None if item is None else 0] * rows * items, pyarrow.int32())
    held = index
    if item is not None:
        held = pyarrow.DictionaryArray.from_arrays(index, [item])
    return {"text": ["a"] * rows, "labels": pyarrow.ListArray.from_arrays(ends, held)}


@pytest.mark.parametrize(
    "columns",
    [
        lambda: repeated(300, 10_000),
        lambda: lists(10, 30_000, None),
        lambda: lists(10, 100, "b" * 3_000),
        lambda: {"text": ["a"] * 40_000, "labels": ["b"] * 40_000},
    ],
    ids=["one text again", "lists of nothing", "lists of one text", "many rows"],
)
def test_a_parquet_file_is_unpacked_as_far_as_the_limit(
    columns: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    import pyarrow
    import pyarrow.parquet

    file = tmp_path / "rows.parquet"
    table = pyarrow.table(columns())
    pyarrow.parquet.write_table(table, file, compression="zstd", store_schema=False)
    assert file.stat().st_size < 50_000
    with pytest.raises(DataError, match="must unpack to at most 2 MiB"):
        read_texts(file, options=FEW)
    with pytest.raises(DataError, match="must unpack to at most 2 MiB"):
        read_own(str(file), FEW)


def test_a_parquet_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    from labelgraph_jax.data.readers.parquet import parquet_columns

    columns = {
        "text": ["a", None, "b", "a"],
        "labels": [["x", "y"], [], None, ["x", None]],
        "deep": [[["p"], None], [], None, [[], ["q"]]],
        "kind": pyarrow.array(["k", "l", None, "k"]).dictionary_encode(),
        "number": [1, 2, None, 4],
        "bytes": [b"1", b"2", None, b""],
        "object": [{"a": "x"}, {"a": None}, None, {"a": "y"}],
    }
    table = pyarrow.table(columns)
    for options in ({}, {"row_group_size": 2}, {"use_dictionary": False}):
        path = tmp_path / "rows.parquet"
        pyarrow.parquet.write_table(table, path, **options)
        names, values, _ = parquet_columns(path)
        assert names == tuple(columns)
        assert values == [column.to_pylist() for column in table.columns]


def test_files_without_such_an_option_are_limited_and_name_none(tmp_path: Path) -> None:
    file = tmp_path / "taxonomy.tsv"
    file.write_bytes(b"x" * (65 * 2**20))
    with pytest.raises(DataError, match=r"at most 64 MiB$"):
        list(read_lines(file))
    with within(MORE), pytest.raises(DataError, match="a larger --max-line reads it"):
        list(read_lines(file))


@pytest.mark.parametrize("option", ["max_line", "max_unpacked"])
def test_limits_lie_between_a_mebibyte_and_a_tebibyte(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=rf"data.{option} must lie in 1\.\."):
        ReadingConfig(**{option: 0})
    file = tmp_path / "a.jsonl"
    file.write_text(ROW)
    typed = f"--{option.replace('_', '-')}"
    assert run(["data", "stats", str(file), typed, "0"]) == 2
    assert f"{typed} must lie in 1..1048576 MiB, got 0" in capsys.readouterr().err
    assert run(["data", "stats", str(file), typed, "9" * 30]) == 2
    assert f"{typed} must lie in 1..1048576 MiB" in capsys.readouterr().err


def test_every_verb_that_reads_files_can_raise_the_limits(
    tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = packed(tmp_path / "many.jsonl.gz", ROW.encode() * 5_000)
    few = ["--max-unpacked", "2"]
    for verb in (
        ["data", "stats", str(file)],
        ["data", "validate", str(file)],
        ["graph", str(file)],
        ["predict", str(trained), str(file), "--output", str(tmp_path / "p.jsonl")],
        ["evaluate", str(trained), "--data", str(file)],
        ["report", str(trained), "--data", str(file), "--out", str(tmp_path / "r")],
        ["train", str(file), "--workdir", str(tmp_path / "w")],
    ):
        assert run([*verb, *few]) == 2, verb
        said = capsys.readouterr().err.splitlines()[-1]
        assert "a larger --max-unpacked reads it" in said, verb
    assert [path.name for path in tmp_path.iterdir()] == ["many.jsonl.gz"]


@pytest.mark.parametrize("encoding", ["rot13", "hex", "zlib", "no-such", "base64"])
def test_what_is_no_encoding_of_text_is_refused(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(ROW)
    with pytest.raises(DataError, match="--encoding must be one that Python knows"):
        read_texts(file, options=ReadingConfig(encoding=encoding))
