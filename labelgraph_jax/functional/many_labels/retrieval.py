"""A memory beside a classifier: exact nearest keys, and the labels they vote for.

The keys are vectors of documents, whose values are their labels, and of label texts,
whose value is the label itself. A query's score for a label is the softmax weight of
the nearest keys that carry it. Keys are read chunk by chunk and labels as short lists,
so that neither `[B, M]` nor `[B, N]` is ever whole, unless `memory_scores` is asked for
the latter.

Ties, everywhere: of equal keys the first comes first, and of equal scores the label of
the lower index. Equal vectors have equal products on one device; rounding may part
products that are equal only on paper.

Reference: RAE-XMC, arXiv 2502.10615. Its search is approximate (HNSW); ours is exact.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from labelgraph_jax.functional.checks import check_axes, check_integers
from labelgraph_jax.functional.many_labels.label_lists import (
    NONE,
    LabelScores,
    dense_scores,
    sum_lists,
)


class Neighbours(NamedTuple):
    """The nearest keys of every query, the nearest first.

    Attributes:
        similarities: inner products with the query, float32.
        rows: which keys they are.
    """

    similarities: Float[Array, "B K"]
    rows: Int[Array, "B K"]


def nearest_keys(
    queries: Float[ArrayLike, "B D"],
    keys: Float[ArrayLike, "M D"],
    *,
    k: int,
    chunk: int = 8192,
) -> Neighbours:
    """The k keys with the largest inner product with each query: exactly these.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> keys = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
        >>> found = lg.functional.nearest_keys(jnp.array([[0.0, 1.0]]), keys, k=2)
        >>> found.rows.tolist(), found.similarities.round(2).tolist()
        ([[1, 2]], [[1.0, 0.5]])

    Args:
        queries: vectors of the keys' width; products are taken in float32.
        keys: the vectors that are searched.
        k: how many.
        chunk: keys that are compared at a time; memory is O(B (k + chunk)).

    Returns:
        Similarities in descending order, and the keys they belong to.

    Raises:
        ValueError: k does not lie in [1, M], chunk < 1, or the widths differ.
    """
    check_axes(queries=(queries, "B D"), keys=(keys, "M W"))
    queries, keys = jnp.asarray(queries, jnp.float32), jnp.asarray(keys)
    count, width = keys.shape
    if queries.shape[1] != width:
        raise ValueError(
            f"queries and keys must have one width, got {queries.shape[1]} and {width}"
        )
    if not 1 <= k <= count:
        raise ValueError(
            f"k must lie between 1 and the number of keys, {count}; got {k}"
        )
    if chunk < 1:
        raise ValueError(f"chunk must be >= 1, got {chunk}")
    return _nearest(queries, keys, k=k, chunk=min(chunk, count))


@partial(jax.jit, static_argnames=("k", "chunk"))
def _nearest(queries: Array, keys: Array, *, k: int, chunk: int) -> Neighbours:
    count = len(keys)

    def step(best: Neighbours, begin: Array) -> tuple[Neighbours, None]:
        # The last chunk begins early enough to be whole: no padded copy of the keys.
        start = jnp.minimum(begin, count - chunk)
        part = jax.lax.dynamic_slice_in_dim(keys, start, chunk).astype(jnp.float32)
        products = jnp.matmul(queries, part.T, precision=jax.lax.Precision.HIGHEST)
        rows = start + jnp.arange(chunk, dtype=jnp.int32)
        products = jnp.where(rows >= begin, products + 0.0, -jnp.inf)
        similarities = jnp.concatenate([best.similarities, products], axis=1)
        rows = jnp.broadcast_to(rows, products.shape).astype(jnp.int32)
        rows = jnp.concatenate([best.rows, rows], axis=1)
        # Stable: what was found before, and so has the lower index, wins a tie.
        similarities, places = jax.lax.top_k(similarities, k)
        return Neighbours(similarities, jnp.take_along_axis(rows, places, axis=1)), None

    nothing = Neighbours(
        jnp.full((len(queries), k), -jnp.inf, jnp.float32),
        jnp.full((len(queries), k), NONE, jnp.int32),
    )
    return jax.lax.scan(step, nothing, jnp.arange(0, count, chunk, dtype=jnp.int32))[0]


def memory_labels(
    queries: Float[ArrayLike, "B D"],
    keys: Float[ArrayLike, "M D"],
    label_ids: Int[ArrayLike, "M P"],
    weights: Float[ArrayLike, " M"] | None = None,
    *,
    temperature: float,
    k: int,
    chunk: int = 8192,
) -> LabelScores:
    """The labels that the k nearest keys of each query carry, and their scores.

        p = softmax(q K^T / temperature) V   over the k nearest keys

    Args:
        queries: as in `nearest_keys`.
        keys: as in `nearest_keys`.
        label_ids: the labels of each key, each once, padded with -1.
        weights: of the values of each key, such as a share for documents and the
            rest for label texts; 1 without.
        temperature: tau; the smaller, the more the nearest key decides.
        k: as in `nearest_keys`.
        chunk: as in `nearest_keys`.

    Returns:
        Every label of the k keys with its score, in ascending order of the labels:
        C = k P places, most of them empty where keys share labels.

    Raises:
        ValueError: temperature <= 0, `label_ids` or `weights` have not one row per key,
            or as `nearest_keys`.

    Reference: RAE-XMC, arXiv 2502.10615, where keys are inputs and label texts.
    """
    label_ids, count = jnp.asarray(label_ids), jnp.shape(keys)[0]
    for name, rows in (("label_ids", label_ids), ("weights", weights)):
        if rows is not None and jnp.shape(rows)[0] != count:
            raise ValueError(
                f"{name} must have one row for each of the {count} keys, got "
                f"{jnp.shape(rows)[0]}"
            )
    check_axes(label_ids=(label_ids, "M P"), weights=(weights, "M"))
    check_integers(label_ids=label_ids)
    near = nearest_keys(queries, keys, k=k, chunk=chunk)
    return label_votes(near, label_ids, weights, temperature=temperature)


def label_votes(
    near: Neighbours,
    label_ids: Int[ArrayLike, "M P"],
    weights: Float[ArrayLike, " M"] | None = None,
    *,
    temperature: float,
) -> LabelScores:
    """Return the labels that found keys vote for: `memory_labels` after its search.

    Args:
        near: from `nearest_keys`.
        label_ids: as in `memory_labels`.
        weights: as in `memory_labels`.
        temperature: as in `memory_labels`.

    Raises:
        ValueError: temperature <= 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    if weights is None:
        weights = jnp.ones(jnp.shape(label_ids)[0], jnp.float32)
    return _votes(near, label_ids, weights, temperature)


