"""Choice of the decision rule: the simplest that none beats on unseen documents.

A rule with more numbers fits the validation documents better whether or not it is
better, so every rule is fitted on some of them and measured on the others, and gives
way to another one as far as a paired bootstrap finds the gain to be no chance.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets
from labelgraph_jax.functional.decisions.fitting import Metric, ThresholdFits
from labelgraph_jax.functional.metrics.bootstrap import document_draws

FOLDS = 10
RESAMPLES = 1000
CONFIDENCE = 0.95
MOST_GROUPS = 500

Decide = Callable[
    [Float[np.ndarray, "M N"], Mapping[str, Float[np.ndarray, " N"]]],
    Mapping[str, np.ndarray],
]
"""(probabilities, thresholds of every rule) -> named decisions, bool `[M, N]`."""
Report = dict[str, dict[str, float | None]]
"""Metrics of every rule, see `simplest_rule`."""


def cross_fitted_decisions(
    fits: ThresholdFits,
    probabilities: Float[np.ndarray, "M N"],
    rules: Sequence[str],
    decide: Decide,
) -> dict[str, Bool[np.ndarray, "M N"]]:
    """Decide every document by thresholds that were fitted on other documents.

    The blocks of the table make at most 10 folds. A fold that leaves no positive to fit
    on is decided at 0.5.

    Args:
        fits: of the same documents.
        probabilities: their scores.
        rules: names that `ThresholdFits.fit` knows.
        decide: turns probabilities and the thresholds of every rule into any number of
            decisions, each under a name.

    Returns:
        The decisions of every name, bool `[M, N]`.

    Raises:
        ValueError: the probabilities are not those of the table's documents and labels.
    """
    check_axes(
        probabilities=(probabilities, "M N"),
        block=(fits.counts.block, "M"),
        rarity=(fits.counts.rarity, "N"),
    )
    block = fits.counts.block
    fold_of_block = np.arange(len(fits.counts.positives)) % FOLDS
    decisions: dict[str, np.ndarray] = {}
    for fold in np.unique(fold_of_block):
        keep, held_out = fold_of_block != fold, fold_of_block[block] == fold
        if fits.counts.positives[keep].any():
            fitted = fits.fit(rules, keep=keep)
        else:
            fitted = dict.fromkeys(rules, np.full(probabilities.shape[1], 0.5))
        for name, decided in decide(probabilities[held_out], fitted).items():
            every = decisions.setdefault(name, np.zeros(probabilities.shape, bool))
            every[held_out] = decided
    return decisions


def simplest_rule(
    decisions: Mapping[str, Bool[np.ndarray, "M N"]],
    targets: Shaped[np.ndarray, "M N"],
    *,
    metric: Metric = "micro_f1",
    target_mask: Bool[np.ndarray, "M N"] | None = None,
    missed: Int[np.ndarray, " M"] | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[str, Report]:
    """Choose among rules, given from the simplest to the richest.

    A rule takes the place of the one chosen so far where its metric is higher in 95 of
    100 resamples of the documents (`confidence`), the same documents for both.

    Args:
        decisions: of every rule on the same documents.
        targets: their truth; positive where > 0.
        metric: micro-F1, or the mean of micro- and macro-F1 over the labels with
            positives; for the latter more than 500 documents are resampled in groups.
        target_mask: True where the document is annotated for the label.
        missed: how many positives of each document have no column; micro-F1 counts
            them.
        confidence: the share of the resamples in which a rule must be better.
        seed: of the resampling.

    Returns:
        The rule, and for each one its micro_f1, its macro_f1 over the labels with
        positives, and the share of the resamples in which it beat the rule it was held
        against (None for the first).

    Raises:
        ValueError: shapes differ, there is no document, or an annotated target is NaN
            or outside 0..1.
    """
    # Check shapes; unknown cells are neither true nor decided.
    check_axes(
        targets=(targets, "M N"),
        target_mask=(target_mask, "M N"),
        missed=(missed, "M"),
        **{rule: (decided, "M N") for rule, decided in decisions.items()},
    )
    check_targets(targets, target_mask)
    truth = np.asarray(targets) > 0
    if target_mask is not None:
        truth = truth & target_mask
    # The same resamples for all rules, so that they are compared in pairs.
    draws = document_draws(len(truth), RESAMPLES, seed=seed)
    if metric == "mean_f1":
        groups = min(MOST_GROUPS, len(truth))
        group_draws = document_draws(groups, RESAMPLES, seed=seed)
    report: Report = {}
    chosen, best = "", np.zeros(RESAMPLES)
    # Every rule on the resamples, against the best of the simpler ones.
    for rule, decided in decisions.items():
        if target_mask is not None:
            decided = decided & target_mask
        hits, either = decided & truth, decided.astype(np.int8) + truth
        of_documents = either.sum(1) if missed is None else either.sum(1) + missed
        resampled = _ratio(draws @ hits.sum(1), draws @ of_documents)
        if metric == "mean_f1":
            resampled = (resampled + _macro(hits, either, truth, group_draws)) / 2
        better = float((resampled > best).mean()) if chosen else None
        present = truth.any(0)
        report[rule] = {
            "micro_f1": float(_ratio(hits.sum(), of_documents.sum())),
            "macro_f1": float(_ratio(hits.sum(0), either.sum(0))[present].mean())
            if present.any()
            else 0.0,
            "better": better,
        }
        # A richer rule must be better with confidence.
        if better is None or better >= confidence:
            chosen, best = rule, resampled
    return chosen, report


def _macro(
    hits: Bool[np.ndarray, "M N"],
    either: Shaped[np.ndarray, "M N"],
    truth: Bool[np.ndarray, "M N"],
    draws: Shaped[np.ndarray, "R G"],
) -> Float[np.ndarray, " R"]:
    """Macro-F1 of every resample, over the labels with positives in any document."""
    present = np.flatnonzero(truth.any(0))
    if not len(present):
        return np.zeros(len(draws))
    weights = draws.astype(np.float32)
    sums = []
    for cells in (hits, either):
        total = np.zeros((draws.shape[1], len(present)), np.float32)
        for start in range(0, len(cells), len(total)):
            group = cells[start : start + len(total), present]
            total[: len(group)] += group
        sums.append(weights @ total)
    return np.asarray(_ratio(*sums).mean(1), np.float64)


def _ratio(
    hits: np.ndarray | np.integer, either: np.ndarray | np.integer
) -> np.ndarray:
    """F1 = 2 tp / (predicted + positives); 0 / 0 is 0."""
    return np.asarray(2 * hits / np.maximum(either, 1))
