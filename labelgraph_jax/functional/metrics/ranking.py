"""Metrics of a ranking of labels: P@k, R@k, RP@k, nDCG@k, PSP@k, LRAP, AP.

The conventions (ties, documents without positives, k above the number of labels)
stand at the top of `metrics.py`. The formulas named `*_from_hits` take hits that
are already ranked, in JAX or, for float64 results, in NumPy.

`target_mask` is True where a document is annotated for a label. A cell where it is
False has no place in a ranking, and its target is no positive, whatever it holds.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

AnyArray = TypeVar("AnyArray", Array, np.ndarray)


def top_labels(scores: Float[ArrayLike, "B N"], k: int) -> Int[Array, "B K"]:
    """The K = min(k, N) labels of highest score, best first, ties by label index.

    Raises:
        ValueError: k < 1.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    scores = jnp.asarray(scores)
    scores = jnp.where(scores == 0, 0, scores)  # -0.0 and 0.0 are a tie
    return jax.lax.top_k(scores, min(k, scores.shape[-1]))[1]


def mask_scores(
    scores: Float[AnyArray, "B N"], target_mask: Bool[AnyArray, "B N"]
) -> Float[AnyArray, "B N"]:
    """Scores in which every cell that is not annotated ranks behind all others.

    Masked cells become minus infinity, and minus infinity the lowest finite number.
    Works on the host (NumPy in, NumPy out) and, jitted or not, on a device.
    """
    xp = jnp if isinstance(scores, jax.Array) else np
    lowest = jnp.finfo(scores.dtype).min
    return xp.where(target_mask, xp.maximum(scores, lowest), -xp.inf).astype(
        scores.dtype
    )


