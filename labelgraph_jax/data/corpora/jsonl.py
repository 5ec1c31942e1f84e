"""Labelled documents a line, for the corpora that are passed on as JSONL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.readers.fields import (
    check_id,
    check_labels,
    check_text,
    read_objects,
)


def labelled_objects(path: Path, *, id_key: str = "id") -> Iterator[Document]:
    """Yield the documents of a file of `{"id": ..., "text": ..., "labels": [...]}`.

    Args:
        path: the file, plain or compressed.
        id_key: what the id is called.

    Raises:
        DataError: a line is something else.
    """
    for number, fields in read_objects(path):
        where = f"{path}:{number}"
        yield Document(
            id=check_id(fields.get(id_key), where),
            text=check_text(fields.get("text"), where),
            labels=check_labels(fields.get("labels"), where),
            source=f"{path.name}:{number}",
        )
