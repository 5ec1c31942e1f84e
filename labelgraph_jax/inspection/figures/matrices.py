"""Matrices as heat maps: confused labels, adjacency, gate weights."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from labelgraph_jax.inspection.figures.arguments import label_names, numbers
from labelgraph_jax.inspection.figures.axes import (
    LEAST,
    MOST_INCHES,
    SMALL,
    open_axes,
    put_title,
    settled,
    style_axes,
)
from labelgraph_jax.inspection.figures.fonts import families
from labelgraph_jax.inspection.figures.palette import (
    DIVERGING,
    HEAT,
    ON_DARK,
    ON_LIGHT,
    colour_map,
    ink,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL = 0.155
"""Inches of a row in a figure of its own: room for a name of 8 points."""
NUMBERED = 30
"""Up to so many rows and columns, cells show their numbers."""
LONGEST = 40
"""Characters of a name beside a row; longer ones are cut."""


def label_confusion(
    matrix: ArrayLike,
    names: Sequence[str],
    *,
    title: str = "",
    rows: str = "missed label",
    columns: str = "in its place",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw how often labels are missed for, or together with, others.

        scored = lg.score_test(lg.load("workdirs/mine"))
        lg.figures.label_confusion(*scored.most_confused(20))

    Args:
        matrix: counts `[n, n]`, see `functional.confused_with` and `missed_together`.
            The diagonal, what a label has with itself, does not set the scale.
        names: of the labels, `n`; where rows are too narrow, every second, third ...
        title: above the axes.
        rows: name of what the rows are.
        columns: name of what the columns are.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: the matrix is not square, or names are another number; a count is
            negative or NaN.
    """
    counts = numbers("matrix", matrix, "[n, n]")
    if counts.min() < 0:
        raise ValueError(
            f"matrix of shape {counts.shape} must hold counts, got {counts.min():g}"
        )
    written = label_names(names, len(counts))
    beside = np.where(np.eye(len(counts), dtype=bool), 0.0, counts)
    most = max(beside.max() if len(counts) > 1 else counts.max(), 1.0)
    scale = Scale(0.0, most, HEAT, "documents", "{:.0f}")
    return _draw_square(ax, counts, written, scale, rows, columns, title)


