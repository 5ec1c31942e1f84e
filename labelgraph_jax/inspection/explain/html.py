"""An explanation as HTML: one page, no network, nothing that runs."""

from collections.abc import Iterable, Sequence
from html import escape

from labelgraph_jax.inspection.explain.explanation import Explanation, LabelExplanation
from labelgraph_jax.inspection.explain.terminal import (
    check_lines,
    heading,
    memory_line,
    share,
)

STYLE = """
.lgx { --ink: #1d2433; --soft: #5b6478; --line: #d9dee8; --paper: #ffffff;
  --card: #f6f8fb; --plus: 21, 128, 61; --minus: 200, 40, 50;
  color: var(--ink); background: var(--paper); font: 16px/1.6 system-ui, sans-serif;
  padding: 1.25rem; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .lgx { --ink: #e6e9f0; --soft: #a2abbd;
  --line: #323a4a; --paper: #12161f; --card: #1a202c; --plus: 74, 200, 120;
  --minus: 248, 113, 113; color-scheme: dark; } }
.lgx .in { max-width: 60rem; margin: 0 auto; }
.lgx h1 { font-size: 1.35rem; margin: 0 0 .25rem; }
.lgx h2 { font-size: 1.1rem; margin: 0 0 .35rem; }
.lgx h3 { font-size: .8rem; margin: 1.1rem 0 .3rem; color: var(--soft);
  letter-spacing: .06em; text-transform: uppercase; }
.lgx section { background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; padding: 1rem 1.15rem; margin-top: 1rem; }
.lgx p { margin: .35rem 0; }
.lgx .soft { color: var(--soft); font-size: .875rem; }
.lgx .text { white-space: pre-wrap; line-height: 1.9; margin-top: .5rem; }
.lgx .w { border-radius: .25rem; padding: .1em .15em; }
.lgx .p { background: rgba(var(--plus), var(--a));
  border-bottom: 2px solid rgba(var(--plus), .9); }
.lgx .m { background: rgba(var(--minus), var(--a));
  border-bottom: 2px dashed rgba(var(--minus), .9); }
.lgx .yes, .lgx .no { display: inline-block; border-radius: 1rem; font-size: .78rem;
  padding: .05rem .6rem; border: 1px solid currentColor; margin-left: .4rem;
  vertical-align: .1em; font-weight: 500; white-space: nowrap; }
.lgx .yes { color: rgb(var(--plus)); } .lgx .no { color: var(--soft); }
.lgx .scroll { overflow-x: auto; }
.lgx table { border-collapse: collapse; font-size: .875rem; width: 100%;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.lgx th { text-align: left; color: var(--soft); font-weight: 500; white-space: nowrap; }
.lgx th, .lgx td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.lgx tr:last-child td { border-bottom: 0; }
.lgx .n { text-align: right; white-space: nowrap; }
.lgx .warn { border-left: 3px solid rgb(var(--minus)); padding-left: .6rem; }
.lgx .legend > span { margin-right: .9rem; white-space: nowrap; }
.lgx ul { list-style: none; margin: 0; padding: 0; }
.lgx li { border-top: 1px solid var(--line); padding: .55rem 0; font-size: .9rem; }
.lgx li:first-child { border-top: 0; }
.lgx .tag { display: inline-block; border: 1px solid var(--line); border-radius: .3rem;
  padding: 0 .4rem; margin: .1rem .3rem .1rem 0; font-size: .8rem; }
"""

_LEAST = 0.02
"""Share of the strongest word's attribution below which a word is left unmarked."""


