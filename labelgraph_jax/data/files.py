"""Files written whole or not at all, files read with errors that say what is wrong.

Append-only logs, caches that are filled in place and folders that are published by a
rename keep their own ways; everything else that is written goes through `replacing`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from labelgraph_jax.config.files import named_once
from labelgraph_jax.data.terminal import json_line

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from labelgraph_jax.data.arrays import Archive


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file that takes the place of `path` when the block ends well.

    It lies beside `path` under a name that no other process has, is on the disk before
    it gets its name, as is the name before this returns, has the mode of any new file,
    and vanishes if the block fails. What is no file but a device, a pipe or an open
    stream (`/dev/null`, `/dev/stdout`) is written to itself.

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
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
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


def is_leftover(path: Path) -> bool:
    """Return whether a file was being written by `replacing` when its process ended."""
    return re.fullmatch(r"\..+\.[0-9a-f]{12}", path.name) is not None


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError:
        # Some network file systems know no such thing of a folder.
        if not path.is_dir():
            raise
    finally:
        os.close(number)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and everything in it are on the disk.

    Many files at a time: a journal writes what waits for it together.
    """
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sync, [path for path in folder.rglob("*") if path.is_file()]))
    for inner in (*folder.rglob("*/"), folder, folder.parent):
        sync(inner)


def link_or_copy(source: str, target: str) -> str:
    """Give a file a second name; where no link can be, a copy."""
    try:
        os.link(source, target)
        return target
    except OSError:
        return shutil.copy2(source, target)


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, on the disk; it may be there."""
    absent = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in absent:
        sync(made.parent)


def free_disk(path: Path) -> int | None:
    """Bytes free where the path is, or would be; None where nobody says."""
    for there in (path, *path.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(there).free
    return None


def writing_trouble(folder: Path) -> str:
    """Make a folder, and return why no file can be written to it; empty if one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"written")
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"
    return ""


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


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json_line(value, indent=2) + "\n")


def parse_json(text: str | bytes, *, strictly: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
        text: of one value.
        strictly: an object must name nothing twice; else the last one counts.

    Raises:
        ValueError: it is none, nested deeper than Python goes, or holds a number that
            is not finite, or an integer beyond 64 bits.
    """
    try:
        return json.loads(
            text,
            parse_float=_finite,
            parse_constant=_finite,
            parse_int=_integer,
            object_pairs_hook=named_once if strictly else None,
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no JSON number")
    return number


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"an integer of {len(digits):,} digits is too large")
    return int(digits)


def read_json(path: Path, *, error: type[ValueError]) -> Any:
    """Return what a JSON file holds.

    Args:
        path: the file.
        error: class of the exception to raise.

    Raises:
        ValueError: an `error`; the file cannot be read, or holds no JSON.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        raise error(f"{path}: cannot be read: {reason}") from reason


def write_npz(
    path: Path, arrays: Mapping[str, "ArrayLike"], *, compressed: bool = True
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


_LARGE = 1 << 20
_DIGESTS: dict[tuple[str, int, int, int], str] = {}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Of a large one it is taken once, as long as its inode, size and time stay the same;
    a file of the last two seconds may change within what the clock can tell.
    """
    with path.open("rb") as stream:
        about = os.fstat(stream.fileno())
        key = (str(path.absolute()), about.st_ino, about.st_size, about.st_mtime_ns)
        if key in _DIGESTS:
            return _DIGESTS[key]
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if about.st_size >= _LARGE and time.time() - about.st_mtime > 2:
        _DIGESTS[key] = found
    return found


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
        whole.update(bytes.fromhex(file_digest(path)))
    whole.update(settings.encode())
    return whole.hexdigest()


def code_fingerprint(root: Path = Path(__file__).parents[1]) -> str:
    """Return the SHA-256 of the Python files below a folder; by default, of ours."""
    files = sorted(root.rglob("*.py"))
    return digest((path.relative_to(root).as_posix(), path) for path in files)
