"""Contents of a report: plain values; of each absent section a sentence why."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelgraph_jax.functional.metrics.calibration import (
    CalibrationBins,
    expected_calibration_error,
)


class Inapplicable(str):
    """A sentence on a part that no run of its kind has: the page need not say it."""

    __slots__ = ()


NOT_OF_TABLES = Inapplicable("A run over a table has tasks and no labels of documents.")
_SECTIONS = {
    "overall": ("results",),
    "history": ("training curves",),
    "scored": ("labels", "probabilities", "confusion"),
    "graph": ("label graph",),
    "vectors": ("label vectors",),
    "worst": ("worst documents",),
}
"""Titles of parts of a report, where they are not their own name."""


@dataclass(frozen=True)
class Metric:
    """One number of the test split.

    Attributes:
        name, title: its name in results.json, and in words.
        value: of the model.
        low, high: where 95 of 100 resamples of the documents lie; None where nothing
            was resampled.
    """

    name: str
    title: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Overall:
    """The metrics of the whole split, beside those of other models.

    Attributes:
        metrics: of the model.
        others: by name of a row (a baseline, the model decided at 0.5, a label set),
            its metrics by name.
        baseline: which of `others` the pictures show; empty for none.
        note: how intervals were made, or why there are none.
        verdict: one sentence on model and baseline; empty without one.
    """

    metrics: tuple[Metric, ...]
    others: Mapping[str, Mapping[str, float | None]]
    baseline: str
    note: str
    verdict: str


@dataclass(frozen=True)
class LabelTable:
    """Every label, one array entry each.

    Attributes:
        names, titles: of the labels; a title is what a mere number is called.
        groups: head, middle or tail, by training documents.
        train, support: documents with the label in training and in the test.
        true_positives, predicted: of the decisions.
        precision, recall, f1: NaN where nothing is divided by nothing: no document
            carries the label, or none is given it.
        thresholds: NaN where no threshold decides.
        baseline_f1: of the baseline, NaN where it is not known; None without one.
    """

    names: tuple[str, ...]
    titles: tuple[str, ...]
    groups: tuple[str, ...]
    train: np.ndarray
    support: np.ndarray
    true_positives: np.ndarray
    predicted: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    thresholds: np.ndarray
    baseline_f1: np.ndarray | None = None

    @property
    def shown(self) -> list[str]:
        """Names to show for the labels: the title where there is one."""
        pairs = zip(self.names, self.titles, strict=True)
        return [title or name for name, title in pairs]


@dataclass(frozen=True)
class Calibration:
    """Calibration of the probabilities.

    Attributes:
        every: all cells (documents x labels) by their probability.
        predicted: those of labels that are predicted, the rule of decision obeyed.
        note: which cells were counted.
    """

    every: CalibrationBins
    predicted: CalibrationBins
    note: str

    @property
    def error(self) -> float:
        """The expected calibration error of all cells."""
        return float(expected_calibration_error(self.every))

    @property
    def predicted_error(self) -> float | None:
        """The same error of the predicted cells; None where nothing is predicted."""
        if not self.predicted.cells.sum():
            return None
        return float(expected_calibration_error(self.predicted))


@dataclass(frozen=True)
class Curves:
    """Metrics by the one threshold at which every label would be decided.

    Attributes:
        thresholds: `[K]`.
        values: by name `[K]`.
        chosen: the threshold in use, if there is a single one.
        note: how the model decides.
    """

    thresholds: np.ndarray
    values: Mapping[str, np.ndarray]
    chosen: float | None
    note: str


@dataclass(frozen=True)
class Confusion:
    """Labels that are missed together, and what is predicted in their place.

    Attributes:
        labels: the ids of the labels with most such pairs.
        together, confused: counts among them `[n, n]`; rows are missed labels.
        together_pairs, confused_pairs: the most frequent of all pairs: two label ids
            and how many documents.
    """

    labels: np.ndarray
    together: np.ndarray
    confused: np.ndarray
    together_pairs: tuple[tuple[int, int, int], ...]
    confused_pairs: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Scored:
    """All that follows from the predictions of the test documents."""

    labels: LabelTable
    calibration: Calibration
    curves: Curves
    trade_offs: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Recall and precision at every threshold, of all cells and of a few labels."""
    confusion: Confusion | str


@dataclass(frozen=True)
class View:
    """One way in which labels receive from labels.

    Attributes:
        key: names it, as `attention-1-2`.
        title: in words.
        when: `before` or `after` training; empty where training does not change it.
        weights: float32 `[n, n]`, entry (i, j): label i receives from label j.
    """

    key: str
    title: str
    when: str
    weights: np.ndarray


