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


def rotate_positions(x, base):
    """Su et al. 2021, equation 15: each pair of features a point of the plane."""
    length, features = x.shape
    out = np.zeros_like(x, dtype=np.float64)
    half = features // 2
    for s in range(length):
        for i in range(half):
            angle = s * base ** (-2 * i / features)
            point = complex(x[s, i], x[s, i + half])
            turned = point * complex(math.cos(angle), math.sin(angle))
            out[s, i], out[s, i + half] = turned.real, turned.imag
    return out


def relative_position_bias(table, length, furthest):
    """Raffel et al. 2020, section 2.1: near distances have a row each."""
    rows, heads = table.shape
    each = rows // 2
    exact = each // 2
    out = np.zeros((heads, length, length))
    for query in range(length):
        for key in range(length):
            distance = abs(key - query)
            if distance < exact:
                row = distance
            else:
                share = math.log(distance / exact) / math.log(furthest / exact)
                row = min(exact + int(share * (each - exact) + 1e-9), each - 1)
            out[:, query, key] = table[row + (each if key > query else 0)]
    return out


def self_attention(
    x,
    mask,
    qkv_kernel,
    qkv_bias,
    out_kernel,
    out_bias,
    heads,
    position_bias=None,
    base=0.0,
    window=0,
):
    batch, length, _ = x.shape
    features = qkv_kernel.shape[1] // (3 * heads)
    packed = x @ qkv_kernel + (0 if qkv_bias is None else qkv_bias)
    mixed = np.zeros((batch, length, heads * features))
    for b in range(batch):
        for h in range(heads):
            columns = [
                slice((part * heads + h) * features, (part * heads + h + 1) * features)
                for part in range(3)
            ]
            query, key, value = (packed[b][:, c] for c in columns)
            if base:
                query, key = rotate_positions(query, base), rotate_positions(key, base)
            for s in range(length):
                weights = np.zeros(length)
                for t in range(length):
                    if mask[b, t] and not (window and abs(s - t) > window):
                        logit = float(query[s] @ key[t]) / math.sqrt(features)
                        if position_bias is not None:
                            logit += position_bias[h, s, t]
                        weights[t] = math.exp(logit)
                weights /= weights.sum() or 1  # of a token that sees none
                for t in range(length):
                    mixed[b, s, h * features : (h + 1) * features] += (
                        weights[t] * value[t]
                    )
    return mixed @ out_kernel + (0 if out_bias is None else out_bias)


def feed_forward(x, input_kernel, input_bias, output_kernel, output_bias):
    return gelu(x @ input_kernel + input_bias) @ output_kernel + output_bias


def gated_feed_forward(x, input_kernel, output_kernel):
    """Shazeer 2020, equation 6, with the exact GELU and without biases."""
    both = x @ input_kernel
    half = both.shape[-1] // 2
    return (gelu(both[..., :half]) * both[..., half:]) @ output_kernel


def embed_tokens(ids, table, positions, offset):
    out = np.zeros((*ids.shape, table.shape[1]))
    for b, s in np.ndindex(ids.shape):
        out[b, s] = table[ids[b, s]] + positions[s + offset]
    return out
