"""What an explanation holds, and as JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOLERANCE = 0.05
"""Share of the difference that the attributions may miss."""
SMALL_GAP = 0.01
"""A gap below this many logits is nothing, whatever the difference."""


@dataclass(frozen=True)
class Check:
    """Whether attributions add up to what they explain.

    Attributes:
        method: integrated-gradients or gradient-x-input.
        steps: points on the path; 1 of gradient-x-input.
        total: the sum of the attributions.
        difference: logit minus baseline logit.
    """

    method: str
    steps: int
    total: float
    difference: float

    @property
    def gap(self) -> float:
        """What the attributions have too much, in logits."""
        return self.total - self.difference

    @property
    def relative(self) -> float | None:
        """The size of the gap against that of the difference; None of no difference."""
        if self.difference == 0:
            return 0.0 if self.gap == 0 else None
        return abs(self.gap) / abs(self.difference)

    @property
    def holds(self) -> bool:
        """Whether the gap is within the tolerance."""
        return abs(self.gap) <= max(TOLERANCE * abs(self.difference), SMALL_GAP)

    def to_json(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "gap": self.gap,
            "relative_gap": self.relative,
            "complete": self.holds,
        }


@dataclass(frozen=True)
class Neighbour:
    """A label that another one listens to.

    Attributes:
        label: its name.
        attention: mean over heads, per layer.
        heads: per layer, of every head.
        start: the edge weight that training started from, None where there is none.
        learned: the weight that training made of it, None where it is no parameter.
        together: training documents that carry both, None where they are not known.
        probability: share of the listening label's documents that carry this one.
        title: what it is called where its name is a mere number.
    """

    label: str
    attention: tuple[float, ...]
    heads: tuple[tuple[float, ...], ...]
    start: float | None = None
    learned: float | None = None
    together: int | None = None
    probability: float | None = None
    title: str = ""

    @property
    def name(self) -> str:
        """The label, with its title where it has one."""
        return f"{self.label} {self.title}".strip()


@dataclass(frozen=True)
class MemoryShare:
    """What a memory adds to a probability: `(1 - weight) classifier + weight memory`.

    Attributes:
        weight: of the memory; 1 for a label that the classifier does not know.
        classifier: the classifier's probability.
        memory: the memory's.
    """

    weight: float
    classifier: float
    memory: float

    @property
    def share(self) -> float:
        """Which part of the probability came from the memory."""
        whole = (1 - self.weight) * self.classifier + self.weight * self.memory
        return self.weight * self.memory / whole if whole else 0.0


@dataclass(frozen=True)
class LabelExplanation:
    """Why a label was predicted, or not.

    Attributes:
        label: its name.
        title: what it is called where its name is a mere number.
        predicted: whether the model decides for it.
        probability: what `predict_proba` says.
        threshold: from which probability on it is predicted; None where a number of
            labels is.
        logit, baseline_logit: of the classifier.
        words: what each word adds to the logit, in the order of `Explanation.words`.
        frame: what tokens add that came from no word.
        check: whether these add up.
        other: the same check of the other method.
        neighbours: the labels it listens to, the closest first.
        itself: its attention to itself, mean over heads, per layer.
        message: what its neighbours' message adds to the logit, None where its vector
            is nothing else, or it has no product with the document.
        memory: what a memory adds, None without one.
        note: anything that is special about it.
    """

    label: str
    title: str
    predicted: bool
    probability: float
    threshold: float | None
    logit: float | None = None
    baseline_logit: float | None = None
    words: tuple[float, ...] = ()
    frame: float = 0.0
    check: Check | None = None
    other: Check | None = None
    neighbours: tuple[Neighbour, ...] = ()
    itself: tuple[float, ...] = ()
    message: float | None = None
    memory: MemoryShare | None = None
    note: str = ""


@dataclass(frozen=True)
class NearDocument:
    """A training document that the model reads as it reads this one.

    Attributes:
        id, labels: its own.
        start: its first words.
        similarity: cosine of the document vectors.
    """

    id: str
    labels: tuple[str, ...]
    start: str
    similarity: float


@dataclass(frozen=True)
class Explanation:
    """What moved the predictions for one document.

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
        """The same as plain dicts, lists, strings and numbers, for `json.dumps`."""
        found = dataclasses.asdict(self)
        for own, row in zip(self.labels, found["labels"], strict=True):
            row["check"] = own.check.to_json() if own.check else None
            row["other"] = own.other.to_json() if own.other else None
            if own.memory:
                row["memory"]["share"] = own.memory.share
        return found

    def to_html(self) -> str:
        """A page that needs nothing but itself."""
        from labelgraph_jax.inspection.explain.html import page

        return page(self)

    def _repr_html_(self) -> str:
        from labelgraph_jax.inspection.explain.html import fragment

        return fragment(self)


def merged_words(
    names: tuple[str, ...], values: tuple[float, ...]
) -> list[tuple[str, float, int]]:
    """Words with what all their places add, the strongest first: word, sum, places."""
    sums: dict[str, list[Any]] = {}
    for name, value in zip(names, values, strict=True):
        row = sums.setdefault(name.casefold(), [name, 0.0, 0])
        row[1] += value
        row[2] += 1
    rows = [(str(n), float(v), int(c)) for n, v, c in sums.values()]
    return sorted(rows, key=lambda row: (-abs(row[1]), row[0]))
