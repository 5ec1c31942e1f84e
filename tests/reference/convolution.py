"""Graph convolution as plain loops."""

import math

import numpy as np


def normalise_adjacency(adjacency):
    labels = len(adjacency)
    normalised = np.zeros((labels, labels))
    for i in range(labels):
        received = sum(abs(adjacency[i, k]) for k in range(labels))
        for j in range(labels):
            sent = sum(abs(adjacency[k, j]) for k in range(labels))
            if received and sent:
                normalised[i, j] = adjacency[i, j] / math.sqrt(received * sent)
    return normalised


def graph_convolution(nodes, kernel, adjacency):
    weights = normalise_adjacency(adjacency)
    out = np.zeros((len(nodes), kernel.shape[1]))
    for i in range(len(nodes)):
        for j in range(len(nodes)):
            out[i] += weights[i, j] * (kernel.T @ nodes[j])
    return out
