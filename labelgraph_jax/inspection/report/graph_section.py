"""The label graph of a report: some labels, their clusters, places and views."""

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.functional.graph.adjacency import conditional_adjacency
from labelgraph_jax.functional.graph.node_positions import node_positions
from labelgraph_jax.inspection.graph.sources import training_counts
from labelgraph_jax.inspection.label_side import LabelSide
from labelgraph_jax.inspection.report.contents import Graph, Vectors, View
from labelgraph_jax.predictors.model import Model

MOST = 240
"""Labels that are drawn at most, the most frequent ones."""
MOST_NUMBERS = 1_600_000
"""Weights of all views together, which bounds the size of a page."""
MOST_VECTORS = 400
"""Label vectors that are brought to two dimensions at most."""
APART = 0.93
"""Cosine distance of co-occurrence at which clusters end."""
MOST_CLUSTERS = 8
EXACT = 300
"""Vectors up to which t-SNE is computed without an approximation."""
EDGES = 3
"""Edges per label that the places of the labels follow."""


def shown_labels(counts: np.ndarray, views: int) -> np.ndarray:
    """The labels that are drawn: all, or the most frequent; ids in increasing order.

    Args:
        counts: training documents with each label `[N]`.
        views: how many matrices there are to show.
    """
    most = min(MOST, int((MOST_NUMBERS / max(views, 1)) ** 0.5))
    order = np.argsort(-counts, kind="stable")
    return np.sort(order[:most])


def count_views(config: Config) -> int:
    """Return the number of matrices that a run has to show."""
    graph = config.graph
    if graph.layers == 0 or config.head.kind == "recurrent":
        return 1
    learned = 2 if graph.is_learned else 0
    if graph.attention == "convolution":
        return 1 + learned
    heads = graph.heads + (graph.heads > 1)
    return 1 + learned + 2 * graph.layers * heads


