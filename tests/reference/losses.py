"""The losses as plain loops in float64, written from their definitions."""

import math

import numpy as np


def _log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def _kept(shape, target_mask, example_mask):
    kept = np.ones(shape, bool)
    for b in range(shape[0]):
        for n in range(shape[1]):
            if target_mask is not None and not target_mask[b, n]:
                kept[b, n] = False
            if example_mask is not None and not example_mask[b]:
                kept[b, n] = False
    return kept


def asymmetric_loss(
    logits,
    targets,
    *,
    gamma_positive=0.0,
    gamma_negative=0.0,
    margin=0.0,
    target_mask=None,
    example_mask=None,
    positive_weight=None,
    label_smoothing=0.0,
):
    kept = _kept(np.shape(logits), target_mask, example_mask)
    loss_sum, weight_sum = 0.0, 0.0
    for b in range(kept.shape[0]):
        for n in range(kept.shape[1]):
            if not kept[b, n]:
                continue
            x = float(logits[b, n])
            y = (1 - label_smoothing) * float(targets[b, n]) + label_smoothing / 2
            weight = 1.0 if positive_weight is None else float(positive_weight[n])
            p = math.exp(_log_sigmoid(x))
            not_p = math.exp(_log_sigmoid(-x))
            positive = -(not_p**gamma_positive) * _log_sigmoid(x)
            if margin == 0:
                negative = -(p**gamma_negative) * _log_sigmoid(-x)
            else:
                q = max(p - margin, 0.0)
                negative = -(q**gamma_negative) * math.log(1 - q) if q > 0 else 0.0
            loss_sum += weight * y * positive + (1 - y) * negative
            weight_sum += 1.0
    return loss_sum, weight_sum


def binary_cross_entropy(logits, targets, **options):
    return asymmetric_loss(logits, targets, **options)


def focal_loss(logits, targets, *, gamma=2.0, **options):
    return asymmetric_loss(
        logits, targets, gamma_positive=gamma, gamma_negative=gamma, **options
    )
