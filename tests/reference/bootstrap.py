"""F1 of resampled documents, counted document by document."""

import numpy as np


def resampled_f1(decisions, targets, draws):
    """[(micro, macro)] of each resample."""
    found = []
    for draw in draws:
        rows = [row for row, count in enumerate(draw) for _ in range(count)]
        micro, macro = [0, 0, 0], []
        for label in range(targets.shape[1]):
            tp = fp = fn = 0
            for row in rows:
                said, true = bool(decisions[row, label]), targets[row, label] > 0
                tp += said and true
                fp += said and not true
                fn += true and not said
            micro = [a + b for a, b in zip(micro, (tp, fp, fn), strict=True)]
            macro.append(f1(tp, fp, fn))
        found.append((f1(*micro), float(np.mean(macro))))
    return found


def f1(tp, fp, fn):
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0


def paired_interval(values, reference, runs, alpha):
    drawn = []
    for r, chosen in enumerate(runs):
        pairs = [values[r, s] - reference[r, s] for s in chosen]
        drawn.append(sum(pairs) / len(pairs))
    return np.quantile(drawn, alpha / 2), np.quantile(drawn, 1 - alpha / 2)