@jax.jit
def _votes(
    near: Neighbours, label_ids: ArrayLike, weights: ArrayLike, temperature: ArrayLike
) -> LabelScores:
    # Relative to the nearest key before they are divided: nothing can overflow.
    distances = near.similarities - near.similarities[:, :1]
    shares = jax.nn.softmax(distances / temperature, axis=-1)
    shares = shares * jnp.asarray(weights, jnp.float32)[near.rows]
    ids = jnp.asarray(label_ids)[near.rows]  # [B, K, P]
    scores = jnp.broadcast_to(shares[:, :, None], ids.shape)
    size = (len(ids), ids.shape[1] * ids.shape[2])
    return sum_lists(LabelScores(ids.reshape(size), scores.reshape(size)))


def memory_scores(
    queries: Float[ArrayLike, "B D"],
    keys: Float[ArrayLike, "M D"],
    label_ids: Int[ArrayLike, "M P"],
    weights: Float[ArrayLike, " M"] | None = None,
    *,
    labels: int,
    temperature: float,
    k: int,
    chunk: int = 8192,
) -> Float[Array, "B N"]:
    """The scores of `memory_labels` as a matrix, 0 where no near key has the label.

    Args:
        queries: as `memory_labels`.
        keys: as `memory_labels`.
        label_ids: as `memory_labels`.
        weights: as `memory_labels`.
        labels: N; ids beyond count nowhere.
        temperature: as `memory_labels`.
        k: as `memory_labels`.
        chunk: as `memory_labels`.

    Raises:
        ValueError: as `memory_labels`.
    """
    found = memory_labels(
        queries, keys, label_ids, weights, temperature=temperature, k=k, chunk=chunk
    )
    return dense_scores(found, labels)
