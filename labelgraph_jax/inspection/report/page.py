"""A report as one HTML file: style, script, pictures and data, all inside."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from string import Template
from typing import Any

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
from labelgraph_jax.inspection.report.sections import (
    asset,
    escaped,
    facts,
    sections,
    tiles,
)

SCRIPTS = ("elements", "labels", "heatmap", "network", "graph", "main")
"""Parts of the page's script, in this order."""
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
    parts = sections(report, pictures)
    links = (f'<a href="#{key}">{escaped(title)}</a>' for key, title, _ in parts)
    bodies = (
        f'<section id="{key}"><h2>{escaped(title)}</h2>\n{body}</section>\n'
        for key, title, body in parts
    )
    whole = Template(asset("page.html")).substitute(
        policy=POLICY,
        title=escaped(report.title),
        style=asset("style.css"),
        facts=facts(report.facts),
        tiles=tiles(report),
        links="".join(links),
        sections="".join(bodies),
        source=escaped(source),
        time=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        version=escaped(__version__),
        data=embedded(_data(report)),
        script="\n".join(asset(f"{name}.js") for name in SCRIPTS),
    )
    return whole + "\n"


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends that element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _data(report: Report) -> dict[str, Any]:
    """Return the data that the page's script reads."""
    scored, graph = report.scored, report.graph
    found: dict[str, Any] = {"labels": None, "confusion": None, "graph": None}
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


def _packed(view: View) -> dict[str, Any]:
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
