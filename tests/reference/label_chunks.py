"""Scores over many labels as plain loops in float64, a cell at a time."""

import math


def logits(documents, labels, bias):
    return [
        [
            sum(float(x) * float(y) for x, y in zip(document, label, strict=True))
            + float(offset)
            for label, offset in zip(labels, bias, strict=True)
        ]
        for document in documents
    ]


def cross_entropy(documents, labels, bias, positives, example_mask):
    """(loss_sum, weight_sum)."""
    loss, weight = 0.0, 0.0
    for row, scores in enumerate(logits(documents, labels, bias)):
        if not example_mask[row]:
            continue
        for label, score in enumerate(scores):
            signed = -score if label in positives[row] else score
            loss += max(signed, 0.0) + math.log1p(math.exp(-abs(signed)))
            weight += 1.0
    return loss, weight


def top_labels(scores, k):
    """Ids of the k highest of every row, ties by id."""
    return [sorted(range(len(row)), key=lambda n: (-row[n], n))[:k] for row in scores]


def decision_counts(scores, positives, thresholds, example_mask, at_least_one=False):
    """Per label, then per document: hits, decisions, positives."""
    of_labels = [[0] * len(thresholds) for _ in range(3)]
    of_documents = [[0] * len(scores) for _ in range(3)]
    for row, values in enumerate(scores):
        if not example_mask[row]:
            continue
        chances = [1 / (1 + math.exp(-value)) for value in values]
        decided = [p >= t for p, t in zip(chances, thresholds, strict=True)]
        if at_least_one and not any(decided):
            decided[top_labels([values], 1)[0][0]] = True
        for label in range(len(values)):
            true = label in positives[row]
            cell = (decided[label] and true, decided[label], true)
            for kind, counted in enumerate(cell):
                of_labels[kind][label] += counted
                of_documents[kind][row] += counted
    return of_labels, of_documents
