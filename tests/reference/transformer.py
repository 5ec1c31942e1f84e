"""The encoder's functions as plain loops, from Devlin et al. and Vaswani et al."""

import math

import numpy as np


def layer_norm(x, scale, bias, epsilon):
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape[:-1]):
        row = x[index]
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        for d, value in enumerate(row):
            normal = (value - mean) / math.sqrt(variance + epsilon)
            out[index][d] = normal * scale[d] + bias[d]
    return out


def gelu(x):
    flat = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]
    return np.array(flat).reshape(x.shape)


def self_attention(x, mask, qkv_kernel, qkv_bias, out_kernel, out_bias, heads):
    batch, length, _ = x.shape
    features = qkv_kernel.shape[1] // (3 * heads)
    packed = x @ qkv_kernel + qkv_bias
    mixed = np.zeros((batch, length, heads * features))
    for b in range(batch):
        for h in range(heads):
            columns = [
                slice((part * heads + h) * features, (part * heads + h + 1) * features)
                for part in range(3)
            ]
            query, key, value = (packed[b][:, c] for c in columns)
            for s in range(length):
                weights = np.zeros(length)
                for t in range(length):
                    if mask[b, t]:
                        logit = float(query[s] @ key[t]) / math.sqrt(features)
                        weights[t] = math.exp(logit)
                weights /= weights.sum()
                for t in range(length):
                    mixed[b, s, h * features : (h + 1) * features] += (
                        weights[t] * value[t]
                    )
    return mixed @ out_kernel + out_bias


def feed_forward(x, input_kernel, input_bias, output_kernel, output_bias):
    return gelu(x @ input_kernel + input_bias) @ output_kernel + output_bias


def embed_tokens(ids, table, positions, offset):
    out = np.zeros((*ids.shape, table.shape[1]))
    for b, s in np.ndindex(ids.shape):
        out[b, s] = table[ids[b, s]] + positions[s + offset]
    return out
