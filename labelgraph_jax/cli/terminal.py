"""Tables for a terminal: 80 columns wide, colour only where there is a terminal."""

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def plain_console() -> Console:
    """Return a console that prints names as they are, brackets included."""
    return Console(highlight=False, markup=False)


def plain_table(title: str = "", **options: Any) -> Table:
    """Return a table without columns, a line below its head.

    Args:
        title: above the table, at the left; none where it is empty.
        **options: further ones of `rich.table.Table`.
    """
    return Table(
        box=box.SIMPLE_HEAD,
        title=title or None,
        title_justify="left",
        title_style="bold",
        **{"padding": (0, 1, 0, 0), **options},
    )


def add_number_columns(
    table: Table, titles: Iterable[str], *, no_wrap: bool = False
) -> None:
    """Add columns of numbers, which stand at the right."""
    for title in titles:
        table.add_column(title, justify="right", no_wrap=no_wrap)
