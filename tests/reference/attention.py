"""Graph attention as plain loops, in the concatenation form of the GAT paper."""

import math

import numpy as np


def masked_softmax(logits, mask):
    """One row: exp(l_j) over the sum of those that count."""
    total = sum(math.exp(x) for x, keep in zip(logits, mask, strict=True) if keep)
    return np.array(
        [
            math.exp(x) / total if keep else 0.0
            for x, keep in zip(logits, mask, strict=True)
        ]
    )


def concatenation_logit(vector, receiver, sender, negative_slope):
    """LeakyReLU(a^T [W h_i || W h_j]), eq. 3."""
    joined = np.concatenate([receiver, sender])
    raw = sum(a * x for a, x in zip(vector, joined, strict=True))
    return raw if raw > 0 else negative_slope * raw


def graph_attention(
    nodes,
    kernel,
    vector,
    *,
    adjacency=None,
    edge_weights=None,
    edge_bias=None,
    negative_slope=0.2,
    role="additive",
):
    """`vector` [H, 2 F] is the whole attention vector a of every head."""
    labels, heads, size = len(nodes), kernel.shape[1], kernel.shape[2]
    attention = np.zeros((heads, labels, labels))
    out = np.zeros((labels, heads, size))
    for head in range(heads):
        z = [kernel[:, head, :].T @ node for node in nodes]
        for i in range(labels):
            logits, keep = [], []
            for j in range(labels):
                logit = concatenation_logit(vector[head], z[i], z[j], negative_slope)
                counts = adjacency is None or adjacency[i, j] != 0
                if edge_bias is not None:
                    logit += edge_bias[i, j]
                if edge_weights is not None and role == "additive":
                    counts = counts and edge_weights[i, j] > 0
                    logit += math.log(edge_weights[i, j]) if counts else 0.0
                if edge_weights is not None and role == "mask":
                    counts = counts and edge_weights[i, j] != 0
                logits.append(logit)
                keep.append(counts)
            attention[head, i] = masked_softmax(logits, keep)
            if role == "multiplicative":
                attention[head, i] = attention[head, i] * edge_weights[i]
            if role == "fixed":
                row = [
                    w if adjacency is None or adjacency[i, j] != 0 else 0.0
                    for j, w in enumerate(edge_weights[i])
                ]
                total = sum(abs(w) for w in row)
                attention[head, i] = [w / total if total else 0.0 for w in row]
            for j in range(labels):
                out[i, head] += attention[head, i, j] * z[j]
    return out, attention
