"""The gates of a model on a terminal."""

from rich.console import Console

from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table
from labelgraph_jax.config.wording import counted
from labelgraph_jax.training.gate_report import GateReport

MOST_COLUMNS = 8
"""Experts that the terminal's table has room for; further ones stand in the JSON."""


def print_gates(report: GateReport, *, out: str = "", figure: str = "") -> None:
    """Print the gates of every task, and where report and figure were saved."""
    console = plain_console()
    # The mean weights of the experts for every task, and how they vary.
    statistics = report.statistics
    experts = statistics.mean_weights.shape[1]
    shown = min(experts, MOST_COLUMNS)
    console.print(
        f"{report.name}: gates over {counted(report.rows, 'row')}", style="bold"
    )
    table = plain_table()
    table.add_column("mean weight", overflow="fold", min_width=11)
    add_number_columns(table, map(str, range(shown)))
    add_number_columns(table, ("spread", "polarised"), no_wrap=True)
    for t, task in enumerate(report.tasks):
        mean = statistics.mean_weights[t]
        table.add_row(
            task,
            *(f"{mean[e]:.2f}" for e in range(shown)),
            f"{statistics.spread[t].max():.3f}",
            f"{statistics.polarisation[t]:.2f}",
        )
    table.add_row(
        "all tasks", *(f"{statistics.utilisation[e]:.2f}" for e in range(shown)), "", ""
    )
    console.print(table)
    if shown < experts:
        console.print(
            f"{counted(experts - shown, 'further expert')} in the JSON report"
        )
    # How to read the table, how alike gates are, and warnings.
    console.print(
        f"even use would be {1 / experts:.3f}; spread: largest standard deviation of "
        "a weight over rows (0: the gate does not read its input); polarised: 0 all "
        "experts alike, 1 a single one"
    )
    _print_similarity(console, report)
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="bold")
    saved = [path for path in (out, figure) if path]
    if saved:
        console.print(f"Saved as {' and '.join(saved)}")


def _print_similarity(console: Console, report: GateReport) -> None:
    if len(report.tasks) < 2:
        return
    table = plain_table(padding=(0, 1))
    table.add_column("likeness of the tasks' gates", overflow="fold")
    add_number_columns(table, map(str, range(len(report.tasks))))
    for t, task in enumerate(report.tasks):
        cells = (f"{value:.2f}" for value in report.statistics.similarity[t])
        table.add_row(f"{t} {task}", *cells)
    console.print(table)
