"""How well frequent labels, rare labels and labels without a training document fare."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.labels.groups import label_groups
from labelgraph_jax.functional.metrics.groups import (
    group_ranking_metrics,
    ranked_group_metrics,
)
from labelgraph_jax.training.many_labels import TopLabels

KS = (1, 5)

Groups = dict[str, dict[str, float | None]]


def measure_groups(
    probabilities: np.ndarray, targets: np.ndarray, train_counts: np.ndarray
) -> Groups:
    """R@k, RP@k and nDCG@k among the labels of each group, see `label_groups`.

    Args:
        probabilities: of all labels `[M, N]`.
        targets: their truth `[M, N]`.
        train_counts: training documents with each label `[N]`.

    Returns:
        Per group that has labels how many, how many documents carry one, and the means
        over these; None in place of a mean over no document.
    """
    groups = _groups(train_counts)
    return _json(group_ranking_metrics(probabilities, targets, groups, ks=KS))


def measure_groups_ranked(
    top: TopLabels, truth: csr_array, train_counts: np.ndarray
) -> Groups:
    """As `measure_groups`, from the best labels of each document.

    Where these ran out of labels of a group, the values are lower bounds, and
    `complete@k` is below 1.
    """
    found = ranked_group_metrics(
        top.ids,
        truth.indptr,
        truth.indices,
        _groups(train_counts),
        labels=truth.shape[1],
        ks=KS,
    )
    return _json(found)


def _groups(train_counts: np.ndarray) -> dict[str, np.ndarray]:
    return {name: ids for name, ids in label_groups(train_counts).items() if len(ids)}


def _json(found: Mapping[str, Mapping[str, float]]) -> Groups:
    def value(name: str, number: float) -> Any:
        if name in ("labels", "documents"):
            return int(number)
        return None if math.isnan(number) else float(number)

    return {
        group: {name: value(name, number) for name, number in metrics.items()}
        for group, metrics in found.items()
    }
