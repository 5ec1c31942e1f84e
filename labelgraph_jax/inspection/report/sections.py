"""The sections of a report's page as HTML."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from labelgraph_jax.inspection.report.contents import (
    BadDocument,
    Calibration,
    Confusion,
    Data,
    Gates,
    Graph,
    Metric,
    Overall,
    Report,
    Scored,
    Setting,
    TableTask,
    Vectors,
    Worst,
)
from labelgraph_jax.inspection.report.intervals import TITLES
from labelgraph_jax.inspection.report.tree import Tree, html_rows
from labelgraph_jax.runs.result_rows import UNLABELLED_COLUMNS

LEADING = ("micro_f1", "macro_f1", "samples_f1", "P@1", "nDCG@5")
"""Metrics that stand large at the top."""
_NO_BASELINE = (
    "No baseline was trained: `labelgraph train --baseline` in the same work directory "
    "adds TF-IDF with linear SVMs."
)

Pictures = Mapping[str, str]
"""SVG by name; an empty one is left out."""


def sections(report: Report, pictures: Pictures) -> list[tuple[str, str, str]]:
    """Return key, title and HTML of every section that has something to show; the last
    one says what is left out and why."""
    scored = report.scored
    confusion = scored if isinstance(scored, str) else scored.confusion
    names = [] if isinstance(scored, str) else scored.labels.shown
    results = "".join(map(_task, report.tasks))
    found = [
        ("results", "Results", results or _part(report.overall, _overall, pictures)),
        ("training", "Training", _part(report.history, _training, pictures)),
        ("labels", "Labels", _part(scored, _labels, pictures)),
        ("taxonomy", "The taxonomy", _part(report.tree, _tree)),
        ("probabilities", "Probabilities", _part(scored, _probabilities, pictures)),
        ("confusion", "Confusion between labels", _part(confusion, _confusion, names)),
        ("unlabelled", "What the unlabelled text did", _unlabelled(report)),
        ("graph", "The label graph", _part(report.graph, _graph)),
        ("vectors", "Label vectors", _part(report.vectors, _vectors, pictures)),
        ("gates", "Gates", _part(report.gates, _gates)),
        ("documents", "Worst documents", _part(report.worst, _worst)),
        ("corpus", "Data", _data(report.data)),
        ("settings", "Settings", _settings(report.settings)),
        ("left-out", "Not on this page", _left_out(report)),
    ]
    return [part for part in found if part[2]]


def _part(content: Any, render: Callable[..., str], *options: Any) -> str:
    """A section; nothing where a sentence says why it is not there."""
    return "" if isinstance(content, str) else render(content, *options)


def escaped(text: Any) -> str:
    """Return a text as HTML shows it."""
    return html.escape(str(text), quote=True)


@cache
def asset(name: str) -> str:
    """Return a file of the page: style, script, or HTML that is always the same."""
    folder = resources.files("labelgraph_jax.inspection.report") / "assets"
    return (folder / name).read_text(encoding="utf-8").strip()


def _said(sentence: str) -> str:
    return f'<p class="absent">{escaped(sentence)}</p>'


def _figure(pictures: Pictures, name: str, caption: str = "") -> str:
    svg = pictures.get(name, "")
    if not svg:
        return ""
    below = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    return f'<figure class="picture {name}">{svg}{below}</figure>'


def _row(name: str, cells: Iterable[str], kind: str = "") -> str:
    """A row of a table: what it is called, and cells as text or HTML."""
    of = f' class="{kind}"' if kind else ""
    data = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{of}><th scope="row">{escaped(name)}</th>{data}</tr>'


def _table(titles: Iterable[str], rows: Iterable[str], kind: str = "") -> str:
    """A table that scrolls where it is too wide; its first column has no title."""
    of = f' class="{kind}"' if kind else ""
    head = "".join(f'<th scope="col">{escaped(title)}</th>' for title in titles)
    return (
        f'<div class="scroll" tabindex="0"><table{of}><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values for the head of the page."""
    found = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>"
        for name, value in pairs
    )
    return f'<dl class="facts">{found}</dl>'


def tiles(report: Report) -> str:
    """Return the leading metrics, large; nothing where none was measured."""
    overall = report.overall
    if not isinstance(overall, Overall):
        return ""
    known = {metric.name: metric for metric in overall.metrics}
    beside = overall.others.get(overall.baseline, {})
    found = [_tile(known[n], beside.get(n)) for n in LEADING if n in known]
    if isinstance(report.scored, Scored):
        found.append(_calibration_tile(report.scored.calibration))
    return f'<div class="tiles">{"".join(found)}</div>'


