"""Block self-attention as plain loops over documents, tokens and features."""

import math

import numpy as np


def directed_attention(
    x, mask, receiver_kernel, sender_kernel, bias, reverse=False, limit=5.0
):
    out = np.zeros(x.shape)
    for place in np.ndindex(x.shape[:-2]):
        tokens, real = x[place], mask[place]
        for i, d in np.ndindex(tokens.shape):
            senders = range(i + 1, len(tokens)) if reverse else range(i)
            heights = {}
            for j in senders:
                if real[i] and real[j]:
                    score = tokens[i] @ receiver_kernel[:, d]
                    score += tokens[j] @ sender_kernel[:, d] + bias[d]
                    heights[j] = limit * math.tanh(score / limit)
            total = sum(math.exp(height) for height in heights.values())
            for j, height in heights.items():
                out[place][i, d] += math.exp(height) / total * tokens[j, d]
    return out


def attention_pooling(x, mask, kernel, bias, score_kernel, score_bias):
    out = np.zeros((*x.shape[:-2], x.shape[-1]))
    for place in np.ndindex(x.shape[:-2]):
        heights = {}
        for s in np.flatnonzero(mask[place]):
            hidden = x[place][s] @ kernel + bias
            hidden = np.where(hidden > 0, hidden, np.expm1(hidden))
            heights[s] = hidden @ score_kernel + score_bias
        for d in range(x.shape[-1]):
            total = sum(math.exp(height[d]) for height in heights.values())
            for s, height in heights.items():
                out[place][d] += math.exp(height[d]) / total * x[place][s, d]
    return out


def block_self_attention(x, mask, weights, block, reverse=False):
    near, pooling, far, gate, fusion = weights
    out = np.zeros(x.shape)
    for b, tokens in enumerate(x):
        cuts = [slice(k, k + block) for k in range(0, len(tokens), block)]
        within = [
            directed_attention(tokens[cut], mask[b][cut], *near, reverse=reverse)
            for cut in cuts
        ]
        pooled = np.array(
            [
                attention_pooling(h, mask[b][cut], *pooling)
                for h, cut in zip(within, cuts, strict=True)
            ]
        )
        real = np.array([mask[b][cut].any() for cut in cuts])
        among = directed_attention(pooled, real, *far, reverse=reverse)
        for k, cut in enumerate(cuts):
            both = np.concatenate([among[k], pooled[k]])
            share = 1 / (1 + np.exp(-(both @ gate[0] + gate[1])))
            context = share * among[k] + (1 - share) * pooled[k]
            for i, token in enumerate(tokens[cut]):
                s = cut.start + i
                if not mask[b, s]:
                    continue
                parts = np.concatenate([token, within[k][i], context])
                fused, lift = np.split(parts @ fusion[0] + fusion[1], 2)
                lift = 1 / (1 + np.exp(-lift))
                out[b, s] = lift * np.maximum(fused, 0) + (1 - lift) * token
    return out
