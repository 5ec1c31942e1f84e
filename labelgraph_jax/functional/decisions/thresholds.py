"""Decision thresholds: fitted on validation scores, applied anywhere.

A label is predicted where its score is greater than *or equal to* its threshold.
Scores may be probabilities or any other finite number (an SVM's margins).
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from labelgraph_jax.functional.checks import (
    check_axes,
    check_numbers,
    check_targets,
)

HostOrDevice = Array | np.ndarray
AnyArray = TypeVar("AnyArray", Array, np.ndarray)


def apply_thresholds(
    probabilities: Float[AnyArray, "M N"],
    thresholds: Float[HostOrDevice, "... N"],
    *,
    at_least_one: bool = False,
) -> Bool[AnyArray, "M N"]:
    """Decide which labels each document gets: probability >= threshold.

    Works on the host (NumPy in, NumPy out) and, jitted or not, on a device. The
    comparison is made in the type of the probabilities.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> probabilities = np.array([[0.9, 0.2], [0.3, 0.1]])
        >>> half = np.array([0.5, 0.5])
        >>> apply = lg.functional.apply_thresholds
        >>> apply(probabilities, half).tolist()
        [[True, False], [False, False]]
        >>> apply(probabilities, half, at_least_one=True).tolist()
        [[True, False], [True, False]]

    Args:
        probabilities: one score per document and label.
        thresholds: one per label, or `[M, N]` one per document and label.
        at_least_one: where no label of a document reaches its threshold, predict
            the most probable label (the first of them on a tie).

    Returns:
        True where the label is predicted.

    Raises:
        ValueError: there is not one threshold per label, or per document and label; or
            a score or a threshold is NaN (seen only where it is known, so not under
            `jit`).
    """
    axes = "M N" if jnp.ndim(thresholds) == 2 else "N"
    check_axes(probabilities=(probabilities, "M N"), thresholds=(thresholds, axes))
    check_numbers(probabilities=probabilities, thresholds=thresholds)
    return over_thresholds(probabilities, thresholds, at_least_one=at_least_one)


def over_thresholds(
    probabilities: Float[AnyArray, "M N"],
    thresholds: Float[HostOrDevice, "... N"],
    *,
    at_least_one: bool = False,
) -> Bool[AnyArray, "M N"]:
    """Apply thresholds, as `apply_thresholds`, to what was checked.

    A score that is NaN, which only a masked cell may hold, decides nothing.
    """
    xp = jnp if isinstance(probabilities, jax.Array) else np
    decisions = probabilities >= thresholds.astype(probabilities.dtype)
    if not at_least_one or probabilities.shape[1] == 0:
        return decisions
    labels = np.arange(probabilities.shape[1])
    best = labels == xp.argmax(probabilities, axis=1)[:, None]
    return decisions | (best & ~decisions.any(axis=1, keepdims=True))


def decide_top_k(
    probabilities: Float[AnyArray, "M N"], k: int
) -> Bool[AnyArray, "M N"]:
    """Decide for the k most probable labels of each document, ties by label index.

    Works on the host (NumPy in, NumPy out) and, jitted or not, on a device. All labels
    are decided where there are no more than k.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> lg.functional.decide_top_k(np.array([[0.2, 0.7, 0.1]]), 2).tolist()
        [[True, True, False]]

    Raises:
        ValueError: k < 1, or a score is NaN (seen only where it is known, so not under
            `jit`).
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    check_axes(probabilities=(probabilities, "M N"))
    check_numbers(probabilities=probabilities)
    return _top_k(probabilities, k)


def _top_k(probabilities: Float[AnyArray, "M N"], k: int) -> Bool[AnyArray, "M N"]:
    labels = probabilities.shape[1]
    if isinstance(probabilities, jax.Array):
        last = jax.lax.top_k(probabilities, min(k, labels))[0][:, -1:]
    else:
        place = max(labels - k, 0)
        last = np.partition(probabilities, place, axis=1)[:, place : place + 1]
    above, level = probabilities > last, probabilities == last
    room = k - above.sum(axis=1, keepdims=True)
    return above | (level & (level.cumsum(axis=1) <= room))