def adjacency_heat_map(
    matrix: ArrayLike,
    names: Sequence[str],
    *,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw an adjacency: which label receives from which, and how strongly.

        model = lg.load("workdirs/mine")
        lg.figures.adjacency_heat_map(model.classifier.graph.adjacency, model.labels)

    Args:
        matrix: weights `[n, n]`; (i, j): label i receives from label j. With negative
            weights, which a learned adjacency may have, 0 is the middle colour.
        names: of the labels, `n`; where rows are too narrow, every second, third ...
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: the matrix is not square, names are another number, or a weight is
            NaN.
    """
    weights = numbers("matrix", matrix, "[n, n]")
    written = label_names(names, len(weights))
    most = max(np.abs(weights).max(), 1e-9)
    least, colours = (0.0, HEAT) if weights.min() >= 0 else (-most, DIVERGING)
    scale = Scale(least, most, colours, "weight", "{:.2f}")
    return _draw_square(ax, weights, written, scale, "receiver", "sender", title)


def gate_weights(
    weights: ArrayLike,
    task_names: Sequence[str],
    *,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the mean weight that the gate of every task gives each expert.

        report = run_gates("workdirs/mine")    # from inspection.gates
        lg.figures.gate_weights(report.statistics.mean_weights, report.tasks)

    Args:
        weights: not negative, `[T, E]`.
        task_names: one per row.
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: names are another number than rows, or a weight is negative or NaN.
    """
    mean = numbers("weights", weights, "[T, E]")
    if mean.min() < 0:
        raise ValueError(f"weights of shape {mean.shape} must not be negative")
    tasks, experts = mean.shape
    written = label_names(task_names, tasks)
    size = 2.6 + 0.5 * experts, 1.6 + 0.4 * tasks
    roomy = ax is None and max(size) <= MOST_INCHES
    ax = open_axes(ax, size)
    scale = Scale(0.0, max(mean.max(), 1e-9), HEAT, "weight", "{:.2f}")
    _heat(ax, mean, scale, zero="0")
    _ticks(ax, written, [str(e) for e in range(experts)], roomy=roomy, turned=False)
    ax.set_xlabel("expert")
    put_title(ax, title)
    return ax


class Scale(NamedTuple):
    """Mapping of numbers to colours: ends, colours, label, and format of a number."""

    least: float
    most: float
    colours: Sequence[str]
    label: str
    form: str


def _draw_square(
    ax: "Axes | None",
    values: np.ndarray,
    names: Sequence[str],
    scale: Scale,
    rows: str,
    columns: str,
    title: str,
) -> "Axes":
    """A matrix of labels by labels, as large as their names need."""
    count = len(values)
    side = max(3.2, (CELL if count > NUMBERED else 2 * CELL) * count)
    longest = 0.065 * min(max(len(name) for name in names), LONGEST)
    size = side + longest + 1.2, side + longest + 0.5
    roomy = ax is None and max(size) <= MOST_INCHES
    ax = open_axes(ax, size)
    _heat(ax, values, scale, zero="")
    _ticks(ax, names, names, roomy=roomy)
    ax.set_xlabel(columns)
    ax.set_ylabel(rows)
    put_title(ax, title)
    return ax


def _heat(ax: "Axes", values: np.ndarray, scale: Scale, *, zero: str) -> None:
    """Cells with a bar of their colours, and numbers where cells are few."""
    # The cells, and a bar of their colours.
    image = ax.imshow(
        values,
        cmap=colour_map(scale.colours),
        vmin=scale.least,
        vmax=scale.most,
        interpolation="nearest",
        aspect="equal" if values.shape[0] == values.shape[1] else "auto",
    )
    figure = ax.get_figure(root=True)
    assert figure is not None
    beyond = "max" if values.max() > scale.most else "neither"
    bar = figure.colorbar(image, ax=ax, shrink=0.7, pad=0.02, extend=beyond)
    bar.set_label(scale.label, fontsize=SMALL, color=ink())
    bar.outline.set_visible(False)  # type: ignore[operator]
    style_axes(bar.ax, spines=())
    style_axes(ax, spines=())
    # Numbers, where they can be read.
    if max(values.shape) > NUMBERED:
        return
    for (i, j), value in np.ndenumerate(values):
        dark = abs(value) > 0.55 * scale.most
        text = scale.form.format(value) if value else zero
        if text:
            ax.text(
                j,
                i,
                text.replace("0.", ".", 1) if text.startswith("0.") else text,
                ha="center",
                va="center",
                fontsize=SMALL - 1.5,
                color=ON_DARK if dark else ON_LIGHT,
            )


def _ticks(
    ax: "Axes",
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    roomy: bool,
    turned: bool = True,
) -> None:
    """Names along both sides, thinned to what is readable where it is not roomy."""
    ax.tick_params(axis="x", rotation=90 if turned else 0, length=2)
    ax.tick_params(axis="y", length=2)
    rows, columns = ([_short(name) for name in names] for names in (rows, columns))
    used = families([*rows, *columns])
    if roomy:
        ax.set_yticks(range(len(rows)), rows, fontsize=SMALL, fontfamily=used)
        ax.set_xticks(range(len(columns)), columns, fontsize=SMALL, fontfamily=used)
        return
    ax.set_xticks([])
    ax.set_yticks([])
    # Names take room themselves: the axes are smaller with them than without.
    for _ in range(2):
        scale = 72 / settled(ax).dpi
        box = ax.get_window_extent()
        wide = 0.85 if turned else 2.0
        _thin(rows, 0.85 * scale * box.height, ax.set_yticks)
        _thin(columns, wide * scale * box.width, ax.set_xticks)


def _thin(names: Sequence[str], length: float, place: Callable[..., object]) -> None:
    """Every name, or every second, third ..., along so many points."""
    room = max(length / len(names), 1e-6)
    every = max(1, math.ceil(LEAST / room))
    shown = range(0, len(names), every)
    size = min(max(room * every, LEAST), SMALL)
    written = [names[i] for i in shown]
    place(list(shown), written, fontsize=size, fontfamily=families(written))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
