"""NumPy loops of what follows a stream."""

import numpy as np


def reservoir(labels, uniforms, places, count):
    """The owner of every place, and the place of every document, after a stream."""
    owners, seen, full = [-1] * places, [0] * count, [False] * count
    found = []
    for label, (keep, whose) in zip(labels, uniforms, strict=True):
        seen[label] += 1
        if -1 in owners:
            found.append(owners.index(-1))
            owners[found[-1]] = label
            continue
        stored = [owners.count(n) for n in range(count)]
        for n in range(count):
            full[n] |= stored[n] == max(stored)
        victim = stored.index(max(stored))
        if full[label]:
            victim = label
            if keep * seen[label] > stored[label]:
                found.append(-1)
                continue
        rows = [row for row, owner in enumerate(owners) if owner == victim]
        if not rows:
            found.append(-1)
            continue
        place = rows[min(int(np.float32(whose) * len(rows)), len(rows) - 1)]
        owners[place] = label
        found.append(place)
    return owners, found


def page_hinkley(values, tolerance, threshold):
    """Whether each value of a stream ends a rise of the mean."""
    found, begun = [], []
    total = least = 0.0
    for value in values:
        begun.append(value)
        total += value - sum(begun) / len(begun) - tolerance
        least = min(least, total)
        found.append(total - least > threshold)
        if found[-1]:
            begun, total, least = [], 0.0, 0.0
    return found


def running_quantile(estimates, values, mask, quantile, rate):
    """Estimates after one block."""
    found = np.array(estimates, float)
    for n in range(len(found)):
        own = [values[b][n] for b in range(len(values)) if mask[b][n]]
        move = sum(quantile - (value < estimates[n]) for value in own)
        found[n] += rate * move / max(1, len(own))
    return found


def decayed_edges(held, pairs, decay, size):
    """The heaviest pairs with their weights, after new ones."""
    held = {pair: weight * decay for pair, weight in held.items()}
    for pair, weight in pairs:
        if weight > 0:
            held[pair] = held.get(pair, 0.0) + weight
    best = sorted(held.items(), key=lambda item: (-item[1], item[0]))[:size]
    return dict(sorted((pair, weight) for pair, weight in best if weight > 0))