def fit_top_k(
    probabilities: Float[HostOrDevice, "M N"],
    targets: Shaped[HostOrDevice, "M N"],
    *,
    target_mask: Bool[HostOrDevice, "M N"] | None = None,
) -> int:
    """The k with the highest micro-F1 of the k most probable labels of each document.

    Numbers up to twice the most labels of a document are tried; of equally good ones
    the smallest is taken, and 1 where no target is positive.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> probabilities = np.array([[0.9, 0.8, 0.1], [0.2, 0.7, 0.6]])
        >>> lg.functional.fit_top_k(probabilities, np.array([[1, 1, 0], [0, 1, 1]]))
        2

    Args:
        probabilities: scores of the validation documents.
        targets: their truth; positive where > 0.
        target_mask: as in `fit_global_threshold`; labels that are not annotated are
            ranked, and neither right nor wrong.

    Raises:
        ValueError: as `fit_global_threshold`.
    """
    scores, positives, kept = _checked(probabilities, targets, target_mask)
    most = min(scores.shape[1], max(1, 2 * int(positives.sum(axis=1).max())))
    # Ties by label index twice over: among the most probable ones, and in their order.
    candidates = np.nonzero(_top_k(scores, most))[1].reshape(-1, most)
    best_first = np.argsort(
        -np.take_along_axis(scores, candidates, axis=1), axis=1, kind="stable"
    )
    ranked = np.take_along_axis(candidates, best_first, axis=1)
    hits = np.take_along_axis(positives, ranked, axis=1).sum(axis=0).cumsum()
    counted = np.ones(scores.shape, bool) if kept is None else kept
    predicted = np.take_along_axis(counted, ranked, axis=1).sum(axis=0).cumsum()
    return 1 + int(np.argmax(2 * hits / np.maximum(predicted + positives.sum(), 1)))


def fit_global_threshold(
    probabilities: Float[HostOrDevice, "M N"],
    targets: Shaped[HostOrDevice, "M N"],
    *,
    target_mask: Bool[HostOrDevice, "M N"] | None = None,
) -> float:
    """The one threshold for all labels with the highest micro-F1: the exact optimum.

    Among every cut of the sorted scores, the best is taken (of equally good ones the
    highest threshold), and the threshold is put half-way between the lowest score
    above the cut and the highest one below, as a number that the type of the
    probabilities holds and that still separates the two. Equal scores are never
    separated. O(M N log(M N)) time and one copy of the scores.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> probabilities = np.array([[0.9, 0.3], [0.2, 0.4]])
        >>> targets = np.array([[1, 0], [0, 1]])
        >>> threshold = lg.functional.fit_global_threshold(probabilities, targets)
        >>> 0.3 < threshold < 0.4
        True

    Args:
        probabilities: scores of the validation documents.
        targets: their truth; positive where > 0.
        target_mask: True where the label of the document is annotated; the other
            cells are left out, whatever they hold.

    Returns:
        The threshold. Where no target is positive nothing should be predicted: a
        number just above the highest score.

    Raises:
        ValueError: there is no annotated score, one is NaN, an annotated target is NaN
            or outside 0..1, or the shapes differ.
    """
    scores, positives, kept = _checked(probabilities, targets, target_mask)
    return float(best_threshold(_cells(scores, kept), _cells(positives, kept)))


def fit_label_thresholds(
    probabilities: Float[HostOrDevice, "M N"],
    targets: Shaped[HostOrDevice, "M N"],
    *,
    shrinkage: float = 10.0,
    target_mask: Bool[HostOrDevice, "M N"] | None = None,
) -> Float[np.ndarray, " N"]:
    """One threshold per label, shrunk towards the global one where support is small.

        t_n = w_n best_n + (1 - w_n) global,   w_n = positives_n / (positives_n + s)

    best_n is the exact optimum of the label's own F1 and global is that of
    `fit_global_threshold`; a label without positives gets the global threshold.

    Args:
        probabilities: scores of the validation documents.
        targets: their truth; positive where > 0.
        shrinkage: s, the number of positives at which a label is trusted as much as
            all labels together. 0 trusts every label wholly; infinity none.
        target_mask: as in `fit_global_threshold`.

    Returns:
        The thresholds, of the type of the probabilities.

    Raises:
        ValueError: shrinkage is negative or NaN, or as `fit_global_threshold`.
    """
    if not shrinkage >= 0:
        raise ValueError(f"shrinkage must be >= 0, got {shrinkage}")
    scores, positives, kept = _checked(probabilities, targets, target_mask)
    everywhere = float(best_threshold(_cells(scores, kept), _cells(positives, kept)))
    thresholds = np.full(scores.shape[1], everywhere, scores.dtype)
    support = positives.sum(axis=0)
    for label in np.flatnonzero(support):
        trust = support[label] / (support[label] + shrinkage)
        rows = slice(None) if kept is None else kept[:, label]
        best = float(best_threshold(scores[rows, label], positives[rows, label]))
        # Where nothing is shrunk, not even a rounding: the cut must still separate.
        thresholds[label] = (
            best if trust == 1 else trust * best + (1 - trust) * everywhere
        )
    return thresholds


