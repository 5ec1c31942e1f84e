"""Reading MEKA's ARFF: labels first (or last), then 0/1 or numeric attributes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.lines import read_lines

_LABEL_COUNT = re.compile(r"-C\s+(-?\d+)")
_NAME = re.compile(
    r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)\s""", re.I
)


@dataclasses.dataclass(frozen=True)
class Table:
    """A multi-label ARFF file.

    Args:
        labels: how many attributes are labels; they come first here.
        attributes: all names, the labels first.
        rows: per row its line number and the attributes that are not 0.
    """

    labels: int
    attributes: tuple[str, ...]
    rows: tuple[tuple[int, tuple[int, ...]], ...]


def read_arff(path: Path) -> Table:
    """Read a file whose relation name says with `-C n` how many labels there are.

    Minus n stands for n labels at the end. Rows are sparse, `{3 1, 17 1}`, or dense,
    `0,1,0`; a value counts as set unless it is 0.

    Raises:
        DataError: no such relation, an attribute out of range, or a row of another
            length.
    """
    lines = iter(read_lines(path))
    count, names = _read_header(lines, path)
    if not 0 < abs(count) < len(names):
        raise DataError(
            f"{path}: -C must be between 1 and the {len(names)} attributes less one; "
            f"got {count}"
        )
    shift = len(names) + count if count < 0 else 0
    rows = []
    for number, line in lines:
        text = line.strip()
        if text and not text.startswith("%"):
            values = _parse_row(text, len(names), f"{path}:{number}")
            rows.append(
                (number, tuple(sorted((i - shift) % len(names) for i in values)))
            )
    if not rows:
        raise DataError(f"{path}: must hold rows after @data; got none")
    return Table(abs(count), tuple(names[shift:] + names[:shift]), tuple(rows))


def _read_header(lines: Iterator[tuple[int, str]], path: Path) -> tuple[int, list[str]]:
    count: int | None = None
    names: list[str] = []
    for number, line in lines:
        text = line.strip()
        keyword = text.partition(" ")[0].lower()
        if keyword == "@relation":
            match = _LABEL_COUNT.search(text)
            if match is None:
                raise DataError(
                    f"{path}:{number}: the relation must say -C and the number of "
                    f"labels; got {text!r}"
                )
            count = int(match[1])
        elif keyword == "@attribute":
            match = _NAME.match(text)
            if match is None:
                raise DataError(f"{path}:{number}: an attribute must have a name")
            names.append(re.sub(r"\\(.)", r"\1", match[1].strip("'\"")))
        elif keyword == "@data":
            if count is None:
                raise DataError(f"{path}: must have a @relation with -C before @data")
            return count, names
    raise DataError(f"{path}: must have an @data line; got none")


def _parse_row(text: str, width: int, where: str) -> list[int]:
    if text.startswith("{"):
        pairs = [entry.split() for entry in text.strip("{} ").split(",") if entry]
    else:
        pairs = [[str(i), value] for i, value in enumerate(text.split(","))]
        if len(pairs) != width:
            raise DataError(f"{where}: must have {width} values; got {len(pairs)}")
    try:
        values = [(int(index), float(value)) for index, value in pairs]
    except ValueError:
        raise DataError(f"{where}: must be numbers; got {text[:60]!r}") from None
    for index, _ in values:
        if not 0 <= index < width:
            raise DataError(
                f"{where}: attributes must be 0 to {width - 1}; got {index}"
            )
    return [index for index, value in values if value != 0.0]
