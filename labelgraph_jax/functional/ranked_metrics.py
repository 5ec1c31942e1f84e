"""Metrics from the best labels of each document and sparse truth, nothing `[M, N]`."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelgraph_jax.functional.metrics import (
    DocumentCounts,
    LabelCounts,
    samples_metrics,
    summarise_label_counts,
)
from labelgraph_jax.functional.ranking import (
    inverse_propensities,
    ndcg_from_hits,
    precision_from_hits,
    r_precision_from_hits,
    recall_from_hits,
)

Host = np.ndarray


def ranked_hits(
    ids: Int[Host, "M K"], indptr: Int[Host, "M1"], indices: Int[Host, "P"]
) -> Bool[Host, "M K"]:
    """Whether each of a document's best labels is a true one.

    Args:
        ids: label ids, best first.
        indptr, indices: the truth as the rows of a CSR matrix.

    Raises:
        ValueError: there is not one row of truth per document.
    """
    _check(ids, indptr)
    rows = np.repeat(np.arange(len(ids)), np.diff(indptr))
    span = int(max(indices.max(initial=0), ids.max(initial=0))) + 1
    truth = np.sort(rows.astype(np.int64) * span + indices)
    asked = np.arange(len(ids), dtype=np.int64)[:, None] * span + ids
    place = np.searchsorted(truth, asked).clip(max=max(len(truth) - 1, 0))
    return truth[place] == asked if len(truth) else np.zeros(ids.shape, bool)


def ranked_metrics(
    ids: Int[Host, "M K"],
    indptr: Int[Host, "M1"],
    indices: Int[Host, "P"],
    *,
    labels: int,
    decided: Bool[Host, "M K"] | None = None,
    train_label_counts: Shaped[Host, " N"] | None = None,
    train_documents: int | Int[Host, " N"] | None = None,
    propensity_constants: tuple[float, float] = (0.55, 1.5),
    ks: Sequence[int] = (1, 3, 5),
) -> dict[str, float]:
    """What `evaluate_scores` gives but for LRAP and mAP, which need every score.

    Args:
        ids: the K best labels of every document, best first.
        indptr, indices: the truth as the rows of a CSR matrix.
        labels: N.
        decided: which of the K labels are predicted; without, no F1 and the like.
        train_label_counts, train_documents, propensity_constants, ks: as of
            `evaluate_scores`.

    Raises:
        ValueError: there is no document; a k is below 1, or above K and N; shapes do
            not fit; train_documents is missing.
    """
    _check(ids, indptr)
    kept = ids.shape[1]
    wrong = [k for k in ks if k < 1 or (k > kept and kept < labels)]
    if not len(ids) or wrong:
        raise ValueError(
            f"metrics need documents, and at least {max(ks, default=1)} ranked labels "
            f"of each, got {len(ids)} documents with {kept}"
        )
    hits = ranked_hits(ids, indptr, indices)
    positives = np.diff(indptr).astype(np.int64)
    found: dict[str, float] = {}
    if decided is not None:
        found |= _decided_metrics(ids, hits, decided, positives, indices, labels)
    for k in ks:
        first = hits[:, :k]
        found[f"P@{k}"] = precision_from_hits(first, k).mean()
        found[f"R@{k}"] = recall_from_hits(first, positives).mean()
        found[f"RP@{k}"] = r_precision_from_hits(first, positives, k).mean()
        found[f"nDCG@{k}"] = ndcg_from_hits(first, positives).mean()
    if train_label_counts is not None:
        if train_documents is None:
            raise ValueError("PSP@k needs train_documents beside train_label_counts")
        a, b = propensity_constants
        worth = inverse_propensities(
            np.asarray(train_label_counts), train_documents, a=a, b=b
        )
        gained = hits * worth[ids]
        best = _best_worth(indptr, indices, worth, min(max(ks), kept))
        for k in ks:
            found[f"PSP@{k}"] = gained[:, :k].sum() / (best[:, :k].sum() or 1.0)
    return {name: float(value) for name, value in found.items()}


def _decided_metrics(
    ids: Int[Host, "M K"],
    hits: Bool[Host, "M K"],
    decided: Bool[Host, "M K"],
    positives: Int[Host, " M"],
    indices: Int[Host, "P"],
    labels: int,
) -> dict[str, float]:
    """F1 and the like, from counts."""

    def count(chosen: Bool[Host, "M K"]) -> Int[Host, " N"]:
        return np.bincount(ids[chosen], minlength=labels)

    right, predicted = count(decided & hits), count(decided)
    support = np.bincount(indices, minlength=labels)
    counts = LabelCounts(right, predicted - right, support - right, support)
    of_documents = DocumentCounts(
        (decided & hits).sum(axis=1), decided.sum(axis=1), positives
    )
    cells = len(ids) * labels
    return summarise_label_counts(counts) | samples_metrics(of_documents, cells)


def _best_worth(
    indptr: Int[Host, "M1"], indices: Int[Host, "P"], worth: Float[Host, " N"], k: int
) -> Float[Host, "M K"]:
    """The inverse propensities of every document's k most valuable labels."""
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    values = worth[indices]
    order = np.lexsort((-values, rows))
    place = np.arange(len(rows)) - indptr[rows]
    best = np.zeros((len(indptr) - 1, k))
    first = place < k
    best[rows[first], place[first]] = values[order][first]
    return best


def fit_global_threshold_ranked(
    ids: Int[Host, "M K"],
    probabilities: Float[Host, "M K"],
    indptr: Int[Host, "M1"],
    indices: Int[Host, "P"],
) -> float:
    """The one threshold with the highest micro-F1 among the kept probabilities.

    As `fit_global_threshold` on all scores, where the best threshold lies above every
    document's least kept probability.

    Returns:
        Halfway between the two probabilities that it parts; 0.5 without any truth.
    """
    hits = ranked_hits(ids, indptr, indices).ravel()
    scores = np.asarray(probabilities, np.float64).ravel()
    total = int(indptr[-1])
    if not total or not len(scores):
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], hits[order].cumsum()
    f1 = 2.0 * right / (np.arange(1, len(scores) + 1) + total)
    last = np.append(scores[1:] < scores[:-1], True)  # a cut parts unequal scores
    best = int(np.argmax(np.where(last, f1, -1.0)))
    below = scores[best + 1] if best + 1 < len(scores) else 0.0
    return float((scores[best] + below) / 2)


def _check(ids: Int[Host, "M K"], indptr: Int[Host, "M1"]) -> None:
    if ids.ndim != 2 or len(indptr) != len(ids) + 1:
        raise ValueError(
            f"ids [M, K] and indptr [M + 1] do not fit together: got {ids.shape} and "
            f"{np.shape(indptr)}"
        )
