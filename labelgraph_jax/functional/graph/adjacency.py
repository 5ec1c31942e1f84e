"""Label graphs from label sets: who receives from whom, and how strongly.

Everywhere `adjacency[i, j]` belongs to the edge on which label i *receives from*
label j.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets
from labelgraph_jax.functional.graph.edges import (
    as_square,
    check_label_count,
    check_parents,
)


def cooccurrence(
    targets: Shaped[ArrayLike, "M N"],
    target_mask: Bool[ArrayLike, "M N"] | None = None,
) -> Float[Array, "N N"]:
    """Count, for every pair of labels, the documents that carry both.

    M_ij = sum_m y_mi y_mj. The diagonal holds the label counts. Counts are
    additive over documents: a corpus too large for one array may be counted in
    chunks and summed. They are exact up to 2^24 documents per chunk.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> targets = np.array([[1, 1], [1, 0], [0, 1], [1, 1]])
        >>> lg.functional.cooccurrence(targets).tolist()
        [[3.0, 2.0], [2.0, 3.0]]

    Args:
        targets: multi-hot truth, 1 where the document has the label (any dtype).
        target_mask: True where the label of the document is annotated; other cells
            count nothing, whatever they hold.

    Returns:
        float32 counts `[N, N]`, symmetric.

    Raises:
        ValueError: `targets` does not have two axes, the mask has another shape; or an
            annotated target is NaN or outside 0..1.
    """
    kept = _annotated_targets(targets, target_mask)
    return _together(kept, kept)


def annotated_counts(
    targets: Shaped[ArrayLike, "M N"], target_mask: Bool[ArrayLike, "M N"]
) -> Float[Array, "N N"]:
    """Count, for labels i and j, the documents with i that are annotated for j.

    S_ij = sum_m y_mi a_mi a_mj, with a the mask: what the co-occurrence M_ij is to be
    divided by where annotations are missing, for of the other documents with i it is
    not known whether they have j. With no annotation missing, every row holds the
    count of its own label. Additive and exact as `cooccurrence` is.

    Args:
        targets: multi-hot truth, 1 where the document has the label (any dtype).
        target_mask: True where the label of the document is annotated.

    Returns:
        float32 counts `[N, N]`, not symmetric.

    Raises:
        ValueError: `targets` does not have two axes, the mask has another shape; or an
            annotated target is NaN or outside 0..1.
    """
    kept = _annotated_targets(targets, target_mask)
    return _together(kept, jnp.asarray(target_mask).astype(jnp.float32))


def _annotated_targets(
    targets: Shaped[ArrayLike, "M N"], target_mask: Bool[ArrayLike, "M N"] | None
) -> Float[Array, "M N"]:
    if jnp.ndim(targets) != 2:
        raise ValueError(
            f"targets must have shape [documents, labels], got {jnp.shape(targets)}"
        )
    check_axes(targets=(targets, "M N"), target_mask=(target_mask, "M N"))
    check_targets(targets, target_mask)
    targets = jnp.asarray(targets)
    if target_mask is not None:
        targets = jnp.where(target_mask, targets, 0)
    return targets.astype(jnp.float32)


def _together(
    one: Float[Array, "M N"], other: Float[Array, "M N"]
) -> Float[Array, "N N"]:
    # float32 throughout: a matrix unit that rounds its inputs would still be exact
    # for 0 and 1, but not for soft targets.
    return jnp.einsum("mi,mj->ij", one, other, precision=jax.lax.Precision.HIGHEST)


def identity_adjacency(n: int) -> Float[Array, "N N"]:
    """Connect every label to itself alone.

    Example:
        >>> import labelgraph_jax as lg
        >>> lg.functional.identity_adjacency(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    Raises:
        ValueError: `n` is smaller than 1.
    """
    check_label_count(n)
    return jnp.eye(n, dtype=jnp.float32)


def random_adjacency(
    key: Key[Array, ""] | Shaped[Array, "2"], n: int
) -> Float[Array, "N N"]:
    """Draw every edge weight uniformly from [0, 1): a complete graph.

    Raises:
        ValueError: `n` is smaller than 1.
    """
    check_label_count(n)
    return jax.random.uniform(key, (n, n), dtype=jnp.float32)


def xavier_adjacency(
    key: Key[Array, ""] | Shaped[Array, "2"], n: int
) -> Float[Array, "N N"]:
    """Draw every edge weight uniformly from (-b, b), b = sqrt(6 / (n + n)).

    Half of the weights are negative. As a bias or as a signed factor that is
    harmless; read as a mask it says only "not zero", which is a complete graph.

    Raises:
        ValueError: `n` is smaller than 1.

    Reference: Glorot and Bengio, AISTATS 2010, eq. 16. MAGNET prints a second
    square root inside the bound, which we take for a typing error.
    """
    check_label_count(n)
    bound = (6.0 / (n + n)) ** 0.5
    return jax.random.uniform(
        key, (n, n), dtype=jnp.float32, minval=-bound, maxval=bound
    )


def conditional_adjacency(
    counts: Shaped[ArrayLike, "N N"],
    annotated: Shaped[ArrayLike, "N N"] | None = None,
) -> Float[Array, "N N"]:
    """Turn co-occurrence counts into P(j | i) = M_ij / M_ii, row by row.

    Every row is divided by the count of its own label, or, where annotations are
    missing, every cell by S_ij, the documents with label i that are annotated for j.
    The diagonal is 1 for every label; the rest of the row of a label without a
    document is 0, and so is a cell without a document that is annotated for both.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> counts = np.array([[4.0, 3.0], [3.0, 3.0]])  # 1 always beside 0
        >>> lg.functional.conditional_adjacency(counts).tolist()
        [[1.0, 0.75], [1.0, 1.0]]

    Args:
        counts: co-occurrence counts with the label counts on the diagonal.
        annotated: S, of `annotated_counts`; without, nothing is missing.

    Raises:
        ValueError: `counts` is not square, or `annotated` has another shape.

    Reference: Chen et al., ML-GCN, CVPR 2019, section 3.3; MAGNET's M / F.
    """
    counts = jnp.asarray(as_square("counts", counts), jnp.float32)
    own = jnp.diagonal(counts)[:, None]  # [N, 1]
    if annotated is not None:
        own = jnp.asarray(as_square("annotated", annotated), jnp.float32)
        if own.shape != counts.shape:
            raise ValueError(
                f"counts and annotated must have one shape, got {counts.shape} and "
                f"{own.shape}"
            )
    # 0 * own: nothing where nothing was counted, and NaN where that is not known.
    conditional = jnp.where(own > 0, counts / jnp.where(own > 0, own, 1.0), 0.0 * own)
    return _with_diagonal(conditional, jnp.ones(counts.shape[0], jnp.float32))


def thresholded_adjacency(
    counts: Shaped[ArrayLike, "N N"],
    annotated: Shaped[ArrayLike, "N N"] | None = None,
    *,
    tau: float = 0.4,
    p: float = 0.2,
) -> Float[Array, "N N"]:
    """Keep the edges with P(j | i) >= tau and share the weight p among them.

    With k_i the number of kept edges of row i,

        A_ij = p / k_i      for a kept edge i <- j
        A_ii = 1 - p        (1 where k_i = 0)

    so every row sums to one. A label without a document keeps no edge.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> counts = np.array([[10.0, 4.0, 1.0], [4.0, 8.0, 0.0], [1.0, 0.0, 5.0]])
        >>> found = lg.functional.thresholded_adjacency(counts, tau=0.3, p=0.25)
        >>> found.round(2).tolist()
        [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]

    Args:
        counts: co-occurrence counts with the label counts on the diagonal.
        annotated: as in `conditional_adjacency`.
        tau: the least conditional probability that makes an edge, in (0, 1].
        p: the weight that a label gives to its neighbours, in [0, 1).

    Raises:
        ValueError: as `conditional_adjacency`, or `tau` or `p` is out of range.

    Reference: Chen et al., ML-GCN, CVPR 2019, eq. 7 and 8. There the diagonal is
    1 - p for a label with no edge too; we give it 1, or its row would be the only
    one that does not sum to one.
    """
    if not 0.0 < tau <= 1.0:
        raise ValueError(f"tau must lie in (0, 1], got {tau}")
    if not 0.0 <= p < 1.0:
        raise ValueError(f"p must lie in [0, 1), got {p}")
    conditional = conditional_adjacency(counts, annotated)
    n = conditional.shape[0]
    kept = (conditional >= tau) & ~jnp.eye(n, dtype=bool)
    degree = kept.sum(axis=1)  # [N]
    share = p / jnp.maximum(degree, 1).astype(jnp.float32)
    shared = jnp.where(kept, share[:, None], 0.0 * conditional)
    own = jnp.where(degree > 0, jnp.float32(1.0 - p), jnp.float32(1.0))
    return _with_diagonal(shared, own)


def taxonomy_adjacency(parents: Int[ArrayLike, "E 2"], n: int) -> Float[Array, "N N"]:
    """Connect every label to itself, its parents and its children.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> pairs = np.array([[1, 0], [2, 0]])  # (child, parent): 0 lies above 1 and 2
        >>> lg.functional.taxonomy_adjacency(pairs, 3).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]

    Args:
        parents: one row (child, parent) of label indices per edge of the taxonomy;
            there may be none. A label may have several parents.
        n: the number of labels.

    Returns:
        0/1 adjacency `[N, N]`, symmetric.

    Raises:
        ValueError: `parents` is not `[E, 2]`, or names a label outside 0..n-1 (seen
            only where its values are known, so not under `jit`).
    """
    check_label_count(n)
    parents = jnp.asarray(parents)
    check_parents(parents, n)
    child, parent = parents[:, 0], parents[:, 1]
    adjacency = jnp.eye(n, dtype=jnp.float32)
    return adjacency.at[child, parent].set(1.0).at[parent, child].set(1.0)


def similarity_adjacency(
    features: Float[ArrayLike, "N D"], *, neighbours: int = 5
) -> Float[Array, "N N"]:
    """Let every label receive from itself and from the labels most like it.

    With cos_ij the cosine of the feature vectors of labels i and j,

        A_ij = max(cos_ij, 0)   for the `neighbours` labels j with the largest cos_ij
        A_ii = 1

    and 0 elsewhere; of equally alike labels the earlier ones count. To be among the
    nearest is not mutual, so the graph is directed. A vector of zeros is like no
    other: its label receives from itself alone.

    Args:
        features: one vector per label, such as its encoded name.
        neighbours: the other labels that a label receives from, at most; where there
            are fewer labels, all of them.

    Returns:
        float32 adjacency `[N, N]`, entries in [0, 1].

    Raises:
        ValueError: `features` does not have two axes, or `neighbours` is less than 1.
    """
    features = jnp.asarray(features)
    if features.ndim != 2:
        raise ValueError(
            f"features must have shape [labels, features], got {features.shape}"
        )
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    n = features.shape[0]
    check_label_count(n)
    features = features.astype(jnp.float32)
    norms = jnp.linalg.norm(features, axis=1, keepdims=True)
    directions = features / jnp.where(norms > 0, norms, 1.0)
    cosines = jnp.einsum(
        "id,jd->ij", directions, directions, precision=jax.lax.Precision.HIGHEST
    )
    # Of equal numbers top_k takes the first.
    others = _with_diagonal(cosines, jnp.full(n, -jnp.inf))
    weights, senders = jax.lax.top_k(others, min(neighbours, n - 1))  # [N, k]
    adjacency = jnp.zeros((n, n), jnp.float32)
    adjacency = adjacency.at[jnp.arange(n)[:, None], senders].set(
        jnp.clip(weights, 0.0, 1.0)
    )
    return _with_diagonal(adjacency, jnp.ones(n, jnp.float32))


class AdjacencyStatistics(NamedTuple):
    """Statistics of a label graph; every field is a scalar array."""

    edges: Int[Array, ""]
    """Ordered pairs i <- j, i not j, with a nonzero entry."""
    density: Float[Array, ""]
    """`edges` over n (n - 1), the pairs there could be; 0 for a single label."""
    self_loops: Int[Array, ""]
    """Labels that receive from themselves."""
    isolated_labels: Int[Array, ""]
    """Labels that receive from no other label."""
    mean_senders: Float[Array, ""]
    """Other labels that a label receives from, on average."""
    most_senders: Int[Array, ""]
    """The same, for the label that receives from most."""
    reciprocated: Float[Array, ""]
    """Share of `edges` whose reverse is an edge too; 0 where there is no edge."""


def adjacency_statistics(adjacency: Shaped[ArrayLike, "N N"]) -> AdjacencyStatistics:
    """Describe a label graph: edges, density, isolated labels, reciprocity.

    Args:
        adjacency: an entry other than 0 is an edge.

    Raises:
        ValueError: `adjacency` is not square.
    """
    connected = jnp.asarray(as_square("adjacency", adjacency)).astype(bool)
    n = connected.shape[0]
    own = jnp.eye(n, dtype=bool)
    others = connected & ~own
    senders = others.sum(axis=1)  # [N]
    edges = senders.sum()
    both_ways = (others & others.T).sum()
    return AdjacencyStatistics(
        edges=edges,
        density=edges / jnp.float32(max(n * (n - 1), 1)),
        self_loops=(connected & own).sum(),
        isolated_labels=(senders == 0).sum(),
        mean_senders=edges / jnp.float32(n),
        most_senders=senders.max(),
        reciprocated=both_ways / jnp.maximum(edges, 1).astype(jnp.float32),
    )


def _with_diagonal(
    matrix: Float[Array, "N N"], diagonal: Float[Array, "N"]
) -> Float[Array, "N N"]:
    own = jnp.eye(matrix.shape[0], dtype=bool)
    return jnp.where(own, diagonal[:, None], matrix)
