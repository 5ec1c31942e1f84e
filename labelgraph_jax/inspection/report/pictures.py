"""The pictures of a report: PNG on white, and SVG that follows the page's theme."""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from labelgraph_jax.inspection import figures
from labelgraph_jax.inspection.figures.fonts import MissingFontWarning, missing_scripts
from labelgraph_jax.inspection.figures.palette import (
    CATEGORIES,
    GRID,
    HEAT,
    INK,
    MUTED,
    colour_map,
)
from labelgraph_jax.inspection.report.contents import (
    Graph,
    Overall,
    Report,
    Scored,
    View,
)
from labelgraph_jax.inspection.report.measured import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[..., Any]
Picture = tuple[str, tuple[float, float], Draw]
"""Its name, its size in inches, and what draws it."""

DPI = 110
MOST_NAMED_NETWORK = 150
"""Labels of a network whose names are thinned by measuring them: many take long."""
INLINE = (
    "learning_curves",
    "metrics",
    "f1_by_frequency",
    "reliability",
    "thresholds",
    "precision_recall",
    "label_vectors",
)
"""Pictures that the page shows itself; for the others it has something that answers."""
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(CATEGORIES)},
}


def render(
    report: Report, numbered: dict[str, int]
) -> Iterator[tuple[str, bytes, str]]:
    """Name, PNG and SVG of every picture; the SVG is empty where the page needs none.

    A name that no font draws stands in an SVG as it is, for the reader's own fonts;
    in a PNG its number stands for it.

    Args:
        report: what is drawn.
        numbered: takes these names and their numbers.

    Reference: no global state of matplotlib is touched, and no window is opened.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "labelgraph"}
    with matplotlib.rc_context(settings):
        for name, size, draw in pictures(report):
            # Names beside many rows take long to be laid out; the edge is cut instead.
            cut = name.startswith(("graph_", "missed_", "confused_"))
            figure = Figure(
                figsize=size, layout=None if cut else "constrained", dpi=DPI
            )
            FigureCanvasAgg(figure)
            # Draw, and write the SVG with names as they are.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MissingFontWarning)
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                draw(ax=figure.add_subplot())
                engine = figure.get_layout_engine()
                if engine is not None:
                    engine.execute(figure)  # laid out once, saved twice
                    figure.set_layout_engine(None)
                svg = ""
                if name in INLINE:
                    text = io.StringIO()
                    figure.savefig(text, format="svg", transparent=True)
                    svg = themed(text.getvalue(), name)
                _number_names(figure, numbered)
            # Write the PNG, with numbers for names that no font has.
            png = io.BytesIO()
            tight = "tight" if cut else None
            figure.savefig(
                png,
                format="png",
                facecolor="white",
                bbox_inches=tight,
                pil_kwargs={"compress_level": 2},  # a tenth larger, much sooner
            )
            yield name, png.getvalue(), svg


def _number_names(figure: "Figure", numbered: dict[str, int]) -> None:
    """Put a number for every name that no font draws; see `render`."""
    from matplotlib.text import Text

    def shown(name: str) -> str:
        if not missing_scripts([name]):
            return name
        return f"[{numbered.setdefault(name, len(numbered) + 1)}]"

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            names = [text.get_text() for text in axis.get_ticklabels()]
            if missing_scripts(names):
                axis.set_ticklabels([shown(name) for name in names])
    for text in figure.findobj(Text):
        text.set_text(shown(text.get_text()))


def themed(svg: str, name: str) -> str:
    """An SVG without its head, whose colours are variables of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        svg = re.sub(re.escape(colour), variable, svg, flags=re.IGNORECASE)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    title = name.replace("_", " ")
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def pictures(report: Report) -> Iterator[Picture]:
    """Yield the pictures of a report."""
    history = report.history
    if not isinstance(history, str):
        size = (4.8, 3.4)
        metrics = _curve_metrics(report)
        yield (
            "learning_curves",
            size,
            partial(figures.learning_curves, history, metrics=metrics),
        )
    if isinstance(report.overall, Overall):
        yield from _overall(report.overall)
    if isinstance(report.scored, Scored):
        yield from _scored(report.scored)
    graph = report.graph
    if isinstance(graph, Graph):
        yield from _graph(report, graph)
    gates = report.gates
    if not isinstance(gates, str):
        height = 1.6 + 0.4 * len(gates.tasks)
        yield (
            "gates",
            (2.8 + 0.5 * gates.weights.shape[1], height),
            partial(figures.gate_weights, gates.weights, gates.tasks),
        )


def _curve_metrics(report: Report) -> tuple[str, ...]:
    if report.is_table:
        return ("skill",)
    return ("micro_f1", "macro_f1")


def _overall(overall: Overall) -> Iterator[Picture]:
    rows = [
        (m.title, m.value, m.low, m.high)
        for m in overall.metrics
        if m.low is not None and m.high is not None and m.name != "hamming_loss"
    ]
    if not rows:
        return
    titles = {m.name: m.title for m in overall.metrics}
    beside = overall.others.get(overall.baseline, {})
    baseline = {
        titles[n]: v for n, v in beside.items() if n in titles and v is not None
    }
    yield (
        "metrics",
        (4.8, 1.0 + 0.28 * len(rows)),
        partial(
            figures.metric_intervals,
            rows,
            baseline or None,
            baseline_name=overall.baseline,
        ),
    )


