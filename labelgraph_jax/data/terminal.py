"""Text for a terminal: control characters made visible, and last words.

Labels, texts and paths come from others. An escape character in one of them could
colour, move or overwrite what a terminal shows, and some characters end a line for one
reader and not for another. Whatever is printed goes through `visible`, and JSON that is
written line by line through `json_line`.
"""

import contextlib
import dataclasses
import json
import os
import re
import select

# C0 and C1 controls, DEL, the separators of lines and paragraphs, characters that turn
# the direction of what follows, and halves of a pair, which no encoding can write.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str, *, keep: str = "\n\t") -> str:
    r"""Return a text with its control characters as escapes that can be read.

    Example:
        >>> visible("a\x1b[31mb")
        'a\\x1b[31mb'

    Args:
        text: of anyone.
        keep: control characters that are left as they are.
    """

    def escaped(found: re.Match[str]) -> str:
        character = found[0]
        return character if character in keep else ascii(character)[1:-1]

    return _CONTROLS.sub(escaped, text)


def json_line(value: object, *, ascii: bool = False, indent: int | None = None) -> str:
    r"""Return a value as JSON in which no control character stands as itself.

    The value that is read back is the same.

    Example:
        >>> json_line({"id": "a\x9b31m"})
        '{"id": "a\\u009b31m"}'

    Args:
        value: what JSON knows, and dataclasses.
        ascii: write every letter beyond ASCII as an escape.
        indent: spaces of a level; all on one line when None.
    """
    text = json.dumps(
        value, ensure_ascii=ascii, indent=indent, default=dataclasses.asdict
    )
    return _CONTROLS.sub(
        lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text
    )


def last_words(said: str) -> None:
    """Write a line to standard error from a signal's handler, if somebody reads it.

    It never waits and never fails: to end must not depend on being able to say so.
    """
    with contextlib.suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, said.encode("utf-8", "backslashreplace"))
