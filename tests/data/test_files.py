"""Files: written whole or not at all, read with errors that say what is wrong."""

import errno
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.files import (
    cache_folder,
    code_fingerprint,
    digest,
    read_json,
    read_npz,
    replacing,
    write_json,
    write_npz,
    write_text,
)


class DamagedError(ValueError):
    """What the tests want to be told by."""


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json(path, [1])
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.json"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "closed", {})
    finally:
        os.umask(before)
    write_json(tmp_path / "f", {})
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"plain": modes["plain"], "f": modes["plain"], "closed": 0o640}


def test_a_folder_that_is_not_there_is_told_before_the_block(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "f"):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_come_back_as_they_were(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.arange(3), "name": "text"}, compressed=compressed)
    with read_npz(path, error=DamagedError) as stored:
        np.testing.assert_array_equal(stored["x"], [0, 1, 2])
        assert str(stored["name"]) == "text"


def damage(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def flip_the_middle(path: Path) -> None:
    write_npz(path, {"x": np.random.default_rng(0).normal(size=999)})
    content = bytearray(path.read_bytes())
    for place in range(400, 600):
        content[place] ^= 0xFF
    path.write_bytes(content)


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def objects(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=np.asarray([{}], object))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file"),
        (damage(b""), "No data left"),
        (damage(b"PK\x03\x04 and no more"), "not a zip file"),
        (damage(b"text"), "pickled"),
        (flip_the_middle, ""),
        (one_array, "one array"),
        (objects, "pickled objects, which are never loaded"),
        (lambda path: write_npz(path, {"y": [1]}), "x is not a file in the archive"),
    ],
)
def test_a_damaged_npz_is_told_by_name(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "a.npz"
    make(path)
    with (
        pytest.raises(DamagedError, match=rf"a\.npz: cannot be read: .*{reason}"),
        read_npz(path, error=DamagedError) as stored,
    ):
        np.asarray(stored["x"])


def test_an_error_of_ones_own_keeps_its_words(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"x": [1]})
    with (
        pytest.raises(DamagedError, match=r"^too few$"),
        read_npz(tmp_path / "a.npz", error=DamagedError),
    ):
        raise DamagedError("too few")


@pytest.mark.parametrize("content", [b"{", b"\xff", None])
def test_a_damaged_json_file_is_told_by_name(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"a\.json: cannot be read: "):
        read_json(path, error=DamagedError)


def test_caches_lie_below_the_users_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "labelgraph_jax"
    assert cache_folder("a", "b") == tmp_path / "labelgraph_jax" / "a" / "b"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "labelgraph_jax")
    other = cache_folder("c", environment={"XDG_CACHE_HOME": "/x"})
    assert other == Path("/x/labelgraph_jax/c")


def test_a_digest_changes_with_names_contents_and_settings(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text("1")
    found = {
        digest([("", one)]),
        digest([("one", one)]),
        digest([("other", one)]),
        digest([("", one)], settings="2 layers"),
        digest([]),
    }
    assert len(found) == 5
    before = digest([("", one)])
    one.write_text("2")
    assert digest([("", one)]) != before


def test_the_code_has_a_fingerprint_that_names_and_bytes_change(
    tmp_path: Path,
) -> None:
    assert code_fingerprint() == code_fingerprint()
    assert len(code_fingerprint()) == 64
    found = [code_fingerprint(tmp_path)]
    (tmp_path / "a.py").write_text("1")
    found.append(code_fingerprint(tmp_path))
    (tmp_path / "a.py").write_text("2")
    found.append(code_fingerprint(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    found.append(code_fingerprint(tmp_path))
    assert len(set(found)) == 4
    (tmp_path / "notes.txt").write_text("no code")
    assert code_fingerprint(tmp_path) == found[-1]


def test_without_a_home_the_cache_says_what_must_be_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(ValueError, match="HOME or XDG_CACHE_HOME must be set"):
        cache_folder(environment={})
    assert cache_folder("a", environment={"XDG_CACHE_HOME": "/b"}) == Path(
        "/b/labelgraph_jax/a"
    )


@pytest.mark.parametrize("kind", ["full", "folder"])
def test_an_error_of_writing_names_the_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.json"
    if kind == "folder":
        path.mkdir()
        with pytest.raises(IsADirectoryError, match="must be a file") as error:
            write_text(path, "a")
    else:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as error:
            write_text(path, "a")
    assert error.value.filename == str(path)
    assert [p for p in tmp_path.iterdir() if p != path] == []


def test_nothing_takes_the_place_of_a_pipe_a_device_or_an_open_stream(
    tmp_path: Path,
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")))
    reader.start()
    write_text(pipe, "through a pipe")
    reader.join(10)
    assert read == ["through a pipe"]
    assert pipe.is_fifo()
    with (tmp_path / "held").open("w+", encoding="utf-8") as held:
        link = tmp_path / "stdout"
        link.symlink_to(f"/proc/self/fd/{held.fileno()}")
        write_text(link, "to an open file")
        assert link.is_symlink()
        assert held.read() == "to an open file"
        write_text(Path(f"/proc/self/fd/{held.fileno()}"), "again")
        held.seek(0)
        assert held.read() == "again"
    if os.geteuid() == 0:
        null = tmp_path / "null"
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        write_text(null, "nowhere")
        assert null.is_char_device()
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"pipe", "held", "stdout", "null"}


def test_an_error_names_the_file_and_not_the_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "no such folder" / "a.json"
    with pytest.raises(FileNotFoundError) as error:
        write_text(path, "a")
    assert error.value.filename == str(path)