def _scored(scored: Scored) -> Iterator[Picture]:
    labels, calibration, curves = scored.labels, scored.calibration, scored.curves
    # Labels, calibration and thresholds.
    if np.isfinite(labels.f1).any():
        shown = _shown_names(scored)
        yield (
            "f1_by_frequency",
            (4.8, 3.8),
            partial(figures.f1_by_frequency, labels.train, labels.f1, names=shown),
        )
    if calibration.every.cells.sum():
        draw = partial(
            figures.reliability_diagram,
            calibration.every,
            predicted=calibration.predicted,
        )
        yield "reliability", (4.8, 5.2), draw
    if scored.trade_offs:
        draw = partial(figures.precision_recall_curves, scored.trade_offs)
        yield "precision_recall", (4.8, 5.0), draw
    yield (
        "thresholds",
        (4.8, 3.8),
        partial(
            figures.threshold_curves,
            curves.values,
            curves.thresholds,
            chosen=curves.chosen,
        ),
    )
    # Which labels are missed together, or predicted in place of others.
    confusion = scored.confusion
    if isinstance(confusion, str):
        return
    names = _shown_names(scored)
    chosen = [names[i] for i in confusion.labels]
    side = 2.6 + 0.3 * len(chosen)
    for name, matrix, columns in (
        ("missed_together", confusion.together, "missed in the same document"),
        ("confused_with", confusion.confused, "predicted in its place"),
    ):
        draw = partial(figures.label_confusion, matrix, chosen, columns=columns)
        yield name, (side + 1, side), draw


def _shown_names(scored: Scored) -> list[str]:
    return [short(name) for name in scored.labels.shown]


def _graph(report: Report, graph: Graph) -> Iterator[Picture]:
    # Names and clusters of the labels, and the size of a matrix.
    names = [str(i) for i in graph.ids]
    if isinstance(report.scored, Scored):
        every = _shown_names(report.scored)
        names = [every[i] for i in graph.ids]
    side = float(np.clip(4.0 + 0.05 * len(names), 5.0, 9.0))
    clusters = [int(c) if c >= 0 else None for c in graph.clusters]
    # Heat maps: edges as they are after training, and co-occurrence.
    for view in graph.views:
        if view.when == "before" or view.key.startswith("attention"):
            continue  # attention has a picture of its own
        named = "_".join(part for part in ("graph", view.key, view.when) if part)
        draw = partial(
            figures.adjacency_heat_map, view.weights, names, title=_title(view)
        )
        yield named, (side + 1.2, side), draw
    # Networks of the same, at positions that they share.
    for view in graph.views:
        if view.key == "cooccurrence" or (view.when == "after" and view.key == "edges"):
            named = f"network_{view.key}"
            draw = partial(
                figures.label_network,
                view.weights,
                names if len(names) <= MOST_NAMED_NETWORK else [""] * len(names),
                positions=graph.positions,
                clusters=clusters,
                title=_title(view),
            )
            yield named, (8.0, 8.0), draw
    # Attention, head by head.
    heads = [view for view in graph.views if view.key.startswith("attention")]
    if heads:
        columns = len({view.key for view in heads})
        yield "attention_heads", (1.9 * columns + 0.6, 4.6), _heads(heads)
    # The vectors of labels in the plane.
    vectors = report.vectors
    if not isinstance(vectors, str):
        of = {int(i): name for i, name in zip(graph.ids, names, strict=True)}
        every = _shown_names(report.scored) if isinstance(report.scored, Scored) else []
        labels = [every[i] if every else of.get(int(i), str(i)) for i in vectors.ids]
        colours = [int(c) if c >= 0 else None for c in vectors.clusters]
        counts = None
        if isinstance(report.scored, Scored):
            counts = report.scored.labels.train[vectors.ids]
        yield (
            "label_vectors",
            (5.2, 5.2),
            partial(
                figures.label_vectors,
                vectors.positions,
                labels,
                counts=counts,
                clusters=colours,
            ),
        )


def _title(view: View) -> str:
    return f"{view.title}{', ' if view.when else ''}{view.when}"


def _heads(views: list[View]) -> Draw:
    """Every head before and after training, small, side by side."""

    def draw(ax: "Axes") -> None:
        figure: Any = ax.get_figure(root=True)
        ax.remove()
        keys = list(dict.fromkeys(view.key for view in views))
        grid = figure.subplots(2, len(keys), squeeze=False)
        for view in views:
            cell = grid[("before", "after").index(view.when), keys.index(view.key)]
            beside = view.weights * (1 - np.eye(len(view.weights)))
            most = max(float(np.abs(beside).max()), 1e-9)
            cell.imshow(view.weights, cmap=colour_map(HEAT), vmin=0.0, vmax=most)
            cell.set_xticks([])
            cell.set_yticks([])
            cell.set_title(
                view.title.removeprefix("Attention, ").replace(", ", "\n")
                if view.when == "before"
                else "",
                fontsize=7,
                color=INK,
            )
            if view.key == keys[0]:
                cell.set_ylabel(view.when, fontsize=8, color=INK)

    return draw
