"""Metrics: counts first and additive over batches, ratios last and in float64.

Conventions, for every metric here (they differ between libraries and papers):

- A ratio 0 / 0 is 0. Macro averages run over *all* labels: one without positives
  counts as 0. macro_f1_present and mAP alone average over those with positives.
- The @k metrics rank by score; equal scores are ranked by label index.
  P@k divides by k even where there are fewer than k labels or positives, R@k by the
  number of positives, RP@k by min(k, positives), nDCG@k by the DCG of
  min(k, positives) hits. A document without positives counts as 0 in all of them.
- LRAP and average precision count ties against the ranking, as scikit-learn does;
  LRAP of a document without positives is 1.
- PSP@k is a ratio of means, not a mean of ratios: what the ranking gains over what
  the best ranking would gain; propensities come from the training labels.
- A cell with a false `target_mask`, for which the document is not annotated, counts
  nowhere: not as a hit or a miss, not as a place in a ranking, and neither do the
  target and the score that it holds. Means over documents are over those that are
  annotated for some label, macro averages over labels for which some document is.
  Decisions are made before anything is masked, as a prediction would make them.

A target is positive where it is > 0.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets
from labelgraph_jax.functional.decisions.thresholds import (
    checked_scores,
    over_thresholds,
)
from labelgraph_jax.functional.metrics.counts import (
    DocumentCounts,
    LabelCounts,
    document_counts,
    label_counts,
    samples_metrics,
    summarise_label_counts,
)
from labelgraph_jax.functional.metrics.ranking import (
    exact_average_precisions,
    mask_scores,
    means_at_k,
    psp_at_k,
    top_labels,
)

Host = np.ndarray


class _DocumentValues(NamedTuple):
    """All that the document metrics need of every document."""

    counts: DocumentCounts
    top: Int[Host, "B K"]
    hits: Bool[Host, "B K"]
    lrap: Float[Host, " B"]


def evaluate_scores(
    probabilities: Float[Array | Host, "M N"],
    targets: Shaped[Array | Host, "M N"],
    thresholds: Float[Array | Host, " N"] | None = None,
    *,
    predictions: Bool[Array | Host, "M N"] | None = None,
    target_mask: Bool[Array | Host, "M N"] | None = None,
    train_label_counts: Shaped[Array | Host, " N"] | None = None,
    train_documents: int | Int[Host, " N"] | None = None,
    propensity_constants: tuple[float, float] = (0.55, 1.5),
    ks: Sequence[int] = (1, 3, 5),
    at_least_one: bool = False,
    chunk_size: int | None = None,
) -> dict[str, float]:
    """Every metric of a set of documents, by the conventions at the top of this file.

    Documents are taken in chunks, so that memory beyond the arguments stays bounded.
    All that is computed in chunks are integers and single documents' or labels'
    values; the means are taken once, in float64: the result is the same, bit for
    bit, for every chunk size. float64 scores are ranked as float64.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> probabilities = np.array([[0.9, 0.2], [0.6, 0.7]])
        >>> targets = np.array([[1, 0], [0, 1]])
        >>> half = np.array([0.5, 0.5])
        >>> found = lg.functional.evaluate_scores(probabilities, targets, half)
        >>> round(found["micro_f1"], 3), round(found["macro_f1"], 3)
        (0.8, 0.833)

    Args:
        probabilities: scores to rank and to compare with the thresholds; any number
            but NaN.
        targets: positive where > 0.
        thresholds: per label; predicted where probability >= threshold.
        predictions: True where the label is predicted, in place of the thresholds.
        target_mask: True where the label of the document is annotated; all of them
            without.
        train_label_counts: training documents per label; PSP@k is left out without.
        train_documents: how many training documents there are, or for each label how
            many are annotated for it; needed with them.
        propensity_constants: (a, b) of `inverse_propensities`.
        ks: the k of the @k metrics.
        at_least_one: predict the most probable label where none reaches its threshold.
        chunk_size: documents per chunk; by default about four million scores' worth.

    Returns:
        micro_f1, macro_f1, samples_f1, the same with precision and recall,
        macro_f1_present, hamming_loss, subset_accuracy; P@k, R@k, RP@k, nDCG@k (and
        PSP@k) for every k, LRAP and mAP.

    Raises:
        ValueError: there is no document or no label, or no annotated cell; shapes
            differ, a score or a threshold is NaN, an annotated target is NaN or outside
            0..1, a k or the chunk size is below 1,
            train_documents is missing, or not one of thresholds and predictions is
            given.
    """
    # Check shapes, and settle how labels are decided.
    mask = None if target_mask is None else np.asarray(target_mask, bool)
    scores, truth = _checked(probabilities, targets, mask)
    check_axes(
        train_label_counts=(train_label_counts, "N"), probabilities=(scores, "M N")
    )
    decide = _decider(scores, thresholds, predictions, at_least_one)
    if chunk_size is None:
        chunk_size = max(1, 2**22 // scores.shape[1])
    if chunk_size < 1 or any(k < 1 for k in ks):
        raise ValueError(f"chunk_size and ks must be >= 1, got {chunk_size} and {ks}")
    # Count by label and by document, chunk by chunk.
    counts, documents, indices = _count_in_chunks(
        scores, truth, decide, mask, max(ks, default=1), chunk_size
    )
    cells = scores.size if mask is None else int(np.count_nonzero(mask))
    annotated = None if mask is None else np.asarray(mask.any(axis=0))
    # Metrics of decisions, and of the first k labels.
    summary = summarise_label_counts(counts, annotated)
    summary |= samples_metrics(documents.counts, cells)
    positives = np.asarray(documents.counts.positives)
    summary |= means_at_k(documents.hits, positives, ks)
    # Propensity-scored precision, which needs the label counts of training.
    if train_label_counts is not None:
        summary |= psp_at_k(
            documents.top,
            documents.hits,
            np.concatenate([[0], positives.cumsum()]),
            indices,
            ks,
            np.asarray(train_label_counts),
            train_documents,
            propensity_constants,
        )
    # Metrics of whole rankings.
    summary["LRAP"] = documents.lrap.mean()
    summary["mAP"] = _mean_average_precision(
        scores, truth, mask, np.asarray(counts.support), chunk_size
    )
    return {name: float(value) for name, value in summary.items()}


def _checked(
    probabilities: Float[Array | Host, "M N"],
    targets: Shaped[Array | Host, "M N"],
    mask: Bool[Host, "M N"] | None,
) -> tuple[Float[Host, "M N"], Shaped[Host, "M N"]]:
    """The arguments on the host, scores in float32 or float64, or a ValueError."""
    scores, truth = np.asarray(probabilities), np.asarray(targets)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(
            "metrics need scores of at least one document and one label, got the "
            f"shape {scores.shape}"
        )
    if truth.shape != scores.shape:
        raise ValueError(
            f"scores of shape {scores.shape} need targets of that shape, got "
            f"{truth.shape}"
        )
    scores = checked_scores(scores, mask)
    check_targets(truth, mask)
    return scores, truth


def _decider(
    scores: Float[Host, "M N"],
    thresholds: Float[Array | Host, " N"] | None,
    predictions: Bool[Array | Host, "M N"] | None,
    at_least_one: bool,
) -> Callable[[slice], Bool[Host, "B N"]]:
    """Return the function that decides a slice of documents."""
    if (thresholds is None) == (predictions is None):
        raise ValueError("metrics need either thresholds or predictions")
    if predictions is not None:
        given = np.asarray(predictions)
        if given.shape != scores.shape or at_least_one:
            raise ValueError(
                f"scores of shape {scores.shape} need predictions of that shape, which "
                f"at_least_one does not change, got {given.shape}"
            )
        return lambda rows: given[rows]
    cutoffs = np.asarray(thresholds)
    if cutoffs.shape != scores.shape[1:]:
        raise ValueError(
            f"scores of shape {scores.shape} need one threshold per label, got "
            f"{cutoffs.shape}"
        )
    if np.isnan(cutoffs).any():
        raise ValueError(
            f"thresholds must be numbers; label {np.isnan(cutoffs).argmax()} has NaN"
        )
    return lambda rows: over_thresholds(
        scores[rows], cutoffs, at_least_one=at_least_one
    )


@partial(jax.jit, static_argnames="k")
def _integers(
    scores: Float[Array | Host, "B N"],
    decided: Bool[Array | Host, "B N"],
    positive: Bool[Array | Host, "B N"],
    k: int,
) -> tuple[LabelCounts, DocumentCounts, Int[Array, "B K"], Bool[Array, "B K"]]:
    top = top_labels(scores, k)
    hits = jnp.take_along_axis(jnp.asarray(positive), top, axis=-1)
    return (
        label_counts(decided, positive),
        document_counts(decided, positive),
        top,
        hits,
    )


def _count_in_chunks(
    scores: Float[Host, "M N"],
    truth: Shaped[Host, "M N"],
    decide: Callable[[slice], Bool[Host, "B N"]],
    mask: Bool[Host, "M N"] | None,
    k: int,
    chunk_size: int,
) -> tuple[LabelCounts, _DocumentValues, Int[Host, " P"]]:
    """Counts of all labels, values of all documents, true labels in their order.

    Documents that are annotated for no label have no values.
    """
    zeros = np.zeros(scores.shape[1], np.int64)
    totals, parts = LabelCounts(zeros, zeros, zeros, zeros), []
    true: list[np.ndarray] = []
    # In 32 bits, ranking float64 scores would round them and so invent ties.
    double = jax.enable_x64(True) if scores.dtype == np.float64 else nullcontext()
    with double:
        for start in range(0, len(scores), chunk_size):
            rows = slice(start, start + chunk_size)
            chunk, positive = scores[rows], truth[rows] > 0
            decided = decide(rows)
            annotated = None if mask is None else mask[rows]
            if annotated is not None:
                chunk = mask_scores(chunk, annotated)
                decided, positive = decided & annotated, positive & annotated
            labels, counts, top, hits = jax.device_get(
                _integers(chunk, decided, positive, k)
            )
            true.append(np.nonzero(positive)[1])
            lrap = exact_average_precisions(chunk, positive)
            lrap[counts.positives == 0] = 1.0
            totals += labels
            values = _DocumentValues(counts, top, hits, lrap)
            if annotated is not None:
                kept = annotated.any(1)
                values = jax.tree.map(lambda column, kept=kept: column[kept], values)
            parts.append(values)
    joined = jax.tree.map(lambda *values: np.concatenate(values), *parts)
    return totals, joined, np.concatenate(true)


def _mean_average_precision(
    scores: Float[Host, "M N"],
    truth: Shaped[Host, "M N"],
    mask: Bool[Host, "M N"] | None,
    support: Int[Host, " N"],
    chunk_size: int,
) -> float:
    """Mean average precision over the labels that have positives; 0 without any."""
    block = max(1, chunk_size * scores.shape[1] // len(scores))
    values = []
    for start in range(0, scores.shape[1], block):
        columns = slice(start, start + block)
        ranked = np.ascontiguousarray(scores[:, columns].T)
        positive = np.ascontiguousarray(truth[:, columns].T) > 0
        if mask is not None:
            annotated = np.ascontiguousarray(mask[:, columns].T)
            ranked, positive = mask_scores(ranked, annotated), positive & annotated
        values.append(exact_average_precisions(ranked, positive))
    return float(np.concatenate(values)[support > 0].mean()) if support.any() else 0.0
