"""Taxonomies as plain loops over labels, edges and documents."""

import numpy as np


def ancestor_matrix(parents, labels):
    ancestors = np.zeros((labels, labels), bool)
    for label in range(labels):
        waiting = [label]
        while waiting:
            below = waiting.pop()
            for child, parent in parents:
                if child == below and not ancestors[label, parent]:
                    ancestors[label, parent] = True
                    waiting.append(parent)
    return ancestors


def imply_ancestors(decisions, ancestors):
    implied = decisions.copy()
    documents, labels = decisions.shape
    for m in range(documents):
        for i in range(labels):
            for j in range(labels):
                if decisions[m, i] and ancestors[i, j]:
                    implied[m, j] = True
    return implied


def ancestor_probabilities(probabilities, ancestors):
    raised = probabilities.copy()
    documents, labels = probabilities.shape
    for m in range(documents):
        for j in range(labels):
            for i in range(labels):
                if ancestors[i, j] and probabilities[m, i] > raised[m, j]:
                    raised[m, j] = probabilities[m, i]
    return raised


def hierarchical_metrics(decisions, targets, ancestors):
    """Kiritchenko et al., with sets."""
    hits = predicted = positives = violations = in_truth = 0
    for decided, truth in zip(decisions, targets, strict=True):
        sets = []
        for row in (decided, truth):
            names = {i for i, value in enumerate(row) if value > 0}
            above = {j for i in names for j in range(len(row)) if ancestors[i, j]}
            sets.append(names | above)
        hits += len(sets[0] & sets[1])
        predicted += len(sets[0])
        positives += len(sets[1])
        violations += sets[0] != {i for i, value in enumerate(decided) if value}
        in_truth += sets[1] != {i for i, value in enumerate(truth) if value > 0}
    precision = hits / predicted if predicted else 0.0
    recall = hits / positives if positives else 0.0
    total = precision + recall
    return {
        "hierarchical_precision": precision,
        "hierarchical_recall": recall,
        "hierarchical_f1": 2 * precision * recall / total if total else 0.0,
        "taxonomy_violations": violations / len(decisions) if len(decisions) else 0.0,
        "taxonomy_violations_in_truth": in_truth / len(targets)
        if len(targets)
        else 0.0,
    }
