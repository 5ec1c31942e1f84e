"""Adjacencies as plain loops over labels and documents."""

import numpy as np


def cooccurrence(targets, mask=None):
    documents, labels = targets.shape
    counts = np.zeros((labels, labels))
    for m in range(documents):
        for i in range(labels):
            for j in range(labels):
                if mask is not None and not (mask[m, i] and mask[m, j]):
                    continue
                if targets[m, i] and targets[m, j]:
                    counts[i, j] += 1
    return counts


def masked_conditional(targets, mask):
    """P(j | i) from the documents alone that are annotated for both labels."""
    documents, labels = targets.shape
    adjacency = np.eye(labels)
    for i in range(labels):
        for j in range(labels):
            both = [m for m in range(documents) if mask[m, i] and mask[m, j]]
            of = sum(bool(targets[m, i]) for m in both)
            together = sum(bool(targets[m, i] and targets[m, j]) for m in both)
            if i != j:
                adjacency[i, j] = together / of if of else 0.0
    return adjacency


def conditional_adjacency(counts):
    labels = len(counts)
    adjacency = np.zeros((labels, labels))
    for i in range(labels):
        for j in range(labels):
            if i == j:
                adjacency[i, j] = 1.0
            elif counts[i, i] > 0:
                adjacency[i, j] = counts[i, j] / counts[i, i]
    return adjacency


def thresholded_adjacency(counts, tau, p):
    labels = len(counts)
    adjacency = np.zeros((labels, labels))
    for i in range(labels):
        kept = []
        for j in range(labels):
            if i != j and counts[i, i] > 0 and counts[i, j] / counts[i, i] >= tau:
                kept.append(j)
        adjacency[i, i] = 1.0 - p if kept else 1.0
        for j in kept:
            adjacency[i, j] = p / len(kept)
    return adjacency


def taxonomy_adjacency(parents, labels):
    adjacency = np.zeros((labels, labels))
    for i in range(labels):
        adjacency[i, i] = 1.0
    for child, parent in parents:
        adjacency[child, parent] = 1.0
        adjacency[parent, child] = 1.0
    return adjacency


def similarity_adjacency(features, neighbours):
    labels = len(features)

    def cosine(i, j):
        norms = np.linalg.norm(features[i]) * np.linalg.norm(features[j])
        return features[i] @ features[j] / norms if norms else 0.0

    adjacency = np.zeros((labels, labels))
    for i in range(labels):
        adjacency[i, i] = 1.0
        others = [(-cosine(i, j), j) for j in range(labels) if j != i]
        for unlike, j in sorted(others)[:neighbours]:
            adjacency[i, j] = max(-unlike, 0.0)
    return adjacency


def adjacency_statistics(adjacency):
    labels = len(adjacency)
    edges = self_loops = isolated = most = both = 0
    for i in range(labels):
        senders = 0
        for j in range(labels):
            if adjacency[i, j] == 0:
                continue
            if i == j:
                self_loops += 1
                continue
            senders += 1
            both += adjacency[j, i] != 0
        edges += senders
        isolated += senders == 0
        most = max(most, senders)
    return {
        "edges": edges,
        "density": edges / (labels * (labels - 1)) if labels > 1 else 0.0,
        "self_loops": self_loops,
        "isolated_labels": isolated,
        "mean_senders": edges / labels,
        "most_senders": most,
        "reciprocated": both / edges if edges else 0.0,
    }
