"""Pooling as plain loops over documents and tokens."""

import math
from collections import Counter

import numpy as np


def masked_mean(x, mask):
    out = np.zeros((x.shape[0], x.shape[2]))
    for b in range(len(x)):
        rows = [x[b, s] for s in range(x.shape[1]) if mask[b, s]]
        if rows:
            out[b] = sum(rows) / len(rows)
    return out


def masked_max(x, mask):
    out = np.zeros((x.shape[0], x.shape[2]))
    for b in range(len(x)):
        rows = [x[b, s] for s in range(x.shape[1]) if mask[b, s]]
        if rows:
            out[b] = np.max(rows, axis=0)
    return out


def token_counts(ids, mask):
    out = np.zeros(ids.shape, int)
    for b, s in np.ndindex(ids.shape):
        if mask[b, s]:
            out[b, s] = sum(
                bool(mask[b, t]) and ids[b, t] == ids[b, s] for t in range(ids.shape[1])
            )
    return out


def bag_of_embeddings(table, ids, mask, token_weights, damping, norm, values=None):
    damp = {
        "none": float,
        "sqrt": math.sqrt,
        "log": lambda c: 1 + math.log(c),
        "binary": lambda c: 1.0,
    }[damping]
    out = np.zeros((len(ids), table.shape[1]))
    for b in range(len(ids)):
        counts = Counter(
            int(i) for i, real in zip(ids[b], mask[b], strict=True) if real
        )
        if not counts:
            continue
        weights = {v: token_weights[v] * damp(c) for v, c in counts.items()}
        if values is not None:
            weights = {
                int(i): token_weights[i] * x
                for i, x, real in zip(ids[b], values[b], mask[b], strict=True)
                if real
            }
        total = sum(weights[v] * table[v] for v in counts)
        size = {
            "tfidf": math.sqrt(sum(w * w for w in weights.values())),
            "l2": math.sqrt(float(total @ total)),
            "mean": sum(abs(w) for w in weights.values()),
            "sum": 1.0,
        }[norm]
        out[b] = total / size
    return out


def text_convolution(x, mask, kernel, bias):
    width, _, channels = kernel.shape
    batch, length, _ = x.shape
    out = np.zeros((batch, channels))
    for b in range(batch):
        for start in range(-(width - 1), length):
            places = [s for s in range(start, start + width) if 0 <= s < length]
            if not any(mask[b, s] for s in places):
                continue
            response = bias.astype(float).copy()
            for s in places:
                if mask[b, s]:
                    response += x[b, s] @ kernel[s - start]
            out[b] = np.maximum(out[b], response)
    return out
