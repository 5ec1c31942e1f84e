"""Files written whole or not at all, files read with errors that say what is wrong.

Append-only logs, caches that are filled in place and folders that are published by a
rename keep their own ways; everything else that is written goes through `replacing`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from labelgraph_jax.data.terminal import json_line

if TYPE_CHECKING:
    from labelgraph_jax.data.arrays import Archive


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file that takes the place of `path` when the block ends well.

    It lies beside `path` under a name that no other process has, is on the disk before
    it gets its name, has the mode of any new file, and vanishes if the block fails.
    What is no file but a device, a pipe or an open stream (`/dev/null`, `/dev/stdout`)
    is written to itself: nothing may take its place.

    Raises:
        OSError: the folder does not exist or cannot be written to, or there is a folder
            at `path`; the error names the file.
    """
    if path.is_dir():
        said = "must be a file to write; it is a folder"
        raise IsADirectoryError(errno.EISDIR, said, str(path))
    if _is_stream(path):
        with naming(path):
            yield path
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    with naming(path, temporary):
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe, or a name of an open file."""
    if path.is_symlink() and str(path.readlink()).startswith("/proc/"):
        return True
    held = str(path.absolute())
    return held.startswith("/proc/") or (path.exists() and not path.is_file())


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Put the name of a file into errors of the block that have none.

    A disk that is full does not say which file it had no room for.

    Args:
        path: the file.
        temporary: that it is written as, whose name says nothing to anyone.
    """
    try:
        yield
    except OSError as error:
        unsaid = error.filename is None or error.filename == str(temporary)
        if error.errno is not None and unsaid:
            error.filename, error.filename2 = str(path), None
        raise


def standard_input() -> TextIO:
    """Return standard input.

    Raises:
        ValueError: it is closed (`<&-`).
    """
    if sys.stdin is None:
        raise ValueError("standard input must be open; it is closed: give a file")
    return sys.stdin


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json_line(value, indent=2) + "\n")


def read_json(path: Path, *, error: type[ValueError]) -> Any:
    """Return what a JSON file holds.

    Args:
        path: the file.
        error: class of the exception to raise.

    Raises:
        ValueError: an `error`; the file cannot be read, or holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        raise error(f"{path}: cannot be read: {reason}") from reason


def write_npz(
    path: Path, arrays: Mapping[str, Any], *, compressed: bool = True
) -> None:
    """Write an `.npz` of named arrays, whole or not at all."""
    import numpy as np

    save: Any = np.savez_compressed if compressed else np.savez
    with replacing(path) as temporary, temporary.open("wb") as file:
        save(file, **arrays)


@contextmanager
def read_npz(
    path: Path, *, error: type[ValueError], sizes: Mapping[str, int] | None = None
) -> Iterator[Archive]:
    """Open an `.npz`; an array is read where it is asked for, and nothing executes.

    Args:
        path: the file.
        error: class of the exception to raise, also where the block raises what damaged
            files raise, as the `KeyError` of an absent array. An `error` of the block
            itself passes.
        sizes: of axes that are known by name, see `Archive.take`.

    Raises:
        ValueError: an `error`; the file cannot be read.
    """
    from labelgraph_jax.data.arrays import UNREADABLE, Archive

    try:
        with path.open("rb") as file:
            archive = Archive(path, file, error, sizes)
            try:
                yield archive
            finally:
                archive.close()
    except error:
        raise
    except UNREADABLE as reason:
        raise error(f"{path}: cannot be read: {reason}") from reason


def cache_folder(*parts: str, environment: Mapping[str, str] | None = None) -> Path:
    """Return a folder in `labelgraph_jax` of XDG_CACHE_HOME, or else of ~/.cache.

    Raises:
        ValueError: neither is known.
    """
    variables = os.environ if environment is None else environment
    try:
        base = variables.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise ValueError("HOME or XDG_CACHE_HOME must be set; neither is") from None
    return Path(base, "labelgraph_jax", *parts)


def digest(files: Iterable[tuple[str, Path]], *, settings: str = "") -> str:
    """Return the SHA-256 of files, 64 hexadecimal digits.

    Args:
        files: the name of each, which counts with its bytes unless it is empty, and
            the file.
        settings: text that counts, too.
    """
    whole = hashlib.sha256()
    for name, path in files:
        if name:
            whole.update(name.encode() + b"\0")
        with path.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    whole.update(settings.encode())
    return whole.hexdigest()


def code_fingerprint(root: Path = Path(__file__).parents[1]) -> str:
    """Return the SHA-256 of the Python files below a folder; by default, of ours."""
    files = sorted(root.rglob("*.py"))
    return digest((path.relative_to(root).as_posix(), path) for path in files)
