"""Jinja2 templates of the files beside an exported model: its card and its script."""

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.terminal import visible


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("labelgraph_jax.deploy.export", "assets"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    found.filters["plain"] = plain
    found.globals["counted"] = counted
    return found


def render(name: str, /, **values: object) -> str:
    """Return the file that a template gives for some values."""
    return _templates().get_template(f"{name}.jinja").render(values)


def plain(text: str) -> str:
    r"""Return a text that Markdown shows as it stands, on one line.

    Example:
        >>> plain("[a](b) <i>")
        '\\[a\\](b) \\<i\\>'
    """
    shown = visible(" ".join(text.split()), keep="")
    # An underscore within a word begins nothing.
    return re.sub(r"[\\`*\[\]<>#|~]|(?<!\w)_|_(?!\w)", r"\\\g<0>", shown)
