"""Decisions and metrics from the most probable labels of each document alone.

What `decisions` and `evaluation` do with the scores of all labels, for labels so many
that only the best of them are kept.
"""

import dataclasses
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.functional.metrics.ranked import (
    fit_global_threshold_ranked,
    ranked_hits,
    ranked_metrics,
)
from labelgraph_jax.predictors.decision import HALF, Decision
from labelgraph_jax.predictors.loss_choice import annotated_documents
from labelgraph_jax.predictors.workdir import LabelGraphArrays
from labelgraph_jax.training.many_labels import TopLabels

FOLDS = 2


def no_labels() -> TopLabels:
    """Of no document."""
    return TopLabels(np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32))


def decide_ranked(decision: Decision, top: TopLabels) -> np.ndarray:
    """Which of its most probable labels each document gets, bool `[M, K]`.

    As `Decision.decide` on all labels, where a document's K-th label stays below the
    thresholds; `is_cut` tells.
    """
    if decision.kind == "top_k":
        return np.broadcast_to(
            np.arange(top.ids.shape[1]) < decision.k, top.ids.shape
        ).copy()
    decided = top.probabilities >= decision.thresholds[top.ids]
    if decision.at_least_one:
        decided[:, 0] |= ~decided.any(axis=1)
    return decided


def cut_documents(decision: Decision, top: TopLabels, labels: int) -> int:
    """How many documents may have more labels than the K that were kept."""
    kept = top.ids.shape[1]
    if decision.kind == "top_k" or kept >= labels:
        return 0
    return int((top.probabilities[:, -1] >= decision.thresholds.min()).sum())


def choose_ranked_decision(
    config: ThresholdConfig, top: TopLabels, truth: csr_array
) -> Decision:
    """Fits what the settings ask for to the validation documents.

    With `auto`, one threshold for all labels is fitted on each half of the documents
    and decides the other; it takes the place of 0.5 where it has the higher micro-F1
    there, and is then fitted on all of them. Whether every document gets a label is
    chosen by micro-F1, too: nothing is fitted for it.

    Args:
        config: what is asked for.
        top: the most probable labels of the validation documents.
        truth: their labels `[M, N]`.
    """
    labels = truth.shape[1]
    plain = Decision(
        kind="half",
        thresholds=np.full(labels, HALF),
        at_least_one=bool(config.at_least_one),
        asked=config.kind,
        fit={"fitted_on": None},
    )
    if config.kind == "top_k" and (config.k or not truth.nnz):
        return dataclasses.replace(plain, kind="top_k", k=config.k or 1)
    if not truth.nnz or config.kind == "half":
        return plain
    hits = ranked_hits(top.ids, truth.indptr, truth.indices)
    fit: dict[str, Any] = {"fitted_on": "validation", "metric": "micro_f1"}
    if config.kind == "top_k":
        k = 1 + int(np.argmax(_micro_f1_at(hits, truth.nnz)))
        return dataclasses.replace(plain, kind="top_k", k=k, fit=fit)
    if config.kind == "auto" and config.at_least_one is None:
        forced = dataclasses.replace(plain, at_least_one=True)
        gains = {
            name: _micro_f1(decide_ranked(rule, top), hits, truth.nnz)
            for name, rule in (("half", plain), ("at_least_one", forced))
        }
        fit["at_half"] = gains
        plain = forced if gains["at_least_one"] > gains["half"] else plain
    fitted = _with_threshold(plain, _fitted(top, truth), fit)
    if config.kind == "global":
        return fitted
    fit["cross_fitted"] = {
        "half": _micro_f1(decide_ranked(plain, top), hits, truth.nnz),
        "global": _cross_fitted(plain, top, truth, hits),
    }
    better = fit["cross_fitted"]["global"] > fit["cross_fitted"]["half"]
    return fitted if better else dataclasses.replace(plain, fit=fit)


def _with_threshold(plain: Decision, threshold: float, fit: Any) -> Decision:
    thresholds = np.full_like(plain.thresholds, threshold)
    return dataclasses.replace(plain, kind="global", thresholds=thresholds, fit=fit)


def _fitted(top: TopLabels, truth: csr_array) -> float:
    return float(
        fit_global_threshold_ranked(
            top.ids, top.probabilities, truth.indptr, truth.indices
        )
    )


def _cross_fitted(
    plain: Decision, top: TopLabels, truth: csr_array, hits: np.ndarray
) -> float:
    """Micro-F1 of one threshold, fitted on the documents that it does not decide."""
    decided = np.zeros(hits.shape, bool)
    fold = np.arange(len(hits)) % FOLDS
    for held in range(FOLDS):
        learned, kept = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        if not len(learned) or not truth[learned].nnz:
            return 0.0
        threshold = _fitted(_rows(top, learned), truth[learned])
        rule = _with_threshold(plain, threshold, {})
        decided[kept] = decide_ranked(rule, _rows(top, kept))
    return _micro_f1(decided, hits, truth.nnz)


def _rows(top: TopLabels, rows: np.ndarray) -> TopLabels:
    return TopLabels(top.ids[rows], top.probabilities[rows])


def _micro_f1(decided: np.ndarray, hits: np.ndarray, positives: int) -> float:
    right, predicted = int((decided & hits).sum()), int(decided.sum())
    return 2.0 * right / max(predicted + positives, 1)


def _micro_f1_at(hits: np.ndarray, positives: int) -> np.ndarray:
    """Of the first k labels of every document, for every k."""
    right = hits.sum(axis=0).cumsum()
    predicted = len(hits) * np.arange(1, hits.shape[1] + 1)
    return 2.0 * right / (predicted + positives)


def ranked_validation_metrics(top: TopLabels, truth: csr_array) -> dict[str, float]:
    """What selects a checkpoint: F1 at the best single threshold, nDCG@5."""
    threshold = _fitted(top, truth) if truth.nnz else HALF
    rule = Decision(kind="global", thresholds=np.full(truth.shape[1], threshold))
    found = ranked_metrics(
        top.ids,
        truth.indptr,
        truth.indices,
        labels=truth.shape[1],
        decided=decide_ranked(rule, top),
        ks=(1, 5),
    )
    return found | {"threshold": threshold}


def measure_ranked(
    top: TopLabels,
    truth: csr_array,
    decision: Decision,
    graph: LabelGraphArrays,
    ks: tuple[int, ...],
) -> dict[str, dict[str, float]]:
    """Every metric that the kept labels are enough for, of the decision and at 0.5."""
    half = Decision(kind="half", thresholds=np.full(truth.shape[1], HALF))
    return {
        name: ranked_metrics(
            top.ids,
            truth.indptr,
            truth.indices,
            labels=truth.shape[1],
            decided=decide_ranked(rule, top),
            train_label_counts=graph.counts,
            train_documents=annotated_documents(graph).astype(int),
            ks=ks,
        )
        for name, rule in (("tuned", decision), ("half", half))
    }
