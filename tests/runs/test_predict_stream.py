"""`labelgraph predict` on texts as they come: blank ones, long ones, a slow writer."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.lines import arriving
from labelgraph_jax.data.readers.texts import read_text_batches
from tests.tiny import write_jsonl

ROOT = Path(__file__).parents[2]


def predicted(
    trained: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[list[dict[str, Any]], str]:
    assert run(["predict", str(trained), *arguments]) == 0
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def from_stdin(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(content.encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)


@pytest.mark.parametrize("blank", ["", "   ", "\t"])
@pytest.mark.parametrize("where", ["file", "stdin", "jsonl", "csv", "jsonl line"])
def test_a_blank_text_gets_what_the_empty_text_gets_and_a_remark(
    where: str,
    blank: str,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments: list[str] = []
    if where == "file":
        arguments = [str(tmp_path / "t.txt")]
        Path(arguments[0]).write_text(f"maize\n{blank}\nbarrel\n")
    elif where == "stdin":
        from_stdin(monkeypatch, f"maize\n{blank}\nbarrel\n")
    elif where == "csv":
        arguments = [str(tmp_path / "t.csv")]
        Path(arguments[0]).write_text(f'id,text\nx,maize\ny,"{blank}"\nz,barrel\n')
    else:
        rows = [{"text": text} for text in ("maize", blank, "barrel")]
        path = write_jsonl(tmp_path / "t.jsonl", rows)
        if where == "jsonl line":
            first, _, last = path.read_text().splitlines()
            path.write_text(f"{first}\n{blank}\n{last}\n")
        arguments = [str(path)]
    rows, err = predicted(trained, capsys, *arguments)
    assert len(rows) == 3
    assert [row["labels"] for row in rows] == load(trained).predict(
        ["maize", "", "barrel"]
    )
    *read, remark = err.splitlines()
    assert remark == f"labelgraph: 1 of 3 texts is empty: {rows[1]['id']}"
    assert len(read) == (where in ("csv", "jsonl", "jsonl line"))  # how it was read
    if arguments:
        assert predicted(trained, capsys, "--quiet", *arguments) == (rows, "")


def test_a_line_out_for_a_line_in_also_where_the_last_lines_are_blank(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from_stdin(monkeypatch, "\nmaize\n\n\n")
    rows, err = predicted(trained, capsys)
    assert [row["id"] for row in rows] == ["line-1", "line-2", "line-3", "line-4"]
    assert "3 of 4 texts are empty: line-1, line-3, line-4" in err


def test_many_lines_give_the_labels_that_they_give_from_a_file(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["maize", "silo harvest", "crude barrel", "port", "flour bread", ""]
    content = "".join(f"{words[i % 6]} {i}\n" for i in range(150))
    (tmp_path / "t.txt").write_text(content)
    from_file, _ = predicted(trained, capsys, str(tmp_path / "t.txt"))
    from_stdin(monkeypatch, content)
    rows, _ = predicted(trained, capsys)
    assert [r["id"] for r in rows] == [f"line-{n}" for n in range(1, 151)]
    assert [r["labels"] for r in rows] == [r["labels"] for r in from_file]
    as_json = "".join(json.dumps({"text": t}) + "\n" for t in content.splitlines())
    from_stdin(monkeypatch, as_json)
    again, _ = predicted(trained, capsys, "--format", "jsonl")
    assert [r["labels"] for r in again] == [r["labels"] for r in from_file]


def test_long_texts_are_told_once_with_their_number_and_the_option(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    length = load(trained).config.text.max_length
    long = "maize " * (length + 1)
    from_stdin(monkeypatch, f"{long}\nmaize\n{long}\n")
    _, err = predicted(trained, capsys)
    assert err.count("\n") == 1
    assert f"2 of 3 texts are longer than the {length} words" in err
    assert "--text.max-length" in err and "--text.long-documents" in err


@pytest.mark.process
def test_a_line_is_answered_before_the_next_one_is_written(trained: Path) -> None:
    command = [sys.executable, "-m", "labelgraph_jax", "predict", str(trained)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        killer = threading.Timer(120, process.kill)
        killer.start()
        for number, text in enumerate(("maize", "", "crude barrel"), 1):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            row = json.loads(process.stdout.readline())
            assert row["id"] == f"line-{number}"
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait() == 0
        killer.cancel()


def test_what_is_wrong_in_a_line_is_told_after_the_lines_before_it() -> None:
    lines = b'{"text": "a"}\n{"text": "b"}\n{"text": 3}\n'
    with pytest.raises(DataError, match=r'stream:3: "text" must be a string; got 3'):
        options = ReadingConfig(format="jsonl")
        list(read_text_batches(io.BytesIO(lines), options=options, most=2))
    with pytest.raises(DataError, match="must hold at least one document; got none"):
        list(read_text_batches(io.BytesIO(b""), options=ReadingConfig()))


def test_lines_arrive_in_order_and_no_more_than_asked_for_at_once() -> None:
    lines = [(n, str(n)) for n in range(100)]
    batches = list(arriving(iter(lines), 7))
    assert [line for batch in batches for line in batch] == lines
    assert max(map(len, batches)) <= 7 and min(map(len, batches)) >= 1

    def failing() -> Iterator[tuple[int, str]]:
        yield 1, "one"
        raise DataError("broken")

    got = arriving(failing(), 7)
    assert next(got) == [(1, "one")]
    with pytest.raises(DataError, match="broken"):
        next(got)


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("t.csv", "id,text\nx,maize\n\nz,barrel\n", ["x", "line-3", "z"]),
        ("t.csv", "text\nmaize\n   \nbarrel\n", ["line-2", "line-3", "line-4"]),
        ("t.csv", 'text,n\n"a\n\nb",1\n\nc,2\n', ["line-2", "line-5", "line-6"]),
        ("t.tsv", "text\nmaize\n\nbarrel\n", ["line-2", "line-3", "line-4"]),
        ("t.tsv", "maize\n\nbarrel\n", ["line-1", "line-2", "line-3"]),
        ("t.tsv", "x\ta\tmaize\n\nz\tb\tbarrel\n", ["x", "line-2", "z"]),
        ("t.tsv", "\nmaize\nbarrel\n", ["line-1", "line-2", "line-3"]),
        ("t.jsonl", '{"text": "maize"}\n{"text": null}\n{"id": 3, "text": "barrel"}\n',
         ["line-1", "line-2", "3"]),
        ("t.json", '[{"id": "x", "text": null}]', ["x"]),
        ("t.jsonl", '{"id": 1, "text": "maize"}\n' * 2, ["1", "1"]),
        ("t.csv", "id,text\nx,maize\nx,barrel\n", ["x", "x"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["file", "stdin"])
def test_a_line_without_a_text_or_with_an_id_of_before_is_a_row_too(
    where: str,
    name: str,
    content: str,
    ids: list[str],
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    path.write_text(content)
    from_stdin(monkeypatch, content)
    given = [str(path)] if where == "file" else ["--format", path.suffix[1:]]
    rows, _ = predicted(trained, capsys, *given)
    assert [row["id"] for row in rows] == ids


def test_a_run_over_numbered_columns_reads_texts_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "a\tmaize silo {0}\nb\tcrude barrel {0}\n"
    (tmp_path / "train.tsv").write_text("".join(line.format(i) for i in range(20)))
    columns = ["--text-column", "2", "--label-columns", "1", "--no-report", "--quiet"]
    small = ["--epochs", "1", "--text.dim", "8", "--workdir", str(tmp_path / "w")]
    assert run(["train", str(tmp_path / "train.tsv"), *columns, *small]) == 0
    capsys.readouterr()
    for content in ("maize\ncrude\n", "a\tmaize\nb\tcrude\n", "text\nmaize\ncrude\n"):
        (tmp_path / "t.tsv").write_text(content)
        assert len(predicted(tmp_path / "w", capsys, str(tmp_path / "t.tsv"))[0]) == 2


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_closed_stream_is_refused_in_one_line(
    stream: str,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from_stdin(monkeypatch, "maize\n")
    monkeypatch.setattr(sys, stream, None)
    assert run(["predict", str(trained), "-", "--quiet"]) == 2
    assert "must be open; it is closed: give " in capsys.readouterr().err
