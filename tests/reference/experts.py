"""Experts, gates and their statistics as plain loops, from their definitions."""

import math

import numpy as np


def gate_weights(logits, keep=None):
    logits = np.asarray(logits, float)
    keep = np.ones(logits.shape, bool) if keep is None else keep
    weights = np.zeros(logits.shape)
    for row in np.ndindex(logits.shape[:-1]):
        chosen = [e for e in range(logits.shape[-1]) if keep[row][e]]
        total = sum(math.exp(logits[row][e]) for e in chosen)
        for e in chosen:
            weights[row][e] = math.exp(logits[row][e]) / total
    return weights


def mix_experts(outputs, logits):
    weights = gate_weights(logits)
    batch, tasks, experts = weights.shape
    mixed = np.zeros((batch, tasks, outputs.shape[2]))
    for b in range(batch):
        for t in range(tasks):
            for e in range(experts):
                mixed[b, t] += weights[b, t, e] * np.asarray(outputs[b, e], float)
    return mixed


def cross_stitch(features, stitch):
    stitched = np.zeros(features.shape)
    for b in range(features.shape[0]):
        for t in range(features.shape[1]):
            for u in range(features.shape[1]):
                stitched[b, t] += stitch[t, u] * np.asarray(features[b, u], float)
    return stitched


def pairwise_squared_distance(stack, axis):
    parts = list(np.moveaxis(np.asarray(stack, float), axis, 0))
    total = 0.0
    for t in range(len(parts)):
        for u in range(t + 1, len(parts)):
            total += float(np.sum((parts[t] - parts[u]) ** 2))
    return total


def gate_statistics(weights, example_mask):
    rows = [
        np.asarray(w, float)
        for w, keep in zip(weights, example_mask, strict=True)
        if keep
    ]
    tasks, experts = rows[0].shape
    mean = sum(rows) / len(rows)
    spread = np.sqrt(sum((row - mean) ** 2 for row in rows) / len(rows))
    entropy, top = np.zeros(tasks), np.zeros((tasks, experts))
    for row in rows:
        for t in range(tasks):
            entropy[t] -= sum(p * math.log(p) for p in row[t] if p > 0)
            top[t, int(np.argmax(row[t]))] += 1
    similarity = np.zeros((tasks, tasks))
    polarisation = np.zeros(tasks)
    for t in range(tasks):
        share = -sum(p * math.log(p) for p in mean[t] if p > 0) / math.log(experts)
        polarisation[t] = 1 - share
        for u in range(tasks):
            norms = np.linalg.norm(mean[t]) * np.linalg.norm(mean[u])
            similarity[t, u] = mean[t] @ mean[u] / norms
    return {
        "mean_weights": mean,
        "spread": spread,
        "entropy": entropy / len(rows) / math.log(experts),
        "top_share": top / len(rows),
        "utilisation": mean.mean(axis=0),
        "similarity": similarity,
        "polarisation": polarisation,
    }


def expert_access(tasks, own, shared):
    """Gate by gate, expert by expert, in the order of their owners."""
    experts = [(task, n) for task in range(tasks) for n in range(own)]
    experts += [("shared", n) for n in range(shared)]
    rows = []
    for gate in range(tasks + 1):
        sees_all = gate == tasks
        rows.append([sees_all or owner in (gate, "shared") for owner, _ in experts])
    return np.array(rows)


def normalise_experts(units, scale, shift):
    found = np.zeros(units.shape)
    for b in range(units.shape[0]):
        for e in range(units.shape[1]):
            mean = sum(units[b, e]) / len(units[b, e])
            variance = sum((x - mean) ** 2 for x in units[b, e]) / len(units[b, e])
            for f, x in enumerate(units[b, e]):
                normal = (x - mean) / np.sqrt(variance + 1e-6)
                found[b, e, f] = normal * scale[e, f] + shift[e, f]
    return found


def extraction(outputs, logits, tasks, own):
    """One level: each task mixes its own experts and the shared ones.

    By a softmax over these alone; the last gate mixes all.
    """
    batch, experts, units = outputs.shape
    found = np.zeros((batch, tasks + 1, units))
    for b in range(batch):
        for gate in range(tasks + 1):
            seen = [
                e
                for e in range(experts)
                if gate == tasks or e >= tasks * own or e // own == gate
            ]
            weights = np.exp([logits[b, gate, e] for e in seen])
            for weight, e in zip(weights / weights.sum(), seen, strict=True):
                found[b, gate] += weight * outputs[b, e]
    return found


def project(gradients, orders):
    """PCGrad on whole gradients, `[T, P]`: the sum of what is left of each."""
    total = np.zeros(gradients.shape[1])
    for task, order in enumerate(orders):
        left = gradients[task].copy()
        for other in order:
            against = left @ gradients[other]
            if other != task and against < 0:
                left -= (
                    against / (gradients[other] @ gradients[other]) * gradients[other]
                )
        total += left
    return total


def gradient_norm_loss(log_weights, norms, losses, first_losses, restoring):
    count = len(norms)
    powers = [np.exp(x) for x in log_weights]
    weighted = [count * p / sum(powers) * n for p, n in zip(powers, norms, strict=True)]
    left = [a / b for a, b in zip(losses, first_losses, strict=True)]
    mean, of_left = sum(weighted) / count, sum(left) / count
    return sum(
        abs(w - mean * (rate / of_left) ** restoring)
        for w, rate in zip(weighted, left, strict=True)
    )
