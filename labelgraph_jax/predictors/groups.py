"""Metrics of groups of labels, by how many training documents carry them."""

import math

import numpy as np
from scipy import sparse

from labelgraph_jax.data.labels.groups import label_groups
from labelgraph_jax.functional.metrics.groups import (
    competing_r_precision,
    group_ranking_metrics,
    ranked_group_metrics,
)
from labelgraph_jax.predictors.predictions import Predictions

SELECTION_KS = (1, 5)
"""Ranks of the metrics that select a checkpoint, and of those of groups of labels."""
DEPTH = 5
"""Rank at which labels with and without training documents are compared."""

Groups = dict[str, dict[str, float | None]]


def measure_groups(predictions: Predictions, train_counts: np.ndarray) -> Groups:
    """R@k, RP@k and nDCG@k among the labels of each group, see `data.labels.groups`.

    Of the best labels alone, where these ran out of labels of a group, the values are
    lower bounds, and `complete@k` is below 1.

    Args:
        predictions: with their truth.
        train_counts: training documents with each label `[N]`.

    Returns:
        Per group that has labels how many, how many documents carry one, and the means
        over these; None in place of a mean over no document.
    """
    groups = {n: ids for n, ids in label_groups(train_counts).items() if len(ids)}
    if predictions.ids is None:
        found = group_ranking_metrics(
            predictions.probabilities, predictions.targets, groups, ks=SELECTION_KS
        )
    else:
        found = ranked_groups(predictions, groups, SELECTION_KS)

    def value(name: str, number: float) -> float | None:
        if name in ("labels", "documents"):
            return int(number)
        return None if math.isnan(number) else float(number)

    return {
        group: {name: value(name, number) for name, number in metrics.items()}
        for group, metrics in found.items()
    }


def ranked_groups(
    predictions: Predictions, groups: dict[str, np.ndarray], ks: tuple[int, ...]
) -> dict[str, dict[str, float]]:
    """The metrics of groups from lists of best labels, see `ranked_group_metrics`."""
    truth = predictions.truth
    assert truth is not None and predictions.ids is not None
    return ranked_group_metrics(
        predictions.ids,
        truth.indptr,
        truth.indices,
        groups,
        labels=predictions.labels,
        ks=ks,
    )


def seen_and_unseen(
    predictions: Predictions, train_counts: np.ndarray
) -> dict[str, float] | None:
    """RP@5 of labels with training documents and of those without, all competing.

    Args:
        predictions: with their truth.
        train_counts: training documents with each label `[N]`.

    Returns:
        As `competing_r_precision`; None where no document carries a label of either.
    """
    best = predictions.top(DEPTH) if predictions.ids is None else predictions
    assert best.ids is not None
    truth = sparse.csr_array(best.truth)
    truth.eliminate_zeros()
    seen = np.asarray(train_counts) > 0
    groups = {"seen": np.flatnonzero(seen), "unseen": np.flatnonzero(~seen)}
    held = seen[truth.indices]
    if held.all() or not held.any():
        return None
    k = min(DEPTH, best.ids.shape[1])
    rows = truth.indptr, truth.indices, groups
    return competing_r_precision(best.ids, *rows, labels=len(seen), k=k)
