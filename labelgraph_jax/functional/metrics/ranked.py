"""Metrics from the best labels of each document and sparse truth: nothing is `[M, N]`.

Names, values and conventions are those of `metrics.evaluate_scores`. The truth comes as
the rows of a CSR matrix: document m has the labels `indices[indptr[m]:indptr[m + 1]]`,
in any order and none of them twice.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelgraph_jax.functional.decisions.thresholds import best_threshold
from labelgraph_jax.functional.metrics.labels import (
    DocumentCounts,
    LabelCounts,
    samples_metrics,
    summarise_label_counts,
)
from labelgraph_jax.functional.metrics.ranking import (
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
        ids: label ids, best first, none of them twice in a row.
        indptr, indices: the truth as the rows of a CSR matrix.

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
    """What `evaluate_scores` gives but for LRAP and mAP, which need every score.

    Args:
        ids: the K best labels of every document, best first, ties by id.
        indptr, indices: the truth as the rows of a CSR matrix.
        labels: N.
        decided: which of the K labels are predicted; without, no F1 and the like.
        train_label_counts, train_documents, propensity_constants, ks: as of
            `evaluate_scores`.

    Raises:
        ValueError: there is no document; a k is below 1, or above K where there are
            more than K labels; shapes do not fit, an id is no label, a document has a
            label twice; train_documents is missing.
    """
    kept = ids.shape[1]
    if not len(ids) or any(k < 1 or (k > kept and kept < labels) for k in ks):
        raise ValueError(
            f"metrics need documents, and at least {max(ks, default=1)} ranked labels "
            f"of each (every k from 1), got {len(ids)} documents with {kept}"
        )
    for name, found_ids in (("ranked", ids), ("true", indices)):
        if found_ids.size and not 0 <= found_ids.min() <= found_ids.max() < labels:
            raise ValueError(
                f"{name} labels must lie in 0 .. {labels - 1}, got "
                f"{found_ids.min()} .. {found_ids.max()}"
            )
    hits = ranked_hits(ids, indptr, indices)
    positives = np.diff(indptr).astype(np.int64)
    found: dict[str, float] = {}
    if decided is not None:
        if decided.shape != ids.shape:
            raise ValueError(
                f"decided must have the shape of ids {ids.shape}, got {decided.shape}"
            )
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
        best = _best_worth(indptr, indices, worth, min(max(ks, default=1), kept))
        for k in ks:
            found[f"PSP@{k}"] = gained[:, :k].sum() / (best[:, :k].sum() or 1.0)
    return {name: float(value) for name, value in found.items()}


def f1_from_counts(
    true_positives: Int[Host, " N"],
    predicted: Int[Host, " N"],
    positives: Int[Host, " N"],
    documents: DocumentCounts | None = None,
) -> dict[str, float]:
    """F1 and the like of decisions that were only counted, as of `decision_counts`.

    Args:
        true_positives, predicted, positives: of every label, over all documents.
        documents: the same of every document, for the metrics that are means over
            documents.

    Returns:
        What `summarise_label_counts` gives; with `documents` also samples_f1,
        samples_precision, samples_recall, hamming_loss and subset_accuracy.

    Raises:
        ValueError: a label is predicted or true less often than it is both.
    """
    right, chosen, true = (
        np.asarray(count, np.int64) for count in (true_positives, predicted, positives)
    )
    impossible = (right > chosen) | (right > true) | (right < 0)
    if impossible.any():
        label = int(impossible.argmax())
        raise ValueError(
            "a label is rightly predicted at most as often as it is predicted and as "
            f"it is true; label {label}: {right[label]} of {chosen[label]} and "
            f"{true[label]}"
        )
    found = summarise_label_counts(
        LabelCounts(right, chosen - right, true - right, true)
    )
    if documents is not None:
        cells = len(right) * len(documents.tp)
        found |= samples_metrics(documents, cells)
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
    right = decided & hits
    return f1_from_counts(
        np.bincount(ids[right], minlength=labels),
        np.bincount(ids[decided], minlength=labels),
        np.bincount(indices, minlength=labels),
        DocumentCounts(right.sum(axis=1), decided.sum(axis=1), positives),
    )


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

    What it decides are the kept labels alone. For every threshold above all documents'
    smallest kept probability, `probabilities[:, -1].max()`, these are all labels, and
    the F1 is that of deciding on all scores; where the threshold that
    `fit_global_threshold` finds on all of them lies above that bound, this one makes
    the same decisions.

    Args:
        ids: the K best labels of every document.
        probabilities: theirs.
        indptr, indices: the truth as the rows of a CSR matrix.

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
