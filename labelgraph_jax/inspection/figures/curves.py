"""Curves: what training did, how far probabilities are to be trusted, thresholds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from labelgraph_jax.functional.metrics.calibration import (
    CalibrationBins,
    calibration_bins,
    expected_calibration_error,
)
from labelgraph_jax.inspection.figures.arguments import numbers, plain_text, same_length
from labelgraph_jax.inspection.figures.axes import (
    SMALL,
    grid,
    legend_above,
    open_axes,
    put_title,
    style_axes,
)
from labelgraph_jax.inspection.figures.palette import (
    ACCENT,
    GRID,
    MUTED,
    SECOND,
    category,
    ink,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

PREFIX = "validation/"
VALIDATION_LOSS = f"{PREFIX}loss"


def learning_curves(
    history: Sequence[Mapping[str, float]],
    *,
    metrics: Sequence[str] = ("micro_f1", "macro_f1"),
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the losses, on a log axis, and validation metrics by step.

    The validation loss is that of the training, without dropout.

        model = lg.load("workdirs/mine")
        lg.figures.learning_curves(model.workdir.history())

    Args:
        history: the lines of `metrics.jsonl`, see `Workdir.history`; a line holds
            `step` and some numbers by name, null where one was not finite.
        metrics: which validation metrics, on the right axis; where a run has none of
            them, the first three that it has.
        title: above the axes.
        ax: where to draw; a new figure without.

    Returns:
        The axes of the loss; those of the metrics share its x axis.

    Raises:
        ValueError: no line holds a step with a loss or a validation metric.
    """
    # Losses, and the metrics asked for, else the first three.
    loss = _series(history, "epoch_loss")
    steps_loss = _series(history, "loss")
    validation_loss = _series(history, VALIDATION_LOSS)
    known = list(
        dict.fromkeys(n for line in history for n in line if n.startswith(PREFIX))
    )
    known = [name for name in known if name != VALIDATION_LOSS]
    wanted = [PREFIX + name for name in metrics if PREFIX + name in known]
    found = {name: _series(history, name) for name in wanted or known[:3]}
    found = {name: points for name, points in found.items() if len(points)}
    losses = np.vstack([loss, steps_loss, validation_loss])
    if not (len(losses) or found):
        raise ValueError(
            f"history: there is nothing to draw in {len(history)} lines; a line must "
            "hold 'step' and 'loss' or 'validation/...'"
        )
    # Losses on the left axis.
    ax = open_axes(ax)
    handles: list[Artist] = []
    if len(steps_loss):
        handles += ax.plot(*steps_loss.T, color=GRID, lw=1.0, label="loss of a batch")
    if len(loss):
        handles += ax.plot(*loss.T, color=MUTED, lw=1.6, label="loss of an epoch")
    if len(validation_loss):
        handles += ax.plot(
            *validation_loss.T, color=MUTED, lw=1.6, ls="--", label="validation loss"
        )
    if (losses[:, 1] > 0).all():
        ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("loss")
    grid(ax, "x")
    # Metrics on the right axis.
    if found:
        right = ax.twinx() if handles else ax
        style_axes(right, spines=("right",) if handles else ("left", "bottom"))
        for number, (name, points) in enumerate(found.items()):
            short = name.removeprefix(PREFIX)
            handles += right.plot(
                *points.T,
                color=category(number),
                marker="o",
                markersize=3.5,
                label=plain_text(f"validation {short}"),
            )
        right.set_ylabel("validation metric")
    legend_above(ax, title, columns=2, handles=handles)
    return ax


