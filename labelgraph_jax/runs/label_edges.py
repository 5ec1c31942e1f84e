"""The edges that a sparse label graph starts from, without a matrix of the labels."""

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.labels.taxonomy import hierarchy_edges
from labelgraph_jax.functional.graph.edges import (
    Edges,
    edges_from_adjacency,
    edges_from_pairs,
    make_edges,
)
from labelgraph_jax.predictors.hierarchy import require_taxonomy
from labelgraph_jax.predictors.many_labels import EDGE_STARTS
from labelgraph_jax.runs.adjacency_file import read_adjacency

_COSINES_AT_ONCE = 2**24


def starting_edges(
    config: Config,
    labels: LabelSpace,
    sets: csr_array,
    features: np.ndarray,
    target_mask: np.ndarray | None = None,
) -> Edges:
    """The list of edges that the settings name, as `starting_adjacency` does a matrix.

    Args:
        config: the run's settings.
        labels: which label is which node.
        sets: labels of the training documents `[M, N]`.
        features: of the labels `[N, D]`; of initialisation `similarity` alone.
        target_mask: True where a document is annotated for a label.

    Raises:
        ConfigError: the settings name a start that is a complete graph, or need
            annotations of all documents.
    """
    # Refuse starts that have no list of edges.
    graph, size = config.graph, len(labels)
    if graph.initialisation not in EDGE_STARTS:
        raise ConfigError(
            f"graph.initialisation='{graph.initialisation}' joins every label to every "
            f"label, which is no list of edges for {size:,} labels: choose one of "
            f"{', '.join(EDGE_STARTS)}, or graph.role='none' (attention over all "
            "labels) or graph.rank (learned edge weights of a low rank)"
        )
    # Counts need documents that are annotated for every label.
    counted = graph.initialisation in ("cooccurrence", "thresholded")
    if counted and target_mask is not None:
        raise ConfigError(
            f"graph.initialisation='{graph.initialisation}' as a list of edges counts "
            "documents that are annotated for every label; here some are not: choose "
            "graph.method='dense' or another initialisation"
        )
    # The edges that the settings name.
    match graph.initialisation:
        case "identity":
            own = np.arange(size)
            return make_edges(own, own, n=size)
        case "taxonomy":
            require_taxonomy(config, labels)
            pairs = labels.parent_pairs()
            if config.hierarchy.kind == "graph":
                return hierarchy_edges(pairs, sets)
            return edges_from_pairs(pairs, size)
        case "similarity":
            return similar_edges(features, graph.neighbours)
        case "file":
            matrix = np.asarray(read_adjacency(graph.adjacency_file, labels.names))
            return edges_from_adjacency(matrix)
        case "thresholded":
            return thresholded_edges(sets, tau=graph.tau, p=graph.p)
        case _:
            return conditional_edges(sets, graph.neighbours)


def conditional_edges(sets: csr_array, neighbours: int) -> Edges:
    """Every label receives from itself and from those most often beside it.

    The weights are P(j | i) = M_ij / M_ii, as in `conditional_adjacency`, of the
    `neighbours` labels j with the largest; of equals the earlier ones.

    Args:
        sets: labels of the documents `[M, N]`.
        neighbours: other labels that a label receives from, at most.
    """
    receivers, senders, share = _conditional(sets)
    order = np.lexsort((senders, -share, receivers))
    receivers, senders, share = receivers[order], senders[order], share[order]
    first = np.searchsorted(receivers, receivers)
    kept = np.arange(len(receivers)) - first < neighbours
    return _with_self(receivers[kept], senders[kept], share[kept], sets.shape[1])


def thresholded_edges(sets: csr_array, *, tau: float, p: float) -> Edges:
    """The edges of `thresholded_adjacency`: P(j | i) >= tau, sharing the weight p."""
    size = sets.shape[1]
    receivers, senders, share = _conditional(sets)
    kept = share >= tau
    receivers, senders = receivers[kept], senders[kept]
    count = np.bincount(receivers, minlength=size)
    own = np.where(count > 0, 1.0 - p, 1.0)
    weights = p / count[receivers]
    return _with_self(receivers, senders, weights, size, own)


def similar_edges(features: np.ndarray, neighbours: int) -> Edges:
    """The edges of `similarity_adjacency`, some rows of cosines at a time."""
    size = len(features)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    directions = (features / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    nearest = min(neighbours, size - 1)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    step = max(1, _COSINES_AT_ONCE // size)
    for start in range(0, size if nearest else 0, step):
        rows = np.arange(start, min(start + step, size))
        cosines = directions[rows] @ directions.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        senders = np.argpartition(-cosines, nearest - 1, axis=1)[:, :nearest]
        weights = np.take_along_axis(cosines, senders, axis=1)
        found.append((np.repeat(rows, nearest), senders.ravel(), weights.ravel()))
    if not found:
        return make_edges(np.arange(size), np.arange(size), n=size)
    receivers, senders, weights = map(np.concatenate, zip(*found, strict=True))
    kept = weights > 0
    return _with_self(
        receivers[kept], senders[kept], np.clip(weights[kept], 0.0, 1.0), size
    )


def _conditional(sets: csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of labels (i, j) that stand together, i other than j, and P(j | i)."""
    together = (sets.T @ sets).tocoo()
    own = together.diagonal()
    other = together.row != together.col
    receivers, senders = together.row[other], together.col[other]
    return receivers, senders, together.data[other] / own[receivers]


def _with_self(
    receivers: np.ndarray,
    senders: np.ndarray,
    weights: np.ndarray,
    size: int,
    own: np.ndarray | None = None,
) -> Edges:
    nodes = np.arange(size)
    return make_edges(
        np.concatenate([receivers, nodes]),
        np.concatenate([senders, nodes]),
        np.concatenate([weights, np.ones(size) if own is None else own]),
        n=size,
    )
