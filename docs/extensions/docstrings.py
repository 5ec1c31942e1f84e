"""Docstrings of this project, written to be read in a terminal, as reStructuredText.

An indented block in a docstring is a formula or a piece of code, to be shown as it
stands; rows of `| a | b |` are a table. All else is Google style, which napoleon reads.
"""

import re
from typing import Any

_CLOSED = re.compile(r"((?<!`)`[^`]+`)(?=\w)")
_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Examples?|Notes?):$")
_REFERENCE = re.compile(r"^(References?): +(\S.*)$")


def setup(app: Any) -> dict[str, bool]:
    """Runs before napoleon, which listens to the same event."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}


def _skip(_: Any, what: str, name: str, obj: Any, *__: Any) -> bool | None:
    """A field of a NamedTuple without words of its own: the signature has it."""
    said = getattr(obj, "__doc__", None)
    return True if (said or "").startswith("Alias for field number") else None


def _process(_: Any, what: str, name: str, obj: Any, options: Any, lines: Any) -> None:
    lines[:] = with_tables(with_blocks(with_references(list(lines))))
    # `Document`s: what follows a closing backtick must be told apart from it.
    lines[:] = [_CLOSED.sub(r"\1\\ ", line) for line in lines]


def with_references(lines: list[str]) -> list[str]:
    """`Reference: Ma et al., KDD 2018` on one line becomes a section."""
    out: list[str] = []
    inside = False
    for line in lines:
        found = _REFERENCE.match(line)
        if found:
            inside = True
            out += [f"{found[1]}:", f"    {found[2]}"]
        else:
            inside = inside and bool(line.strip())
            out.append(f"    {line}" if inside else line)
    return out


def with_blocks(lines: list[str]) -> list[str]:
    """Marks indented blocks outside of sections as literal ones."""
    out: list[str] = []
    in_section = in_block = False
    for index, line in enumerate(lines):
        indented = line.startswith("    ")
        if line and not indented:
            in_section = bool(_SECTION.match(line)) or bool(_REFERENCE.match(line))
            in_section = in_section or line in ("Reference:", "References:")
            in_block = False
        first = indented and not in_section and not in_block
        if first and index and not lines[index - 1].strip():
            in_block = True
            if not _is_table(lines, index):
                out += ["::", ""]
        out.append(line)
    return out


def with_tables(lines: list[str]) -> list[str]:
    """Rows of `| a | b |`, the second one of dashes, become a list-table."""
    out: list[str] = []
    index = 0
    while index < len(lines):
        rows: list[list[str]] = []
        while (rows or _is_table(lines, index)) and _is_row(lines, index):
            rows.append([cell.strip() for cell in lines[index].strip(" |").split("|")])
            index += 1
            if len(rows) == 1:
                index += 1  # the dashes
        if rows:
            out += _list_table(rows)
        else:
            out.append(lines[index])
            index += 1
    return out


def _is_row(lines: list[str], index: int) -> bool:
    return index < len(lines) and lines[index].lstrip().startswith("|")


def _is_table(lines: list[str], index: int) -> bool:
    dashes = lines[index + 1] if index + 1 < len(lines) else ""
    return _is_row(lines, index) and bool(re.match(r"\s*\|[-|: ]+\|\s*$", dashes))


def _list_table(rows: list[list[str]]) -> list[str]:
    out = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for number, cell in enumerate(row):
            text = re.sub(r"`([^`]+)`", r"``\1``", cell).replace("*", r"\*")
            out.append(f"   {'*' if number == 0 else ' '} - {text}")
    return [*out, ""]
