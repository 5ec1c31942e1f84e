"""Labels that a model misses, together and for one another; and the F1 of each."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets, is_positive
from labelgraph_jax.functional.metrics.counts import LabelCounts


def missed_together(
    predictions: Bool[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Int[Array, "N N"]:
    """Count, for every pair of labels, the documents on which both are missed.

    M_ij = sum_b f_bi f_bj, with f the false negatives: true, annotated and not
    predicted. The diagonal holds every label's false negatives. Counts add over
    batches, and are exact up to 2^24 documents each.

    Args:
        predictions: True where the label is predicted.
        targets: positive where > 0.
        target_mask: True where the label of the document is annotated.

    Returns:
        int32 counts [N, N], symmetric.

    Raises:
        ValueError: shapes differ, or are not [B, N]; or an annotated target is NaN or
            outside 0..1.
    """
    missed, _ = _wrong(predictions, targets, target_mask)
    return _pairs(missed, missed)


def confused_with(
    predictions: Bool[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> Int[Array, "N N"]:
    """Count the documents on which label i is missed and label j wrongly predicted.

    C_ij = sum_b f_bi g_bj, with f the false negatives and g the false positives. Row
    i says what stands in the place of label i. A multi-label model does not choose one
    label over another, so that a pair here is a hint and not a proof. The diagonal is
    0. Counts add over batches, and are exact up to 2^24 documents each.

    Args:
        predictions: True where the label is predicted.
        targets: positive where > 0.
        target_mask: True where the label of the document is annotated.

    Returns:
        int32 counts [N, N], not symmetric.

    Raises:
        ValueError: shapes differ, or are not [B, N]; or an annotated target is NaN or
            outside 0..1.
    """
    missed, invented = _wrong(predictions, targets, target_mask)
    return _pairs(missed, invented)


def label_f1(counts: LabelCounts) -> Float[np.ndarray, " N"]:
    """F1 of each label, 2 tp / (2 tp + fp + fn), float64.

    It is NaN for a label that no document carries, of which it would say nothing but
    whether it was predicted.

    Args:
        counts: of all documents, see `label_counts`.

    Raises:
        ValueError: the counts are not of one number of labels.
    """
    tp, fp, fn, support = (np.asarray(count, np.float64) for count in counts)
    check_axes(tp=(tp, "N"), fp=(fp, "N"), fn=(fn, "N"), support=(support, "N"))
    f1 = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    return np.where(support > 0, f1, np.nan)


def _wrong(
    predictions: Bool[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None,
) -> tuple[Bool[Array, "B N"], Bool[Array, "B N"]]:
    """False negatives and false positives."""
    predicted, positive = jnp.asarray(predictions, bool), is_positive(targets)
    annotated = (
        predicted | True if target_mask is None else jnp.asarray(target_mask, bool)
    )
    if predicted.ndim != 2 or not (
        predicted.shape == positive.shape == annotated.shape
    ):
        raise ValueError(
            "predictions, targets and target_mask must have one shape [documents, "
            f"labels], got {predicted.shape}, {positive.shape} and {annotated.shape}"
        )
    check_targets(targets, target_mask)
    return positive & ~predicted & annotated, predicted & ~positive & annotated


def _pairs(one: Bool[Array, "B N"], other: Bool[Array, "B N"]) -> Int[Array, "N N"]:
    # A product of float32 is exact for 0 and 1, and much faster than one of integers.
    one, other = one.astype(jnp.float32), other.astype(jnp.float32)
    highest = jax.lax.Precision.HIGHEST
    counts = jnp.einsum("bi,bj->ij", one, other, precision=highest)
    return counts.astype(jnp.int32)
