"""Contents of an explanation; as JSON and as a page."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from labelgraph_jax.inspection.explain.label_explanation import (
    LabelExplanation,
    NearDocument,
)
from labelgraph_jax.inspection.templates import templates

_LEAST = 0.02
"""Share of the strongest word's attribution below which a word is left unmarked."""


class Piece(NamedTuple):
    """A piece of a document on a page.

    Attributes:
        text: of it.
        kind: `p` or `m` of a word that speaks for or against, `word` of one that hardly
            counts, `between` of what is no word, `unread` of the end.
        value, strength: what a word adds, and its share of the most.
    """

    text: str
    kind: str = "between"
    value: float = 0.0
    strength: float = 0.0


@dataclass(frozen=True)
class Explanation:
    """Explanation of the predictions for one document.

    Attributes:
        text: the document.
        spans: first and last + 1 character of each word that the model read; none of
            features.
        words: what each word, or feature, is called.
        labels: one explanation per label.
        documents: the nearest training documents.
        gates: per label set the weight of every expert for this document.
        read: what the attributed vectors are.
        baseline: what they are compared with.
        notes: what else must be said.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    words: tuple[str, ...]
    labels: tuple[LabelExplanation, ...]
    documents: tuple[NearDocument, ...] = ()
    gates: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    read: str = ""
    baseline: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the same as plain dicts, lists, strings, numbers: for `json.dumps`."""
        found = dataclasses.asdict(self)
        for own, row in zip(self.labels, found["labels"], strict=True):
            row["check"] = own.check.to_json() if own.check else None
            row["other"] = own.other.to_json() if own.other else None
            if own.memory:
                row["memory"]["share"] = own.memory.share
        return found

    def to_html(self) -> str:
        """Return a page that needs nothing but itself."""
        page = templates("labelgraph_jax.inspection.explain").get_template("page.html")
        return page.render(fragment=self._repr_html_()) + "\n"

    def _repr_html_(self) -> str:
        """The same without a page around it, as a notebook shows it."""
        environment = templates("labelgraph_jax.inspection.explain")
        gates, experts = self.gates, max(map(len, self.gates.values()), default=0)
        found = environment.get_template("explanation.html").render(
            explanation=self,
            sentence=_sentence,
            gate_titles=["label set", *map(str, range(experts))],
            gate_rows=[[n, *(f"{w:.2f}" for w in row)] for n, row in gates.items()],
        )
        return found + "\n"

    def pieces(self, values: Sequence[float]) -> Iterator[Piece]:
        """Yield the text word by word, with what is between; of features their names.

        Args:
            values: what each word adds.
        """
        most = max(map(abs, values), default=0.0) or 1.0

        def word(text: str, value: float) -> Piece:
            strength = abs(value) / most
            kind = "p" if value > 0 else "m"
            return Piece(text, "word" if strength < _LEAST else kind, value, strength)

        if not self.spans:
            for place, value in enumerate(values):
                yield Piece(" " if place else "")
                yield word(self.words[place], value)
            return
        at = 0
        for (start, end), value in zip(self.spans, values, strict=True):
            yield Piece(self.text[at:start])
            yield word(self.text[start:end], value)
            at = end
        rest = self.text[at:]
        if rest.strip():
            yield Piece(rest, "unread" if any(c.isalnum() for c in rest) else "between")


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + ("" if note.endswith(".") else ".")
