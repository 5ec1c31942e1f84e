"""Metrics within a group of labels as plain loops, from their definitions."""

import numpy as np

from tests.reference import metrics


def group_metrics(scores, targets, group, k):
    """Means over the documents with a label of the group: R@k, RP@k, nDCG@k."""
    rows = []
    for score, target in zip(scores, targets, strict=True):
        inside = [score[n] for n in group]
        truth = [target[n] for n in group]
        if metrics.positives(truth):
            rows.append(
                [
                    measure(inside, truth, k)
                    for measure in (
                        metrics.recall_at_k,
                        metrics.r_precision_at_k,
                        metrics.ndcg_at_k,
                    )
                ]
            )
    return len(rows), np.mean(rows, axis=0) if rows else np.full(3, np.nan)