def hits_at_k(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    k: int,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Bool[Array, "B K"]:
    """Whether the label at each of the K = min(k, N) first ranks is a true one."""
    scores, positive = _annotated(scores, targets, target_mask)
    return jnp.take_along_axis(positive, top_labels(scores, k), axis=-1)


def precision_at_k(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    k: int,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Float[Array, " B"]:
    """P@k per document: hits among the k first labels, divided by k."""
    return precision_from_hits(hits_at_k(scores, targets, k, target_mask), k)


def recall_at_k(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    k: int,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Float[Array, " B"]:
    """R@k per document: hits among the k first labels, divided by the positives."""
    hits = hits_at_k(scores, targets, k, target_mask)
    return recall_from_hits(hits, _positives(targets, target_mask))


def r_precision_at_k(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    k: int,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Float[Array, " B"]:
    """RP@k per document: hits among the k first, divided by min(k, positives)."""
    hits = hits_at_k(scores, targets, k, target_mask)
    return r_precision_from_hits(hits, _positives(targets, target_mask), k)


def ndcg_at_k(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    k: int,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Float[Array, " B"]:
    """nDCG@k per document: hits weigh 1 / log2(rank + 1); the ideal is all hits.

    Reference: Prabhu and Varma, "FastXML", KDD 2014, as LibMultiLabel computes it.
    """
    hits = hits_at_k(scores, targets, k, target_mask)
    return ndcg_from_hits(hits, _positives(targets, target_mask))


def inverse_propensities(
    train_label_counts: Shaped[np.ndarray, " N"],
    train_documents: int | Int[np.ndarray, " N"],
    *,
    a: float = 0.55,
    b: float = 1.5,
) -> Float[np.ndarray, " N"]:
    """How much a hit on each label is worth: the rarer in training, the more.

        1 + C (n_label + b)^-a,   C = (ln M - 1) (b + 1)^a

    with M the training documents; C is taken as 0 where that is negative (M < e).

    Args:
        train_label_counts: training documents per label.
        train_documents: M; per label, where not all documents are annotated for all.
        a: 0.55 by default; 0.5 for Wikipedia, 0.6 for Amazon.
        b: 1.5 by default; 0.4 for Wikipedia, 2.6 for Amazon.

    Raises:
        ValueError: there is no training document, or a label has more than all.

    Reference: Jain et al., "Extreme multi-label loss functions", KDD 2016, section 4.
    """
    counts = np.asarray(train_label_counts, np.float64)
    documents = np.asarray(train_documents, np.float64)
    bad = (documents < 1) | (counts > documents) | (counts < 0)
    if bad.any():
        label = int(bad.argmax())
        of = int(np.broadcast_to(documents, counts.shape)[label])
        raise ValueError(
            "train_label_counts must lie between 0 and train_documents >= 1; got "
            f"{counts[label]:g} of {of} for label {label}"
        )
    c = np.maximum(np.log(documents) - 1, 0.0) * (b + 1) ** a
    return 1 + c * (counts + b) ** -a


def psp_at_k(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    propensities: Float[ArrayLike, " N"],
    k: int,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
    """The two halves of PSP@k per document; sum each over documents, then divide.

    Args:
        scores: to rank by.
        targets: positive where > 0.
        propensities: *inverse* ones, of `inverse_propensities`.
        k: how many labels are looked at.
        target_mask: True where the label of the document is annotated.

    Returns:
        (gained, attainable): the inverse propensities of the hits over k, and those
        of the k most valuable positives over k.
    """
    worth = jnp.asarray(propensities)
    scores, positive = _annotated(scores, targets, target_mask)
    top = top_labels(scores, k)
    hits = jnp.take_along_axis(positive, top, axis=-1)
    best = jax.lax.top_k(jnp.where(positive, worth, 0), top.shape[-1])[0]
    return (hits * worth[top]).sum(-1) / k, best.sum(-1) / k


def label_ranking_average_precision(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Float[Array, " B"]:
    """LRAP per document; 1 for a document without positives.

    The mean, over the positives, of the share of positives among the labels that
    score at least as high.
    """
    scores, positive = _annotated(scores, targets, target_mask)
    precision = average_precision(scores.T, positive.T)
    return jnp.where(_positives(positive) == 0, 1.0, precision)


def average_precision(
    scores: Float[ArrayLike, "M N"],
    targets: Shaped[ArrayLike, "M N"],
    target_mask: Bool[ArrayLike, "M N"] | None = None,
) -> Float[Array, " N"]:
    """Average precision per label, over *all* documents; 0 without positives.

        AP = sum_t (R_t - R_(t-1)) P_t   over the distinct scores t, descending

    which is the mean, over the positives, of the share of positives among the
    documents that score at least as high. Not additive over batches.
    """
    scores, positive = _annotated(scores, targets, target_mask)
    ascending, positive = jax.lax.sort((scores.T, positive.T), num_keys=1)
    ranks = jnp.arange(ascending.shape[1])
    # [N, M]: where the run of equal scores begins, for every score
    new = ascending[:, 1:] != ascending[:, :-1]
    new = jnp.pad(new, ((0, 0), (1, 0)), constant_values=True)[:, : len(ranks)]
    start = jax.lax.cummax(jnp.where(new, ranks, 0), axis=1)
    before = jnp.cumsum(positive, axis=1) - positive
    total = positive.sum(1, keepdims=True)
    at_least = total - jnp.take_along_axis(before, start, axis=1)
    shares = jnp.where(positive, at_least / (len(ranks) - start), 0)
    return shares.sum(1) / total[:, 0].clip(1)


def precision_from_hits(hits: Bool[AnyArray, "B K"], k: int) -> Float[AnyArray, " B"]:
    return hits.sum(-1) / k


def recall_from_hits(
    hits: Bool[AnyArray, "B K"], positives: Int[AnyArray, " B"]
) -> Float[AnyArray, " B"]:
    return hits.sum(-1) / positives.clip(1)


def r_precision_from_hits(
    hits: Bool[AnyArray, "B K"], positives: Int[AnyArray, " B"], k: int
) -> Float[AnyArray, " B"]:
    return hits.sum(-1) / positives.clip(1, k)


def ndcg_from_hits(
    hits: Bool[AnyArray, "B K"], positives: Int[AnyArray, " B"]
) -> Float[AnyArray, " B"]:
    ranks = np.arange(hits.shape[-1])
    discounts = 1 / np.log2(ranks + 2)
    ideal = ((positives.clip(1)[:, None] > ranks) * discounts).sum(-1)
    return (hits * discounts).sum(-1) / ideal


def exact_average_precisions(
    scores: Float[np.ndarray, "R C"], positive: Bool[np.ndarray, "R C"]
) -> Float[np.ndarray, " R"]:
    """`average_precision` of every row, on the host in float64; 0 without positives.

    The same definition, of which only the positives are looked up: on a CPU, NumPy's
    sort of the bare scores is some fifty times faster than XLA's sort of pairs. Where
    cells are not annotated, the scores are those of `mask_scores`.
    """
    values = np.zeros(len(scores))
    for row in np.flatnonzero(positive.any(1)):
        hits = np.sort(scores[row, positive[row]])
        below = np.searchsorted(np.sort(scores[row]), hits)
        positives_at_least = len(hits) - np.searchsorted(hits, hits)
        values[row] = np.mean(positives_at_least / (scores.shape[1] - below))
    return values


def _annotated(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None,
) -> tuple[Float[Array, "B N"], Bool[Array, "B N"]]:
    scores, positive = jnp.asarray(scores), jnp.asarray(targets) > 0
    if target_mask is None:
        return scores, positive
    mask = jnp.asarray(target_mask)
    return mask_scores(scores, mask), positive & mask


def _positives(
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Int[Array, " B"]:
    positive = jnp.asarray(targets) > 0
    return (positive if target_mask is None else positive & target_mask).sum(-1)
