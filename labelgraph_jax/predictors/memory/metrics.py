"""How labels that were added after training are measured: as a group of their own."""

import dataclasses
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.functional.metrics.groups import ranked_group_metrics
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.functional.metrics.ranked import ranked_hits
from labelgraph_jax.predictors.memory.memory import Memory
from labelgraph_jax.predictors.workdir import LabelGraphArrays
from labelgraph_jax.training.many_labels import TopLabels

KS = (1, 3, 5)
RANKED = ("P@", "R@", "RP@", "nDCG@")


def with_unknown_labels(graph: LabelGraphArrays, labels: int) -> LabelGraphArrays:
    """Counts and priors with zeros behind them, for labels that training never saw."""
    more = (0, labels - len(graph.counts))
    if not more[1]:
        return graph
    return dataclasses.replace(
        graph, counts=np.pad(graph.counts, more), prior=np.pad(graph.prior, more)
    )


def added_label_metrics(
    probabilities: np.ndarray,
    targets: np.ndarray,
    decisions: np.ndarray,
    target_mask: np.ndarray | None,
    memory: Memory,
) -> dict[str, Any]:
    """The metrics of the added labels among themselves.

    Args:
        probabilities, targets, decisions, target_mask: of all labels, `[M, N + A]`.
        memory: it knows which were added.

    Returns:
        How many labels there are and how many documents carry one; F1 over all
        documents; and the ranking metrics over the documents that carry one, with no
        other label in the ranking, as Chalkidis et al. (ACL 2019) measure zero-shot
        labels. None for the metrics where no document carries one.
    """
    columns = slice(len(memory.keys.seen), None)
    scores, truth, decided = (
        array[:, columns] for array in (probabilities, targets, decisions)
    )
    mask = None if target_mask is None else target_mask[:, columns]
    positive = truth > 0 if mask is None else (truth > 0) & mask
    carrying = positive.any(axis=1)
    found = {"labels": len(memory.added), "documents": int(carrying.sum())}
    if not carrying.any():
        return {**found, "metrics": None}

    def measured(rows: Any, ks: tuple[int, ...] = KS) -> dict[str, float]:
        return evaluate_scores(
            scores[rows],
            truth[rows],
            predictions=decided[rows],
            target_mask=None if mask is None else mask[rows],
            ks=ks,
        )

    every, some = measured(slice(None)), measured(carrying)
    ranked = {name: some[name] for name in some if name.startswith(RANKED)}
    f1 = {name: value for name, value in every.items() if "f1" in name}
    return {**found, "metrics": {**f1, **ranked}}


def added_label_metrics_ranked(
    top: TopLabels, truth: csr_array, decided: np.ndarray, memory: Memory
) -> dict[str, Any]:
    """As `added_label_metrics`, from the best labels of each document.

    Micro-F1 alone of the F1s. Where a list ran out of added labels, the ranking metrics
    are lower bounds, and `complete@k` is below 1.

    Args:
        top: the best labels of M documents, added ones among them.
        truth: of all labels `[M, N + A]`.
        decided: bool `[M, K]`, which of the best labels each document gets.
        memory: it knows which were added.
    """
    trained = len(memory.keys.seen)
    columns = np.arange(trained, trained + len(memory.added))
    group = ranked_group_metrics(
        top.ids,
        truth.indptr,
        truth.indices,
        {"added": columns},
        labels=truth.shape[1],
        ks=KS,
    )["added"]
    found = {"labels": len(memory.added), "documents": int(group.pop("documents"))}
    if not found["documents"]:
        return {**found, "metrics": None}
    chosen = decided & (top.ids >= trained)
    hits = ranked_hits(np.maximum(top.ids, 0), truth.indptr, truth.indices)
    positives = int((truth.indices >= trained).sum())
    f1 = 2.0 * int((hits & chosen).sum()) / (int(chosen.sum()) + positives)
    del group["labels"]
    return {**found, "metrics": {"micro_f1": f1, **group}}
