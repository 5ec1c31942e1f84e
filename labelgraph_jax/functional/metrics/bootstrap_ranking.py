"""Bootstrap of what is measured on a ranking: areas under curves, and means.

The rows of a log are not independent: those of one user are alike. What is drawn again
is therefore the users (`group_draws`), each with all of its rows.
"""

import numpy as np
from jaxtyping import Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets
from labelgraph_jax.functional.metrics.bootstrap import document_draws

_CHUNK = 50


def group_draws(
    groups: Shaped[np.ndarray, " M"], resamples: int, *, seed: int = 0
) -> Int[np.ndarray, "R M"]:
    """Count each row in each resample: G groups drawn from G, put back.

    Args:
        groups: of every row, any values (user ids).
        resamples: R.
        seed: of the draws.

    Raises:
        ValueError: there is no row or no resample.

    Reference: the cluster bootstrap; Field and Welsh, JRSS B 2007.
    """
    distinct, index = np.unique(groups, return_inverse=True)
    draws = document_draws(len(distinct), resamples, seed=seed)
    return draws.astype(np.int16)[:, index]


def resampled_areas(
    scores: Shaped[np.ndarray, " M"],
    targets: Shaped[np.ndarray, " M"],
    draws: Int[np.ndarray, "R M"],
) -> dict[str, Float[np.ndarray, " R"]]:
    """`roc_auc` and `pr_auc` of one ranking on every resample of its rows.

    The ranking is sorted once; a row that stands in a resample c times counts c times:

        auc = sum_i c_i (negatives below i + those level / 2) / (positives negatives)
        pr_auc = sum_i c_i (positives from i up / rows from i up) / positives

    over the positives i, all counts with multiplicity.

    Args:
        scores: larger is more likely positive.
        targets: positive where > 0.5.
        draws: from `group_draws` or `bootstrap.document_draws`.

    Returns:
        auc and pr_auc, NaN in a resample that lacks a positive or a negative.
    """
    check_axes(scores=(scores, "M"), targets=(targets, "M"), draws=(draws, "R M"))
    check_targets(targets)
    scores, positive = np.asarray(scores), np.asarray(targets) > 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], positive[order]
    first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    last = np.r_[first[1:], len(ranked)]
    level = (np.cumsum(np.r_[True, ranked[1:] != ranked[:-1]]) - 1)[positive]
    start, end = first[level], last[level]

    areas: dict[str, list[np.ndarray]] = {"auc": [], "pr_auc": []}
    for chunk in range(0, len(draws), _CHUNK):
        counts = draws[chunk : chunk + _CHUNK][:, order]
        rows = _running(counts)
        here = counts[:, positive]
        counts[:, ~positive] = 0
        hits = _running(counts)
        misses = rows - hits
        below = misses[:, -1:] - (misses[:, start] + misses[:, end]) / 2
        positives = hits[:, -1].astype(np.float64)
        negatives = misses[:, -1].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(here > 0, hits[:, end] / rows[:, end], 0.0)
            auc = (here * below).sum(axis=1) / (positives * negatives)
            area = (here * precision).sum(axis=1) / positives
        defined = (positives > 0) & (negatives > 0)
        areas["auc"].append(np.where(defined, auc, np.nan))
        areas["pr_auc"].append(np.where(defined, area, np.nan))
    return {name: np.concatenate(parts) for name, parts in areas.items()}


def resampled_mean(
    values: Shaped[np.ndarray, " M"], draws: Int[np.ndarray, "R M"]
) -> Float[np.ndarray, " R"]:
    """The mean of a value per row on every resample; NaN where none was drawn."""
    means = []
    for chunk in range(0, len(draws), _CHUNK):
        counts = draws[chunk : chunk + _CHUNK].astype(np.float64)
        with np.errstate(invalid="ignore"):
            means.append(counts @ np.asarray(values, np.float64) / counts.sum(axis=1))
    return np.concatenate(means)


def _running(counts: Int[np.ndarray, "R M"]) -> Int[np.ndarray, "R K"]:
    """Sums of the first 0, 1, ... M columns."""
    sums = np.zeros((len(counts), counts.shape[1] + 1), np.int32)
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums
