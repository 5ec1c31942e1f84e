"""A report as one HTML file: style, script, pictures and data, all inside."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from labelgraph_jax import __version__
from labelgraph_jax.inspection.report.contents import (
    Confusion,
    Graph,
    Report,
    Scored,
    View,
    plain,
)
from labelgraph_jax.inspection.report.intervals import TITLES
from labelgraph_jax.inspection.templates import templates
from labelgraph_jax.runs.result_rows import UNLABELLED_COLUMNS

SCRIPTS = ("elements", "labels", "heatmap", "network", "graph", "main")
"""Parts of the page's script, in this order."""
LEADING = ("micro_f1", "macro_f1", "samples_f1", "P@1", "nDCG@5")
"""Metrics that stand large at the top."""
LARGEST = 32_767
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:"
)
"""Content security policy of the page: it loads nothing from outside."""


def page(report: Report, pictures: Mapping[str, str], *, source: str) -> str:
    """Return the whole page.

    Args:
        report: what it says.
        pictures: SVG by name; an empty one is left out.
        source: the work directory, as the reader knows it.
    """
    metrics = () if isinstance(report.overall, str) else report.overall.metrics
    known = {metric.name: metric for metric in metrics}
    template = templates("labelgraph_jax.inspection.report").get_template("page.html")
    whole = template.render(
        report=report,
        pictures=pictures,
        leading=[known[name] for name in LEADING if name in known],
        shown=[metric for metric in metrics if metric.name in TITLES],
        unlabelled_columns=UNLABELLED_COLUMNS.values(),
        policy=POLICY,
        source=source,
        time=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        version=__version__,
        embedded=embedded(_data(report)),
        scripts=SCRIPTS,
    )
    return whole + "\n"


def embedded(value: object) -> str:
    """JSON that can stand in a script element: nothing in it ends that element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _data(report: Report) -> dict[str, object]:
    """Return the data that the page's script reads."""
    scored, graph = report.scored, report.graph
    found: dict[str, object] = {"labels": None, "confusion": None, "graph": None}
    if isinstance(scored, Scored):
        found["labels"] = plain(scored.labels)
        if isinstance(scored.confusion, Confusion):
            confusion = scored.confusion
            found["confusion"] = {
                "labels": plain(confusion.labels),
                "together": plain(confusion.together),
                "confused": plain(confusion.confused),
            }
    if isinstance(graph, Graph) and graph.views:
        names, counts = list(map(str, graph.ids)), [1] * len(graph.ids)
        if isinstance(scored, Scored):
            shown = scored.labels.shown
            names = [shown[i] for i in graph.ids]
            counts = scored.labels.train[graph.ids].tolist()
        found["graph"] = {
            "ids": plain(graph.ids),
            "names": names,
            "counts": counts,
            "clusters": plain(graph.clusters),
            "clusterNames": list(graph.cluster_names),
            "positions": plain(np.round(graph.positions, 4)),
            "views": [_packed(view) for view in graph.views],
        }
    return found


def _packed(view: View) -> dict[str, object]:
    """A view with its weights in 16 bits: the signed root of the share of the largest.

    Of weights w the script gets q = 32767 sign(w) sqrt(|w| / most): small ones keep
    two digits and more.
    """
    most = max(float(np.abs(view.weights).max(initial=0.0)), 1e-12)
    root = np.sign(view.weights) * np.sqrt(np.abs(view.weights) / most)
    bits = np.round(root * LARGEST).astype("<i2").tobytes()
    return {
        "key": view.key,
        "title": view.title,
        "when": view.when,
        "most": most,
        "weights": base64.b64encode(bits).decode("ascii"),
    }
