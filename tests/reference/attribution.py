"""Attributions as plain loops, for functions whose gradient is known."""

import numpy as np


def gradient_times_input(gradient, x, b):
    out = np.zeros(x.shape[0])
    g = gradient(x)
    for s in range(x.shape[0]):
        for d in range(x.shape[1]):
            out[s] += (x[s, d] - b[s, d]) * g[s, d]
    return out


def integrated_gradients(gradient, x, b, steps):
    out = np.zeros(x.shape[0])
    for k in range(steps):
        at = b + (k + 0.5) / steps * (x - b)
        g = gradient(at)
        for s in range(x.shape[0]):
            for d in range(x.shape[1]):
                out[s] += (x[s, d] - b[s, d]) * g[s, d] / steps
    return out
