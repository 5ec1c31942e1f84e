"""Lines of text files, plain or compressed, with errors that say where."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from labelgraph_jax.data.documents import DataError

_OTHER_BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_COMPRESSION = (".gz", ".xz")

Line = tuple[int, str]


def split_suffix(path: Path) -> tuple[str, str]:
    """The suffix that says the format, and the compression's, both lower case.

    `a.jsonl.gz` -> (".jsonl", ".gz"); `a.tsv` -> (".tsv", "").
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSION:
        return (suffixes[-2] if len(suffixes) > 1 else ""), suffixes[-1]
    return (suffixes[-1] if suffixes else ""), ""


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of some files that a folder has, plain, .gz or .xz."""
    for name in names:
        for compression in ("", *_COMPRESSION):
            path = folder / f"{name}{compression}"
            if path.is_file():
                return path
    return None


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for reading, decompressing .gz and .xz.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    if path.is_dir():
        raise DataError(f"{path}: must be a file; it is a folder")
    try:
        raw = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read; {error.strerror}") from None
    with raw:
        compression = split_suffix(path)[1]
        if not compression:
            yield raw
            return
        with gzip.open(raw) if compression == ".gz" else lzma.open(raw) as stream:
            yield cast("IO[bytes]", stream)


def read_lines(path: Path, *, keep_blank: bool = False) -> Iterator[Line]:
    """Yields (line number from 1, line) of a UTF-8 file, without line ends.

    Lines end at LF or CRLF and nowhere else, so a line number is the one that an
    editor shows. A byte order mark is dropped; so are blank lines at the end, unless
    `keep_blank` says that they are rows too.

    Raises:
        DataError: see `open_bytes`; not UTF-8; the compressed data is damaged.
    """
    with open_bytes(path) as stream:
        yield from decoded_lines(stream, str(path), keep_blank=keep_blank)


def decoded_lines(
    stream: IO[bytes] | IO[str], name: str, *, keep_blank: bool = False
) -> Iterator[Line]:
    """As `read_lines`, from an open stream of bytes or text called `name`."""
    blank: list[Line] = []
    for number, line in enumerate(_raw_lines(stream, name), start=1):
        text = _decode(line, name, number) if isinstance(line, bytes) else line
        if number == 1:
            text = text.removeprefix("\ufeff")
        text = text.removesuffix("\n").removesuffix("\r")
        if not keep_blank and (text.isspace() or not text):
            blank.append((number, text))
            continue
        yield from blank
        blank.clear()
        yield number, text


def _raw_lines(stream: IO[bytes] | IO[str], name: str) -> Iterator[bytes | str]:
    number = 1
    try:
        for line in stream:
            yield line
            number += 1
    except EOFError:
        raise DataError(
            f"{name}:{number}: the compressed file ends too early; it was cut off, so "
            "copy it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(
            f"{name}:{number}: the compressed data must be intact; {error}"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}:{number}: must be UTF-8 text; {error.reason}"
        ) from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read; {error}") from None


def _decode(line: bytes, name: str, number: int) -> str:
    if number == 1:
        for bom, encoding in _OTHER_BOMS.items():
            if line.startswith(bom):
                raise DataError(f"{name}:1: must be UTF-8 text; it is {encoding}")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}:{number}: must be UTF-8 text; byte {error.start + 1} of the line "
            f"is 0x{line[error.start]:02x}"
        ) from None


def is_text_stream(stream: object) -> bool:
    """Whether `stream` is an open file rather than the name of one."""
    return isinstance(stream, io.IOBase) or hasattr(stream, "read")