def page(found: Explanation) -> str:
    """A whole document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>Why these labels</title>\n<style>body { margin: 0; }\n"
        "@media (prefers-color-scheme: dark) { body { background: #12161f; } }\n"
        f"</style>\n</head>\n<body>\n{fragment(found)}</body>\n</html>\n"
    )


def fragment(found: Explanation) -> str:
    """The same without a page around it, as a notebook shows it."""
    parts = [
        f"<style>{STYLE}</style>\n<div class='lgx'><div class='in'>",
        "<h1>Why these labels</h1>",
        "<p class='soft legend'>"
        "<span><span class='w p' style='--a:.45'>word</span> speaks for it</span> "
        "<span><span class='w m' style='--a:.45'>word</span> speaks against it</span> "
        "the stronger the colour, the more; the number is in each word's title, in "
        "logits</p>",
    ]
    parts += [f"<p class='warn'>{escape(_sentence(note))}</p>" for note in found.notes]
    parts += [_label(found, label) for label in found.labels]
    parts.append(_gates(found))
    parts.append(_documents(found))
    parts.append(
        f"<p class='soft'>Attributed: {escape(found.read)}; against: "
        f"{escape(found.baseline)}.</p>\n</div></div>\n"
    )
    return "\n".join(part for part in parts if part)


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + ("" if note.endswith(".") else ".")


def _label(found: Explanation, label: LabelExplanation) -> str:
    name = f"{label.label} {label.title}".strip()
    mark = "yes" if label.predicted else "no"
    verdict = "predicted" if label.predicted else "not predicted"
    said = heading(label).removeprefix(f"{name}: ")
    parts = [
        f"<section>\n<h2>{escape(name)}<span class='{mark}'>{verdict}</span></h2>",
        f"<p class='soft'>{escape(_sentence(said))}</p>",
    ]
    if label.note:
        parts.append(f"<p>{escape(_sentence(label.note))}</p>")
    if label.memory is not None:
        parts.append(f"<p class='soft'>{escape(memory_line(label))}</p>")
    if label.check is not None:
        parts.append(f"<div class='text'>{_marked(found, label)}</div>")
        line, *warnings = check_lines(label)
        parts.append(f"<p class='soft'>{escape(line)}</p>")
        parts += [f"<p class='warn'>{escape(warning)}</p>" for warning in warnings]
    parts.append(_neighbours(label))
    return "\n".join(part for part in parts if part) + "\n</section>"


def _marked(found: Explanation, label: LabelExplanation) -> str:
    """The text, every word coloured by what it adds; of features their names."""
    most = max((abs(value) for value in label.words), default=0.0) or 1.0
    if not found.spans:
        return " ".join(
            _word(name, value, most)
            for name, value in zip(found.words, label.words, strict=True)
        )
    parts, at = [], 0
    for (start, end), value in zip(found.spans, label.words, strict=True):
        parts.append(escape(found.text[at:start]))
        parts.append(_word(found.text[start:end], value, most))
        at = end
    rest = found.text[at:]
    if rest.strip():
        rest_html = f"<span class='soft' title='not read'>{escape(rest)}</span>"
        parts.append(rest_html if any(c.isalnum() for c in rest) else escape(rest))
    return "".join(parts)


def _word(word: str, value: float, most: float) -> str:
    strength = abs(value) / most
    if strength < _LEAST:
        return f"<span title='{value:+.4f}'>{escape(word)}</span>"
    kind = "p" if value > 0 else "m"
    return (
        f"<span class='w {kind}' style='--a:{0.08 + 0.6 * strength:.2f}' "
        f"title='{value:+.4f}'>{escape(word)}</span>"
    )


def _neighbours(label: LabelExplanation) -> str:
    if not label.neighbours:
        return ""
    first = label.neighbours[0]
    heads = ["label", *(f"layer {i + 1}" for i in range(len(first.attention))), "heads"]
    heads += [] if first.start is None else ["edge"]
    heads += [] if first.learned is None else ["learned"]
    heads += [] if first.together is None else ["P", "both"]
    rows = []
    for one in label.neighbours:
        last = one.heads[-1]
        row = [one.name, *(share(value) for value in one.attention)]
        row.append(" ".join(f"{value:.2f}" for value in last))
        row += [] if first.start is None else [f"{one.start or 0:.3f}"]
        row += [] if first.learned is None else [f"{one.learned or 0:.3f}"]
        if first.together is not None:
            part = one.probability
            row += ["-" if part is None else f"{part:.2f}", f"{one.together or 0:,}"]
        rows.append(row)
    own = ", ".join(share(value) for value in label.itself)
    line = f"Attention, mean over heads; to itself {own}. The same for every document."
    if label.message is not None:
        line += f" What the neighbours send adds {label.message:+.3f} to this logit."
    if first.together is not None:
        line += (
            " P: share of the label's training documents that carry the other; both: "
            "documents with both."
        )
    return (
        f"<h3>Labels it listens to</h3>\n{_table(heads, rows)}"
        f"<p class='soft'>{escape(line)}</p>"
    )


def _gates(found: Explanation) -> str:
    if not found.gates:
        return ""
    experts = max(len(row) for row in found.gates.values())
    heads = ["label set", *(str(number) for number in range(experts))]
    rows = [
        [name, *(f"{value:.2f}" for value in row)] for name, row in found.gates.items()
    ]
    return f"<section>\n<h2>Gates: experts</h2>\n{_table(heads, rows)}</section>"


def _documents(found: Explanation) -> str:
    if not found.documents:
        return ""
    items = [
        f"<li><b>{escape(near.id)}</b> <span class='soft'>cosine "
        f"{near.similarity:.3f}</span><br>"
        + "".join(f"<span class='tag'>{escape(name)}</span>" for name in near.labels)
        + f"<div class='soft'>{escape(near.start)}</div></li>"
        for near in found.documents
    ]
    return (
        "<section>\n<h2>Nearest training documents</h2>\n<ul>"
        + "\n".join(items)
        + "</ul></section>"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of names and numbers that scrolls where it is too wide."""

    def line(tag: str, values: Sequence[str]) -> str:
        name, *numbers = (escape(value) for value in values)
        cells = [f"<{tag}>{name}</{tag}>"]
        cells += [f"<{tag} class='n'>{number}</{tag}>" for number in numbers]
        return f"<tr>{''.join(cells)}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return (
        f"<div class='scroll'><table>\n<thead>{line('th', heads)}</thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>\n"
    )
