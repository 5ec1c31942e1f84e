"""One live run for a work directory, and a message that names it."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.config import DataConfig
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.lock import LOCK_NAME, WorkdirLock, holder
from tests.tiny import tiny_config

ROOT = Path(__file__).parents[2]
HOLD = """
import fcntl, json, os, socket, sys
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
owner = {"process": os.getpid(), "host": socket.gethostname(), "since": "noon"}
if len(sys.argv) == 2:
    file.truncate(0)
    json.dump(owner, file)
    file.flush()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(workdir: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process at work in a directory: it needs the lock alone, and no JAX."""
    workdir.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", HOLD, str(workdir / LOCK_NAME), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.process
def test_a_second_holder_is_refused_with_process_and_host(tmp_path: Path) -> None:
    with held(tmp_path) as owner:
        before = (tmp_path / LOCK_NAME).read_text()
        with pytest.raises(WorkdirError) as refused, WorkdirLock(tmp_path):
            pytest.fail("two processes hold one directory")
        assert str(refused.value) == (
            f"{tmp_path}: another run is at work here (process {owner.pid} on "
            f"{socket.gethostname()}, since noon); wait for it, stop it, or choose "
            "another --workdir"
        )
        assert (tmp_path / LOCK_NAME).read_text() == before


def test_this_process_cannot_hold_a_directory_twice(tmp_path: Path) -> None:
    with WorkdirLock(tmp_path):
        with (
            pytest.raises(WorkdirError, match=f"process {os.getpid()} on "),
            WorkdirLock(str(tmp_path)),
        ):
            pytest.fail("held twice")
        # Being refused lets nobody else in.
        assert holder(tmp_path) is not None


@pytest.mark.process
def test_another_process_is_refused_what_this_one_holds(tmp_path: Path) -> None:
    code = (
        "from labelgraph_jax.runs.lock import WorkdirLock\n"
        "import sys\n"
        "try:\n"
        "    WorkdirLock(sys.argv[1]).__enter__()\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    with WorkdirLock(tmp_path):
        ended = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=True,
        )
    said = f"another run is at work here (process {os.getpid()} on "
    assert said in ended.stdout, ended.stderr


def test_the_owner_is_written_down_while_it_holds(tmp_path: Path) -> None:
    file = tmp_path / LOCK_NAME
    file.write_text("what a run that was killed left, and more of it" * 9)
    with WorkdirLock(tmp_path):
        owner = json.loads(file.read_text())
        assert owner["process"] == os.getpid()
        assert owner["host"] == socket.gethostname()
        assert holder(tmp_path) == (
            f"process {os.getpid()} on {socket.gethostname()}, since {owner['since']}"
        )
    assert file.read_text() == ""


def test_a_directory_is_let_go_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"), WorkdirLock(tmp_path):
        raise RuntimeError("broken")
    assert holder(tmp_path) is None
    lock = WorkdirLock(tmp_path)
    for _ in range(2):
        with lock:
            pass
    lock.__exit__()  # not held: nothing to let go of


@pytest.mark.process
def test_a_directory_is_let_go_by_a_killed_owner(tmp_path: Path) -> None:
    with held(tmp_path) as owner:
        assert holder(tmp_path) is not None
        owner.kill()
        owner.wait()
        assert (tmp_path / LOCK_NAME).read_text() != ""  # it had no time to tidy up
        assert holder(tmp_path) is None
        with WorkdirLock(tmp_path):
            assert (
                json.loads((tmp_path / LOCK_NAME).read_text())["process"] != owner.pid
            )


def test_there_is_no_holder_where_nobody_is(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    assert holder(tmp_path / "absent") is None
    (tmp_path / LOCK_NAME).touch()
    assert holder(tmp_path) is None
    assert not (tmp_path / "absent").exists()


@pytest.mark.process
def test_looking_lets_nobody_in_and_takes_nothing(tmp_path: Path) -> None:
    with held(tmp_path):
        for _ in range(2):
            assert holder(tmp_path) is not None
    assert holder(tmp_path) is None
    with WorkdirLock(tmp_path):
        assert holder(str(tmp_path)) is not None


@pytest.mark.process
@pytest.mark.parametrize("content", ["", "not JSON", "[1]", '{"host": "there"}'])
def test_an_owner_that_is_not_written_down_yet_still_holds(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / LOCK_NAME).write_text(content)
    with held(tmp_path, "silent"):
        assert holder(tmp_path) == "its owner is not written down yet"
        with (
            pytest.raises(WorkdirError, match="its owner is not written down yet"),
            WorkdirLock(tmp_path),
        ):
            pytest.fail("two processes hold one directory")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_storage_without_locks_is_no_obstacle(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with WorkdirLock(tmp_path):
        written = json.loads((tmp_path / LOCK_NAME).read_text())
        assert written["process"] == os.getpid()
        assert holder(tmp_path) is None
    assert (tmp_path / LOCK_NAME).read_text() == ""


def test_another_error_of_the_storage_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="input/output error"), WorkdirLock(tmp_path):
        pytest.fail("locked")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.process
def test_training_into_a_held_directory_is_refused_and_changes_nothing(
    tiny_data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> None:
        pytest.fail("the documents were read first")

    monkeypatch.setattr("labelgraph_jax.runs.labels.read_corpus", read)
    workdir = tmp_path / "run"
    with held(workdir) as owner:
        before = contents(tmp_path)
        with pytest.raises(WorkdirError, match=f"process {owner.pid} on "):
            fit(tiny_config(tiny_data), workdir, progress=False)
        assert contents(tmp_path) == before
