"""One JSON object a line, for the corpora that are published so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.lines import read_lines


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line number, object) of a JSONL file, plain or compressed.

    Raises:
        DataError: a line is no JSON object, or the file cannot be read.
    """
    for number, line in read_lines(path):
        yield number, parse_object(line, f"{path}:{number}")


def parse_object(text: str | bytes, where: str) -> dict[str, Any]:
    """The JSON object in `text`; raises a DataError that starts with `where`."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: must be a JSON object; {error}") from None
    if not isinstance(fields, dict):
        raise DataError(
            f"{where}: must be a JSON object; got a {type(fields).__name__}"
        )
    return fields
