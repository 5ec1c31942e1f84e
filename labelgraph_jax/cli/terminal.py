"""Tables for a terminal: 80 columns wide, colour only where there is a terminal."""

import re
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.style import StyleType
from rich.table import Table

from labelgraph_jax.data.terminal import visible


class PlainConsole(Console):
    """A console that prints names as they are, and breaks texts between words alone.

    Only control characters do not stay what they are, here and in `PlainTable`.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `rich.console.Console` does; a single text is wrapped here."""
        objects = tuple(visible(o) if isinstance(o, str) else o for o in objects)
        if (
            len(objects) == 1
            and isinstance(objects[0], str)
            and "overflow" not in options
        ):
            objects = (wrapped(objects[0], self.width),)
            options["soft_wrap"] = True
        super().print(*objects, **options)


class PlainTable(Table):
    """A table whose cells and titles are names, never markup."""

    def add_row(
        self,
        *cells: RenderableType | None,
        style: StyleType | None = None,
        end_section: bool = False,
    ) -> None:
        """Add a row as `rich.table.Table` does."""
        shown = (visible(c) if isinstance(c, str) else c for c in cells)
        super().add_row(*shown, style=style, end_section=end_section)

    def add_column(self, header: Any = "", *arguments: Any, **options: Any) -> None:
        """Add a column as `rich.table.Table` does."""
        header = visible(header) if isinstance(header, str) else header
        super().add_column(header, *arguments, **options)


def plain_console() -> Console:
    """Return a console that prints names as they are, brackets and colons included."""
    return PlainConsole(highlight=False, markup=False, emoji=False)


def wrapped(text: str, width: int = 0) -> str:
    """Return a text in lines of a width, that of the terminal when 0.

    A word that is longer stays whole on a line of its own, and so does a command in
    backticks: paths and commands can be copied.
    """
    width, lines = width or plain_console().width, []
    for paragraph in text.split("\n"):
        line = ""
        for word in re.findall(r"\s*(?:`[^`]*`|\S)+", paragraph):
            if line and cell_len(line + word) > width:
                lines.append(line)
                word, line = word.lstrip(), ""
            line += word
        lines.append(line)
    return "\n".join(lines)


def plain_table(
    title: str = "",
    *,
    padding: tuple[int, ...] = (0, 1, 0, 0),
    pad_edge: bool = True,
) -> Table:
    """Return a table without columns, a line below its head.

    Args:
        title: above the table, at the left; none where it is empty.
        padding: as of `rich.table.Table`.
        pad_edge: likewise.
    """
    return PlainTable(
        box=box.SIMPLE_HEAD,
        title=visible(title) or None,
        title_justify="left",
        title_style="bold",
        padding=padding,  # type: ignore[arg-type]
        pad_edge=pad_edge,
    )


def add_number_columns(
    table: Table, titles: Iterable[str], *, no_wrap: bool = False
) -> None:
    """Add columns of numbers, which stand at the right."""
    for title in titles:
        table.add_column(title, justify="right", no_wrap=no_wrap)