def _calibration_tile(calibration: Calibration) -> str:
    """The error of the predicted cells, large; below it that of all cells."""
    own, every = calibration.predicted_error, calibration.error
    of_all = f"all {calibration.every.cells.sum():,} cells"
    if own is None:
        large, of, small = every, of_all, ""
    else:
        large, of = own, f"the {calibration.predicted.cells.sum():,} predicted labels"
        small = f"<small>{every:.4f} over {of_all}</small>"
    return (
        f'<div class="tile"><b>{large:.4f}</b><span>calibration error</span>'
        f"<small>over {of}</small>{small}</div>"
    )


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
        f"<span>{escaped(metric.title)}</span>{said}</div>"
    )


def _overall(overall: Overall, pictures: Pictures) -> str:
    shown = [m for m in overall.metrics if m.name in TITLES]
    rows = [_row("this model", (f"<b>{m.value:.4f}</b>" for m in shown), "own")]
    if any(m.low is not None for m in shown):
        intervals = (
            "" if m.low is None or m.high is None else f"{m.low:.3f}&ndash;{m.high:.3f}"
            for m in shown
        )
        rows.append(_row("95% interval", intervals, "interval"))
    for name, values in overall.others.items():
        numbers = (values.get(m.name) for m in shown)
        rows.append(_row(name, ("" if n is None else f"{n:.4f}" for n in numbers)))
    verdict = ""
    if overall.verdict:
        verdict = f'<p class="verdict">{escaped(overall.verdict)}</p>'
    return (
        f"{verdict}{_table((m.title for m in shown), rows)}"
        f"{_figure(pictures, 'metrics')}"
        f'<p class="note">{escaped(overall.note)}</p>'
        f"{'' if overall.baseline else _said(_NO_BASELINE)}"
    )


def _task(task: TableTask) -> str:
    columns = list(next(iter(task.rows.values())))
    rows = []
    for number, (name, values) in enumerate(task.rows.items()):
        cells = (_cell(column, values[column]) for column in columns)
        rows.append(_row(name, cells, "" if number else "own"))
    kind = escaped(task.kind.replace("_", " "))
    title = f"<h3>{escaped(task.name)} <small>{kind}</small></h3>"
    return title + _table(columns, rows)


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:,.0f}" if column == "rows" else f"{value:,.4g}"


def _training(_: Any, pictures: Pictures) -> str:
    return _figure(pictures, "learning_curves")


def _labels(_: Scored, pictures: Pictures) -> str:
    caption = (
        "F1 of each label against how often training has it; a line is the mean of "
        "head, middle or tail."
    )
    return f"{asset('labels.html')}\n{_figure(pictures, 'f1_by_frequency', caption)}"


def _probabilities(scored: Scored, pictures: Pictures) -> str:
    calibration = scored.calibration
    said = (
        "Expected calibration error: how far a probability lies from the share that is "
        "positive, averaged over cells. "
        f"Over all {calibration.every.cells.sum():,} cells it is "
        f"{calibration.error:.4f}: most of them are labels that are rightly given "
        "almost 0. "
    )
    if (error := calibration.predicted_error) is not None:
        said += (
            f"Over the {calibration.predicted.cells.sum():,} cells of predicted labels "
            f"it is {error:.4f}. "
        )
    left = _figure(pictures, "reliability", said + calibration.note)
    curves = _figure(
        pictures,
        "thresholds",
        "If one threshold decided every label. " + scored.curves.note,
    )
    recall = _figure(
        pictures,
        "precision_recall",
        "Precision and recall at every threshold: of all cells together, and of the "
        "labels of head, middle and tail that most test documents carry. AP is the "
        "average precision.",
    )
    both = f"<div>{left}{curves}</div>" if left or curves else ""
    return f'<div class="two">{both}{recall}</div>' if both or recall else ""


def _confusion(confusion: Confusion, names: Sequence[str]) -> str:
    parts = ""
    for key, title, pairs, other in (
        ("together", "Missed together", confusion.together_pairs, "also missed"),
        ("confused", "Confused with", confusion.confused_pairs, "predicted instead"),
    ):
        if pairs:
            parts += (
                f'<div><h3>{title}</h3><div class="heat" id="heat-{key}"></div>'
                f"{_pairs(pairs, names, other)}</div>"
            )
    return f"""<div class="two">{parts}</div>
<p class="note">Rows are labels that a document has but was not given. A multi-label
model does not choose one label over another: a pair is a hint, not a proof.</p>"""