def _checked(
    probabilities: Float[HostOrDevice, "M N"],
    targets: Shaped[HostOrDevice, "M N"],
    target_mask: Bool[HostOrDevice, "M N"] | None,
) -> tuple[
    Float[np.ndarray, "M N"],
    Bool[np.ndarray, "M N"],
    Bool[np.ndarray, "M N"] | None,
]:
    """Scores in float32 or float64, truth and mask on the host, or a ValueError."""
    scores, truth = np.asarray(probabilities), np.asarray(targets)
    kept = None if target_mask is None else np.asarray(target_mask, bool)
    check_one_shape(scores, truth)
    scores = checked_scores(scores, kept)
    check_targets(truth, kept)
    return scores, truth > 0 if kept is None else (truth > 0) & kept, kept


def check_one_shape(scores: np.ndarray, truth: np.ndarray) -> None:
    """Refuse scores and targets that are empty, or not of one shape.

    Raises:
        ValueError: either of these.
    """
    if scores.ndim != 2 or scores.shape != truth.shape or scores.size == 0:
        raise ValueError(
            "thresholds need scores and targets of one shape [documents, labels], "
            f"neither of them empty; got {scores.shape} and {truth.shape}"
        )


def checked_scores(
    scores: Float[np.ndarray, "M N"], mask: Bool[np.ndarray, "M N"] | None
) -> Float[np.ndarray, "M N"]:
    """Scores in float32 or float64.

    Args:
        scores: of any float type.
        mask: true where a cell is annotated; the others may be NaN.

    Raises:
        ValueError: a mask of another shape or without an annotated cell, or an
            annotated score that is NaN.
    """
    if mask is not None and (mask.shape != scores.shape or not mask.any()):
        raise ValueError(
            f"scores of shape {scores.shape} need a target_mask of that shape with at "
            f"least one annotated cell, got {mask.shape} with {np.count_nonzero(mask)}"
        )
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32)
    unknown = np.isnan(scores) if mask is None else np.isnan(scores) & mask
    if unknown.any():
        document, label = np.argwhere(unknown)[0]
        raise ValueError(
            f"scores must be numbers; document {document}, label {label} is NaN"
        )
    return scores


def _cells(
    values: Shaped[np.ndarray, "M N"], kept: Bool[np.ndarray, "M N"] | None
) -> Shaped[np.ndarray, " C"]:
    return values.ravel() if kept is None else values[kept]


def best_threshold(
    scores: Float[np.ndarray, " M"],
    positives: Bool[np.ndarray, " M"],
    *,
    missed: int = 0,
) -> np.floating:
    """The threshold with the highest F1 of `scores >= threshold` against positives.

    `missed` positives beside these have scores that nobody knows, below every cut.

    A best cut lies right below a positive: letting negatives in only lowers F1. So
    only the positives' scores are tried.
    """
    ascending = np.sort(scores)
    hits = np.sort(scores[positives])
    tiny = np.finfo(scores.dtype).tiny  # devices take smaller numbers for 0
    if hits.size == 0:
        above = np.nextafter(ascending[-1], scores.dtype.type(np.inf))
        return tiny if abs(above) < tiny else above
    cuts = np.unique(hits)[::-1]  # descending: argmax keeps the highest of equals
    true_positives = hits.size - np.searchsorted(hits, cuts)
    below = np.searchsorted(ascending, cuts)
    predicted = ascending.size - below
    best = np.argmax(2.0 * true_positives / (predicted + hits.size + missed))
    upper = cuts[best]
    if below[best] == 0 or not np.isfinite(lower := ascending[below[best] - 1]):
        return upper
    middle = scores.dtype.type(float(lower) + (float(upper) - float(lower)) / 2)
    separates = lower < middle <= upper and (middle == 0 or abs(middle) >= tiny)
    return middle if separates else upper
