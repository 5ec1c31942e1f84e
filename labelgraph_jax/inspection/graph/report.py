"""Properties of a label graph: from an adjacency to numbers, nothing printed."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labelgraph_jax.functional.graph.adjacency import adjacency_statistics


@dataclass(frozen=True)
class Edge:
    """One edge receiver <- sender.

    Attributes:
        receiver, sender: labels.
        weight: the adjacency's entry.
        probability: share of the receiver's training documents that carry the sender.
        documents: training documents that carry both.
        before: the weight that training started from.
    """

    receiver: str
    sender: str
    weight: float
    probability: float | None = None
    documents: int | None = None
    before: float | None = None


@dataclass(frozen=True)
class Threshold:
    """Edges that `thresholded` keeps of the co-occurring pairs at one tau."""

    tau: float
    edges: int
    isolated: int


@dataclass(frozen=True)
class LearnedGraph:
    """Change of an adjacency in training; all numbers leave out the diagonal.

    Attributes:
        correlation: of the weights before and after; None where one is constant.
        mean_change: mean of `abs(after - before)`.
        strongest: the largest weights after training.
        strengthened, weakened: the edges that gained and lost most.
    """

    correlation: float | None
    mean_change: float
    strongest: tuple[Edge, ...]
    strengthened: tuple[Edge, ...]
    weakened: tuple[Edge, ...]


@dataclass(frozen=True)
class GraphReport:
    """A label graph in numbers.

    Attributes:
        name: the corpus, file or work directory.
        about: where the adjacency comes from.
        labels, edges, density, self_loops, reciprocated, mean_senders: see
            `functional.adjacency_statistics`; an edge is an entry that is not 0.
        documents: training documents, where they are known.
        most_senders: the label that receives from most others, and how many.
        isolated: labels that receive from no other label.
        strongest: the edges of the largest weight; of equal ones those that rest on
            most documents.
        cooccurring_pairs: ordered pairs of labels that some document carries together.
        thresholds: what `thresholded` keeps, for several tau.
        learned: what training made of it, where this is a run whose graph is learned.
        titles: what labels that are mere numbers are called.
    """

    name: str
    about: Mapping[str, object]
    labels: int
    documents: int | None
    edges: int
    density: float
    self_loops: int
    reciprocated: float
    mean_senders: float
    most_senders: tuple[str, int]
    isolated: tuple[str, ...]
    strongest: tuple[Edge, ...]
    cooccurring_pairs: int | None = None
    thresholds: tuple[Threshold, ...] = ()
    learned: LearnedGraph | None = None
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The same as plain dicts, lists, strings and numbers, for `json.dumps`."""
        return dataclasses.asdict(self)


def describe(
    name: str,
    labels: Sequence[str],
    adjacency: np.ndarray,
    about: Mapping[str, object],
    *,
    strongest: int,
    counts: np.ndarray | None = None,
    conditional: np.ndarray | None = None,
) -> GraphReport:
    """Say of an adjacency what it looks like.

    Args:
        name: the corpus, file or work directory.
        labels: their names, in the order of the rows.
        adjacency: `[N, N]`, entry (i, j) the weight with which i receives from j.
        about: facts on the origin of the adjacency.
        strongest: how many edges to name.
        counts: co-occurrence in training `[N, N]`, to name beside these edges.
        conditional: conditional probabilities in training `[N, N]`, likewise; both or
            neither.
    """
    found = adjacency_statistics(adjacency)
    senders = np.count_nonzero(adjacency, axis=1) - (np.diagonal(adjacency) != 0)
    most = int(senders.argmax())
    return GraphReport(
        name=name,
        about=about,
        labels=len(labels),
        documents=None,
        edges=int(found.edges),
        density=float(found.density),
        self_loops=int(found.self_loops),
        reciprocated=float(found.reciprocated),
        mean_senders=float(found.mean_senders),
        most_senders=(labels[most], int(senders[most])),
        isolated=tuple(labels[i] for i in np.flatnonzero(senders == 0).tolist()),
        strongest=_edges(
            labels,
            adjacency,
            adjacency,
            strongest,
            counts=counts,
            conditional=conditional,
        ),
    )


def _edges(
    labels: Sequence[str],
    adjacency: np.ndarray,
    ranking: np.ndarray,
    count: int,
    *,
    counts: np.ndarray | None = None,
    conditional: np.ndarray | None = None,
    before: np.ndarray | None = None,
) -> tuple[Edge, ...]:
    """The edges between two labels with the largest positive `ranking`."""
    values = ranking.copy()
    np.fill_diagonal(values, 0.0)
    kept = min(count, int((values > 0).sum()))
    if kept == 0:
        return ()
    least = np.partition(values, values.size - kept, axis=None)[values.size - kept]
    rows, columns = np.nonzero(values >= least)
    support = np.zeros(len(rows)) if counts is None else counts[rows, columns]
    order = np.lexsort((columns, rows, -support, -values[rows, columns]))[:kept]

    def at(values: np.ndarray | None, place: tuple[int, int]) -> float | None:
        return None if values is None else float(values[place])

    edges = []
    for place in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        edge = Edge(
            labels[place[0]],
            labels[place[1]],
            float(adjacency[place]),
            probability=at(conditional, place),
            documents=None if counts is None else int(counts[place]),
            before=at(before, place),
        )
        edges.append(edge)
    return tuple(edges)


def threshold(conditional: np.ndarray, tau: float) -> Threshold:
    """Count the edges of conditional probabilities >= tau `[N, N]`, diagonal zero."""
    kept = conditional >= tau
    return Threshold(tau, int(kept.sum()), int((~kept.any(axis=1)).sum()))


def compare(
    labels: Sequence[str], before: np.ndarray, after: np.ndarray, count: int
) -> LearnedGraph:
    """Return the change in training, from the weights before and after, `[N, N]`."""
    others = ~np.eye(len(labels), dtype=bool)
    was, became = before[others], after[others]
    varies = bool(was.size and was.std() > 0 and became.std() > 0)
    change = after - before
    return LearnedGraph(
        correlation=float(np.corrcoef(was, became)[0, 1]) if varies else None,
        mean_change=float(np.abs(became - was).mean()) if was.size else 0.0,
        strongest=_edges(labels, after, after, count, before=before),
        strengthened=_edges(labels, after, change, count, before=before),
        weakened=_edges(labels, after, -change, count, before=before),
    )
