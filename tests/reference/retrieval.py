"""The memory's scores as plain loops, from the formula of RAE-XMC."""

import math

import numpy as np


def nearest_keys(queries, keys, k):
    """Similarities and rows, the largest first, of equal ones the lower row."""
    similarities, rows = [], []
    for query in queries:
        products = [float(np.dot(query, key)) for key in keys]
        order = sorted(range(len(keys)), key=lambda row: (-products[row], row))[:k]
        rows.append(order)
        similarities.append([products[row] for row in order])
    return np.asarray(similarities), np.asarray(rows)


def memory_scores(queries, keys, label_ids, weights, labels, temperature, k):
    """[B, N]: softmax over the k nearest keys, times their values."""
    similarities, rows = nearest_keys(queries, keys, k)
    scores = np.zeros((len(queries), labels))
    for b in range(len(queries)):
        logits = [s / temperature for s in similarities[b]]
        largest = max(logits)
        total = sum(math.exp(x - largest) for x in logits)
        for row, x in zip(rows[b], logits, strict=True):
            for label in label_ids[row]:
                if label >= 0:
                    share = math.exp(x - largest) / total
                    scores[b, label] += share * weights[row]
    return scores


def top_scores(scores, k):
    """The k best columns of each row, ties by column: ids and scores."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)
