"""Labels as points: the graph between them, and their vectors."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from labelgraph_jax.functional.graph.node_positions import node_positions
from labelgraph_jax.inspection.figures.arguments import (
    label_names,
    numbers,
    plain_text,
    same_length,
)
from labelgraph_jax.inspection.figures.axes import (
    SMALL,
    legend_above,
    name_points,
    open_axes,
    put_title,
    style_axes,
)
from labelgraph_jax.inspection.figures.palette import ACCENT, GRID, MUTED, category

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NODES = 2_000
"""Labels that a layout is made for; more must come with positions."""


def label_network(
    matrix: ArrayLike,
    names: Sequence[str],
    *,
    positions: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    edges: int = 3,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw labels as nodes, with the strongest edges that each of them receives.

        model = lg.load("workdirs/mine")
        lg.figures.label_network(model.classifier.graph.adjacency, model.labels)

    Args:
        matrix: adjacency `[n, n]`; (i, j): label i receives from label j. Edges of
            weight 0 or below are not drawn, nor is the diagonal.
        names: of the labels, `n`; the best connected are named first, and others where
            there is room.
        positions: coordinates `[n, 2]`; a force-directed layout without, see
            `functional.node_positions`.
        clusters: of each label, ids or names; None is of no cluster.
        edges: how many a label receives at most.
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: shapes do not fit one another, a number is NaN, or there are more
            labels than a layout is made for, without positions.
    """
    # The strongest edges that each label receives.
    weights = numbers("matrix", matrix, "[n, n]")
    count = len(weights)
    written = label_names(names, count)
    weights = np.where(np.eye(count, dtype=bool), 0.0, np.maximum(weights, 0.0))
    if edges < 1:
        raise ValueError(f"edges must be at least 1, got {edges}")
    kept = _strongest(weights, edges)
    # Positions and colours of the labels.
    if positions is None:
        if count > MOST_NODES:
            raise ValueError(
                f"a layout is made for at most {MOST_NODES:,} labels, got a matrix of "
                f"shape {weights.shape}: give positions, or a part of the labels"
            )
        points = np.asarray(node_positions(kept), np.float64)
    else:
        points = _positions(positions, count)
    colours, legend = _colours(clusters, count)
    side = float(np.clip(3.5 + 0.45 * np.sqrt(count), 5.0, 9.0))
    ax = open_axes(ax, (side, side))
    strength = kept.sum(0) + kept.sum(1)
    from matplotlib.collections import LineCollection

    # Edges lie under labels; labels are larger where their edges are strong.
    receivers, senders = np.nonzero(kept)
    share = kept[receivers, senders] / max(kept.max(initial=0.0), 1e-9)
    lines = LineCollection(
        list(np.stack([points[receivers], points[senders]], axis=1)),
        linewidths=0.4 + 2.2 * share,
        colors=GRID,
        zorder=1,
    )
    ax.add_collection(lines)
    sizes = 14.0 + 70.0 * np.sqrt(strength / max(strength.max(initial=0.0), 1e-9))
    ax.scatter(points[:, 0], points[:, 1], s=sizes, c=colours, zorder=2, lw=0)
    order = np.argsort(-strength, kind="stable")
    _finish(ax, points, sizes, written, order, legend, title)
    return ax


def label_vectors(
    positions: ArrayLike,
    names: Sequence[str],
    *,
    counts: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw label vectors in two dimensions; near labels are alike to the model.

    Args:
        positions: coordinates `[n, 2]`, as of the first two principal components.
        names: of the labels, `n`; those with most documents are named first.
        counts: training documents with each label `[n]`, which set the size.
        clusters: of each label, ids or names; None is of no cluster.
        title: above the axes.
        ax: where to draw; a new figure without.

    Raises:
        ValueError: shapes do not fit one another, or a number is NaN or a count
            negative.
    """
    points = _positions(positions, len(names))
    written = label_names(names, len(points))
    sizes, order = np.full(len(points), 24.0), np.arange(len(points))
    if counts is not None:
        given = numbers("counts", counts, "[n]")
        same_length("counts", given, "labels", len(points))
        if given.min() < 0:
            raise ValueError(f"counts must not be negative, got {given.min():g}")
        sizes = 8.0 + 110.0 * np.sqrt(given / max(given.max(), 1.0))
        order = np.argsort(-given, kind="stable")
    colours, legend = _colours(clusters, len(points))
    ax = open_axes(ax, (7.0, 6.0))
    ax.scatter(
        points[:, 0], points[:, 1], s=sizes, c=colours, alpha=0.75, lw=0, zorder=2
    )
    _finish(ax, points, sizes, written, order, legend, title)
    return ax


def _strongest(weights: np.ndarray, edges: int) -> np.ndarray:
    """The largest `edges` weights of every row; the others 0."""
    if len(weights) <= edges:
        return weights
    least = -np.sort(-weights, axis=1)[:, edges - 1 : edges]
    above = weights > least
    # Of equal weights at the border those of the first labels stay.
    level = weights == least
    room = edges - above.sum(1, keepdims=True)
    kept = above | (level & (np.cumsum(level, axis=1) <= room))
    return np.where(kept, weights, 0.0)


def _positions(positions: ArrayLike, count: int) -> np.ndarray:
    points = numbers("positions", positions, "[n, 2]")
    if points.shape != (count, 2):
        raise ValueError(
            f"positions must have the shape [n, 2], one row for each of {count} "
            f"labels, got {points.shape}"
        )
    return points


def _colours(
    clusters: Sequence[Hashable] | None, count: int
) -> tuple[list[str], dict[str, str]]:
    """A colour for every label, and what the colours mean, the largest first."""
    if clusters is None:
        return [ACCENT] * count, {}
    same_length("clusters", clusters, "labels", count)
    sizes: dict[Hashable, int] = {}
    for cluster in clusters:
        if cluster is not None:
            sizes[cluster] = sizes.get(cluster, 0) + 1
    ranked = sorted(sizes, key=lambda cluster: -sizes[cluster])
    number = {cluster: category(place) for place, cluster in enumerate(ranked)}
    colours = [MUTED if c is None else number[c] for c in clusters]
    named = [cluster for cluster in ranked if isinstance(cluster, str)]
    legend = {plain_text(c): number[c] for c in named if number[c] != MUTED}
    if named and MUTED in colours:
        legend["others"] = MUTED
    return colours, legend


def _finish(
    ax: "Axes",
    points: np.ndarray,
    sizes: np.ndarray,
    names: list[str],
    order: np.ndarray,
    legend: dict[str, str],
    title: str,
) -> None:
    """Limits, legend, title; then the names, which need all of these."""
    from matplotlib.lines import Line2D

    style_axes(ax, spines=())
    ax.set_xticks([])
    ax.set_yticks([])
    span = np.maximum(np.ptp(points, axis=0), 1e-9)
    middle = (points.max(0) + points.min(0)) / 2
    ax.set_xlim(middle[0] - 0.58 * span[0], middle[0] + 0.58 * span[0])
    ax.set_ylim(middle[1] - 0.54 * span[1], middle[1] + 0.54 * span[1])
    if legend:
        handles = [
            Line2D([], [], marker="o", ls="", color=colour, label=name)
            for name, colour in legend.items()
        ]
        legend_above(ax, title, handles=handles)
    else:
        put_title(ax, title)
    size = SMALL if len(names) <= 60 else SMALL - 1
    name_points(ax, points, names, order.tolist(), areas=sizes, fontsize=size)
