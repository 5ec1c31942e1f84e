"""Seeing the gates: numbers, a table and the figure of experts x tasks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from labelgraph_jax.data.files import write_text
from labelgraph_jax.functional.mixture.experts import GateStatistics
from labelgraph_jax.training.gates import gate_warnings

MOST_COLUMNS = 8
"""Experts that the terminal's table has room for; further ones stand in the JSON."""


@dataclass(frozen=True)
class GateReport:
    """What the gates of a trained model do with some rows.

    Attributes:
        name: of the model and the rows.
        rows: how many rows.
        tasks: one name per gate; all names joined where the tasks share one gate.
        statistics: see `functional.GateStatistics`.
        warnings: what looks like a collapse.
    """

    name: str
    rows: int
    tasks: tuple[str, ...]
    statistics: GateStatistics
    warnings: tuple[str, ...]

    @classmethod
    def make(
        cls, name: str, rows: int, tasks: Sequence[str], statistics: GateStatistics
    ) -> "GateReport":
        """The report of some statistics; the tasks are those of the model."""
        gates = statistics.mean_weights.shape[0]
        names = tuple(tasks) if gates == len(tasks) else (", ".join(tasks),)
        return cls(
            name, rows, names, statistics, tuple(gate_warnings(statistics, tasks))
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values, rounded to six digits."""
        values = {
            field: np.round(np.asarray(value, np.float64), 6).tolist()
            for field, value in self.statistics._asdict().items()
        }
        return {
            "rows": self.rows,
            "tasks": list(self.tasks),
            "experts": self.statistics.mean_weights.shape[1],
            **values,
            "warnings": list(self.warnings),
        }


def print_gates(report: GateReport, *, out: str = "", figure: str = "") -> None:
    """Prints the gates of every task, and where report and figure were saved."""
    console = Console(highlight=False, markup=False)
    statistics = report.statistics
    experts = statistics.mean_weights.shape[1]
    shown = min(experts, MOST_COLUMNS)
    console.print(f"{report.name}: gates over {report.rows:,} rows", style="bold")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("mean weight", overflow="fold", min_width=11)
    for expert in range(shown):
        table.add_column(f"{expert}", justify="right")
    table.add_column("spread", justify="right", no_wrap=True)
    table.add_column("polarised", justify="right", no_wrap=True)
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
        console.print(f"{experts - shown} further experts stand in the JSON report")
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
        console.print(f"Saved as {' and '.join(saved)}", soft_wrap=True)


def _print_similarity(console: Console, report: GateReport) -> None:
    if len(report.tasks) < 2:
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("likeness of the tasks' gates", overflow="fold")
    for number in range(len(report.tasks)):
        table.add_column(str(number), justify="right")
    for t, task in enumerate(report.tasks):
        cells = (f"{value:.2f}" for value in report.statistics.similarity[t])
        table.add_row(f"{t} {task}", *cells)
    console.print(table)


def write_gates(report: GateReport, path: str | Path) -> None:
    """Writes the report as JSON.

    Raises:
        OSError: it cannot be written.
    """
    write_text(Path(path), json.dumps(report.to_json(), indent=2) + "\n")


def draw_gates(report: GateReport, path: str | Path) -> None:
    """Draws mean gate weights, experts x tasks, as a picture (png, svg or pdf).

    Raises:
        ValueError: the name ends in none of these.
        OSError: it cannot be written.
    """
    path = Path(path)
    known = (".png", ".svg", ".pdf")
    if path.suffix.lower() not in known:
        raise ValueError(f"a figure must end in {', '.join(known)}; got {path.name!r}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from labelgraph_jax.inspection.figures.matrices import gate_weights

    mean = np.asarray(report.statistics.mean_weights)
    tasks, experts = mean.shape
    figure = Figure(figsize=(2.5 + 0.6 * experts, 1.6 + 0.45 * tasks), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    title = f"{report.name}: mean gate weight, {report.rows:,} rows"
    gate_weights(mean, report.tasks, title=title, ax=axes)
    figure.tight_layout()
    figure.savefig(path)
