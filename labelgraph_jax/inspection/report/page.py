"""A report as one HTML file: style, script, pictures and data, all inside."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import numpy as np

from labelgraph_jax import __version__
from labelgraph_jax.inspection.report.contents import (
    Confusion,
    Gates,
    Graph,
    Metric,
    Overall,
    Report,
    Scored,
    TableTask,
    Vectors,
    View,
    Worst,
    plain,
)
from labelgraph_jax.inspection.report.intervals import TITLES

SCRIPTS = ("elements", "labels", "heatmap", "network", "graph", "main")
"""Parts of the page's script, in this order."""
LEADING = ("micro_f1", "macro_f1", "samples_f1", "P@1", "nDCG@5")
"""Metrics that stand large at the top."""
LARGEST = 32_767
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:"
)
"""What the page may load: nothing but what is in it."""


def page(report: Report, pictures: Mapping[str, str], *, source: str) -> str:
    """The whole page.

    Args:
        report: what it says.
        pictures: SVG by name; an empty one is left out.
        source: the work directory, as the reader knows it.
    """
    parts = [part for part in _sections(report, pictures) if part[2]]
    sections = "".join(_section(*part) for part in parts)
    links = "".join(f'<a href="#{key}">{_e(title)}</a>' for key, title, _ in parts)
    script = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="color-scheme" content="light dark">
<title>{_e(report.title)}: labelgraph report</title>
<link rel="icon" href="data:,">
<style>
{_asset("style.css")}
</style>
</head>
<body>
<header>
<p class="brand">labelgraph report</p>
<h1>{_e(report.title)}</h1>
{_facts(report.facts)}
{_tiles(report)}
</header>
<nav aria-label="Sections">{links}</nav>
<main>
{sections}
</main>
<footer>
<p>{_e(source)}, made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by labelgraph_jax
{_e(__version__)}. The pictures lie as PNG in the folder <code>report</code>.</p>
</footer>
<script type="application/json" id="data">{embedded(_data(report))}</script>
<script>
(function () {{
"use strict";
{script}
}})();
</script>
</body>
</html>
"""


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends that element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _asset(name: str) -> str:
    folder = resources.files("labelgraph_jax.inspection.report") / "assets"
    return (folder / name).read_text(encoding="utf-8").strip()


def _section(key: str, title: str, body: str) -> str:
    return f'<section id="{key}"><h2>{_e(title)}</h2>\n{body}</section>\n'


def _sections(
    report: Report, pictures: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Key, title and HTML of every section, in order."""
    if report.is_table:
        return [
            ("results", "Results", "".join(map(_task, report.tasks))),
            ("training", "Training", _training(report, pictures)),
            ("gates", "Gates", _gates(report.gates)),
            ("notes", "Notes", _notes(report)),
        ]
    return [
        ("results", "Results", _overall(report.overall, pictures)),
        ("training", "Training", _training(report, pictures)),
        ("labels", "Labels", _labels(report.scored, pictures)),
        ("probabilities", "Probabilities", _probabilities(report.scored, pictures)),
        ("confusion", "Confusion between labels", _confusion(report.scored)),
        ("graph", "The label graph", _graph(report.graph)),
        ("vectors", "Label vectors", _vectors(report.vectors, pictures)),
        ("gates", "Gates", _gates(report.gates)),
        ("documents", "Worst documents", _worst(report.worst)),
        ("notes", "Notes", _notes(report)),
    ]


def _said(sentence: str) -> str:
    return f'<p class="absent">{_e(sentence)}</p>'


def _figure(pictures: Mapping[str, str], name: str, caption: str = "") -> str:
    svg = pictures.get(name, "")
    if not svg:
        return ""
    below = f"<figcaption>{_e(caption)}</figcaption>" if caption else ""
    return f'<figure class="picture {name}">{svg}{below}</figure>'


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    pairs = "".join(
        f"<div><dt>{_e(name)}</dt><dd>{_e(value)}</dd></div>" for name, value in facts
    )
    return f'<dl class="facts">{pairs}</dl>'


