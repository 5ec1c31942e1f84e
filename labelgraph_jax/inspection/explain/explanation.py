"""Contents of an explanation; as JSON and as a page."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelgraph_jax.inspection.explain import html
from labelgraph_jax.inspection.explain.label_explanation import (
    LabelExplanation,
    NearDocument,
)


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

    def to_json(self) -> dict[str, Any]:
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
        return html.page(self._repr_html_())

    def _repr_html_(self) -> str:
        """The same without a page around it, as a notebook shows it."""
        labels = (
            html.label_section(label, self.text, self.spans, self.words)
            for label in self.labels
        )
        return html.fragment(
            *map(html.warning, self.notes),
            *labels,
            html.gates_section(self.gates),
            html.documents_section(self.documents),
            html.remark(f"Attributed: {self.read}; against: {self.baseline}."),
        )
