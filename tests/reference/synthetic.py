"""The controlled-correlation labels of KDD 2018, section 3.2, as plain loops."""

import math

import numpy as np


def targets(
    inputs: np.ndarray, weights: np.ndarray, alpha: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """y_t = w_t . x + sum_i sin(alpha_i w_t . x + beta_i), without noise."""
    result = np.zeros((len(inputs), len(weights)))
    for row, x in enumerate(inputs):
        for task, w in enumerate(weights):
            linear = sum(float(a) * float(b) for a, b in zip(w, x, strict=True))
            result[row, task] = linear
            for a, b in zip(alpha, beta, strict=True):
                result[row, task] += math.sin(float(a) * linear + float(b))
    return result


def two_task_weights(
    first: np.ndarray, second: np.ndarray, scale: float, correlation: float
) -> np.ndarray:
    """w_1 = c u_1; w_2 = c (p u_1 + sqrt(1 - p^2) u_2)."""
    rest = math.sqrt(1.0 - correlation**2)
    return np.stack(
        [scale * first, scale * (correlation * first + rest * second)], axis=0
    )
