"""The balanced losses as plain loops in float64, written from their definitions."""

import math

import numpy as np

from tests.reference.losses import _kept, _log_sigmoid


def class_balanced_weights(counts, beta):
    raw = [(1 - beta) / (1 - beta ** max(float(n), 0.5)) for n in counts]
    return [weight / (sum(raw) / len(raw)) for weight in raw]


def rebalancing_weights(targets, counts, alpha, map_beta, map_gamma):
    weights = np.zeros(np.shape(targets))
    labels = range(len(counts))
    for b in range(len(targets)):
        drawn = sum(float(targets[b][m]) / max(float(counts[m]), 0.5) for m in labels)
        for n in labels:
            if drawn == 0:
                weights[b, n] = alpha + 1
                continue
            ratio = 1 / max(float(counts[n]), 0.5) / drawn
            weights[b, n] = alpha + math.exp(
                _log_sigmoid(map_beta * (ratio - map_gamma))
            )
    return weights


def _focal(x, gamma):
    return -(math.exp(_log_sigmoid(-x)) ** gamma) * _log_sigmoid(x)


def _sum(logits, targets, cell, weights, masks, label_smoothing):
    kept = _kept(np.shape(logits), *masks)
    loss_sum, weight_sum = 0.0, 0.0
    for b, n in np.ndindex(kept.shape):
        if kept[b, n]:
            y = (1 - label_smoothing) * float(targets[b, n]) + label_smoothing / 2
            positive, negative = cell(float(logits[b, n]), n)
            loss_sum += weights[b][n] * (y * positive + (1 - y) * negative)
            weight_sum += 1.0
    return loss_sum, weight_sum


def class_balanced_loss(
    logits,
    targets,
    counts,
    *,
    beta,
    gamma,
    target_mask=None,
    example_mask=None,
    label_smoothing=0.0,
):
    weights = [class_balanced_weights(counts, beta)] * len(logits)

    def cell(x, n):
        return _focal(x, gamma), _focal(-x, gamma)

    masks = (target_mask, example_mask)
    return _sum(logits, targets, cell, weights, masks, label_smoothing)


def _negative_tolerant(counts, documents, negative_scale, logit_bias, gamma):
    totals = np.broadcast_to(documents, np.shape(counts))

    def cell(x, n):
        positives = max(float(counts[n]), 0.5)
        negatives = max(float(totals[n]) - positives, 0.5)
        shifted = x - logit_bias * math.log(negatives / positives)
        positive = _focal(shifted, gamma)
        return positive, _focal(-negative_scale * shifted, gamma) / negative_scale

    return cell


def negative_tolerant_loss(
    logits,
    targets,
    counts,
    documents,
    *,
    negative_scale,
    logit_bias,
    gamma,
    target_mask=None,
    example_mask=None,
    label_smoothing=0.0,
):
    cell = _negative_tolerant(counts, documents, negative_scale, logit_bias, gamma)
    weights = np.ones(np.shape(logits))
    masks = (target_mask, example_mask)
    return _sum(logits, targets, cell, weights, masks, label_smoothing)


def distribution_balanced_loss(
    logits,
    targets,
    counts,
    documents,
    *,
    alpha,
    map_beta,
    map_gamma,
    negative_scale,
    logit_bias,
    gamma,
    target_mask=None,
    example_mask=None,
    label_smoothing=0.0,
):
    masks = (target_mask, example_mask)
    known = np.where(_kept(np.shape(logits), *masks), targets, 0)
    weights = rebalancing_weights(known, counts, alpha, map_beta, map_gamma)
    cell = _negative_tolerant(counts, documents, negative_scale, logit_bias, gamma)
    return _sum(logits, targets, cell, weights, masks, label_smoothing)
