"""What a verb says: remarks on standard error, its result on standard output."""

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any, TextIO


def say(line: str) -> None:
    """Print one line about what is going on, on standard error.

    On a terminal it goes on in further lines and no word is broken.
    """
    print(_fitted(line, sys.stderr), file=sys.stderr, flush=True)


def _fitted(text: str, stream: TextIO) -> str:
    if not stream.isatty():
        return text
    from labelgraph_jax.cli.terminal import wrapped

    return wrapped(text)


def silent(line: str) -> None:
    """Take a remark and say nothing, as `--quiet` asks."""


def remarks(quiet: bool, prefix: str = "") -> Callable[[str], None]:
    """Return what takes remarks: `say` with something before each line, or `silent`."""
    return silent if quiet else lambda line: say(prefix + line)


def show(
    verb: Any,
    result: Any,
    describe: Callable[..., None],
    *,
    ascii: bool = True,
    **options: Any,
) -> int:
    """Print the result of a verb: with `--json` as JSON, else for people.

    Args:
        verb: as parsed.
        result: JSON values, dataclasses, or anything that has `to_json`.
        describe: prints the result for people, given `options`.
        ascii: JSON writes other letters as escapes.

    Returns:
        The exit code of success.
    """
    if verb.json:
        values = result.to_json() if hasattr(result, "to_json") else result
        print(
            json.dumps(values, indent=2, ensure_ascii=ascii, default=dataclasses.asdict)
        )
    else:
        describe(result, **options)
    return 0


def tell(verb: Any, result: Any, *sentences: str, ascii: bool = False) -> int:
    """Print what was done: as JSON, in sentences, or with `--quiet` not at all."""

    def describe(_: Any) -> None:
        if not verb.quiet:
            print(_fitted("\n".join(sentences), sys.stdout))

    return show(verb, result, describe, ascii=ascii)