@dataclass(frozen=True)
class Graph:
    """The label graph among some labels.

    Attributes:
        ids: which labels, in an order that puts those of a cluster side by side.
        clusters: of each, from 0 the largest; -1 stands alone.
        cluster_names: of each cluster its most frequent labels.
        positions: `[n, 2]` in [-1, 1].
        views: co-occurrence, learned edge weights, attention.
        notes: what was left out, and what there is not.
    """

    ids: np.ndarray
    clusters: np.ndarray
    cluster_names: tuple[str, ...]
    positions: np.ndarray
    views: tuple[View, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Vectors:
    """Label vectors after training in two dimensions.

    Attributes:
        ids: which labels.
        positions: `[n, 2]`.
        clusters: of each label in `Graph`, -1 where it has none.
        note: how they were brought to two dimensions.
    """

    ids: np.ndarray
    positions: np.ndarray
    clusters: np.ndarray
    note: str


@dataclass(frozen=True)
class Gates:
    """Mean weight of every expert in every task.

    Attributes:
        tasks: one name per gate.
        weights: `[T, E]`.
        rows: how many documents or rows.
        warnings: what looks like a collapse.
    """

    tasks: tuple[str, ...]
    weights: np.ndarray
    rows: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """A label of a document: `right`, `missed` or `wrong`; its probability if kept."""

    label: str
    probability: float | None
    outcome: str


@dataclass(frozen=True)
class BadDocument:
    """A document that the model does badly on.

    Attributes:
        id: of the document.
        loss: mean cross-entropy in nats, summed over its labels.
        text: its beginning; empty where it cannot be read.
        cut: whether the text goes on.
        labels: true and predicted ones.
    """

    id: str
    loss: float
    text: str
    cut: bool
    labels: tuple[Given, ...]


@dataclass(frozen=True)
class Worst:
    """The worst documents, and a note on where their texts are."""

    documents: tuple[BadDocument, ...]
    note: str


@dataclass(frozen=True)
class TableTask:
    """A task of a table: its kind, and metrics by row (the model, others) and name."""

    name: str
    kind: str
    rows: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Data:
    """The documents or rows that a run learned from and was measured on.

    Attributes:
        columns: titles of the numbers of a split.
        splits: by name of a split its numbers, as text.
        labels: the most frequent labels of training, with how many of its documents.
        notes: sentences on what was left out, cut off or not measured.
    """

    columns: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]
    labels: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """A setting of the run and its default, as JSON."""

    name: str
    value: str
    default: str

    @property
    def is_default(self) -> bool:
        """True where the run has the default."""
        return self.value == self.default


@dataclass(frozen=True)
class Report:
    """All of it. A section that does not apply is a sentence that says why.

    Attributes:
        title: what was trained on.
        facts: name and value, for the head of the page.
        data: the documents or rows.
        settings: all of them; none of an ensemble, whose members have theirs.
        history: the lines of metrics.jsonl.
        overall, scored, graph, vectors, gates, worst, tasks, tree: the sections.
        unlabelled: sentences and rows about documents without labels, if there are any.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    data: Data
    settings: tuple[Setting, ...]
    history: tuple[Mapping[str, Any], ...] | str
    overall: Overall | str
    scored: Scored | str
    graph: Graph | str
    vectors: Vectors | str
    gates: Gates | str
    worst: Worst | str
    tasks: tuple[TableTask, ...] = ()
    is_table: bool = False
    unlabelled: tuple[Sequence[str], Sequence[tuple[str, list[str]]]] = ((), ())
    tree: Any = ""

    def sections(self) -> dict[str, str]:
        """Per section the sentence in its place; empty where the section is there."""
        names = ("history", "overall", "scored", "graph", "vectors", "gates", "worst")
        found = {name: getattr(self, name) for name in names}
        return {n: v if isinstance(v, str) else "" for n, v in found.items()}

    def left_out(self) -> dict[str, list[str]]:
        """Missing sections by reason, but for those that such a run never has."""
        reasons = self.sections()
        if isinstance(self.scored, Scored) and isinstance(self.scored.confusion, str):
            reasons["confusion"] = self.scored.confusion
        if isinstance(self.graph, Graph) and not self.graph.views:
            reasons["graph"] = " ".join(self.graph.notes)
        found: dict[str, list[str]] = {}
        for name, why in reasons.items():
            if why and not isinstance(why, Inapplicable):
                found.setdefault(why, []).extend(_SECTIONS.get(name, (name,)))
        return found


def plain(value: object) -> object:
    """Dataclasses and arrays as JSON values: six digits, None where not finite."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value
