"""Documents -> JSONL, all of it or nothing."""

from __future__ import annotations

import contextlib
import gzip
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.files import replacing
from labelgraph_jax.data.readers.lines import split_suffix
from labelgraph_jax.data.terminal import json_line


def write_jsonl(documents: Iterable[Document], path: str | Path) -> None:
    """Write documents as JSONL that `read_documents` reads back.

    The file appears under its name only when it is whole: it is written beside
    it and then renamed. A name that ends in .gz or .xz is compressed.

    Raises:
        DataError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: must be a file to write; it is a folder")
    try:
        with (
            replacing(path) as temporary,
            temporary.open("wb") as raw,
            _packed(raw, split_suffix(path)[1]) as stream,
        ):
            for document in documents:
                stream.write(json_line(_fields(document)).encode() + b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written; {error.strerror}") from None


def _fields(document: Document) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": document.id,
        "text": document.text,
        "labels": list(document.labels),
    }
    if document.features is not None:
        del fields["text"]
        fields["features"] = {
            "ids": document.features.ids.tolist(),
            "values": document.features.values.tolist(),
        }
    if document.unannotated:
        fields["unannotated"] = list(document.unannotated)
    if document.probabilities:
        fields["probabilities"] = dict(document.probabilities)
    if document.tasks is not None:
        fields["tasks"] = {
            task: None if labels is None else list(labels)
            for task, labels in document.tasks.items()
        }
    return fields


@contextlib.contextmanager
def _packed(raw: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    if compression == ".gz":
        # No name and no time inside: the same documents give the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream:
            yield cast("IO[bytes]", stream)
    elif compression == ".xz":
        with lzma.open(raw, "wb") as packed:
            yield packed
    else:
        yield raw
