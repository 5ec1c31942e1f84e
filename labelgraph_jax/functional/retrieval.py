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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

NONE = -1
"""Stands where a list of labels has ended."""


class Neighbours(NamedTuple):
    """The nearest keys of every query, the nearest first.

    Attributes:
        similarities: inner products with the query, float32.
        rows: which keys they are.
    """

    similarities: Float[Array, "B K"]
    rows: Int[Array, "B K"]


class LabelScores(NamedTuple):
    """A short list of labels per query.

    Attributes:
        ids: labels, each at most once; -1 behind the last.
        scores: of these labels, float32; 0 where there is none.
    """

    ids: Int[Array, "B C"]
    scores: Float[Array, "B C"]


@partial(jax.jit, static_argnames=("k", "chunk"))
def nearest_keys(
    queries: Float[ArrayLike, "B D"],
    keys: Float[ArrayLike, "M D"],
    *,
    k: int,
    chunk: int = 8192,
) -> Neighbours:
    """The k keys with the largest inner product with each query: exactly these.

    Args:
        queries, keys: vectors of one width; products are taken in float32.
        k: how many.
        chunk: keys that are compared at a time; memory is O(B (k + chunk)).

    Returns:
        Similarities in descending order, and the keys they belong to.

    Raises:
        ValueError: k does not lie in [1, M], chunk < 1, or the widths differ.
    """
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
    chunk = min(chunk, count)

    def step(best: Neighbours, begin: Array) -> tuple[Neighbours, None]:
        # The last chunk begins early enough to be whole: no padded copy of the keys.
        start = jnp.minimum(begin, count - chunk)
        part = jax.lax.dynamic_slice_in_dim(keys, start, chunk).astype(jnp.float32)
        products = jnp.matmul(queries, part.T, precision=jax.lax.Precision.HIGHEST)
        rows = start + jnp.arange(chunk)
        products = jnp.where(rows >= begin, products + 0.0, -jnp.inf)
        similarities = jnp.concatenate([best.similarities, products], axis=1)
        rows = jnp.broadcast_to(rows, products.shape).astype(jnp.int32)
        rows = jnp.concatenate([best.rows, rows], axis=1)
        # Stable: what was found before, and so has the lower index, wins a tie.
        similarities, places = jax.lax.top_k(similarities, k)
        return Neighbours(similarities, jnp.take_along_axis(rows, places, axis=1)), None

    nothing = Neighbours(
        jnp.full((len(queries), k), -jnp.inf),
        jnp.full((len(queries), k), NONE, jnp.int32),
    )
    return jax.lax.scan(step, nothing, jnp.arange(0, count, chunk))[0]


def value_weights(documents: int, labels: int, *, share: float) -> Float[Array, " M"]:
    """What the values of each key weigh: `share` of documents, the rest of label texts.

        V = [share Y; (1 - share) I]

    Args:
        documents: how many keys are of documents; they come first.
        labels: how many are of label texts.
        share: lambda.

    Raises:
        ValueError: share does not lie in [0, 1], or a number of keys is negative.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"the share of documents must lie in [0, 1], got {share}")
    if documents < 0 or labels < 0:
        raise ValueError(
            f"numbers of keys must not be negative, got {documents} and {labels}"
        )
    return jnp.concatenate(
        [jnp.full(documents, share, jnp.float32), jnp.full(labels, 1.0 - share)]
    )


@partial(jax.jit, static_argnames=("temperature", "k", "chunk"))
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
        queries, keys: as in `nearest_keys`.
        label_ids: the labels of each key, each once, padded with -1.
        weights: of the values of each key, see `value_weights`; 1 without.
        temperature: tau; the smaller, the more the nearest key decides.
        k, chunk: as in `nearest_keys`.

    Returns:
        Every label of the k keys with its score, in ascending order of the labels:
        C = k P places, most of them empty where keys share labels.

    Raises:
        ValueError: temperature <= 0, `label_ids` or `weights` have not one row per key,
            or as `nearest_keys`.

    Reference: RAE-XMC, arXiv 2502.10615, where keys are inputs and label texts.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    label_ids, count = jnp.asarray(label_ids), jnp.shape(keys)[0]
    for name, rows in (("label_ids", label_ids), ("weights", weights)):
        if rows is not None and jnp.shape(rows)[0] != count:
            raise ValueError(
                f"{name} must have one row for each of the {count} keys, got "
                f"{jnp.shape(rows)[0]}"
            )
    near = nearest_keys(queries, keys, k=k, chunk=chunk)
    # Relative to the nearest key before they are divided: nothing can overflow.
    distances = near.similarities - near.similarities[:, :1]
    shares = jax.nn.softmax(distances / temperature, axis=-1)
    if weights is not None:
        shares = shares * jnp.asarray(weights, jnp.float32)[near.rows]
    ids = label_ids[near.rows]  # [B, K, P]
    scores = jnp.broadcast_to(shares[:, :, None], ids.shape)
    size = (len(ids), ids.shape[1] * ids.shape[2])
    return _summed(ids.reshape(size), scores.reshape(size))


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
        labels: N; ids beyond count nowhere.
        queries, keys, label_ids, weights, temperature, k, chunk: as `memory_labels`.

    Raises:
        ValueError: as `memory_labels`.
    """
    found = memory_labels(
        queries, keys, label_ids, weights, temperature=temperature, k=k, chunk=chunk
    )
    return dense_scores(found, labels)


