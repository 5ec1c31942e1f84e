"""Output of a verb: remarks on standard error, its result on standard output."""

import dataclasses
import re
import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from labelgraph_jax.config import Config, ReadingConfig, to_dict
from labelgraph_jax.config.settings import flatten
from labelgraph_jax.data.terminal import json_line, visible


def say(line: str) -> None:
    """Print one line about what is going on, on standard error.

    On a terminal it goes on in further lines and no word is broken.
    """
    if sys.stderr is not None:
        write(_fitted(line, sys.stderr), sys.stderr)


def write(text: str, stream: TextIO | None = None) -> None:
    """Print lines, on standard output unless told otherwise.

    Nothing else prints: a control character in a label or a path is made visible here.
    """
    print(visible(text), file=stream or sys.stdout, flush=stream is not None)


def _fitted(text: str, stream: TextIO) -> str:
    if not stream.isatty():
        return text
    from labelgraph_jax.cli.terminal import wrapped

    return wrapped(text)


def in_options(message: str) -> str:
    """A message with settings as they are typed.

    `data.text_column` and, where files are read, `text_column` become `--text-column`,
    `text.dim` becomes `--text.dim`.
    """
    known = flatten(to_dict(Config()))
    reading = [
        field.name for field in dataclasses.fields(ReadingConfig) if "_" in field.name
    ]

    def option(found: re.Match[str]) -> str:
        name = found[0]
        if name not in known and name not in reading:
            return name
        return "--" + name.removeprefix("data.").replace("_", "-")

    return re.sub(r"(?<![\w/.'\"-])[a-z_]+(\.[a-z_0-9]+)?\b(?![/.]\w)", option, message)


def silent(line: str) -> None:
    """Take a remark and say nothing, as `--quiet` asks."""


def remarks(quiet: bool, prefix: str = "") -> Callable[[str], None]:
    """Return what takes remarks: `say` with something before each line, or `silent`."""
    return silent if quiet else lambda line: say(prefix + in_options(line))


class Verb(Protocol):
    """A verb that answers in JSON where it is asked to."""

    @property
    def json(self) -> bool:
        """True if it answers in JSON."""


class QuietVerb(Verb, Protocol):
    """A verb that may say nothing."""

    @property
    def quiet(self) -> bool:
        """True if it says nothing."""


def show(
    verb: Verb,
    result: object,
    describe: Callable[..., None],
    *,
    ascii: bool = True,
    **options: object,
) -> int:
    """Print the result of a verb: with `--json` as JSON, else for people.

    Args:
        verb: as parsed.
        result: JSON values, dataclasses, or anything that has `to_json`.
        describe: prints the result for people.
        ascii: JSON writes other letters as escapes.
        **options: what `describe` is given beside the result.

    Returns:
        The exit code of success.
    """
    if verb.json:
        values = result.to_json() if hasattr(result, "to_json") else result
        write(json_line(values, ascii=ascii, indent=2))
    else:
        describe(result, **options)
    return 0


def tell(verb: QuietVerb, result: object, *sentences: str, ascii: bool = False) -> int:
    """Print what was done: as JSON, in sentences, or with `--quiet` not at all."""

    def describe(_: object) -> None:
        if not verb.quiet:
            write(_fitted("\n".join(sentences), sys.stdout))

    return show(verb, result, describe, ascii=ascii)
