"""Bootstrap intervals of metrics, from kept predictions."""

from collections.abc import Mapping

import numpy as np

from labelgraph_jax.functional.metrics.bootstrap import document_draws
from labelgraph_jax.functional.metrics.ranking import (
    ndcg_from_hits,
    precision_from_hits,
    r_precision_from_hits,
    recall_from_hits,
)
from labelgraph_jax.predictors.predictions import KeptPredictions

RESAMPLES = 1_000
TITLES = {
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "samples_f1": "samples F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "hamming_loss": "Hamming loss",
    "subset_accuracy": "exact match",
    "P@1": "P@1",
    "P@5": "P@5",
    "RP@5": "RP@5",
    "nDCG@5": "nDCG@5",
    "LRAP": "LRAP",
    "mAP": "mAP",
}
"""Metrics that a report shows, in words."""
CELLS_AT_ONCE = 2**24
"""Numbers of resampled counts that are in memory at once."""


def resampled(
    kept: KeptPredictions, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, np.ndarray]:
    """Metrics on resamples of the documents, `[R]` each.

    The conventions are those of `functional.metrics`; micro_f1 and macro_f1 are what
    `functional.bootstrap.resampled_f1` gives, from sparse counts.

    Args:
        kept: predictions and truth of M documents.
        resamples: R.
        seed: of the draws.
    """
    # Counts of every document, and how often each resample draws it.
    draws = document_draws(len(kept.documents), resamples, seed=seed)
    weights = draws.astype(np.float32)
    right, decided = kept.right_cells, kept.decided_cells
    tp, predicted, positives = (
        np.asarray(cells.sum(axis=1), np.float64).ravel()
        for cells in (right, decided, kept.truth)
    )
    # Micro metrics are ratios of sums over documents.
    found = {
        "micro_f1": _share(weights, 2 * tp, predicted + positives),
        "micro_precision": _share(weights, tp, predicted),
        "micro_recall": _share(weights, tp, positives),
        "hamming_loss": _share(
            weights, predicted + positives - 2 * tp, _cells_known(kept)
        ),
    }
    # Macro-F1 from counts of every label, some resamples at a time.
    either = decided + kept.truth
    step = max(1, CELLS_AT_ONCE // max(kept.labels, 1))
    macro = []
    for start in range(0, resamples, step):
        part = weights[start : start + step]
        hits = np.asarray((right.T @ part.T).T, np.float64)
        both = np.asarray((either.T @ part.T).T, np.float64)
        macro.append((2 * hits / both.clip(1)).sum(axis=1))
    annotated = _annotated(kept)
    found["macro_f1"] = np.concatenate(macro) / max(int(annotated.sum()), 1)
    # The rest are means over annotated documents.
    documents = kept.known.any(axis=1)
    values = _document_values(kept, tp, predicted, positives)
    own = weights[:, documents].astype(np.float64)
    columns = np.stack([column[documents] for column in values.values()], axis=1)
    means = (own @ columns) / np.maximum(own.sum(axis=1, keepdims=True), 1)
    return found | dict(zip(values, means.T, strict=True))


def _share(weights: np.ndarray, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray((weights @ part) / np.maximum(weights @ whole, 1.0))


def _annotated(kept: KeptPredictions) -> np.ndarray:
    """Labels for which some document is annotated, bool `[N]`."""
    if kept.known.all() or not kept.is_whole:
        return np.ones(kept.labels, bool)
    known = np.zeros(kept.labels, bool)
    known[kept.ids[kept.known]] = True
    return known


def _document_values(
    kept: KeptPredictions, tp: np.ndarray, predicted: np.ndarray, positives: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Metrics that are means over documents: one value for each."""
    wrong = predicted + positives - 2 * tp
    values = {
        "samples_f1": 2 * tp / np.maximum(predicted + positives, 1),
        "subset_accuracy": (wrong == 0).astype(np.float64),
    }
    # Of equal scores the first label stands first, and what is not annotated last.
    order = np.argsort(~kept.known, axis=1, kind="stable")
    ranked = np.take_along_axis(kept.hits & kept.known, order, axis=1)
    count = positives.astype(np.int64)
    for k in (1, 5):
        first = ranked[:, :k]
        values[f"P@{k}"] = precision_from_hits(first, k)
        values[f"R@{k}"] = recall_from_hits(first, count)
        values[f"RP@{k}"] = r_precision_from_hits(first, count, k)
        values[f"nDCG@{k}"] = ndcg_from_hits(first, count)
    return values


def _cells_known(kept: KeptPredictions) -> np.ndarray:
    if kept.known.all() or not kept.is_whole:
        return np.full(len(kept.documents), float(kept.labels))
    return kept.known.sum(axis=1).astype(np.float64)


def interval(
    value: float, draws: np.ndarray, alpha: float = 0.05
) -> tuple[float, float]:
    """Return the interval of 1 - alpha of the draws, moved to have the value as mean.

    A rare label is missing from many resamples, which lie below the value then: for
    macro-F1 the plain percentiles may not even contain it.
    """
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    move = value - float(draws.mean())
    # Every metric here lies between 0 and 1, and so does either end: where some draws
    # are 0 for want of a positive and all others 1, the lower one would lie above 1.
    ends = np.clip([low + move, high + move], 0.0, 1.0)
    return float(ends[0]), float(ends[1])
