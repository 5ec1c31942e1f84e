"""An explanation on a terminal: 80 columns, signs before colours."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from labelgraph_jax.cli.gates import MOST_COLUMNS
from labelgraph_jax.cli.terminal import (
    PlainTable,
    add_number_columns,
    plain_console,
    plain_table,
)
from labelgraph_jax.config.wording import counted
from labelgraph_jax.inspection.explain.explanation import Explanation
from labelgraph_jax.inspection.explain.label_explanation import (
    LabelExplanation,
    merged_words,
)

WORDS = 10
"""Words that are listed for each label."""
BAR = 20
WIDTH = 80


def print_explanation(found: Explanation, *, html: str = "") -> None:
    """Print why each label was predicted, or not, and where the page was written."""
    console = plain_console()
    for note in found.notes:
        console.print(f"Note: {note}.")
    for label in found.labels:
        _print_label(console, found, label)
    _print_gates(console, found)
    _print_documents(console, found)
    console.print(f"\nAttributed: {found.read}; against: {found.baseline}.")
    if html:
        console.print(f"Saved as {html}")


def _print_label(console: Console, found: Explanation, label: LabelExplanation) -> None:
    console.print()
    console.print(f"{label.name}: {label.decision}", style="bold")
    if label.note:
        console.print(label.note)
    if label.memory is not None:
        console.print(str(label.memory))
    if label.check is None:
        return
    rows = merged_words(found.words, label.words)[:WORDS]
    rows = [row for row in rows if row[1] != 0]
    if rows:
        console.print(_words_table(rows))
    rest = sum(label.words) - sum(value for _, value, _ in rows)
    left = len({name.casefold() for name in found.words}) - len(rows)
    if left > 0:
        console.print(f"  {rest:+.3f}  {counted(left, 'further word')} together")
    if abs(label.frame) > 5e-4:
        console.print(f"  {label.frame:+.3f}  tokens that are part of no word")
    for line in label.check_lines():
        console.print(line)
    _print_neighbours(console, label)


def _words_table(rows: Sequence[tuple[str, float, int]]) -> Table:
    table = PlainTable(box=None, padding=(0, 1, 0, 1), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, width=BAR)
    table.add_column(no_wrap=True, max_width=40)
    most = max(abs(value) for _, value, _ in rows)
    for name, value, places in rows:
        style = "green" if value > 0 else "red"
        size = max(1, round(BAR * abs(value) / most))
        bar = Text(("+" if value > 0 else "-") * size, style=style)
        times = f" (x{places})" if places > 1 else ""
        table.add_row(Text(f"{value:+.3f}", style=style), bar, name + times)
    return table


def _print_neighbours(console: Console, label: LabelExplanation) -> None:
    if not label.neighbours:
        return
    console.print("Labels it receives from (the same for every document):")
    (first, *titles), rows = label.neighbour_table()
    table = plain_table(pad_edge=False)
    table.add_column(first, overflow="fold")
    add_number_columns(table, titles, no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    line = f"Attention, mean over heads; to itself {label.attention_to_itself}."
    if label.message is not None:
        line += f" What they send adds {label.message:+.3f} to this logit."
    console.print(line)


def _print_gates(console: Console, found: Explanation) -> None:
    if not found.gates:
        return
    console.print("\nGates: the weight of each expert for this document", style="bold")
    table = plain_table()
    table.add_column("label set", overflow="fold")
    experts = max(len(row) for row in found.gates.values())
    shown = min(experts, MOST_COLUMNS)
    add_number_columns(table, map(str, range(shown)))
    for name, row in found.gates.items():
        table.add_row(name, *(f"{value:.2f}" for value in row[:shown]))
    console.print(table)
    if shown < experts:
        console.print(
            f"{counted(experts - shown, 'further expert')} in the JSON report"
        )


def _print_documents(console: Console, found: Explanation) -> None:
    if not found.documents:
        return
    console.print("\nNearest training documents, by cosine", style="bold")
    indent = " " * 7
    for near in found.documents:
        console.print(f" {near.similarity:.3f} {near.id}", overflow="ellipsis")
        console.print(_cut(f"{indent}{', '.join(near.labels) or 'no label'}"))
        console.print(_cut(f"{indent}{near.start}"), style="dim")


def _cut(line: str, width: int = WIDTH) -> str:
    return line if len(line) <= width else line[: width - 3] + "..."
