"""Training under a taxonomy: scores that agree with it, and what draws labels together.

A taxonomy is a list of (child, parent) pairs, known on the host, a directed acyclic
graph. What is computed over it goes level by level over its edges: no array has two
axes of labels.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import (
    check_axes,
    check_targets,
    is_known,
    is_positive,
)
from labelgraph_jax.functional.graph.edges import check_parents
from labelgraph_jax.functional.graph.taxonomy import ancestor_matrix
from labelgraph_jax.functional.losses.elementwise import LossSum


class _Bucket(NamedTuple):
    """Labels of one height with about as many children.

    Attributes:
        labels: L of them.
        near: their children `[L, K]`, the first once more where there are fewer than K.
        real: which of these count.
    """

    labels: Int[np.ndarray, " L"]
    near: Int[np.ndarray, "L K"]
    real: Bool[np.ndarray, "L K"]


def descendant_max(
    scores: Float[ArrayLike, "... N"], parents: Int[ArrayLike, "E 2"]
) -> Float[Array, "... N"]:
    """Raise every label to the highest score of itself and its descendants.

        out[..., n] = max(s[..., n], max over children c of n of out[..., c])

    A parent is then at least as high as its child, so that one threshold gives labels
    that agree with the taxonomy. Levels of the taxonomy are computed one after another
    from the bottom, each by a gather: documents times edges in all. The gradient of a
    maximum goes to the score that reaches it, of equals to one.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> pairs = jnp.array([[1, 0], [2, 1]])  # (child, parent)
        >>> lg.functional.descendant_max(jnp.array([[0.0, 1.0, 2.0]]), pairs).tolist()
        [[2.0, 2.0, 2.0]]

    Args:
        scores: probabilities or logits.
        parents: one row (child, parent) of label indices per edge, of known values.

    Returns:
        Scores of the same shape and type; `functional.ancestor_probabilities` gives the
        same from a matrix `[N, N]` of ancestors.

    Raises:
        ValueError: `parents` is traced, is not `[E, 2]`, names a label outside 0..N-1
            or closes a cycle.

    Reference: the constraint module of Giunchiglia and Lukasiewicz, "Coherent
        Hierarchical Multi-label Classification Networks", NeurIPS 2020, eq. 2, there
        over an array `[B, N, N]`.
    """
    check_axes(scores=(scores, "... N"), parents=(parents, "E 2"))
    scores = jnp.asarray(scores)
    buckets = _buckets(parents, scores.shape[-1])
    if not buckets:
        return scores
    rows = scores.reshape(-1, scores.shape[-1]).T  # [N, B]: a label's scores together
    inner, sources, _ = _sources(jax.lax.stop_gradient(rows), buckets)
    return _raised(rows, inner, sources).T.reshape(scores.shape)


def _sources(
    keys: Shaped[Array, "N B"], buckets: list[_Bucket]
) -> tuple[Int[np.ndarray, " I"], Int[Array, "I B"], Shaped[Array, "N B"]]:
    """The labels with children, the sources of their highest keys, and all keys.

    A source is the descendant, or the label itself, that has the highest key; the keys
    are the highest of all labels.
    """
    rows = jnp.arange(keys.shape[1])
    sources = jnp.broadcast_to(
        jnp.arange(len(keys), dtype=jnp.int32)[:, None], keys.shape
    )
    for labels, near, _ in buckets:
        below, own = keys[near], keys[labels]  # [L, K, B], [L, B]
        slot, highest = below.argmax(axis=1), below.max(axis=1)
        child = jnp.take_along_axis(jnp.asarray(near, jnp.int32), slot, axis=1)
        higher = highest > own
        found = jnp.where(higher, sources[child, rows], sources[labels])
        sources = sources.at[labels].set(found, unique_indices=True)
        keys = keys.at[labels].set(jnp.where(higher, highest, own), unique_indices=True)
    inner = np.concatenate([labels for labels, _, _ in buckets])
    return inner, sources[inner], keys


def _raised(
    rows: Shaped[Array, "N B"], inner: Int[np.ndarray, " I"], sources: Int[Array, "I B"]
) -> Shaped[Array, "N B"]:
    """The rows, those of labels with children taken from their sources."""
    found = jnp.take_along_axis(rows, sources, axis=0)
    return rows.at[inner].set(found, unique_indices=True)


def _buckets(parents: Int[ArrayLike, "E 2"], n: int) -> list[_Bucket]:
    """The labels with children, those of the lowest height first."""
    pairs = _known_pairs(parents, n)
    height = np.zeros(n, np.int64)
    for _ in range(n + 1):
        before = height.copy()
        np.maximum.at(height, pairs[:, 1], before[pairs[:, 0]] + 1)
        if (height == before).all():
            break
    else:
        ancestor_matrix(pairs, n)  # raises, with the cycle
    return list(_grouped(pairs[:, ::-1], height))


def _parent_lists(buckets: list[_Bucket], n: int) -> list[_Bucket]:
    """The labels with parents, those under the highest first."""
    pairs = np.concatenate(
        [
            np.stack([np.broadcast_to(labels[:, None], near.shape)[real], near[real]])
            for labels, near, real in buckets
        ],
        axis=1,
    ).T  # (parent, child)
    depth = np.zeros(n, np.int64)
    for _ in range(n):
        before = depth.copy()
        np.maximum.at(depth, pairs[:, 1], before[pairs[:, 0]] + 1)
        if (depth == before).all():
            break
    return list(_grouped(pairs[:, ::-1], depth))


def _grouped(
    pairs: Int[np.ndarray, "E 2"], level: Int[np.ndarray, " N"]
) -> Iterator[_Bucket]:
    """(label, other) pairs by the level of the label and by how many others it has.

    Lists are as long as the next power of two, so that no more than half of a bucket is
    there for nothing.
    """
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    labels, starts, counts = np.unique(
        pairs[:, 0], return_index=True, return_counts=True
    )
    width = 2 ** np.ceil(np.log2(counts)).astype(int)
    keys = np.stack([level[labels], width], axis=1)
    for key in np.unique(keys, axis=0):
        own = np.flatnonzero((keys == key).all(axis=1))
        slot = np.arange(key[1])
        real = slot < counts[own][:, None]
        place = starts[own][:, None] + np.where(real, slot, 0)
        yield _Bucket(labels[own], pairs[place, 1], real)


def _known_pairs(parents: Int[ArrayLike, "E 2"], n: int) -> Int[np.ndarray, "E 2"]:
    if not is_known(parents):
        raise ValueError("parents must be known values, got a traced array")
    pairs = np.asarray(parents)
    check_parents(pairs, n)
    return np.unique(pairs.astype(np.int64), axis=0)


def hierarchy_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    parents: Int[ArrayLike, "E 2"],
    *,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> LossSum:
    """Sum the loss of a model whose scores are `descendant_max` of its logits.

        loss = sum_bn  softplus(-max over d of n with y_bd = 1 of x_bd)   where y_bn = 1
                       softplus( max over d of n of x_bd)                 where y_bn = 0

    d runs over the label n and its descendants. A true label is thus raised through
    labels that are true themselves, never through a wrong one below it. A label that is
    no target but lies above one is neither raised nor lowered: its cell adds nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> logits, targets = jnp.array([[-2.0, 2.0]]), jnp.array([[1, 1]])
        >>> pairs = jnp.array([[1, 0]])  # label 1 under label 0
        >>> loss_sum, cells = lg.functional.hierarchy_loss(logits, targets, pairs)
        >>> round(float(loss_sum), 3), float(cells)  # the parent is raised by its child
        (0.254, 2.0)

    Args:
        logits: of every label, before the maximum.
        targets: positive where > 0.
        parents: as of `descendant_max`.
        target_mask: True where the label of the document is annotated. What is not adds
            nothing of its own, but takes part in the maximum of a label above it.
        example_mask: True where the document is real, False where it is padding.

    Returns:
        (loss_sum, weight_sum), float32 scalars; the weight is the number of cells.

    Raises:
        ValueError: as `descendant_max`; shapes do not fit together; a target that
            counts is NaN or outside 0..1 (seen only where it is known).

    Reference: MCLoss of Giunchiglia and Lukasiewicz, NeurIPS 2020, eq. 4, there of
        probabilities; of logits nothing overflows. That open targets are left out is
        ours.
    """
    x, positive, kept = loss_cells(logits, targets, target_mask, example_mask)
    x, positive, kept = (cells.T for cells in (x, positive, kept))  # [N, B]
    if buckets := _buckets(parents, len(x)):
        # A true label is above all others below the same one: of a label over a true
        # one the highest true one is looked for, else the highest.
        bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(x), jnp.int32)
        order = jnp.where(bits < 0, bits ^ 0x7FFFFFFF, bits) >> 1
        keys = jnp.where(positive, order + 2**30, order - 2**30)
        inner, sources, keys = _sources(keys, buckets)
        x = _raised(x, inner, sources)
        kept = kept & (positive | (keys < 0))
    cells = jax.nn.softplus(jnp.where(positive, -x, x))
    return jnp.sum(cells, where=kept), jnp.sum(kept, dtype=jnp.float32)


def loss_cells(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None,
    example_mask: Bool[ArrayLike, " B"] | None,
) -> tuple[Float[Array, "B N"], Bool[Array, "B N"], Bool[Array, "B N"]]:
    """Return logits in float32, which are true labels, and which cells count.

    Raises:
        ValueError: see `hierarchy_loss`.
    """
    check_axes(
        logits=(logits, "B N"),
        targets=(targets, "B N"),
        target_mask=(target_mask, "B N"),
        example_mask=(example_mask, "B"),
    )
    check_targets(targets, target_mask, example_mask)
    x = jnp.asarray(logits, jnp.float32)
    kept = jnp.ones(x.shape, bool)
    positive = is_positive(targets)
    if target_mask is not None:
        kept = jnp.asarray(target_mask, bool)
        positive = positive & kept
    if example_mask is not None:
        real = jnp.asarray(example_mask, bool)[:, None]
        kept, x = kept & real, jnp.where(real, x, 0.0)
    return x, positive, kept


def recursive_regularisation(
    vectors: Float[ArrayLike, "N D"], parents: Int[ArrayLike, "E 2"]
) -> Float[Array, ""]:
    """Return how far labels lie from their parents: half the sum of squared distances.

        R = 1/2 sum over (child, parent) of |w_child - w_parent|^2

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> vectors = jnp.array([[1.0, 0.0], [0.0, 0.0]])
        >>> float(lg.functional.recursive_regularisation(vectors, jnp.array([[1, 0]])))
        0.5

    Args:
        vectors: of every label.
        parents: one row (child, parent) of label indices per edge; each edge counts as
            often as it stands there.

    Returns:
        A float32 scalar, at least 0.

    Raises:
        ValueError: `parents` is not `[E, 2]`, or names a label outside 0..N-1 (seen
            only where its values are known).

    Reference: Gopal and Yang, "Recursive regularization for large-scale classification
        with hierarchical and graphical dependencies", KDD 2013.
    """
    check_axes(vectors=(vectors, "N D"), parents=(parents, "E 2"))
    x, pairs = jnp.asarray(vectors, jnp.float32), jnp.asarray(parents)
    check_parents(pairs, len(x))
    apart = x[pairs[:, 0]] - x[pairs[:, 1]]
    return 0.5 * jnp.sum(apart**2)


def hierarchy_contrast(
    vectors: Float[ArrayLike, "N D"],
    parents: Int[ArrayLike, "E 2"],
    key: jax.Array,
    *,
    draws: int = 64,
) -> Float[Array, ""]:
    """Draw labels to their children and away from others of their own level.

        L = mean over draws of exp(|cos(v_i, v_j)| - |cos(v_i, v_c)|)

    Every draw takes a pair of a label i and its child c, and another label j != i that
    has children and lies as deep as i. Every level with two such labels or more has as
    many draws.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> vectors = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        >>> pairs = jnp.array([[2, 0], [3, 1]])
        >>> contrast = lg.functional.hierarchy_contrast
        >>> round(float(contrast(vectors, pairs, jax.random.key(0))), 3)  # e^-1
        0.368

    Args:
        vectors: of every label.
        parents: as of `descendant_max`.
        key: what is drawn.
        draws: per level.

    Returns:
        A float32 scalar; 0 where no level has two labels with children.

    Raises:
        ValueError: as `descendant_max`; `draws` is below 1.

    Reference: HCL-MTC, Zhang, Jiang, Fang and Pan, Scientific Reports 15:14101, 2025,
        as its text says. The released program draws i and j apart from each other, so
        that they may be one label, and with its regulariser returns a loss without this
        term; neither is done here. Draws are of a step, there of a document.
    """
    check_axes(vectors=(vectors, "N D"), parents=(parents, "E 2"))
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    # Depth of every label, by the longest way from a root.
    x = jnp.asarray(vectors, jnp.float32)
    pairs = _known_pairs(parents, len(x))
    buckets = _buckets(pairs, len(x))
    depth = np.zeros(len(x), np.int64)
    for level in _parent_lists(buckets, len(x)) if buckets else []:
        depth[level.labels] = depth[level.near].max(axis=1) + 1
    # At every depth: draw edges, each with another parent of that depth.
    inner = np.unique(pairs[:, 1])
    chosen = []
    for level in np.unique(depth[inner]):
        own = inner[depth[inner] == level]
        if len(own) < 2:
            continue
        edges = pairs[np.isin(pairs[:, 1], own)]
        first, second = jax.random.split(jax.random.fold_in(key, int(level)))
        edge = jax.random.randint(first, (draws,), 0, len(edges), jnp.int32)
        shift = jax.random.randint(second, (draws,), 1, len(own), jnp.int32)
        place = jnp.asarray(np.searchsorted(own, edges[:, 1]), jnp.int32)[edge]
        other = jnp.asarray(own, jnp.int32)[(place + shift) % len(own)]
        child, parent = jnp.asarray(edges, jnp.int32)[edge].T
        chosen.append(jnp.stack([parent, other, child]))
    if not chosen:
        return jnp.sum(x[:0])
    # Likeness is the absolute cosine: a parent should be closest to its child.
    parent, other, child = jnp.concatenate(chosen, axis=1)
    square = jnp.sum(x**2, axis=1, keepdims=True)
    unit = x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))

    def likeness(one: Int[Array, " P"], two: Int[Array, " P"]) -> Float[Array, " P"]:
        return jnp.abs(jnp.sum(unit[one] * unit[two], axis=1))

    return jnp.mean(jnp.exp(likeness(parent, other) - likeness(parent, child)))
