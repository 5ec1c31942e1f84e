"""Axes to draw on, in one style; names beside points, thinned where they would meet."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from labelgraph_jax.inspection.figures.arguments import plain_text
from labelgraph_jax.inspection.figures.fonts import families
from labelgraph_jax.inspection.figures.palette import GRID, ink

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = 8.0
"""Points: names, notes and numbers."""
LEAST = 5.5
"""Points: the smallest text that is drawn; below, names are thinned."""
MOST_INCHES = 18.0
"""No figure that is made here is wider or higher."""
NEAR = 2.5
"""Points that a name stays away from the points of others."""
SIDES = (
    (1, 0, "left", "center"),
    (-1, 0, "right", "center"),
    (0, 1, "center", "bottom"),
    (0, -1, "center", "top"),
)
"""Possible positions of a name, preferred first: right and up, and its corner."""


def open_axes(ax: "Axes | None", size: tuple[float, float] = (6.4, 4.0)) -> "Axes":
    """The axes given, or those of a new pyplot figure of `size` inches."""
    if ax is None:
        from matplotlib import pyplot

        width, height = (min(side, MOST_INCHES) for side in size)
        _, made = pyplot.subplots(figsize=(width, height), layout="constrained")
        ax = cast("Axes", made)
    return style_axes(ax)


def style_axes(ax: "Axes", *, spines: Iterable[str] = ("left", "bottom")) -> "Axes":
    """One ink for text, ticks and the spines that stay."""
    colour, kept = ink(), set(spines)
    for side, spine in ax.spines.items():
        spine.set_visible(side in kept)
        spine.set_color(colour)
    ax.tick_params(which="both", colors=colour, labelsize=SMALL)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_color(colour)
    ax.patch.set_alpha(0.0)
    return ax


def grid(ax: "Axes", axis: str = "both") -> None:
    """Quiet grid lines behind everything."""
    ax.grid(True, axis=cast(Any, axis), color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)


def put_title(ax: "Axes", title: str, legend_rows: int = 0) -> None:
    """A title at the left edge, above the rows of a legend; none where it is empty."""
    if title:
        pad = 6.0 + 13.0 * legend_rows
        written = plain_text(title)
        ax.set_title(
            written,
            loc="left",
            fontsize=10,
            color=ink(),
            pad=pad,
            fontfamily=families([title]),
        )


def legend_above(
    ax: "Axes",
    title: str,
    *,
    columns: int = 4,
    handles: "Sequence[Artist] | None" = None,
) -> None:
    """A legend without a frame above the axes, where it covers nothing, and a title.

    It has fewer columns where the figure is too narrow.
    """
    if handles is None:
        handles = ax.get_legend_handles_labels()[0]
    room = cast("Figure", ax.get_figure(root=True)).bbox.width * 0.88
    for count in range(max(1, min(columns, len(handles))), 0, -1):
        legend = ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            ncols=count,
            frameon=False,
            handletextpad=0.5,
            columnspacing=1.4,
            fontsize=SMALL,
            labelcolor=ink(),
        )
        for text in legend.get_texts():
            text.set_fontfamily(families([text.get_text()]))
        if legend.get_window_extent().width <= room:
            break
    put_title(ax, title, -(-len(handles) // count))


def settled(ax: "Axes") -> "Figure":
    """The figure of the axes, once its layout has found where they stand."""
    figure = cast("Figure", ax.get_figure(root=True))
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
    return figure


def name_points(
    ax: "Axes",
    points: np.ndarray,
    names: list[str],
    order: Iterable[int],
    *,
    areas: ArrayLike = 9.0,
    fontsize: float = SMALL,
) -> int:
    """Write names beside points where they meet no other name nor leave the axes.

    Args:
        ax: where the points are drawn, its limits final.
        points: in data coordinates, `[n, 2]`.
        names: one for each.
        order: whose turn it is; who comes later may find no room and stays unnamed.
        areas: of the points, in square points as `scatter` takes them.
        fontsize: of the names.

    Returns:
        How many were written.
    """
    # The axes and points on the page, and the room that names take.
    figure = settled(ax)
    inside = ax.get_window_extent()
    gaps = 2.5 + np.sqrt(np.broadcast_to(areas, len(points)) / np.pi)
    taken = np.empty((0, 4))
    dots = ax.transData.transform(points)
    reach = NEAR * figure.dpi / 72
    order = list(order)
    used = families(names[number] for number in order)
    # Each name at the first side where it fits, or not at all.
    for number in order:
        text = ax.annotate(
            names[number],
            tuple(points[number]),
            xytext=(0.0, 0.0),
            textcoords="offset points",
            fontsize=fontsize,
            fontfamily=used,
            color=ink(),
            zorder=5,
        )
        others = np.delete(dots, number, axis=0)
        for right, up, across, along in SIDES:
            text.set_position((right * gaps[number], up * gaps[number]))
            text.set_horizontalalignment(cast(Any, across))
            text.set_verticalalignment(cast(Any, along))
            box = text.get_window_extent()
            corners = np.array([box.x0, box.y0, box.x1, box.y1])
            fits = (
                box.x0 >= inside.x0
                and box.x1 <= inside.x1
                and box.y0 >= inside.y0
                and box.y1 <= inside.y1
            )
            if (
                fits
                and not _meets(corners, taken)
                and not _covers(corners, others, reach)
            ):
                taken = np.vstack([taken, corners])
                break
        else:
            text.remove()
    return len(taken)


def _meets(box: np.ndarray, others: np.ndarray) -> bool:
    """Return True if a box (x0, y0, x1, y1) overlaps one of some others `[n, 4]`."""
    across = (others[:, 0] < box[2]) & (others[:, 2] > box[0])
    return bool((across & (others[:, 1] < box[3]) & (others[:, 3] > box[1])).any())


def _covers(box: np.ndarray, dots: np.ndarray, reach: float) -> bool:
    """Return True if a box comes within `reach` pixels of one of some dots `[n, 2]`."""
    across = (dots[:, 0] > box[0] - reach) & (dots[:, 0] < box[2] + reach)
    along = (dots[:, 1] > box[1] - reach) & (dots[:, 1] < box[3] + reach)
    return bool((across & along).any())
