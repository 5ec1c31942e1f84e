"""Labels that a person adds to a trained model: names and descriptions, from a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import (
    check_labels,
    check_string,
    read_objects,
    shown,
)
from labelgraph_jax.data.readers.lines import read_lines, split_suffix

_KEYS = ("name", "description", "parents")


@dataclasses.dataclass(frozen=True)
class NewLabel:
    """A label as a person describes it.

    Args:
        name: what predictions will call it.
        description: what it means; may be empty.
        parents: labels above it.
    """

    name: str
    description: str = ""
    parents: tuple[str, ...] = ()


def read_new_labels(path: str | Path) -> list[NewLabel]:
    """Read labels from JSONL or TSV, plain, .gz or .xz.

    JSONL: `{"name": ..., "description": ..., "parents": [...]}`, the last two may be
    absent. TSV (.tsv, .txt): `name<TAB>description`, or a name alone.

    Raises:
        DataError: no such file, another format, a malformed line, an empty name, a
            name twice, or no label at all; says where.
    """
    path = Path(path)
    kind = split_suffix(path)[0]
    if kind in (".jsonl", ".ndjson"):
        lines = _objects(path)
    elif kind in (".tsv", ".txt"):
        lines = _rows(path)
    else:
        raise DataError(
            f"{path}: new labels must stand in a .jsonl or .tsv file; got "
            f"{kind or 'a name without suffix'}"
        )
    found: dict[str, tuple[int, NewLabel]] = {}
    for number, label in lines:
        if label.name in found:
            raise DataError(
                f"{path}:{number}: the label {label.name!r} stands in line "
                f"{found[label.name][0]} already"
            )
        found[label.name] = (number, label)
    if not found:
        raise DataError(f"{path}: must hold at least one label; it is empty")
    return [label for _, label in found.values()]


def check_name(name: object, where: str) -> str:
    """The name of a label.

    Raises:
        DataError: no string, empty, with spaces around it, or with a tab or break.
    """
    return check_labels([check_string(name, where, "name")], where, "name")[0]


def _objects(path: Path) -> Iterator[tuple[int, NewLabel]]:
    for number, fields in read_objects(path):
        where = f"{path}:{number}"
        if "name" not in fields:
            raise DataError(f'{where}: a label must have a "name"; got {shown(fields)}')
        for key in fields:
            if key not in _KEYS:
                raise DataError(
                    f"{where}: a label has {', '.join(_KEYS)}; got {shown(key)}"
                )
        description = fields.get("description") or ""
        description = check_string(description, where, "description")
        parents = check_labels(fields.get("parents") or [], where, "parents")
        name = check_name(fields["name"], where)
        yield number, NewLabel(name, description.strip(), parents)


def _rows(path: Path) -> Iterator[tuple[int, NewLabel]]:
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        cells = line.split("\t")
        if len(cells) > 2:
            raise DataError(
                f"{where}: must be name<TAB>description; got {len(cells)} columns"
            )
        description = cells[1].strip() if len(cells) == 2 else ""
        yield number, NewLabel(check_name(cells[0], where), description)
