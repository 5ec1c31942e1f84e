"""Missed and invented labels as loops over documents and pairs."""

import numpy as np


def pairs(predictions, targets, mask=None):
    """missed_together and confused_with."""
    documents, labels = targets.shape
    together = np.zeros((labels, labels), int)
    confused = np.zeros((labels, labels), int)
    for b in range(documents):
        for i in range(labels):
            for j in range(labels):
                if mask is not None and not (mask[b, i] and mask[b, j]):
                    continue
                missed_i = targets[b, i] > 0 and not predictions[b, i]
                missed_j = targets[b, j] > 0 and not predictions[b, j]
                invented_j = not targets[b, j] > 0 and predictions[b, j]
                together[i, j] += missed_i and missed_j
                confused[i, j] += missed_i and invented_j
    return together, confused
