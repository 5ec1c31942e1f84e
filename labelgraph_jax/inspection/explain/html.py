"""Parts of an explanation as HTML: one page, no network, nothing that runs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib import resources

from labelgraph_jax.inspection.explain.label_explanation import (
    LabelExplanation,
    NearDocument,
)

_LEAST = 0.02
"""Share of the strongest word's attribution below which a word is left unmarked."""


def page(body: str) -> str:
    """Return a whole document around a fragment."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>Why these labels</title>\n<style>body { margin: 0; }\n"
        "@media (prefers-color-scheme: dark) { body { background: #12161f; } }\n"
        f"</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def fragment(*parts: str) -> str:
    """Return some parts below style, title and legend; empty ones are left out."""
    first = (
        f"<style>{_style()}</style>\n<div class='lgx'><div class='in'>",
        "<h1>Why these labels</h1>",
        "<p class='soft legend'>"
        "<span><span class='w p' style='--a:.45'>word</span> speaks for it</span> "
        "<span><span class='w m' style='--a:.45'>word</span> speaks against it</span> "
        "the stronger the colour, the more; the number is in each word's title, in "
        "logits</p>",
    )
    body = "\n".join(part for part in (*first, *parts) if part)
    return f"{body}\n</div></div>\n"


@cache
def _style() -> str:
    folder = resources.files("labelgraph_jax.inspection.explain") / "assets"
    return "\n" + (folder / "style.css").read_text(encoding="utf-8")


def remark(text: str) -> str:
    """Return a paragraph in a soft colour."""
    return f"<p class='soft'>{escape(text)}</p>"


def warning(text: str) -> str:
    """Return a paragraph that is marked as a warning, as a sentence."""
    return f"<p class='warn'>{escape(_sentence(text))}</p>"


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + ("" if note.endswith(".") else ".")


def label_section(
    label: LabelExplanation,
    text: str,
    spans: Sequence[tuple[int, int]],
    words: Sequence[str],
) -> str:
    """Return why one label was predicted, or not.

    Args:
        label: what is known of it.
        text, spans, words: of the document, as in `Explanation`.
    """
    mark, verdict = "no", "not predicted"
    if label.predicted:
        mark, verdict = "yes", "predicted"
    name = escape(label.name)
    parts = [
        f"<section>\n<h2>{name}<span class='{mark}'>{verdict}</span></h2>",
        remark(_sentence(label.decision)),
    ]
    if label.note:
        parts.append(f"<p>{escape(_sentence(label.note))}</p>")
    if label.memory is not None:
        parts.append(remark(str(label.memory)))
    if label.check is not None:
        marked = _marked(text, spans, words, label.words)
        parts.append(f"<div class='text'>{marked}</div>")
        line, *warnings = label.check_lines()
        parts.append(remark(line))
        parts += [f"<p class='warn'>{escape(said)}</p>" for said in warnings]
    parts.append(_neighbours(label))
    return "\n".join(part for part in parts if part) + "\n</section>"


def _marked(
    text: str,
    spans: Sequence[tuple[int, int]],
    words: Sequence[str],
    values: Sequence[float],
) -> str:
    """The text, every word coloured by what it adds; of features their names."""
    most = max(map(abs, values), default=0.0) or 1.0
    if not spans:
        return " ".join(
            _word(name, value, most) for name, value in zip(words, values, strict=True)
        )
    parts, at = [], 0
    for (start, end), value in zip(spans, values, strict=True):
        parts.append(escape(text[at:start]))
        parts.append(_word(text[start:end], value, most))
        at = end
    rest = text[at:]
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
    titles, rows = label.neighbour_table(heads=True)
    line = (
        f"Attention, mean over heads; to itself {label.attention_to_itself}. The same "
        "for every document."
    )
    if label.message is not None:
        line += f" What the neighbours send adds {label.message:+.3f} to this logit."
    if label.neighbours[0].together is not None:
        line += (
            " P: share of the label's training documents that carry the other; both: "
            "documents with both."
        )
    return f"<h3>Labels it receives from</h3>\n{_table(titles, rows)}{remark(line)}"


def gates_section(gates: Mapping[str, Sequence[float]]) -> str:
    """Return the weights of the experts by label set; empty without gates."""
    if not gates:
        return ""
    experts = max(len(row) for row in gates.values())
    heads = ["label set", *(str(number) for number in range(experts))]
    rows = [[name, *(f"{value:.2f}" for value in row)] for name, row in gates.items()]
    return f"<section>\n<h2>Gates: experts</h2>\n{_table(heads, rows)}</section>"


def documents_section(documents: Sequence[NearDocument]) -> str:
    """Return the nearest training documents; empty where there are none."""
    if not documents:
        return ""
    items = [
        f"<li><b>{escape(near.id)}</b> <span class='soft'>cosine "
        f"{near.similarity:.3f}</span><br>"
        + "".join(f"<span class='tag'>{escape(name)}</span>" for name in near.labels)
        + f"<div class='soft'>{escape(near.start)}</div></li>"
        for near in documents
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
