"""The losses of several tasks as plain loops, from their definitions."""

import math

import numpy as np


def _cross_entropy(x, y):
    return max(x, 0.0) - x * y + math.log1p(math.exp(-abs(x)))


def task_loss_sums(
    outputs,
    targets,
    tasks,
    target_mask=None,
    example_mask=None,
    example_weight=None,
    positive_weight=None,
):
    rows = len(outputs)
    losses, weights = [], []
    start = 0
    for _, kind, width, _ in tasks:
        loss_sum, weight_sum = 0.0, 0.0
        for b in range(rows):
            if example_mask is not None and not example_mask[b]:
                continue
            kept = [
                n
                for n in range(start, start + width)
                if target_mask is None or target_mask[b, n]
            ]
            if not kept or (kind == "multi_class" and len(kept) < width):
                continue
            weight = 1 if example_weight is None else example_weight[b]
            weight_sum += weight
            if kind == "multi_class":
                largest = max(outputs[b, n] for n in kept)
                total = sum(math.exp(outputs[b, n] - largest) for n in kept)
                for n in kept:
                    log = outputs[b, n] - largest - math.log(total)
                    loss_sum -= weight * targets[b, n] * log
            else:
                cells = []
                for n in kept:
                    x, y = outputs[b, n], targets[b, n]
                    if kind == "squared":
                        cells.append((x - y) ** 2)
                        continue
                    more = 1 if positive_weight is None else positive_weight[n]
                    positive, negative = _cross_entropy(x, 1), _cross_entropy(x, 0)
                    cells.append(more * y * positive + (1 - y) * negative)
                loss_sum += weight * sum(cells) / len(cells)
        losses.append(loss_sum)
        weights.append(weight_sum)
        start += width
    return np.array(losses), np.array(weights)
