"""Errors that nobody foresaw, and memory and disks that do not suffice: one line."""

import errno
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.cli import errors
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import DataConfig

VERB = "labelgraph_jax.cli.app._dispatch"


def said_of(
    error: BaseException,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    def fail(*_: Any) -> int:
        raise error

    monkeypatch.setattr(VERB, fail)
    code = run(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return code, err


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a\nb"),
        RecursionError("maximum recursion depth exceeded"),
        ZeroDivisionError("division by zero"),
        RuntimeError("INTERNAL: something in XLA\n  with further lines"),
        AssertionError(),
        ImportError("a library is damaged"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_nobody_foresaw_is_one_line_that_says_how_to_see_more(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = said_of(error, ["evaluate", "runs/a"], monkeypatch, capsys)
    assert code == 1
    assert said.startswith(f"labelgraph: error: not foreseen: {type(error).__name__}: ")
    assert "LABELGRAPH_TRACEBACK=1" in said
    assert "Traceback" not in said
    monkeypatch.setenv("LABELGRAPH_TRACEBACK", "1")
    with pytest.raises(type(error)):
        run(["evaluate", "runs/a"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes\nof it"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
@pytest.mark.parametrize(
    ("verb", "option"),
    [("train", "--training.batch-size"), ("evaluate", "--batch-size"), ("graph", "")],
)
def test_memory_that_does_not_suffice_is_one_line_with_what_needs_less(
    error: Exception,
    verb: str,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = said_of(error, [verb], monkeypatch, capsys)
    assert code == 1
    assert said.startswith("labelgraph: error: the memory does not suffice: ")
    assert option in said
    assert ("needs less" in said) is bool(option)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_the_file(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, os.strerror(number), "runs/a/labels.json")
    code, said = said_of(error, ["train"], monkeypatch, capsys)
    assert code == 2
    assert said == (
        "labelgraph: error: runs/a/labels.json: cannot be written: "
        f"{os.strerror(number)}\n"
    )


@pytest.mark.parametrize("verb", ["predict", "data export"])
def test_a_file_that_grows_too_large_is_named_and_does_not_stay(
    verb: str,
    trained: Path,
    tiny_data: DataConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import resource

    out = tmp_path / "out.jsonl"
    if verb == "predict":
        command = ["predict", str(trained), tiny_data.data, "--output", str(out)]
    else:
        command = ["data", "export", tiny_data.data, "--out", str(out)]
        command += ["--split", "train"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        assert run(command) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    *remarks, last = capsys.readouterr().err.splitlines()
    assert f"{out}: cannot be written" in last
    assert not any("error" in line for line in remarks)
    assert not list(tmp_path.iterdir())


def test_a_thread_that_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    hooks = threading.excepthook, sys.unraisablehook
    try:
        errors.tell_of_threads()
        thread = threading.Thread(target=lambda: {}["a name"])
        thread.start()
        thread.join()
    finally:
        threading.excepthook, sys.unraisablehook = hooks
    said = capsys.readouterr().err
    assert said.startswith("labelgraph: warning: not foreseen: KeyError: 'a name'")
    assert said.count("\n") == 1


class PanicError(BaseException):
    """A panic of a library in Rust: no `Exception`."""


def test_a_panic_of_a_library_in_rust_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = said_of(PanicError("retry limit"), ["predict"], monkeypatch, capsys)
    assert code == 1
    assert "not foreseen: PanicError: retry limit" in said
