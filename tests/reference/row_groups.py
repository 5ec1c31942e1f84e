"""Ranking within groups of rows as plain loops, over all orders of tied rows."""

import itertools
import math

import numpy as np


def orders(scores):
    """All orders, best first, that the scores allow."""
    values = sorted(set(scores), reverse=True)
    blocks = [[i for i, s in enumerate(scores) if s == value] for value in values]
    for parts in itertools.product(*map(itertools.permutations, blocks)):
        yield [i for part in parts for i in part]


def ranking_within_groups(scores, targets, groups, ks):
    found = {"AUC": [], "rows": []} | {
        f"{m}@{k}": [] for m in ("nDCG", "hit") for k in ks
    }
    for group in sorted({g for g in groups if g >= 0}):
        rows = [i for i, g in enumerate(groups) if g == group]
        s, y = [scores[i] for i in rows], [targets[i] for i in rows]
        up = [a for a, b in zip(s, y, strict=True) if b]
        down = [a for a, b in zip(s, y, strict=True) if not b]
        if up and down:
            won = [(a > b) + (a == b) / 2 for a in up for b in down]
            found["AUC"].append(sum(won) / len(won))
            found["rows"].append(len(rows))
        if not up:
            continue
        every = list(orders(s))
        for k in ks:
            best = sum(1 / math.log2(r + 2) for r in range(min(k, len(up))))
            gains = [
                sum(y[i] / math.log2(r + 2) for r, i in enumerate(order[:k]))
                for order in every
            ]
            found[f"nDCG@{k}"].append(sum(gains) / len(every) / best)
            hits = [any(y[i] for i in order[:k]) for order in every]
            found[f"hit@{k}"].append(sum(hits) / len(every))
    rows = found.pop("rows")
    gauc = np.average(found["AUC"], weights=rows) if rows else None
    means = {n: float(np.mean(v)) if v else None for n, v in found.items()}
    return means | {"GAUC": gauc}
