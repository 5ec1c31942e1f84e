"""What `--help` says beside what the parser says: examples, and whole paragraphs."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Sequence
from typing import get_type_hints

EXIT_CODES = {
    0: "done, or stopped by SIGTERM with everything saved (train, serve)",
    1: "out of memory, or not foreseen; serve: not everything was answered",
    2: "wrong input or setting, or output not written; one line says which",
    3: "another process of the run has died; the others stop",
    130: "stopped by the user; the same command goes on",
    141: "whoever read the output went away (`labelgraph predict ... | head`)",
    143: "stopped by SIGTERM with nothing to save",
}
"""Every exit code of `labelgraph`, and what it means."""

FIRST_STEPS = (
    "labelgraph train",
    "labelgraph train --data mine.jsonl --workdir runs/mine --baseline",
    "labelgraph predict runs/mine new.jsonl > predictions.jsonl",
    "labelgraph train --help",
)


def first_sentence(verb: type) -> str:
    """The first line of a verb's docstring."""
    return inspect.cleandoc(verb.__doc__ or "").partition("\n")[0]


def examples(verb: type) -> list[str]:
    """The command lines under `Example:` or `Examples:` in a verb's docstring."""
    lines = inspect.cleandoc(verb.__doc__ or "").splitlines()
    start = next(
        (place for place, line in enumerate(lines) if line.startswith("Example")),
        len(lines),
    )
    return [line.strip() for line in lines[start + 1 :] if line.strip()]


def closing_lines(named: Sequence[type], *, all_verbs: bool) -> list[str]:
    """What stands below the parser's help.

    Args:
        named: the verb that help is asked for, or those of a group.
        all_verbs: for `labelgraph --help` itself: first steps and exit codes.
    """
    lines = FIRST_STEPS if all_verbs else [e for verb in named for e in examples(verb)]
    shown = ["examples:", *(f"  {line}" for line in lines)]
    if all_verbs:
        shown += ["", "exit codes:"]
        shown += [f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()]
    return shown


def join_paragraphs(cls: type) -> None:
    """Let the parser wrap the text of every field of a dataclass, and of its parts.

    The parser keeps the line breaks of an indented docstring, and would wrap what it
    then wraps once more.
    """
    from docstring_parser import parse_from_object

    described = {
        param.arg_name: " ".join((param.description or "").split())
        for param in parse_from_object(cls).params
    }
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if text := described.get(field.name):
            known = {**field.metadata, "help": text}
            field.metadata = types.MappingProxyType(known)
        if dataclasses.is_dataclass(hints[field.name]):
            join_paragraphs(hints[field.name])
