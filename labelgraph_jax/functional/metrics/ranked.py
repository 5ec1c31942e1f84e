"""Metrics from the best labels of each document and sparse truth: nothing is `[M, N]`.

Names, values and conventions are those of `evaluate_scores`. The truth comes as
the rows of a CSR matrix: document m has the labels `indices[indptr[m]:indptr[m + 1]]`,
in any order and none of them twice.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.decisions.thresholds import best_threshold
from labelgraph_jax.functional.metrics.counts import DocumentCounts, f1_from_counts
from labelgraph_jax.functional.metrics.ranking import means_at_k, psp_at_k

Host = np.ndarray


def ranked_hits(
    ids: Int[Host, "M K"], indptr: Int[Host, "M1"], indices: Int[Host, "P"]
) -> Bool[Host, "M K"]:
    """Mark which of a document's best labels are true ones.

    Args:
        ids: label ids, best first, none of them twice in a row.
        indptr: the truth as the rows of a CSR matrix: where each row ends.
        indices: the truth: the labels of all rows.

    Raises:
        ValueError: there is not one row of truth per document, the rows do not end
            where the labels end, or one has a label twice.
    """
    rows = _rows(ids, indptr, indices)
    span = int(max(indices.max(initial=0), ids.max(initial=0))) + 1
    truth = np.sort(rows * span + indices)
    twice = truth[1:][truth[1:] == truth[:-1]]
    if len(twice):
        raise ValueError(
            f"a document has a label once; document {twice[0] // span} has label "
            f"{twice[0] % span} twice"
        )
    if not len(truth):
        return np.zeros(ids.shape, bool)
    asked = np.arange(len(ids), dtype=np.int64)[:, None] * span + ids
    place = np.searchsorted(truth, asked).clip(max=len(truth) - 1)
    return truth[place] == asked


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
    """Return the metrics of `evaluate_scores`, but for LRAP and mAP (of every score).

    Args:
        ids: the K best labels of every document, best first, ties by id.
        indptr: the truth as the rows of a CSR matrix: where each row ends.
        indices: the truth: the labels of all rows.
        labels: N.
        decided: which of the K labels are predicted; without, no F1 and the like.
        train_label_counts: as of `evaluate_scores`.
        train_documents: as of `evaluate_scores`.
        propensity_constants: as of `evaluate_scores`.
        ks: as of `evaluate_scores`.

    Raises:
        ValueError: there is no document; a k is below 1, or above K where there are
            more than K labels; shapes do not fit, an id is no label, a document has a
            label twice; train_documents is missing.
    """
    # Refuse rankings that are too short, and labels out of range.
    kept = ids.shape[1]
    if (
        not len(ids)
        or labels < 1
        or any(k < 1 or (k > kept and kept < labels) for k in ks)
    ):
        raise ValueError(
            f"metrics need documents, and at least {max(ks, default=1)} ranked labels "
            f"of each (every k from 1), got {len(ids)} documents with {kept}"
        )
    check_axes(train_label_counts=(train_label_counts, str(labels)))
    for name, found_ids in (("ranked", ids), ("true", indices)):
        if found_ids.size and not 0 <= found_ids.min() <= found_ids.max() < labels:
            raise ValueError(
                f"{name} labels must lie in 0 .. {labels - 1}, got "
                f"{found_ids.min()} .. {found_ids.max()}"
            )
    # Metrics of decisions, where there are any.
    hits = ranked_hits(ids, indptr, indices)
    positives = np.diff(indptr).astype(np.int64)
    found: dict[str, float] = {}
    if decided is not None:
        if decided.shape != ids.shape:
            raise ValueError(
                f"decided must have the shape of ids {ids.shape}, got {decided.shape}"
            )
        right = decided & hits
        found |= f1_from_counts(
            np.bincount(ids[right], minlength=labels),
            np.bincount(ids[decided], minlength=labels),
            np.bincount(indices, minlength=labels),
            DocumentCounts(right.sum(axis=1), decided.sum(axis=1), positives),
        )
    # Metrics of the first k labels.
    found |= means_at_k(hits, positives, ks)
    if train_label_counts is not None:
        found |= psp_at_k(
            ids,
            hits,
            indptr,
            indices,
            ks,
            train_label_counts,
            train_documents,
            propensity_constants,
        )
    return {name: float(value) for name, value in found.items()}


def fit_global_threshold_ranked(
    ids: Int[Host, "M K"],
    probabilities: Float[Host, "M K"],
    indptr: Int[Host, "M1"],
    indices: Int[Host, "P"],
) -> float:
    """The one threshold with the highest micro-F1 among the kept probabilities.

    What it decides are the kept labels alone. For every threshold above all documents'
    smallest kept probability, `probabilities[:, -1].max()`, these are all labels, and
    the F1 is that of deciding on all scores; where the threshold that
    `fit_global_threshold` finds on all of them lies above that bound, this one makes
    the same decisions.

    Args:
        ids: the K best labels of every document.
        probabilities: theirs.
        indptr: the truth as the rows of a CSR matrix: where each row ends.
        indices: the truth: the labels of all rows.

    Returns:
        The threshold, placed as by `fit_global_threshold`: where no kept label is a
        true one, just above the highest probability.

    Raises:
        ValueError: there is no score, one is NaN, or shapes do not fit; as
            `ranked_hits`.
    """
    scores = np.asarray(probabilities)
    if scores.shape != ids.shape or scores.size == 0:
        raise ValueError(
            "a threshold needs ids and probabilities of one shape [documents, K], "
            f"neither of them empty; got {ids.shape} and {scores.shape}"
        )
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32)
    if np.isnan(scores).any():
        document = int(np.isnan(scores).any(axis=1).argmax())
        raise ValueError(f"probabilities must be numbers; document {document} has NaN")
    hits = ranked_hits(ids, indptr, indices)
    missed = int(indptr[-1]) - int(np.count_nonzero(hits))
    return float(best_threshold(scores.ravel(), hits.ravel(), missed=missed))


def _rows(
    ids: Int[Host, "M K"], indptr: Int[Host, "M1"], indices: Int[Host, "P"]
) -> Int[Host, " P"]:
    """The document of every true label, or a ValueError."""
    if ids.ndim != 2 or len(indptr) != len(ids) + 1:
        raise ValueError(
            f"ids [M, K] and indptr [M + 1] do not fit together: got {ids.shape} and "
            f"{np.shape(indptr)}"
        )
    counts = np.diff(indptr)
    if indptr[0] != 0 or indptr[-1] != len(indices) or (counts < 0).any():
        raise ValueError(
            f"indptr must ascend from 0 to the {len(indices)} true labels, got "
            f"{indptr[0]} .. {indptr[-1]}"
        )
    return np.repeat(np.arange(len(ids), dtype=np.int64), counts)
