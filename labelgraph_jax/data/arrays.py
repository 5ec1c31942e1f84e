"""Arrays of `.npy` and `.npz` files, held against what must hold before they are used.

A header says how much memory an array needs, and whatever is made of its numbers may
index with them unchecked: so a header must be true of its file before memory is asked
for, and shape, type and range of an array before it is handed out.
"""

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, IndexError, EOFError, OverflowError),
    *(MemoryError, RuntimeError, SyntaxError, struct.error, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)
"""Exceptions that NumPy raises on damaged or foreign `.npz` files."""
MOST_DEFLATED = 1032
"""Bytes that one byte of a deflated stream can stand for, at most."""
_HEADERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
_WORDS = {
    "f": "floating-point numbers",
    "biuf": "numbers",
    "iu": "whole numbers",
    "u": "bytes",
    "b": "true or false",
    "U": "text",
}


class Archive(Mapping[str, np.ndarray]):
    """The arrays of an open `.npz`; each is read where it is asked for.

    Args:
        path: of the file, for errors.
        file: the file, open.
        error: class of the exceptions that `take` raises.
        sizes: of axes that are known by name.

    Raises:
        ValueError: it is no `.npz` (or another of `UNREADABLE`).
    """

    def __init__(
        self,
        path: Path,
        file: IO[bytes],
        error: type[ValueError],
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise ValueError("it is one array and no .npz")
        file.seek(0)
        self._path, self._error, self.sizes = path, error, dict(sizes or {})
        self._stored: Any = np.load(file, allow_pickle=False)
        self._length = os.fstat(file.fileno()).st_size

    def __getitem__(self, name: str) -> np.ndarray:
        self._header(name)
        array: np.ndarray = self._stored[name]
        return array if array.dtype.isnative else array.astype(array.dtype.name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.files)

    def __len__(self) -> int:
        return len(self._stored.files)

    def take(
        self,
        name: str,
        kinds: str,
        *shape: str | int,
        low: float | None = None,
        below: float | None = None,
        finite: bool = True,
    ) -> np.ndarray:
        """Return an array of which all is as it must be.

        Args:
            name: of the array.
            kinds: kinds of its type, as `numpy.dtype.kind` has them.
            shape: a size for each axis, or a name: axes of one name are of one size,
                in all arrays of the file.
            low: the least value.
            below: all values are below it.
            finite: whether floating-point numbers must be.

        Raises:
            ValueError: the archive's error; something else stands there.
            KeyError: there is no such array.
        """
        found, dtype = self._header(name)
        if dtype.kind not in kinds:
            raise self._wrong(name, f"hold {_WORDS[kinds]}", dtype)
        expected = [
            self.sizes[size] if isinstance(size, str) and size in self.sizes else size
            for size in shape
        ]
        known: dict[str, int] = {}
        fits = len(expected) == len(found) and all(
            has == (size if isinstance(size, int) else known.setdefault(size, has))
            for size, has in zip(expected, found, strict=True)
        )
        if not fits:
            wanted = f"[{', '.join(map(str, expected))}]" if shape else "one number"
            if "U" in kinds and not shape:
                wanted = "one text"
            raise self._wrong(name, f"be of shape {wanted}", list(found))
        self.sizes |= known
        array = self[name]
        if not array.size or dtype.kind == "U":
            return array
        if finite and dtype.kind == "f" and not np.isfinite(array).all():
            raise self._wrong(name, "be finite", "a value that is not")
        # min and max pass NaN on, which is no reason to complain where it may be.
        least, most = np.fmin.reduce(array, None), np.fmax.reduce(array, None)
        if low is not None and least < low:
            raise self._wrong(name, f"be {low:,} at least", least)
        if below is not None and most >= below:
            raise self._wrong(name, f"be below {below:,}", most)
        return array

    def rows(self, name: str, *, of: int, rows: int | str) -> np.ndarray:
        """Return where each row of a list of `of` entries starts, and where all end.

        Args:
            name: of the array `[rows + 1]`.
            of: how long the list is.
            rows: how many rows there are, or the name of the axis.
        """
        count = self.sizes[rows] if isinstance(rows, str) else rows
        starts = self.take(name, "iu", count + 1, low=0, below=of + 1).astype(np.int64)
        if starts[0] or starts[-1] != of or (np.diff(starts) < 0).any():
            raise self._wrong(name, f"rise from 0 to {of:,}", "other numbers")
        return starts

    def text(self, name: str) -> str:
        """Return the one text that an array holds."""
        return str(self.take(name, "U").item())

    def close(self) -> None:
        """Let the archive go."""
        self._stored.close()

    def _wrong(self, name: str, must: str, got: object) -> ValueError:
        return self._error(f"{self._path}: {name} must {must}, got {got}")

    def _header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        archive: zipfile.ZipFile = self._stored.zip
        if name not in self._stored.files:
            raise KeyError(f"{name} is not a file in the archive")
        known = set(archive.namelist())
        info = archive.getinfo(f"{name}.npy" if f"{name}.npy" in known else name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is packed in a way that NumPy does not write")
        packed = min(info.compress_size, self._length)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            packed = MOST_DEFLATED * packed + 64
        if info.file_size > packed:
            raise ValueError(f"{name} cannot have the {info.file_size:,} bytes it says")
        with archive.open(info) as stream:
            return read_header(stream, info.file_size, name)


def read_header(
    stream: IO[bytes], size: int, name: str
) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of an array, where its header is true of its file.

    Args:
        stream: of a `.npy`, from its beginning; read up to the numbers.
        size: how many bytes it has.
        name: of the array, for errors.

    Raises:
        ValueError: it holds more or fewer numbers than it says, or no array (or
            another of `UNREADABLE`).
    """
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"{name} is in version {version} of the format, not 1 or 2")
    shape, _, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded")
    needed = math.prod(shape) * dtype.itemsize
    left = size - stream.tell()
    if min(shape, default=0) < 0 or needed != left:
        raise ValueError(
            f"{name} says {list(shape)} of {dtype}, {needed:,} bytes, and has {left:,}"
        )
    return shape, dtype


def read_npy(path: Path) -> np.ndarray:
    """Return the one array of a `.npy`; nothing executes.

    Raises:
        ValueError: it is none, or its header is not true (or another of
            `UNREADABLE`).
    """
    with path.open("rb") as file:
        read_header(file, os.fstat(file.fileno()).st_size, path.name)
        file.seek(0)
        array: np.ndarray = npy.read_array(file, allow_pickle=False)
        return array
