"""An explanation on a terminal: 80 columns, signs before colours."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labelgraph_jax.inspection.explain.explanation import (
    TOLERANCE,
    Check,
    Explanation,
    LabelExplanation,
    merged_words,
)

WORDS = 10
"""Words that are listed for each label."""
BAR = 20
WIDTH = 80


def print_explanation(found: Explanation, *, html: str = "") -> None:
    """Prints why each label was predicted, or not, and where the page was written."""
    console = Console(highlight=False, markup=False)
    for note in found.notes:
        console.print(f"Note: {note}.")
    for label in found.labels:
        _print_label(console, found, label)
    _print_gates(console, found)
    _print_documents(console, found)
    console.print(f"\nAttributed: {found.read}; against: {found.baseline}.")
    if html:
        console.print(f"Saved as {html}", soft_wrap=True)


def _print_label(console: Console, found: Explanation, label: LabelExplanation) -> None:
    console.print()
    console.print(heading(label), style="bold")
    if label.note:
        console.print(label.note)
    if label.memory is not None:
        console.print(memory_line(label))
    if label.check is None:
        return
    rows = merged_words(found.words, label.words)[:WORDS]
    rows = [row for row in rows if row[1] != 0]
    if rows:
        console.print(_words_table(rows))
    rest = sum(label.words) - sum(value for _, value, _ in rows)
    left = len({name.casefold() for name in found.words}) - len(rows)
    if left > 0:
        console.print(f"  {rest:+.3f}  {left:,} further words together")
    if abs(label.frame) > 5e-4:
        console.print(f"  {label.frame:+.3f}  tokens that are part of no word")
    for line in check_lines(label):
        console.print(line)
    _print_neighbours(console, label)


def heading(label: LabelExplanation) -> str:
    """The label, what is said of it, and whether that is enough."""
    name = f"{label.label} {label.title}".strip()
    said = f"{name}: probability {label.probability:.3f}"
    if label.threshold is None:
        return said + (", predicted" if label.predicted else ", not predicted")
    side = ">=" if label.probability >= label.threshold else "<"
    verdict = "predicted" if label.predicted else "not predicted"
    if label.predicted and side == "<":
        verdict += " (a label is always given)"
    return f"{said} {side} threshold {label.threshold:.3f}, {verdict}"


def memory_line(label: LabelExplanation) -> str:
    """How much of the probability came from the memory."""
    memory = label.memory
    assert memory is not None
    return (
        f"Memory: {memory.share:.0%} of the probability; {1 - memory.weight:.2f} x "
        f"{memory.classifier:.3f} (classifier) + {memory.weight:.2f} x "
        f"{memory.memory:.3f} (memory)"
    )


def check_lines(label: LabelExplanation) -> list[str]:
    """The completeness check of a label, with a warning where it fails."""
    check, other = label.check, label.other
    assert check is not None and other is not None
    lines = [
        f"Sum of attributions {check.total:+.3f}; logit {label.logit:+.3f} - baseline "
        f"{label.baseline_logit:+.3f} = {check.difference:+.3f}; gap "
        f"{percent(check)} ({_how(check)}; {_how(other)}: {percent(other)})"
    ]
    if not check.holds:
        lines.append(
            f"Warning: the attributions miss more than {TOLERANCE:.0%} of the "
            "difference: read them as a rough order, not as amounts"
        )
    return lines


def percent(check: Check) -> str:
    """The gap in percent."""
    relative = check.relative
    return "undefined" if relative is None else f"{100 * relative:.1f}%"


def _how(check: Check) -> str:
    if check.method == "gradient-x-input":
        return "gradient x input"
    return f"integrated gradients, {check.steps} steps"


def _words_table(rows: Sequence[tuple[str, float, int]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 1), show_header=False)
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
    first = label.neighbours[0]
    layers = len(first.attention)
    console.print("Labels it listens to (the same for every document):")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("label", overflow="fold")
    for number in range(layers):
        table.add_column(f"layer {number + 1}", justify="right", no_wrap=True)
    columns = [] if first.start is None else ["edge"]
    columns += [] if first.learned is None else ["learned"]
    columns += [] if first.together is None else ["P", "both"]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for one in label.neighbours:
        cells = [one.name, *(share(value) for value in one.attention)]
        if first.start is not None:
            cells.append(f"{one.start or 0:.3f}")
        if first.learned is not None:
            cells.append(f"{one.learned or 0:.3f}")
        if one.together is not None:
            part = one.probability
            cells.append("-" if part is None else f"{part:.2f}")
            cells.append(f"{one.together:,}")
        table.add_row(*cells)
    console.print(table)
    own = ", ".join(share(value) for value in label.itself)
    line = f"Attention, mean over heads; to itself {own}."
    if label.message is not None:
        line += f" What they send adds {label.message:+.3f} to this logit."
    console.print(line)


def _print_gates(console: Console, found: Explanation) -> None:
    if not found.gates:
        return
    console.print("\nGates: the weight of each expert for this document", style="bold")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("label set", overflow="fold")
    experts = max(len(row) for row in found.gates.values())
    shown = min(experts, 8)
    for number in range(shown):
        table.add_column(str(number), justify="right")
    for name, row in found.gates.items():
        table.add_row(name, *(f"{value:.2f}" for value in row[:shown]))
    console.print(table)
    if shown < experts:
        console.print(f"{experts - shown} further experts stand in the JSON")


def _print_documents(console: Console, found: Explanation) -> None:
    if not found.documents:
        return
    console.print("\nNearest training documents, by cosine", style="bold")
    indent = " " * 7
    for near in found.documents:
        console.print(f" {near.similarity:.3f} {near.id}", overflow="ellipsis")
        console.print(_cut(f"{indent}{', '.join(near.labels) or 'no label'}"))
        console.print(_cut(f"{indent}{near.start}"), style="dim")


def share(value: float) -> str:
    """A weight with three decimals, or what is left of a very small one."""
    return f"{value:.3f}" if abs(value) >= 5e-4 or value == 0 else f"{value:.0e}"


def _cut(line: str, width: int = WIDTH) -> str:
    return line if len(line) <= width else line[: width - 3] + "..."
