"""Metrics of a ranking of labels: P@k, R@k, RP@k, nDCG@k, PSP@k, LRAP, AP.

The conventions (ties, documents without positives, k above the number of labels)
stand at the top of `labels.py`. The formulas named `*_from_hits` take hits that
are already ranked, in JAX or, for float64 results, in NumPy.

`target_mask` is True where a document is annotated for a label. A cell where it is
False has no place in a ranking, and its target is no positive, whatever it holds.
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import is_positive

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
) -> Bool[Array, "B K"]:
    """Mark true labels at the K = min(k, N) first ranks."""
    positive = is_positive(targets)
    return jnp.take_along_axis(positive, top_labels(scores, k), axis=-1)


def inverse_propensities(
    train_label_counts: Shaped[np.ndarray, " N"],
    train_documents: int | Int[np.ndarray, " N"],
    *,
    a: float = 0.55,
    b: float = 1.5,
) -> Float[np.ndarray, " N"]:
    """Return the worth of a hit on each label: the rarer in training, the more.

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


def precision_from_hits(hits: Bool[AnyArray, "B K"], k: int) -> Float[AnyArray, " B"]:
    """P@k: hits among the k first labels, divided by k."""
    return hits.sum(-1) / k


def recall_from_hits(
    hits: Bool[AnyArray, "B K"], positives: Int[AnyArray, " B"]
) -> Float[AnyArray, " B"]:
    """R@k: hits among the k first labels, divided by the positives."""
    return hits.sum(-1) / positives.clip(1)


def r_precision_from_hits(
    hits: Bool[AnyArray, "B K"], positives: Int[AnyArray, " B"], k: int
) -> Float[AnyArray, " B"]:
    """RP@k: hits among the k first labels, divided by min(k, positives)."""
    return hits.sum(-1) / positives.clip(1, k)


def ndcg_from_hits(
    hits: Bool[AnyArray, "B K"], positives: Int[AnyArray, " B"]
) -> Float[AnyArray, " B"]:
    """nDCG@k: hits weigh 1 / log2(rank + 1); the ideal is all hits.

    Reference: Prabhu and Varma, "FastXML", KDD 2014, as LibMultiLabel computes it.
    """
    ranks = np.arange(hits.shape[-1])
    discounts = 1 / np.log2(ranks + 2)
    ideal = ((positives.clip(1)[:, None] > ranks) * discounts).sum(-1)
    return (hits * discounts).sum(-1) / ideal


def means_at_k(
    hits: Bool[np.ndarray, "M K"], positives: Int[np.ndarray, " M"], ks: Sequence[int]
) -> dict[str, float]:
    """P@k, R@k, RP@k and nDCG@k for every k, as means over the documents."""
    means = {}
    for k in ks:
        first = hits[:, :k]
        means[f"P@{k}"] = precision_from_hits(first, k).mean()
        means[f"R@{k}"] = recall_from_hits(first, positives).mean()
        means[f"RP@{k}"] = r_precision_from_hits(first, positives, k).mean()
        means[f"nDCG@{k}"] = ndcg_from_hits(first, positives).mean()
    return means


def psp_at_k(
    top: Int[np.ndarray, "M K"],
    hits: Bool[np.ndarray, "M K"],
    indptr: Int[np.ndarray, "M1"],
    indices: Int[np.ndarray, "P"],
    ks: Sequence[int],
    train_label_counts: Shaped[np.ndarray, " N"],
    train_documents: int | Int[np.ndarray, " N"] | None,
    propensity_constants: tuple[float, float],
) -> dict[str, float]:
    """PSP@k for every k: what the rankings gain over the most that could be gained.

    Args:
        top: labels of every document, best first.
        hits: which of these are true.
        indptr: the truth as the rows of a CSR matrix: where each row ends.
        indices: the truth: the labels of all rows.
        ks: the k.
        train_label_counts: of `inverse_propensities`.
        train_documents: of `inverse_propensities`.
        propensity_constants: of `inverse_propensities`.

    Raises:
        ValueError: train_documents is missing, or as `inverse_propensities`.
    """
    if train_documents is None:
        raise ValueError("PSP@k needs train_documents beside train_label_counts")
    a, b = propensity_constants
    counts = np.asarray(train_label_counts)
    worth = inverse_propensities(counts, train_documents, a=a, b=b)
    gained = hits * worth[top]
    # The most valuable labels of every document, most valuable first.
    rows = np.repeat(np.arange(len(top)), np.diff(indptr))
    values = worth[indices]
    order = np.lexsort((-values, rows))
    place = np.arange(len(rows)) - indptr[rows]
    best = np.zeros((len(top), min(max(ks, default=1), top.shape[1])))
    first = place < best.shape[1]
    best[rows[first], place[first]] = values[order][first]
    return {f"PSP@{k}": gained[:, :k].sum() / (best[:, :k].sum() or 1.0) for k in ks}


def exact_average_precisions(
    scores: Float[np.ndarray, "R C"], positive: Bool[np.ndarray, "R C"]
) -> Float[np.ndarray, " R"]:
    """Average precision of every row, on the host in float64; 0 without positives.

        AP = sum_t (R_t - R_(t-1)) P_t   over the distinct scores t, descending

    which is the mean, over the positives, of the share of positives among the cells
    that score at least as high. Only the positives are looked up: on a CPU, NumPy's
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
