"""The ridge of a token table by its normal equations, column by column."""

import numpy as np


def ridge_token_table(shares, targets, start, strength):
    documents, tokens = shares.shape
    normal = strength * np.eye(tokens)
    for m in range(documents):
        for v in range(tokens):
            for w in range(tokens):
                normal[v, w] += shares[m, v] * shares[m, w]
    table = np.zeros(start.shape)
    for d in range(start.shape[1]):
        right = strength * start[:, d]
        for m in range(documents):
            right = right + shares[m] * targets[m, d]
        table[:, d] = np.linalg.solve(normal, right)
    return table
