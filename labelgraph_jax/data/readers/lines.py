"""Lines of text files, plain or compressed, with errors that say where."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import itertools
import lzma
import queue
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.limits import MIB, Unpacking, longest_line, raised

_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
COMPRESSION = (".gz", ".bz2", ".xz", ".zip")
COMPRESSED = "perhaps with .gz, .bz2, .xz or .zip after it"
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_BLOCK = 2**16
_UTF8 = ("", "utf-8", "utf8", "utf-8-sig", "utf_8", "utf_8_sig")

Complain = Callable[[DataError], None]
"""Handler of a line that cannot be read; the others are read on."""


def refuse(error: DataError) -> NoReturn:
    """Raise the error: what is done by default about a line that cannot be read."""
    raise error from None


Line = tuple[int, str]


def split_suffix(path: Path) -> tuple[str, str]:
    """The suffix that says the format, and the compression's, both lower case.

    `a.jsonl.gz` -> (".jsonl", ".gz"); `a.tsv` -> (".tsv", "").
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSION:
        return (suffixes[-2] if len(suffixes) > 1 else ""), suffixes[-1]
    return (suffixes[-1] if suffixes else ""), ""


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of some files that a folder has, plain or compressed."""
    for name in names:
        for compression in ("", *COMPRESSION):
            path = folder / f"{name}{compression}"
            if path.is_file():
                return path
    return None


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressing .gz, .bz2, .xz and a .zip of one file.

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
        if compression == ".zip":
            with _zip(path) as archive, archive.open(zipped_name(path)) as stream:
                yield io.BufferedReader(Unpacking(stream, str(path)), _BLOCK)
            return
        with _OPENERS[compression](raw) as stream:
            yield io.BufferedReader(Unpacking(stream, str(path)), _BLOCK)


def zipped_name(path: Path) -> str:
    """The name of the one file that a .zip holds.

    Raises:
        DataError: it is damaged, or holds no file or several.
    """
    with _zip(path) as archive:
        names = [
            name
            for name in archive.namelist()
            if not name.endswith("/")
            and not any(p.startswith((".", "__MACOSX")) for p in name.split("/"))
        ]
    if len(names) != 1:
        listed = ", ".join(names[:5]) or "nothing"
        raise DataError(f"{path}: a .zip must hold one file; it holds {listed}")
    return names[0]


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: must be an intact .zip; {error}") from None


def read_lines(
    path: Path,
    *,
    keep_blank: bool = False,
    encoding: str = "",
    complain: Complain = refuse,
) -> Iterator[Line]:
    """Yield (line number from 1, line) of a text file, without line ends.

    Lines end at LF or CRLF and nowhere else, so a line number is the one that an
    editor shows. A byte order mark is dropped; so are blank lines at the end, unless
    `keep_blank` says that they are rows too.

    Args:
        path: the file.
        keep_blank: see above.
        encoding: UTF-8 by default, or what the byte order mark says.
        complain: is told of a line that is not in this encoding.

    Raises:
        DataError: see `open_bytes`; not in this encoding; no such encoding; the
            compressed data is damaged.
    """
    with open_bytes(path) as stream:
        options: Any = {"encoding": encoding, "complain": complain}
        yield from decoded_lines(stream, str(path), keep_blank=keep_blank, **options)


def decoded_lines(
    stream: IO[bytes] | IO[str],
    name: str,
    *,
    keep_blank: bool = False,
    encoding: str = "",
    complain: Complain = refuse,
) -> Iterator[Line]:
    """Yield the lines of an open stream of bytes or text, like `read_lines`."""
    most = longest_line()
    return _decoded_lines(
        _raw_lines(stream, name, encoding, most), name, keep_blank, complain
    )


def _decoded_lines(
    lines: Iterator[bytes | str], name: str, keep_blank: bool, complain: Complain
) -> Iterator[Line]:
    blank: list[Line] = []
    for number, line in enumerate(lines, start=1):
        try:
            text = _decode(line, name, number) if isinstance(line, bytes) else line
        except DataError as error:
            complain(error)
            continue
        if number == 1:
            text = text.removeprefix("\ufeff")
            if "\0" in text:
                raise DataError(
                    f"{name}:1: must be text; got a zero byte (UTF-16 without a byte "
                    "order mark is read with --encoding utf-16-le or utf-16-be)"
                )
        text = text.removesuffix("\n").removesuffix("\r")
        if not keep_blank and (text.isspace() or not text):
            blank.append((number, text))
            continue
        yield from blank
        blank.clear()
        yield number, text


def arriving(lines: Iterator[Line], most: int) -> Iterator[list[Line]]:
    """Yield the lines that are there, at least one and at most `most` at once.

    A thread reads ahead, so that a slow writer does not keep back what it has written.
    """
    there: queue.Queue[Line | Exception | None] = queue.Queue(4 * most)

    def read() -> None:
        try:
            for line in lines:
                there.put(line)
            there.put(None)
        except Exception as error:
            there.put(error)

    threading.Thread(target=read, daemon=True, name="lines").start()
    while True:
        batch: list[Line] = []
        one = there.get()
        while isinstance(one, tuple):
            batch.append(one)
            if len(batch) == most or there.empty():
                break
            one = there.get()
        if batch:
            yield batch
        if isinstance(one, Exception):
            raise one
        if one is None:
            return


def _raw_lines(
    stream: IO[bytes] | IO[str], name: str, encoding: str, most: int
) -> Iterator[bytes | str]:
    number = 1
    try:
        for line in _in_encoding(stream, name, encoding, most):
            if len(line) > most:
                raise DataError(
                    f"{name}:{number}: a line must have at most {most // MIB:,} MiB"
                    + raised("--max-line")
                )
            yield line
            number += 1
    except EOFError:
        raise DataError(
            f"{name}:{number}: the compressed file ends too early; it was cut off, so "
            "copy it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{name}:{number}: the compressed data must be intact; {error}"
        ) from None
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        coding = str(getattr(error, "encoding", encoding)).upper()
        raise DataError(f"{name}:{number}: must be {coding} text; {reason}") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read; {error}") from None


def _pieces(stream: IO[bytes] | IO[str], most: int) -> Iterator[bytes | str]:
    """The lines with their ends, no more of one than it may have and what shows it."""
    while piece := stream.readline(most + 2):
        yield piece


def _in_encoding(
    stream: IO[bytes] | IO[str], name: str, encoding: str, most: int
) -> Iterator[bytes | str]:
    """The lines, as bytes where they are UTF-8."""
    pieces: Any = _pieces(stream, most)
    first: Any = next(pieces, b"")
    if isinstance(first, bytes):
        marks = (coding for bom, coding in _BOMS.items() if first.startswith(bom))
        encoding = next(marks, encoding.lower())
        if encoding not in _UTF8:
            try:
                # Some that Python has are no encodings of text: hex, rot13.
                "".encode(encoding)
                decoder = codecs.getincrementaldecoder(encoding)()
            except LookupError:
                raise DataError(
                    f"{name}: --encoding must be one that Python knows, such as utf-8, "
                    f"utf-16, cp1252 or latin-1; got {encoding!r}"
                ) from None
            yield from _text_lines(decoder, itertools.chain([first], pieces), most)
            return
    if first:
        yield first
    yield from pieces


def _text_lines(
    decoder: codecs.IncrementalDecoder, blocks: Iterable[bytes], most: int
) -> Iterator[str]:
    """The lines of a text that comes in blocks of bytes."""
    rest = ""
    for block in blocks:
        *lines, rest = (rest + decoder.decode(block)).split("\n")
        yield from lines
        if len(rest) > most:
            yield rest
            return
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _decode(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}:{number}: must be UTF-8 text; byte {error.start + 1} of the line "
            f"is 0x{line[error.start]:02x} (many files of Windows are read with "
            "--encoding cp1252)"
        ) from None


def is_text_stream(stream: object) -> bool:
    """Return True if `stream` is an open file rather than the name of one."""
    return isinstance(stream, io.IOBase) or hasattr(stream, "read")
