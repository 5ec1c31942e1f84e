"""Combined scores and position logits as plain loops."""

import numpy as np

TINY = 1.1754943508222875e-38


def weighted_product(values, weights):
    scores = []
    for row in np.asarray(values, float):
        score = 1.0
        for value, weight in zip(row, weights, strict=True):
            score *= max(value, TINY) ** weight
        scores.append(score)
    return np.array(scores)


def weighted_sum(values, weights):
    return np.array(
        [sum(w * v for v, w in zip(row, weights, strict=True)) for row in values]
    )


def add_position_logits(outputs, table, positions, groups, columns):
    added = np.array(outputs, float)
    for row in range(len(added)):
        place = min(positions[row], table.shape[1] - 1)
        for task, column in enumerate(columns):
            added[row, column] += table[groups[row], place, task]
    return added
