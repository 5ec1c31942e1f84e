"""Label-wise attention as plain loops over documents, labels and tokens."""

import math

import numpy as np


def token_convolution(x, mask, kernel, bias):
    width, _, channels = kernel.shape
    out = np.zeros((*x.shape[:2], channels))
    for b, s in np.ndindex(x.shape[:2]):
        if not mask[b, s]:
            continue
        response = bias.astype(float).copy()
        for k in range(width):
            place = s - (width - 1) // 2 + k
            if 0 <= place < x.shape[1] and mask[b, place]:
                response += x[b, place] @ kernel[k]
        out[b, s] = np.tanh(response)
    return out


def label_attention_weights(tokens, mask, queries):
    out = np.zeros((len(tokens), len(queries), tokens.shape[1]))
    for b in range(len(tokens)):
        real = [s for s in range(tokens.shape[1]) if mask[b, s]]
        for n in range(len(queries)):
            heights = {s: float(tokens[b, s] @ queries[n]) for s in real}
            total = sum(math.exp(height) for height in heights.values())
            for s in real:
                out[b, n, s] = math.exp(heights[s]) / total
    return out


def label_attention_scores(tokens, mask, queries, outputs):
    weights = label_attention_weights(tokens, mask, queries)
    out = np.zeros(weights.shape[:2])
    for b, n in np.ndindex(out.shape):
        found = np.zeros(tokens.shape[2])
        for s in range(tokens.shape[1]):
            if mask[b, s]:
                found += weights[b, n, s] * tokens[b, s]
        out[b, n] = found @ outputs[n]
    return out
