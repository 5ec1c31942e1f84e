"""Sources of public corpora: a local copy, or a download from the original site."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import lzma
import os
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import digest, replacing
from labelgraph_jax.data.readers.lines import find_file

ENVIRONMENT_VARIABLE = "LABELGRAPH_DATA"
TIMEOUT_SECONDS = 20.0

# What reading a damaged archive raises, from tarfile, zipfile, gzip and lzma.
DAMAGES = (
    EOFError,
    OSError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)

# File name without .gz or .xz -> where that file is.
Files = Mapping[str, Path]


@dataclasses.dataclass(frozen=True)
class Layout:
    """A set of files that together hold a corpus.

    Args:
        files: their names; each may be compressed, with .gz or .xz after it.
        optional: files that are used where they are there.
        protocols: the protocols they are good for; none stands for all.
    """

    files: tuple[str, ...]
    optional: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Download:
    """One file at its public home; `sha256` is None where none is published."""

    file: str
    url: str
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """Origin and files of a public corpus.

    Args:
        name: the corpus, and the folder that holds its files.
        home: a page that describes the files and where to get them.
        protocols: the ways to split it, the default first.
        layouts: the sets of files that can be read, the published one first.
        downloads: what to fetch from the public home; none where its owner asks
            for an account or hands it out by hand.
        sizes: documents in train, validation and test, per protocol.
    """

    name: str
    home: str
    protocols: tuple[str, ...]
    layouts: tuple[Layout, ...]
    downloads: tuple[Download, ...] = ()
    sizes: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)


def files_in(source: Source, protocol: str, folder: Path) -> Files | None:
    """The files of the first layout that lies in `folder` whole; None without one."""
    for layout in _layouts(source, protocol):
        found = {name: find_file(folder, name) for name in layout.files}
        if all(found.values()):
            found |= {name: find_file(folder, name) for name in layout.optional}
            return {name: path for name, path in found.items() if path}
    return None


def find_folder(
    source: Source,
    protocol: str,
    *,
    data_dir: str | Path | None,
    downloads_dir: Path,
) -> Path:
    """The folder of the corpus's files: a local copy if there is one, else a download.

    A local copy lies in a folder called after the corpus, in `data_dir` or, without
    it, in the folder that `LABELGRAPH_DATA` names.

    Raises:
        DataError: there is neither a local copy nor a way to the public home, or
            the local copy lacks a file. The message says what to put where.
    """
    layouts = _layouts(source, protocol)
    named = data_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    # A local copy, where an option or the environment names its folder.
    if named:
        parent = Path(named).expanduser()
        if not parent.is_dir():
            option = "data_dir (--data-dir)" if data_dir else ENVIRONMENT_VARIABLE
            raise DataError(f"{option} must name a folder; {parent} is none")
        folder = parent / source.name
        if files_in(source, protocol, folder) is not None:
            return folder
        if data_dir or _some_file(layouts, folder):
            raise DataError(
                f"corpus {source.name}: {folder} must hold {_described(layouts)}; "
                f"got {_listing(folder)}"
            )
    # A download, unless an earlier one is there.
    folder = downloads_dir / source.name
    reason = "its owner has it fetched by hand"
    if source.downloads and files_in(source, protocol, folder) is None:
        try:
            _download_all(source, folder)
            reason = f"the download is not good for protocol {protocol}"
        except (OSError, http.client.HTTPException) as error:
            reason = f"its home could not be reached ({_short(error)})"
    if files_in(source, protocol, folder) is not None:
        return folder
    raise DataError(
        f"corpus {source.name}: no local copy, and {reason}; put "
        f"{_described(layouts)} into DIR/{source.name}/ and name DIR with --data-dir "
        f"(in Python data_dir=) or the variable {ENVIRONMENT_VARIABLE}; its home is "
        f"{source.home}"
    )


def damaged(path: Path, error: Exception) -> DataError:
    """The error for a file that reading found damaged."""
    return DataError(f"{path}: the archive must be whole and intact; {_short(error)}")


def fingerprint(files: Files, reader: Path) -> str:
    """Sixteen hex digits that change with any file's content or the reading code.

    Args:
        files: the corpus's files.
        reader: the package of the code that reads them.
    """
    read = [*sorted(files.values()), *sorted(reader.glob("*.py"))]
    return digest((path.name, path) for path in read)[:16]


def _layouts(source: Source, protocol: str) -> list[Layout]:
    return [
        layout
        for layout in source.layouts
        if not layout.protocols or protocol in layout.protocols
    ]


def _some_file(layouts: list[Layout], folder: Path) -> bool:
    return any(find_file(folder, name) for layout in layouts for name in layout.files)


def _described(layouts: list[Layout]) -> str:
    described = " or ".join(_file_list(layout.files) for layout in layouts)
    return f"{described} (plain, .gz or .xz)"


def _file_list(names: tuple[str, ...]) -> str:
    if len(names) > 8:
        return f"{names[0]} ... {names[-1]} ({len(names)} files)"
    return ", ".join(names)


def _listing(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return shown or "an empty folder"


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:120] or type(error).__name__


def _download_all(source: Source, folder: Path) -> None:
    """Fetch what is missing; a file that every layout can do without may fail."""
    folder.mkdir(parents=True, exist_ok=True)
    optional = {name for layout in source.layouts for name in layout.optional}
    for download in source.downloads:
        target = folder / download.file
        if target.is_file():
            continue
        try:
            _download(download, target)
        except (OSError, http.client.HTTPException):
            if download.file not in optional:
                raise


def _download(download: Download, target: Path) -> None:
    """Fetch one file; it appears under its name only when whole and right."""
    content = hashlib.sha256()
    with (
        urllib.request.urlopen(download.url, timeout=TIMEOUT_SECONDS) as response,
        replacing(target) as part,
        part.open("wb") as stream,
    ):
        while block := response.read(1 << 16):
            content.update(block)
            stream.write(block)
        promised = response.headers.get("Content-Length")
        if promised is not None and stream.tell() != int(promised):
            raise http.client.IncompleteRead(b"", int(promised) - stream.tell())
        if download.sha256 is not None and content.hexdigest() != download.sha256:
            raise DataError(
                f"{download.url}: the file must have sha256 {download.sha256}; got "
                f"{content.hexdigest()}"
            )
