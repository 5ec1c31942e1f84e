"""Short lists of labels and their scores: summed, ranked, mixed with a classifier's.

What a memory says of a million labels is a list of a few hundred. Ties: of equal scores
the label of the lower index comes first.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from labelgraph_jax.functional.checks import (
    check_axes,
    check_integers,
    check_numbers,
)

NONE = -1
"""Stands where a list of labels has ended."""


class LabelScores(NamedTuple):
    """A short list of labels per query.

    Attributes:
        ids: labels, each at most once; -1 behind the last.
        scores: of these labels, float32; 0 where there is none.
    """

    ids: Int[Array, "B C"]
    scores: Float[Array, "B C"]


def dense_scores(found: LabelScores, labels: int) -> Float[Array, "B N"]:
    """Lists of labels as a matrix `[B, labels]`, 0 where a label is not listed."""
    rows = jnp.arange(len(found.ids))[:, None]
    # A negative index would count from the end: nothing is put beyond it instead.
    columns = jnp.where(found.ids < 0, labels, found.ids)
    empty = jnp.zeros((len(found.ids), labels), jnp.float32)
    return empty.at[rows, columns].add(found.scores, mode="drop")


@jax.jit
def scores_at(found: LabelScores, ids: Int[ArrayLike, "B L"]) -> Float[Array, "B L"]:
    """The scores of some labels, 0 of a label that is not listed.

    Args:
        found: labels in ascending order, as `memory_labels` gives them.
        ids: which labels; -1 where there is none, which scores 0.
    """
    last = jnp.iinfo(found.ids.dtype).max
    sorted_ids = jnp.where(found.ids < 0, last, found.ids)
    wanted = jnp.asarray(ids, found.ids.dtype)
    places = jax.vmap(jnp.searchsorted)(sorted_ids, wanted)
    places = jnp.minimum(places, found.ids.shape[1] - 1)
    hit = (jnp.take_along_axis(sorted_ids, places, axis=1) == wanted) & (wanted >= 0)
    return jnp.where(hit, jnp.take_along_axis(found.scores, places, axis=1), 0.0)


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
    classifier: LabelScores | tuple[ArrayLike, ArrayLike],
    memory: LabelScores | tuple[ArrayLike, ArrayLike],
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
        ValueError: k < 1, shapes do not fit together, as `mix_scores`, or a score is
            NaN (seen only where it is known, so not under `jit`).
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    ids, scores = (jnp.asarray(part) for part in classifier)
    others, shares = (jnp.asarray(part) for part in memory)
    check_axes(
        classifier_ids=(ids, "B K"),
        classifier_scores=(scores, "B K"),
        memory_ids=(others, "B C"),
        memory_scores=(shares, "B C"),
        classifier_at_memory=(classifier_at_memory, "B C"),
    )
    check_integers(classifier_ids=ids, memory_ids=others)
    check_numbers(
        classifier_scores=scores,
        memory_scores=shares,
        classifier_at_memory=classifier_at_memory,
    )
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
    ids, scores, last = _ascending(found)
    ranked = jnp.where(ids == last, -jnp.inf, scores + 0.0)
    best, places = jax.lax.top_k(ranked, min(k, ids.shape[1]))
    ids = jnp.take_along_axis(ids, places, axis=1)
    there = ids != last
    return LabelScores(jnp.where(there, ids, NONE), jnp.where(there, best, 0.0))


def _ascending(found: LabelScores) -> tuple[Array, Array, int]:
    """Ids in ascending order, their scores, and the id that stands for none."""
    last = int(jnp.iinfo(found.ids.dtype).max)
    ids = jnp.where(found.ids < 0, last, found.ids)
    order = jnp.argsort(ids, axis=1, stable=True)
    return (
        jnp.take_along_axis(ids, order, axis=1),
        jnp.take_along_axis(found.scores, order, axis=1),
        last,
    )


def side_by_side(*found: LabelScores) -> LabelScores:
    """Lists of the same queries, one behind the other."""
    return LabelScores(
        jnp.concatenate([jnp.asarray(part.ids) for part in found], axis=1),
        jnp.concatenate([jnp.asarray(part.scores) for part in found], axis=1),
    )


@jax.jit
def sum_lists(*found: LabelScores) -> LabelScores:
    """Lists of the same queries as one: each label once, with the sum of its scores.

    Returns:
        Labels in ascending order; as many places as all lists together.
    """
    ids, scores, last = _ascending(side_by_side(*found))
    is_new = jnp.concatenate(
        [jnp.zeros_like(ids[:, :1], bool), ids[:, 1:] != ids[:, :-1]], axis=1
    )
    places = jnp.cumsum(is_new, axis=1)
    rows = jnp.arange(len(ids))[:, None]
    labels = jnp.full_like(ids, last).at[rows, places].min(ids)
    sums = jnp.zeros_like(scores).at[rows, places].add(scores)
    there = labels != last
    return LabelScores(jnp.where(there, labels, NONE), jnp.where(there, sums, 0.0))