def _pairs(
    pairs: Sequence[tuple[int, int, int]], names: Sequence[str], other: str
) -> str:
    rows = "".join(
        f"<tr><td>{escaped(names[i])}</td><td>{escaped(names[j])}</td>"
        f"<td>{count:,}</td></tr>"
        for i, j, count in pairs
    )
    return (
        '<div class="scroll short" tabindex="0"><table class="pairs"><thead><tr>'
        f'<th scope="col">missed</th><th scope="col">{other}</th>'
        f'<th scope="col">documents</th></tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _unlabelled(report: Report) -> str:
    lines, rows = report.unlabelled
    said = "".join(f"<p>{escaped(line)}</p>" for line in lines)
    if not rows:
        return said
    found = (_row(name, map(escaped, cells)) for name, cells in rows)
    return said + _table(UNLABELLED_COLUMNS.values(), found)


def _graph(graph: Graph) -> str:
    if not graph.views:
        return ""
    return f"{''.join(map(_said, graph.notes))}\n{asset('graph.html')}"


def _tree(tree: Tree) -> str:
    said = f"{len(tree.rows):,} of {tree.nodes:,} nodes; one without F1 is no label."
    return _table(("F1", "documents"), html_rows(tree), "gates") + _said(said)


def _vectors(vectors: Vectors, pictures: Pictures) -> str:
    said = vectors.note + " Colours are the clusters of the label graph."
    return _figure(pictures, "label_vectors", said)


def _gates(gates: Gates) -> str:
    experts = gates.weights.shape[1]
    most = max(float(gates.weights.max()), 1e-9)
    rows = ""
    for task, weights in zip(gates.tasks, gates.weights, strict=True):
        cells = "".join(
            f'<td class="weight" style="--share:{float(w) / most:.3f}">{w:.3f}</td>'
            for w in weights
        )
        rows += f'<tr><th scope="row">{escaped(task)}</th>{cells}</tr>'
    table = _table((f"expert {e}" for e in range(experts)), rows, "gates")
    warnings = "".join(f'<p class="warning">{escaped(w)}</p>' for w in gates.warnings)
    return (
        f'{table}{warnings}<p class="note">Mean weight of each expert over '
        f"{gates.rows:,} rows; even use would be {1 / experts:.3f}.</p>"
    )


def _worst(found: Worst) -> str:
    cards = "".join(map(_card, found.documents))
    return (
        f'<p class="note">{escaped(found.note)} '
        '<span class="chip right">right</span> <span class="chip missed">missed</span> '
        f'<span class="chip wrong">wrong</span></p><div class="cards">{cards}</div>'
    )


def _card(document: BadDocument) -> str:
    chips = "".join(
        f'<span class="chip {given.outcome}">{escaped(given.label)}'
        + _probability(given.probability)
        + f'<span class="out"> ({given.outcome})</span></span>'
        for given in document.labels
    )
    text = ""
    if document.text:
        more = " …" if document.cut else ""
        text = (
            "<details><summary><span>"
            f"{escaped(' '.join(document.text.split())[:180])}</span></summary>"
            f"<p>{escaped(document.text)}{more}</p></details>"
        )
    return (
        f"<article><h3>{escaped(document.id)} <small>loss {document.loss:.2f}</small>"
        f'</h3><p class="chips">{chips}</p>{text}</article>'
    )


def _probability(value: float | None) -> str:
    if value is None:
        return ""
    return f" <i>{value:.2f}</i>" if value >= 0.005 else " <i>&lt;0.01</i>"


def _data(data: Data) -> str:
    rows = (_row(split, map(escaped, row)) for split, row in data.splits.items())
    found = _table(data.columns, rows) if data.splits else ""
    if data.labels:
        chips = "".join(
            f'<span class="chip">{escaped(name)} <i>{count:,}</i></span>'
            for name, count in data.labels
        )
        found += (
            "<h3>Most frequent labels <small>training documents</small></h3>"
            f'<p class="chips">{chips}</p>'
        )
    if data.notes:
        notes = "".join(f"<li>{escaped(note)}</li>" for note in data.notes)
        found += f"<h3>Notes</h3><ul>{notes}</ul>"
    return found


def _settings(settings: Sequence[Setting]) -> str:
    """Those that differ from the defaults; the others on demand."""
    changed = [s for s in settings if s.value != s.default]
    usual = [s for s in settings if s.value == s.default]
    found = '<p class="note">Every setting has its default.</p>' if settings else ""
    if changed:
        rows = (_row(s.name, map(escaped, (s.value, s.default))) for s in changed)
        found = _table(("this run", "default"), rows, "settings")
    if usual:
        rows = (_row(s.name, (escaped(s.value),)) for s in usual)
        found += (
            f"<details><summary><span>{len(usual):,} settings that have their default"
            f"</span></summary>{_table(('value',), rows, 'settings')}</details>"
        )
    return found


def _left_out(report: Report) -> str:
    lines = (
        f"<li>{escaped(', '.join(names).capitalize())}: {escaped(why)}</li>"
        for why, names in report.left_out().items()
    )
    found = "".join(lines)
    return f"<ul>{found}</ul>" if found else ""