def _tiles(report: Report) -> str:
    overall = report.overall
    if not isinstance(overall, Overall):
        return ""
    known = {metric.name: metric for metric in overall.metrics}
    beside = overall.others.get(overall.baseline, {})
    tiles = [_tile(known[n], beside.get(n)) for n in LEADING if n in known]
    if isinstance(report.scored, Scored):
        error = report.scored.calibration.error
        tiles.append(
            f'<div class="tile"><b>{error:.4f}</b><span>calibration error</span></div>'
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(metric: Metric, baseline: float | None) -> str:
    said = ""
    if metric.low is not None and metric.high is not None:
        said += f"<small>{metric.low:.3f} to {metric.high:.3f}</small>"
    if baseline is not None:
        gain = metric.value - baseline
        kind = "gain" if gain > 0 else "loss" if gain < 0 else "level"
        said += f'<small class="{kind}">{gain:+.3f} against the baseline</small>'
    return (
        f'<div class="tile"><b>{metric.value:.4f}</b>'
        f"<span>{_e(metric.title)}</span>{said}</div>"
    )


def _overall(overall: Overall | str, pictures: Mapping[str, str]) -> str:
    if isinstance(overall, str):
        return _said(overall)
    shown = [m for m in overall.metrics if m.name in TITLES]
    head = "".join(f'<th scope="col">{_e(m.title)}</th>' for m in shown)
    own = "".join(f"<td><b>{m.value:.4f}</b></td>" for m in shown)
    rows = [f'<tr class="own"><th scope="row">this model</th>{own}</tr>']
    if any(m.low is not None for m in shown):
        cells = "".join(
            "<td></td>"
            if m.low is None or m.high is None
            else f"<td>{m.low:.3f}&ndash;{m.high:.3f}</td>"
            for m in shown
        )
        rows.append(
            f'<tr class="interval"><th scope="row">95% interval</th>{cells}</tr>'
        )
    for name, values in overall.others.items():
        cells = "".join(f"<td>{_number(values.get(m.name))}</td>" for m in shown)
        rows.append(f'<tr><th scope="row">{_e(name)}</th>{cells}</tr>')
    verdict = f'<p class="verdict">{_e(overall.verdict)}</p>' if overall.verdict else ""
    none = "" if overall.baseline else _said(_NO_BASELINE)
    return (
        f"{verdict}"
        f'<div class="scroll" tabindex="0"><table><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"{_figure(pictures, 'metrics')}"
        f'<p class="note">{_e(overall.note)}</p>{none}'
    )


_NO_BASELINE = (
    "No baseline was trained: `labelgraph train --baseline` in the same work directory "
    "adds TF-IDF with linear SVMs."
)


def _number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _task(task: TableTask) -> str:
    columns = list(next(iter(task.rows.values())))
    head = "".join(f'<th scope="col">{_e(name)}</th>' for name in columns)
    rows = ""
    for number, (name, values) in enumerate(task.rows.items()):
        cells = "".join(f"<td>{_cell(c, values[c])}</td>" for c in columns)
        own = ' class="own"' if number == 0 else ""
        rows += f'<tr{own}><th scope="row">{_e(name)}</th>{cells}</tr>'
    return (
        f"<h3>{_e(task.name)} <small>{_e(task.kind.replace('_', ' '))}</small></h3>"
        f'<div class="scroll" tabindex="0"><table><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:,.0f}" if column == "rows" else f"{value:,.4g}"


def _training(report: Report, pictures: Mapping[str, str]) -> str:
    if isinstance(report.history, str):
        return _said(report.history)
    return _figure(pictures, "learning_curves") or _said(
        "metrics.jsonl holds neither a loss nor a validation metric."
    )


def _labels(scored: Scored | str, pictures: Mapping[str, str]) -> str:
    if isinstance(scored, str):
        return _said(scored)
    groups = "".join(
        f'<option value="{name}">{name}</option>' for name in ("head", "middle", "tail")
    )
    return f"""<div class="controls">
<label>Find <input type="search" id="label-filter" autocomplete="off"
 placeholder="part of a label"></label>
<label>Frequency <select id="label-group"><option value="">all</option>{groups}
</select></label>
<label hidden>Label set <select id="label-set"></select></label>
<label class="check"><input type="checkbox" id="label-present"> in the test only</label>
<output id="label-count"></output>
</div>
<div class="scroll" tabindex="0"><table id="label-table"><thead></thead><tbody></tbody>
</table></div>
<div class="pager"><button type="button" id="page-back">Back</button>
<output id="page-place"></output>
<button type="button" id="page-on">On</button>
<label>Rows <select id="page-size"><option>15</option><option>50</option>
<option>200</option></select></label></div>
<noscript>{_said("The table needs JavaScript, which is switched off here.")}</noscript>
<p class="note">Head, middle and tail hold a third of all training labels each. A dash
stands where nothing would be divided by nothing. A click on a label shows it in the
graph.</p>
{
        _figure(
            pictures,
            "f1_by_frequency",
            "F1 of each label against how often training has "
            "it; a line is the mean of head, middle or tail.",
        )
    }"""


def _probabilities(scored: Scored | str, pictures: Mapping[str, str]) -> str:
    if isinstance(scored, str):
        return _said(scored)
    said = (
        f"Expected calibration error {scored.calibration.error:.4f}: how far a "
        "probability lies from the share that is positive, in the mean over cells. "
        f"{scored.calibration.note}"
    )
    left = _figure(pictures, "reliability", said)
    right = _figure(
        pictures,
        "thresholds",
        "If one threshold decided every label. " + scored.curves.note,
    )
    return f'<div class="two">{left}{right}</div>'


def _confusion(scored: Scored | str) -> str:
    found = scored if isinstance(scored, str) else scored.confusion
    if isinstance(found, str):
        return _said(found)
    assert isinstance(scored, Scored) and isinstance(found, Confusion)
    names = [
        t or n for n, t in zip(scored.labels.names, scored.labels.titles, strict=True)
    ]
    together = _pairs(found.together_pairs, names, "missed", "missed with it")
    confused = _pairs(found.confused_pairs, names, "missed", "predicted instead")
    return f"""<div class="two">
<div><h3>Missed together</h3><div class="heat" id="heat-together"></div>{together}</div>
<div><h3>Confused with</h3><div class="heat" id="heat-confused"></div>{confused}</div>
</div>
<p class="note">Rows are labels that a document has and was not given. A model of
several labels does not choose one over another: a pair is a hint, not a proof.</p>"""


def _pairs(
    pairs: Sequence[tuple[int, int, int]], names: Sequence[str], one: str, other: str
) -> str:
    if not pairs:
        return _said("There is no such pair.")
    rows = "".join(
        f"<tr><td>{_e(names[i])}</td><td>{_e(names[j])}</td><td>{count:,}</td></tr>"
        for i, j, count in pairs
    )
    return (
        '<div class="scroll short" tabindex="0"><table class="pairs"><thead><tr>'
        f'<th scope="col">{one}</th><th scope="col">{other}</th>'
        f'<th scope="col">documents</th></tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _graph(graph: Graph | str) -> str:
    if isinstance(graph, str):
        return _said(graph)
    notes = "".join(_said(note) for note in graph.notes)
    if not graph.views:
        return notes
    return f"""{notes}
<div class="controls" id="graph-controls">
<label>Show <select id="graph-view"></select></label>
<fieldset id="graph-when"><legend>Training</legend>
<label><input type="radio" name="when" value="before"> before</label>
<label><input type="radio" name="when" value="after" checked> after</label>
<label><input type="radio" name="when" value="change"> change</label>
</fieldset>
<label>Edges per label <input type="range" id="graph-edges" min="1" max="12" value="3">
<output id="graph-edges-value">3</output></label>
<label>Find <input type="search" id="graph-search" list="graph-names"
 autocomplete="off" placeholder="a label"></label>
<datalist id="graph-names"></datalist>
</div>
<div class="network">
<div class="stage"><canvas id="network" tabindex="0" role="img"
 aria-label="Network of labels; arrow keys move, plus and minus zoom"></canvas>
<div class="zoom"><button type="button" id="zoom-in" aria-label="Zoom in">+</button>
<button type="button" id="zoom-out" aria-label="Zoom out">&minus;</button>
<button type="button" id="zoom-fit">Fit</button></div></div>
<aside id="graph-panel" aria-live="polite"></aside>
</div>
<p class="note" id="graph-said"></p>
<ul class="legend" id="graph-legend"></ul>
<div class="two">
<div><h3 id="heat-own-title"></h3><div class="heat" id="heat-own"></div></div>
<div id="heat-beside"><h3>Co-occurrence in training</h3>
<div class="heat" id="heat-cooccurrence"></div></div>
</div>
<p class="note">Rows receive, columns send; labels stand in the order of their clusters.
Colours grow with the root of what a weight has above the least one; the diagonal does
not set the scale. Point at a
cell, or at a label of the network, for its weights.</p>"""


def _vectors(vectors: Vectors | str, pictures: Mapping[str, str]) -> str:
    if isinstance(vectors, str):
        return _said(vectors)
    said = vectors.note + " Colours are the clusters of the label graph."
    return _figure(pictures, "label_vectors", said) or _said("There is no picture.")


def _gates(gates: Gates | str) -> str:
    if isinstance(gates, str):
        return _said(gates)
    experts = gates.weights.shape[1]
    head = "".join(f'<th scope="col">expert {e}</th>' for e in range(experts))
    most = max(float(gates.weights.max()), 1e-9)
    rows = ""
    for task, weights in zip(gates.tasks, gates.weights, strict=True):
        cells = "".join(
            f'<td class="weight" style="--share:{float(w) / most:.3f}">{w:.3f}</td>'
            for w in weights
        )
        rows += f'<tr><th scope="row">{_e(task)}</th>{cells}</tr>'
    warnings = "".join(f'<p class="warning">{_e(w)}</p>' for w in gates.warnings)
    return (
        f'<div class="scroll" tabindex="0"><table class="gates"><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>{warnings}"
        f'<p class="note">Mean weight of each expert over {gates.rows:,} rows; even '
        f"use would be {1 / experts:.3f}.</p>"
    )


def _worst(found: Worst | str) -> str:
    if isinstance(found, str):
        return _said(found)
    cards = "".join(_card(document) for document in found.documents)
    return (
        f'<p class="note">{_e(found.note)} '
        '<span class="chip right">right</span> <span class="chip missed">missed</span> '
        f'<span class="chip wrong">wrong</span></p><div class="cards">{cards}</div>'
    )


def _card(document: Any) -> str:
    chips = "".join(
        f'<span class="chip {given.outcome}">{_e(given.label)}'
        + _probability(given.probability)
        + f'<span class="out"> ({given.outcome})</span></span>'
        for given in document.labels
    )
    text = ""
    if document.text:
        more = " …" if document.cut else ""
        text = (
            "<details><summary><span>"
            f"{_e(' '.join(document.text.split())[:180])}</span></summary>"
            f"<p>{_e(document.text)}{more}</p></details>"
        )
    return (
        f"<article><h3>{_e(document.id)} <small>loss {document.loss:.2f}</small></h3>"
        f'<p class="chips">{chips}</p>{text}</article>'
    )


def _probability(value: float | None) -> str:
    if value is None:
        return ""
    return f" <i>{value:.2f}</i>" if value >= 0.005 else " <i>&lt;0.01</i>"


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    return f"<ul>{''.join(f'<li>{_e(note)}</li>' for note in report.notes)}</ul>"


def _data(report: Report) -> dict[str, Any]:
    """What the page's script reads."""
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
        found["graph"] = {
            "ids": plain(graph.ids),
            "names": _graph_names(report, graph),
            "counts": _graph_counts(report, graph),
            "clusters": plain(graph.clusters),
            "clusterNames": list(graph.cluster_names),
            "positions": plain(np.round(graph.positions, 4)),
            "views": [_packed(view) for view in graph.views],
        }
    return found


def _graph_names(report: Report, graph: Graph) -> list[str]:
    if not isinstance(report.scored, Scored):
        return [str(i) for i in graph.ids]
    labels = report.scored.labels
    return [labels.titles[i] or labels.names[i] for i in graph.ids]


def _graph_counts(report: Report, graph: Graph) -> list[int]:
    if not isinstance(report.scored, Scored):
        return [1] * len(graph.ids)
    return [int(report.scored.labels.train[i]) for i in graph.ids]


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
