"""Ranking within groups of rows, such as the impressions of one user.

A global AUC compares a row of one user with a row of another, which no list that is
shown ever does. Here rows are ranked among their own group's alone. Rows of equal score
stand in any order equally likely, and metrics are the expectation over these orders, so
that a constant prediction gets what chance gives.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from labelgraph_jax.functional.checks import (
    check_axes,
    check_numbers,
    check_targets,
)

KS = (1, 5, 10)


def ranking_within_groups(
    scores: Float[np.ndarray, " M"],
    targets: Shaped[np.ndarray, " M"],
    groups: Int[np.ndarray, " M"],
    *,
    ks: Sequence[int] = KS,
) -> dict[str, float | None]:
    """Measure how the rows of each group are ranked, and average over groups.

    Args:
        scores: to rank by, higher first.
        targets: positive where > 0.5.
        groups: which group a row belongs to; rows of a negative one are left out.
        ks: ranks looked at.

    Returns:
        `groups`: how many there are; `mixed`: how many hold a positive and a negative;
        over these `AUC`, the mean of their AUC, and `GAUC`, that mean weighted by their
        rows; over the groups with a positive, `positive` of them, `nDCG@k` and `hit@k`:
        the discounted gain of the first k rows against the best order, and whether a
        positive is among them. None where no group counts.

    Raises:
        ValueError: shapes that differ, a score that is NaN, a target that is NaN or
            outside 0..1, or k < 1.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> scores = np.array([0.9, 0.1, 0.8, 0.7])
        >>> targets, users = np.array([1, 0, 0, 1]), np.array([0, 0, 1, 1])
        >>> found = lg.functional.ranking_within_groups(scores, targets, users)
        >>> found["AUC"], found["hit@1"], found["hit@5"]
        (0.5, 0.5, 1.0)

    Reference: Zhu et al., Optimized Cost per Click in Taobao Display Advertising, KDD
    2017 (GAUC); Jarvelin and Kekalainen 2002 (nDCG); ties by expectation, McSherry and
    Najork, ECIR 2008.
    """
    check_axes(scores=(scores, "M"), targets=(targets, "M"), groups=(groups, "M"))
    check_numbers(scores=scores)
    check_targets(targets)
    if min(ks, default=1) < 1:
        raise ValueError(f"k must be >= 1, got {min(ks)}")
    arrays = [np.asarray(array) for array in (scores, targets, groups)]
    score, target, group = (array[arrays[2] >= 0] for array in arrays)
    _, group = np.unique(group, return_inverse=True)
    count = int(group.max(initial=-1)) + 1

    # Rows of a group beside each other, best first; tied rows are one block.
    order = np.lexsort((-score, group))
    score, group, positive = score[order], group[order], target[order] > 0.5
    starts = np.r_[True, (group[1:] != group[:-1]) | (score[1:] != score[:-1])]
    starts = starts[: len(group)]
    block = np.cumsum(starts) - 1
    size, hits = np.bincount(block), np.bincount(block, positive)
    of = group[starts]  # the group of each block
    rows, positives = (np.bincount(of, x, count) for x in (size, hits))
    first = np.flatnonzero(starts) - (np.cumsum(rows) - rows)[of].astype(np.int64)
    before = np.cumsum(hits) - hits - (np.cumsum(positives) - positives)[of]

    # A negative stands below the positives of earlier blocks, and of half its own.
    negatives = rows - positives
    pairs = positives * negatives
    mixed, held = pairs > 0, positives > 0
    ordered = np.bincount(of, (size - hits) * (before + hits / 2), count)
    auc = ordered[mixed] / pairs[mixed]
    found: dict[str, float | None] = {
        "groups": float(count),
        "mixed": float(mixed.sum()),
        "positive": float(held.sum()),
        "AUC": float(auc.mean()) if mixed.any() else None,
        "GAUC": float(np.average(auc, weights=rows[mixed])) if mixed.any() else None,
    }
    longest = int(rows.max(initial=0))
    gains = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(longest) + 2))]
    for k in ks:
        # Of a block the ranks below k, each a positive with its block's share.
        last = np.minimum(first + size, k)
        inside = np.maximum(last - first, 0)
        gain = gains[np.minimum(first + inside, longest)] - gains[first]
        dcg = np.bincount(of, np.where(inside > 0, gain, 0) * hits / size, count)
        best = gains[np.minimum(positives[held], k).astype(np.int64)]
        # Nobody of the `inside` drawn from a block is a positive.
        none = _none_drawn(size, hits.astype(np.int64), inside)
        missed = np.zeros(count)
        np.add.at(missed, of, np.log(np.maximum(none, 1e-300)))
        found[f"nDCG@{k}"] = float((dcg[held] / best).mean()) if held.any() else None
        hit = 1 - np.exp(missed[held])
        found[f"hit@{k}"] = float(hit.mean()) if held.any() else None
    return found


def _none_drawn(
    size: Int[np.ndarray, " G"],
    hits: Int[np.ndarray, " G"],
    drawn: Int[np.ndarray, " G"],
) -> Float[np.ndarray, " G"]:
    """The probability that so many rows drawn from a block hold no positive."""
    probability = np.ones(len(size))
    for step in range(int(drawn.max(initial=0))):
        left = np.maximum(size - step, 1)
        chance = np.maximum(size - hits - step, 0) / left
        probability = np.where(step < drawn, probability * chance, probability)
    return probability