def dense_scores(found: LabelScores, labels: int) -> Float[Array, "B N"]:
    """Lists of labels as a matrix `[B, labels]`, 0 where a label is not listed."""
    rows = jnp.arange(len(found.ids))[:, None]
    # A negative index would count from the end: nothing is put beyond it instead.
    columns = jnp.where(found.ids < 0, labels, found.ids)
    empty = jnp.zeros((len(found.ids), labels), jnp.float32)
    return empty.at[rows, columns].add(found.scores, mode="drop")


def mix_scores(
    classifier: Float[ArrayLike, "*n"], memory: Float[ArrayLike, "*n"], *, weight: float
) -> Float[Array, "*n"]:
    """`(1 - weight) classifier + weight memory`; with weight 0 exactly the classifier.

    Raises:
        ValueError: weight does not lie in [0, 1], or the shapes differ.
    """
    classifier, memory = jnp.asarray(classifier), jnp.asarray(memory)
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"the weight of the memory must lie in [0, 1], got {weight}")
    if classifier.shape != memory.shape:
        raise ValueError(
            "scores of classifier and memory must have one shape, got "
            f"{classifier.shape} and {memory.shape}"
        )
    return (1.0 - weight) * classifier + weight * memory


def mix_top_labels(
    classifier: LabelScores | tuple[Any, Any],
    memory: LabelScores | tuple[Any, Any],
    classifier_at_memory: Float[ArrayLike, "B C"],
    *,
    weight: float,
    k: int,
) -> LabelScores:
    """The k best labels of a mixture, from two short lists; nothing of size N is made.

    With at least k labels in the classifier's list, its own top ones, and every label
    of the nearest keys in the memory's (what `memory_labels` gives) the result is exact
    (but for which of several equal labels is listed): a label in neither list has no
    score from the memory and less from the classifier than k others have.
    With a shorter list the scores are still exact, but a label in neither may be
    missed.

    Args:
        classifier: the top labels of each query, ids `[B, K]` and scores, each id once.
        memory: ids `[B, C]` and scores, each id once, -1 where there is none.
        classifier_at_memory: the classifier's scores of the memory's labels.
        weight: of the memory, see `mix_scores`.
        k: labels per query.

    Returns:
        ids and scores `[B, min(k, K + C)]`, the best first.

    Raises:
        ValueError: k < 1, or as `mix_scores`.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    ids, scores = (jnp.asarray(part) for part in classifier)
    others, shares = (jnp.asarray(part) for part in memory)
    own = mix_scores(scores, jnp.zeros_like(scores), weight=weight)
    theirs = mix_scores(classifier_at_memory, shares, weight=weight)
    listed = (ids[:, :, None] == others[:, None, :]).any(axis=2)
    # A label in both lists is taken from the memory's, where both scores are known.
    both = jnp.concatenate([jnp.where(listed, NONE, ids), others], axis=1)
    return top_scores(LabelScores(both, jnp.concatenate([own, theirs], axis=1)), k=k)


def top_scores(found: LabelScores, *, k: int) -> LabelScores:
    """The min(k, C) labels of highest score, best first, ties by label index.

    Raises:
        ValueError: k < 1.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    last = jnp.iinfo(found.ids.dtype).max
    ids = jnp.where(found.ids < 0, last, found.ids)
    order = jnp.argsort(ids, axis=1, stable=True)
    ids = jnp.take_along_axis(ids, order, axis=1)
    scores = jnp.take_along_axis(found.scores, order, axis=1)
    ranked = jnp.where(ids == last, -jnp.inf, scores + 0.0)
    best, places = jax.lax.top_k(ranked, min(k, ids.shape[1]))
    ids = jnp.take_along_axis(ids, places, axis=1)
    there = ids != last
    return LabelScores(jnp.where(there, ids, NONE), jnp.where(there, best, 0.0))


def _summed(ids: Int[Array, "B C"], scores: Float[Array, "B C"]) -> LabelScores:
    """Each label once, with the sum of its scores, in ascending order."""
    last = jnp.iinfo(ids.dtype).max
    ids = jnp.where(ids < 0, last, ids)
    order = jnp.argsort(ids, axis=1, stable=True)
    ids = jnp.take_along_axis(ids, order, axis=1)
    scores = jnp.take_along_axis(scores, order, axis=1)
    is_new = jnp.concatenate(
        [jnp.zeros_like(ids[:, :1], bool), ids[:, 1:] != ids[:, :-1]], axis=1
    )
    places = jnp.cumsum(is_new, axis=1)
    rows = jnp.arange(len(ids))[:, None]
    found = jnp.full_like(ids, last).at[rows, places].min(ids)
    sums = jnp.zeros_like(scores).at[rows, places].add(scores)
    there = found != last
    return LabelScores(jnp.where(there, found, NONE), jnp.where(there, sums, 0.0))