def training_cooccurrence(
    documents: Sequence[Document], labels: LabelSpace, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count joint occurrences of some labels in training, and compute P(j | i).

    Args:
        documents: of the training split.
        labels: what the ids are.
        ids: the labels `[n]`.

    Returns:
        Counts and conditional probabilities `[n, n]`, the diagonal of the latter 0.
    """
    part = LabelSpace(tuple(labels.names[i] for i in ids))
    counts, annotated = training_counts(documents, part)
    conditional = np.array(conditional_adjacency(counts, annotated), np.float32)
    np.fill_diagonal(conditional, 0.0)
    return counts, conditional


def clusters(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels that keep company, by average linkage of the cosine of co-occurrence.

    Args:
        counts: co-occurrence `[n, n]`, label counts on the diagonal.

    Returns:
        A cluster for each, from 0 the largest, -1 for labels alone and those of small
        clusters; and an order that puts neighbours side by side.
    """
    size = len(counts)
    if size < 3:
        return np.full(size, -1), np.arange(size)
    own = np.sqrt(np.maximum(np.diagonal(counts), 1e-9))
    alike = counts / own[:, None] / own[None, :]
    apart = np.clip(1.0 - (alike + alike.T) / 2, 0.0, 1.0).astype(np.float64)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
    raw, order = fcluster(tree, APART, "distance"), leaves_list(tree)
    # Of clusters of one size the first in that order comes first, as in the figures.
    met = list(dict.fromkeys(raw[order].tolist()))
    ranked = sorted(met, key=lambda cluster: -int((raw == cluster).sum()))
    found = np.full(size, -1)
    for number, cluster in enumerate(ranked[:MOST_CLUSTERS]):
        if (raw == cluster).sum() > 1:
            found[raw == cluster] = number
    return found, order


def cluster_names(
    clusters: np.ndarray, counts: np.ndarray, names: Sequence[str]
) -> tuple[str, ...]:
    """The two most frequent labels of each cluster, from 0."""
    found = []
    for number in range(int(clusters.max(initial=-1)) + 1):
        members = np.flatnonzero(clusters == number)
        best = members[np.argsort(-counts[members], kind="stable")]
        more = f" and {len(best) - 2} more" if len(best) > 2 else ""
        found.append(", ".join(names[i] for i in best[:2]) + more)
    return tuple(found)


def graph_section(
    model: Model,
    sides: tuple[list[LabelSide], list[LabelSide]] | None,
    counts: np.ndarray,
    names: Sequence[str],
    train: Sequence[Document] | str,
) -> Graph:
    """The label graph of a run among its most frequent labels.

    Args:
        model: of the run.
        sides: its label graphs before and after training; None where it has none.
        counts: training documents with each label `[N]`.
        names: what the labels are called.
        train: the training documents, or why they are not there.
    """
    # The labels to be shown.
    ids = shown_labels(counts, count_views(model.config))
    notes: list[str] = []
    if len(ids) < len(counts):
        notes.append(
            f"Drawn are the {len(ids):,} most frequent of the {len(counts):,} labels; "
            "attention weights are those over all labels."
        )
    # Views of the graph: co-occurrence in training, and what was learned.
    together = np.diag(counts[ids]).astype(np.float32)
    views: list[View] = []
    if isinstance(train, str):
        notes.append(f"Co-occurrence is not shown: {train}")
    else:
        together, conditional = training_cooccurrence(train, model.label_space, ids)
        title = "Co-occurrence in training, P(sender | receiver)"
        views.append(View("cooccurrence", title, "", conditional))
    if sides is not None:
        for when, found in zip(("before", "after"), sides, strict=True):
            views += learned_views(found, ids, when)
    views = [view for view in views if np.isfinite(view.weights).all()]
    notes += _missing(model.config, views)
    # Labels in order of their clusters, in every view.
    cluster, order = clusters(together)
    ids, cluster = ids[order], cluster[order]
    views = [
        View(v.key, v.title, v.when, v.weights[np.ix_(order, order)]) for v in views
    ]
    return Graph(
        ids,
        cluster,
        cluster_names(cluster, counts[ids], [names[i] for i in ids]),
        _places(views, len(ids)),
        tuple(views),
        tuple(notes),
    )


def learned_views(sides: Sequence[LabelSide], ids: np.ndarray, when: str) -> list[View]:
    """Edge weights, and attention per layer and head, among some labels."""
    made: dict[str, tuple[str, np.ndarray]] = {}

    def put(key: str, title: str, part: np.ndarray, at: tuple[np.ndarray, ...]) -> None:
        matrix = made.setdefault(key, (title, np.zeros((len(ids), len(ids)))))[1]
        matrix[at] = part

    for side in sides:
        own = np.flatnonzero(np.isin(ids, side.columns))
        if not len(own):
            continue
        nodes = np.searchsorted(side.columns, ids[own])
        at = np.ix_(own, own)
        weights = side.learned_weights(nodes)
        if weights is not None:
            put("edges", "Edge weights", weights[:, nodes], at)
        for number, heads in enumerate(side.attention(nodes), start=1):
            layer = f"attention-{number}"
            if len(heads) > 1:
                title = f"Attention, layer {number}, mean of heads"
                put(layer, title, heads.mean(axis=0), at)
            for head, part in enumerate(heads, start=1):
                title = f"Attention, layer {number}, head {head}"
                put(f"{layer}-{head}", title, part, at)
    return [
        View(key, title, when, matrix.astype(np.float32))
        for key, (title, matrix) in made.items()
    ]


def _missing(config: Config, views: Sequence[View]) -> list[str]:
    """Return sentences on why there is no attention, or no learned edge weight."""
    graph = config.graph
    if config.head.kind == "recurrent":
        return ["A recurrent decoder writes labels one after another: no label graph."]
    if graph.layers == 0:
        return [
            "This run has graph.layers=0: one free vector per label, no attention and "
            "no edge that could be learned."
        ]
    found = []
    if graph.attention == "convolution":
        found.append(
            "A convolution weighs by the adjacency alone: it has no attention."
        )
    if not any(view.key == "edges" for view in views):
        found.append(
            f"With graph.role='{graph.role}' edge weights are no parameter: training "
            "changes the attention alone."
            if not graph.is_learned
            else "Edge weights cannot be shown: one of them is not finite."
        )
    return found


def _places(views: Sequence[View], count: int) -> np.ndarray:
    """Places that put connected labels side by side, by the first view there is."""
    if not views or count < 2:
        angle = np.arange(count) * 2.399963
        radius = np.sqrt((np.arange(count) + 0.5) / max(count, 1))
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    weights = np.maximum(views[0].weights, 0.0).astype(np.float64)
    np.fill_diagonal(weights, 0.0)
    kth = min(EDGES, count - 1)
    least = -np.partition(-weights, kth - 1, axis=1)[:, kth - 1 : kth]
    kept = np.where((weights >= least) & (weights > 0), weights, 0.0)
    return np.asarray(node_positions(kept), np.float64)


def vectors_section(
    sides: Sequence[LabelSide], graph: Graph, counts: np.ndarray, seed: int
) -> Vectors | str:
    """Label vectors in two dimensions: by t-SNE, of few labels by their components.

    Args:
        sides: the label graphs after training.
        graph: its clusters give the colours.
        counts: training documents with each label `[N]`.
        seed: of the run.
    """
    width = sides[0].vectors.shape[1]
    every = np.zeros((len(counts), width), np.float32)
    known = np.zeros(len(counts), bool)
    for side in sides:
        every[side.columns], known[side.columns] = side.vectors, True
    order = np.argsort(-np.where(known, counts, -1), kind="stable")
    ids = order[: min(MOST_VECTORS, int(known.sum()))]
    # Those of the graph in its order, so that clusters have the same colours.
    drawn = graph.ids[known[graph.ids]]
    ids = np.concatenate([drawn, ids[~np.isin(ids, drawn)]])
    vectors = every[ids]
    if len(ids) < 2 or not np.isfinite(vectors).all():
        return "There are no two label vectors to compare."
    positions, how = _flat(vectors, seed)
    cluster = np.full(len(counts), -1)
    cluster[graph.ids] = graph.clusters
    note = f"Label vectors after training, by {how}."
    if len(sides) > 1:
        note += " Each label set has a space of its own."
    if len(ids) < len(counts):
        note += f" The {len(ids):,} most frequent of {len(counts):,} labels are drawn."
    return Vectors(ids, positions, cluster[ids], note)


def _flat(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(norms, 1e-9)
    centred = directions - directions.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    plane = left[:, :2] * size[:2]
    if plane.shape[1] < 2:
        plane = np.pad(plane, ((0, 0), (0, 1)))
    if len(vectors) < 12:
        return plane, "their first two principal components, of directions"
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    deviation = max(float(plane[:, 0].std()), 1e-9)
    # One thread: points so few gain nothing by more, and lose on a busy machine.
    with threadpool_limits(1):
        found = TSNE(
            perplexity=min(20.0, (len(vectors) - 1) / 3),
            metric="cosine",
            init=(plane / deviation * 1e-4).astype(np.float32),
            random_state=seed,
            max_iter=500,
            method="exact" if len(vectors) <= EXACT else "barnes_hut",
            n_jobs=1,
        ).fit_transform(directions)
    return (
        found,
        "t-SNE of their cosines: near labels are alike, far ones need not differ",
    )
