"""Explanation of one label's prediction: numbers, and sentences that state them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

TOLERANCE = 0.05
"""Share of the difference that the attributions may miss."""
SMALL_GAP = 0.01
"""A gap below this many logits is nothing, whatever the difference."""


@dataclass(frozen=True)
class Check:
    """Comparison of the sum of the attributions with the difference they explain.

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
        """Excess of the attributions over the explained difference, in logits."""
        return self.total - self.difference

    @property
    def relative(self) -> float | None:
        """The size of the gap against that of the difference; None of no difference."""
        if self.difference == 0:
            return 0.0 if self.gap == 0 else None
        return abs(self.gap) / abs(self.difference)

    @property
    def holds(self) -> bool:
        """True if the gap is within the tolerance."""
        return abs(self.gap) <= max(TOLERANCE * abs(self.difference), SMALL_GAP)

    @property
    def percent(self) -> str:
        """The gap in percent."""
        relative = self.relative
        return "undefined" if relative is None else f"{100 * relative:.1f}%"

    @property
    def how(self) -> str:
        """The method in words."""
        if self.method == "gradient-x-input":
            return "gradient x input"
        return f"integrated gradients, {self.steps} steps"

    def to_json(self) -> dict[str, object]:
        """Return the same as plain values, with what follows from them."""
        return {
            **dataclasses.asdict(self),
            "gap": self.gap,
            "relative_gap": self.relative,
            "complete": self.holds,
        }


@dataclass(frozen=True)
class Neighbour:
    """A label that another one receives from.

    Attributes:
        label: its name.
        attention: mean over heads, per layer.
        heads: per layer, of every head.
        start: the edge weight that training started from, None where there is none.
        learned: the weight that training made of it, None where it is no parameter.
        together: training documents that carry both, None where they are not known.
        probability: share of the receiving label's documents that carry this one.
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
    """Share of a memory in a probability: `(1 - weight) classifier + weight memory`.

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
        """Share of the probability that came from the memory."""
        whole = (1 - self.weight) * self.classifier + self.weight * self.memory
        return self.weight * self.memory / whole if whole else 0.0

    def __str__(self) -> str:
        return (
            f"Memory: {self.share:.0%} of the probability; {1 - self.weight:.2f} x "
            f"{self.classifier:.3f} (classifier) + {self.weight:.2f} x "
            f"{self.memory:.3f} (memory)"
        )


@dataclass(frozen=True)
class LabelExplanation:
    """Explanation of the prediction of one label.

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
        neighbours: the labels it receives from, the closest first.
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

    @property
    def name(self) -> str:
        """The label, with its title where it has one."""
        return f"{self.label} {self.title}".strip()

    @property
    def decision(self) -> str:
        """Return a sentence with the probability, its threshold and the decision."""
        said = f"probability {self.probability:.3f}"
        verdict = "predicted" if self.predicted else "not predicted"
        if self.threshold is None:
            return f"{said}, {verdict}"
        side = ">=" if self.probability >= self.threshold else "<"
        if self.predicted and side == "<":
            verdict += " (a label is always given)"
        return f"{said} {side} threshold {self.threshold:.3f}, {verdict}"

    def check_lines(self) -> list[str]:
        """Return the completeness check, with a warning where it fails."""
        check, other = self.check, self.other
        assert check is not None and other is not None
        lines = [
            f"Sum of attributions {check.total:+.3f}; logit {self.logit:+.3f} - "
            f"baseline {self.baseline_logit:+.3f} = {check.difference:+.3f}; gap "
            f"{check.percent} ({check.how}; {other.how}: {other.percent})"
        ]
        if not check.holds:
            lines.append(
                f"Warning: the attributions miss more than {TOLERANCE:.0%} of the "
                "difference: read them as a rough order, not as amounts"
            )
        return lines

    def neighbour_table(
        self, *, heads: bool = False
    ) -> tuple[list[str], list[list[str]]]:
        """Return titles and cells of a table of the neighbours.

        Args:
            heads: with a column of what each head of the last layer attends to.
        """
        first = self.neighbours[0]
        layers = range(1, len(first.attention) + 1)
        titles = ["label", *(f"layer {layer}" for layer in layers)]
        titles += ["heads"] * heads
        titles += [] if first.start is None else ["edge"]
        titles += [] if first.learned is None else ["learned"]
        titles += [] if first.together is None else ["P", "both"]
        rows = []
        for one in self.neighbours:
            cells = [one.name, *map(weight_in_words, one.attention)]
            if heads:
                cells.append(" ".join(f"{value:.2f}" for value in one.heads[-1]))
            cells += [] if first.start is None else [f"{one.start or 0:.3f}"]
            cells += [] if first.learned is None else [f"{one.learned or 0:.3f}"]
            if first.together is not None:
                part = one.probability
                cells.append("-" if part is None else f"{part:.2f}")
                cells.append(f"{one.together or 0:,}")
            rows.append(cells)
        return titles, rows

    @property
    def attention_to_itself(self) -> str:
        """Its attention to itself in every layer, in words."""
        return ", ".join(map(weight_in_words, self.itself))


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


def merged_words(
    names: tuple[str, ...], values: tuple[float, ...]
) -> list[tuple[str, float, int]]:
    """Return words with what all their places add, the strongest first.

    Each is the word, its sum and the number of its places.
    """
    sums: dict[str, list[Any]] = {}
    for name, value in zip(names, values, strict=True):
        row = sums.setdefault(name.casefold(), [name, 0.0, 0])
        row[1] += value
        row[2] += 1
    rows = [(str(n), float(v), int(c)) for n, v, c in sums.values()]
    return sorted(rows, key=lambda row: (-abs(row[1]), row[0]))


def weight_in_words(value: float) -> str:
    """Return a weight with three decimals, or what is left of a very small one."""
    return f"{value:.3f}" if abs(value) >= 5e-4 or value == 0 else f"{value:.0e}"
