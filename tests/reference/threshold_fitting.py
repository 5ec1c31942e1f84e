"""Averaged, sloped and shrunk thresholds as plain loops, from their definitions."""

import math

import numpy as np


def _logit(p):
    return math.log(p) - math.log1p(-p)


def count_cuts(probabilities, targets, cuts, block, blocks):
    documents, labels = probabilities.shape
    hits = np.zeros((blocks, labels, len(cuts)))
    predicted = np.zeros((blocks, labels, len(cuts)))
    positives = np.zeros((blocks, labels))
    for m in range(documents):
        for n in range(labels):
            positives[block[m], n] += targets[m, n]
            for g, cut in enumerate(cuts):
                if _logit(float(probabilities[m, n])) >= cut - 1e-9:
                    predicted[block[m], n, g] += 1
                    hits[block[m], n, g] += targets[m, n]
    return hits, predicted, positives


def _f1(hits, predicted, positives):
    return 2 * hits / (predicted + positives) if predicted + positives else 0.0


def best_line(counts, slopes, draw, metric):
    """Height and slope with the best metric in one resample, the mean of equals."""
    cuts, labels = counts.cuts, range(len(counts.rarity))
    step = cuts[1] - cuts[0]
    scored = {}
    for slope in slopes:
        for g in range(len(cuts)):
            at = [g + round(slope * counts.rarity[n] / step) for n in labels]
            at = [min(max(place, 0), len(cuts) - 1) for place in at]
            tp, predicted, positives = (
                [sum(w * table[k, n, g] for k, w in enumerate(draw)) for n, g in cells]
                for table, cells in (
                    (counts.hits, list(enumerate(at))),
                    (counts.predicted, list(enumerate(at))),
                    (counts.positives[:, :, None], [(n, 0) for n in labels]),
                )
            )
            value = _f1(sum(tp), sum(predicted), sum(positives))
            if metric == "mean_f1":
                present = [n for n in labels if positives[n]]
                macro = [_f1(tp[n], predicted[n], positives[n]) for n in present]
                value = (value + sum(macro) / len(macro)) / 2
            scored[cuts[g], slope] = value
    highest = max(scored.values())
    best = [line for line, value in scored.items() if value > highest * (1 - 1e-6)]
    return np.mean(best, axis=0)


def own_cut(counts, label, draw):
    """The mean of a label's best cuts in one resample; None without a hit."""
    scored = []
    for g in range(len(counts.cuts)):
        tp, predicted = (
            sum(w * table[k, label, g] for k, w in enumerate(draw))
            for table in (counts.hits, counts.predicted)
        )
        positives = sum(w * counts.positives[k, label] for k, w in enumerate(draw))
        scored.append(_f1(tp, predicted, positives))
    highest = max(scored)
    if highest == 0:
        return None
    pairs = zip(counts.cuts, scored, strict=True)
    return np.mean([cut for cut, value in pairs if value > highest * (1 - 1e-6)])