def threshold_curves(
    curves: Mapping[str, ArrayLike],
    thresholds: ArrayLike,
    *,
    chosen: float | None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw metrics against the one threshold at which every label is decided.

        grid = np.linspace(0.05, 0.95, 19)
        f1 = [lg.functional.evaluate_scores(p, y, np.full(N, t))["micro_f1"]
              for t in grid]
        lg.figures.threshold_curves({"micro F1": f1}, grid, chosen=0.3)

    Args:
        curves: values `[K]` by name.
        thresholds: increasing, `[K]`.
        chosen: the threshold in use, drawn as a line; None draws none.
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: there is no curve, lengths differ, thresholds do not increase, or
            a number is NaN.
    """
    at = numbers("thresholds", thresholds, "[K]")
    if not curves:
        raise ValueError(f"curves: there is nothing to draw at {at.shape} thresholds")
    if (np.diff(at) <= 0).any():
        raise ValueError(f"thresholds of shape {at.shape} must increase")
    drawn = {}
    for name, values in curves.items():
        drawn[name] = numbers(f"curve '{name}'", values, "[K]")
        same_length(f"values of curve '{name}'", drawn[name], "thresholds", len(at))
    if chosen is not None and not np.isfinite(chosen):
        raise ValueError(f"chosen must be a number or None, got {chosen}")
    ax = open_axes(ax)
    for number, (name, line) in enumerate(drawn.items()):
        ax.plot(at, line, color=category(number), label=plain_text(name))
    if chosen is not None:
        label = f"in use: {chosen:.3g}"
        ax.axvline(chosen, color=MUTED, lw=1.2, ls="--", label=label)
    ax.set_xlabel("threshold")
    grid(ax)
    legend_above(ax, title)
    return ax


def precision_recall_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw precision against recall, the first curve thick.

        found = {"all cells": (recall, precision)}
        lg.figures.precision_recall_curves(found)

    Args:
        curves: by name recall and precision `[K]`, from the highest threshold down.
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: there is no curve, lengths differ, or a number is NaN.
    """
    if not curves:
        raise ValueError("curves: there is nothing to draw, got 0 curves")
    drawn = []
    for name, (recall, precision) in curves.items():
        across = numbers(f"recall of '{name}'", recall, "[K]")
        up = numbers(f"precision of '{name}'", precision, "[K]")
        same_length(f"precision of '{name}'", up, "recall", len(across))
        drawn.append((plain_text(name), across, up))
    ax = open_axes(ax, (4.8, 4.8))
    for number, (name, across, up) in enumerate(drawn):
        width = 1.2 if number else 2.2
        ax.plot(across, up, color=category(number), lw=width, label=name)
    ax.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    grid(ax)
    legend_above(ax, title, columns=2)
    return ax


def reliability_diagram(
    probabilities: ArrayLike | CalibrationBins,
    targets: ArrayLike | None = None,
    *,
    predicted: CalibrationBins | None = None,
    bins: int = 10,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw how often cells of a probability are positive, and how many there are.

    On the diagonal a model means what it says; below it claims too much. The strip
    above counts the cells of each bin, on a log axis. The expected calibration error
    is written into the diagram.

        scored = lg.score_test(lg.load("workdirs/mine"))
        lg.figures.reliability_diagram(scored.probabilities, scored.targets)

    Args:
        probabilities: in [0, 1], `[M, N]` or flat; or `CalibrationBins`, for cells that
            are counted in parts, without targets.
        targets: positive where > 0, of the same shape.
        predicted: the cells that are predicted, in bins of their own: their error
            stands below that of all cells.
        bins: how many bins of equal width.
        title: above everything.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: shapes differ, there is no cell, or a probability lies outside
            [0, 1] or is NaN.
    """
    # Cells, counted by bin of probability.
    if isinstance(probabilities, CalibrationBins):
        counted = probabilities
    else:
        given, truth = np.asarray(probabilities), np.asarray(targets)
        if given.shape != truth.shape:
            raise ValueError(
                "probabilities and targets must have the same shape, got "
                f"{given.shape} and {truth.shape}"
            )
        counted = calibration_bins(given, truth, bins=bins)
    total = int(counted.cells.sum())
    if not total:
        shape = np.shape(probabilities)
        raise ValueError(f"probabilities: there is nothing to draw, shape {shape}")
    # All cells with their distance from the diagonal; predicted ones beside them.
    ax = open_axes(ax, (4.8, 5.2))
    filled = counted.cells > 0
    said, true = counted.mean_probability[filled], counted.positive_rate[filled]
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1.0, ls="--")
    ax.vlines(said, np.minimum(said, true), np.maximum(said, true), color=SECOND, lw=2)
    ax.plot(said, true, color=ACCENT, marker="o", markersize=5, label="all cells")
    if predicted is not None and predicted.cells.any():
        ax.plot(
            predicted.mean_probability,
            predicted.positive_rate,
            color=category(2),
            marker="s",
            markersize=8,
            fillstyle="none",
            lw=0,
            label="predicted cells",
        )
        ax.legend(loc="lower right", fontsize=SMALL, frameon=False, labelcolor=ink())
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.set_aspect("equal")
    ax.set_xlabel("mean predicted probability")
    ax.set_ylabel("share that is positive")
    # The calibration error in words.
    error = expected_calibration_error(counted)
    told = f"expected calibration error\n{error:.4f} over {total:,} cells"
    if predicted is not None and (cells := int(predicted.cells.sum())):
        error = expected_calibration_error(predicted)
        told += f"\n{error:.4f} over the {cells:,} predicted"
    ax.text(
        0.04,
        0.96,
        told,
        transform=ax.transAxes,
        va="top",
        fontsize=SMALL,
        color=ink(),
    )
    grid(ax)
    # A strip above: how many cells each bin holds.
    strip = style_axes(ax.inset_axes((0.0, 1.03, 1.0, 0.14)))
    width = 1 / len(counted.cells)
    centres = (np.arange(len(counted.cells)) + 0.5) * width
    strip.bar(centres, np.maximum(counted.cells, 0), 0.9 * width, color=GRID)
    strip.set(xlim=(0, 1), yscale="log", ylim=(0.5, 2.0 * counted.cells.max()))
    strip.set_xticks([])
    strip.set_yticks([1, 10 ** int(np.log10(counted.cells.max()))])
    strip.minorticks_off()
    strip.set_ylabel("cells", fontsize=SMALL)
    put_title(strip, title)
    return ax


def _series(history: Sequence[Mapping[str, float]], name: str) -> np.ndarray:
    """The steps and finite values of a name, `[K, 2]`."""
    points = [
        (line["step"], line[name])
        for line in history
        if line.get("step") is not None
        and isinstance(line.get(name), (int, float))
        and np.isfinite(line[name])
    ]
    return np.asarray(points, np.float64).reshape(-1, 2)
