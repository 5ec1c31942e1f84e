"""Metrics with their intervals, and F1 by how often training has a label."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.labels.groups import head_middle_tail
from labelgraph_jax.inspection.figures.arguments import label_names, numbers, plain_text
from labelgraph_jax.inspection.figures.axes import (
    SMALL,
    grid,
    legend_above,
    name_points,
    open_axes,
    put_title,
)
from labelgraph_jax.inspection.figures.fonts import families
from labelgraph_jax.inspection.figures.palette import (
    ACCENT,
    CATEGORIES,
    MUTED,
    SECOND,
    ink,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOT = 16.0
"""Square points of a label's mark."""
MOST_NAMED = 24
"""Labels that `f1_by_frequency` names at most."""


def metric_intervals(
    rows: Sequence[tuple[str, float, float, float]],
    baseline: Mapping[str, float] | None = None,
    *,
    baseline_name: str = "baseline",
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw metrics with their intervals, one a row, and a baseline's beside them.

        lg.figures.metric_intervals([("micro F1", 0.877, 0.868, 0.885)])

    Args:
        rows: name, value, low and high end of the interval; the first stands on top.
        baseline: values by the same names; others are passed over.
        baseline_name: of the baseline in the legend.
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: there is no row, one has other than four parts, a number is NaN,
            or an interval ends below its beginning.
    """
    # Refuse what cannot be drawn.
    if not len(rows):
        raise ValueError("rows: there is nothing to draw, got 0 rows")
    if any(len(row) != 4 for row in rows):
        lengths = sorted({len(row) for row in rows})
        raise ValueError(
            f"rows must hold name, value, low and high, got parts of {lengths}"
        )
    values = numbers("values, lows and highs", [row[1:] for row in rows], "[M, 3]")
    names = [plain_text(str(row[0])) for row in rows]
    value, low, high = values.T
    if (low > high).any():
        wrong = int((low > high).argmax())
        raise ValueError(
            f"an interval must not end below its beginning; '{names[wrong]}' has "
            f"[{low[wrong]}, {high[wrong]}]"
        )
    # Values with their intervals, and the baseline's values.
    ax = open_axes(ax, (6.4, 1.0 + 0.34 * len(rows)))
    at = np.arange(len(rows))
    ax.hlines(at, low, high, color=ACCENT, lw=2.0)
    ax.plot(value, at, "o", color=ACCENT, markersize=6, label="value, interval")
    known = {str(name): number for name, number in (baseline or {}).items()}
    shared = [(known[str(row[0])], i) for i, row in enumerate(rows) if row[0] in known]
    if shared:
        points = numbers("baseline", shared, "[M, 2]")
        ax.plot(*points.T, "D", color=SECOND, markersize=5, label=baseline_name)
        legend_above(ax, title)
    else:
        put_title(ax, title)
    # The same in numbers, from the top down.
    for i, (middle, start, end) in enumerate(values):
        ax.text(
            1.02,
            i,
            f"{middle:.3f}  [{start:.3f}, {end:.3f}]",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
            color=ink(),
        )
    ax.set_yticks(at, names, fontfamily=families(names))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.margins(x=0.08)
    grid(ax, "x")
    return ax


def f1_by_frequency(
    counts: ArrayLike,
    f1: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the F1 of each label against its training documents, on a log axis.

    Head, middle and tail (a third of all training labels each, see
    `data.labels.groups.head_middle_tail`) have colours of their own; a line is the mean
    of a group. Labels without training documents stand at the left edge.

        scored = lg.score_test(lg.load("workdirs/mine"))
        lg.figures.f1_by_frequency(scored.train_counts, scored.label_f1,
                                   names=scored.labels)

    Args:
        counts: training documents with each label, `[N]`.
        f1: of each label, NaN where no document carries it, `[N]`: those are left out.
        names: of the labels; those that lose most are named where there is room.
        groups: label ids by group, in place of head, middle and tail; see
            `data.labels.groups.label_groups`.
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: lengths differ, a count is negative or NaN, or every F1 is NaN.
    """
    # Refuse what cannot be drawn.
    support = numbers("counts", counts, "[N]")
    score = numbers("f1", f1, "[N]", absent=True)
    if support.shape != score.shape:
        raise ValueError(
            f"counts and f1 must be as many, got {support.shape} and {score.shape}"
        )
    if support.min() < 0:
        raise ValueError(f"counts must not be negative, got {support.min():g}")
    written = None if names is None else label_names(names, len(support))
    divided = head_middle_tail(support) if groups is None else groups
    ax = open_axes(ax, (6.8, 4.2))
    drawn = ~np.isnan(score)
    # A log axis has no 0: labels without training documents stand half a step left.
    at = np.maximum(support, 0.4)
    # The labels of every group, and their mean F1.
    for number, (group, ids) in enumerate(divided.items()):
        ids = np.asarray(ids, np.int64)
        ids = ids[drawn[ids]]
        if not len(ids):
            continue
        colour, mean = CATEGORIES[number % len(CATEGORIES)], score[ids].mean()
        label = f"{group}: {counted(len(ids), 'label')}, mean {mean:.2f}"
        ax.scatter(
            at[ids], score[ids], s=DOT, color=colour, alpha=0.75, lw=0, label=label
        )
        ends = at[ids].min() / 1.05, at[ids].max() * 1.05
        ax.hlines(mean, *ends, color=colour, lw=1.6)
        ax.axvspan(*ends, color=colour, alpha=0.06, lw=0)
    ax.set_xscale("log")
    ax.set_ylim(-0.04, 1.06)
    ax.set_xlabel("training documents with the label")
    ax.set_ylabel("F1 on the documents measured")
    if (support[drawn] == 0).any():
        ax.text(0.4, 1.03, "none", ha="center", va="top", fontsize=SMALL, color=MUTED)
    grid(ax, "y")
    ax.margins(x=0.04)
    legend_above(ax, title, columns=3)
    # Names of labels whose F1 is low for the documents they have.
    if written is not None:
        lost = np.where(drawn, np.sqrt(support) * (1.0 - score), -1.0)
        order = np.argsort(-lost, kind="stable")[:MOST_NAMED]
        points = np.stack([at, np.where(drawn, score, 0.0)], axis=1)
        kept = [int(i) for i in order if drawn[i] and lost[i] > 0]
        name_points(ax, points, written, kept, areas=DOT, fontsize=SMALL - 1)
    return ax
