"""Choice of the decision rule on validation documents."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.functional.decisions.fitting import (
    RULES,
    ThresholdFits,
    count_cuts,
)
from labelgraph_jax.functional.decisions.selection import (
    CONFIDENCE,
    Report,
    cross_fitted_decisions,
    simplest_rule,
)
from labelgraph_jax.functional.decisions.thresholds import fit_top_k
from labelgraph_jax.predictors.decision import HALF, Decision
from labelgraph_jax.predictors.predictions import Predictions

MOST_WITHOUT_LABEL = 0.1
"""The share of the documents without a label up to which `auto` may give every document
its most probable one."""
AT_LEAST_ONE = ", at least one"
"""Suffix of the name of a rule that gives every document a label."""


def choose_decision(
    config: ThresholdConfig,
    predictions: Predictions,
    label_counts: np.ndarray,
    *,
    ancestors: np.ndarray | None = None,
) -> Decision:
    """Fit what the settings ask for to the validation documents.

    With `auto` thresholds and whether every document gets a label are chosen together.
    Every rule (global, sloped, label; of the best labels alone, global) is fitted on
    some of the documents and decides the others, with and without a label for every
    document. The rule with the highest F1 on documents that it was not fitted on is
    taken; of equals `label`, which is drawn to the others where positives are few. 0.5
    takes its place where that is better in 95 of 100 resamples of the documents (see
    `functional.simplest_rule`). No rule is taken that decides these documents worse
    than one threshold does, which is what the log says of every epoch. The chosen rule
    is fitted again on all of them.

    Every document gets a label by `auto` only where there are several labels and at
    most one document in ten has none.

    Args:
        config: what is asked for.
        predictions: of the validation documents, with their truth.
        label_counts: training documents with each label, `[N]`.
        ancestors: see `Decision`.

    Returns:
        The decision. Without validation documents that are positive for a label
        everything is decided at 0.5, or top_k takes one label where k is open.
    """
    fits = _Fits(config, predictions, label_counts)
    plain = Decision(
        kind="half",
        thresholds=np.full(predictions.labels, HALF),
        at_least_one=bool(config.at_least_one),
        consistent=config.consistent and fits.whole,
        ancestors=ancestors,
        asked=config.kind,
        fit={"fitted_on": None},
    )
    # What needs no threshold.
    if config.kind == "top_k" and (config.k or not fits.positives):
        return dataclasses.replace(plain, kind="top_k", k=config.k or 1)
    if config.kind == "half" or not fits.positives:
        return plain
    about: dict[str, Any] = {"fitted_on": "validation"}
    if config.kind == "top_k":
        return dataclasses.replace(plain, kind="top_k", k=fits.top_k(), fit=about)
    # One rule that is asked for, or the best of all.
    about["metric"] = fits.metric
    if config.kind != "auto":
        kind = config.kind if fits.whole else "global"
        chosen = dataclasses.replace(
            plain, kind=config.kind, thresholds=fits.thresholds([kind])[kind]
        )
    else:
        forced = [plain.at_least_one]
        if config.at_least_one is None and fits.may_force_labels:
            forced.append(True)
        chosen, about["cross_fitted"] = _best(fits, plain, forced)
    if not fits.whole:
        every = np.full(predictions.labels, chosen.thresholds[0])
        chosen = dataclasses.replace(chosen, thresholds=every)
    return dataclasses.replace(chosen, fit=about)


def _best(
    fits: "_Fits", plain: Decision, forced: Sequence[bool]
) -> tuple[Decision, Report]:
    """The best decision of all rules, and how good each is on unseen documents.

    Args:
        fits: of the rules.
        plain: 0.5.
        forced: whether every document gets a label, one value or both.
    """
    # Every rule as it would be saved.
    half = np.full(fits.truth.shape[1], HALF)
    rules = {
        f"{kind}{AT_LEAST_ONE if one else ''}": dataclasses.replace(
            plain, kind=kind, thresholds=each, at_least_one=one
        )
        for kind, each in {**fits.thresholds(fits.rules), "half": half}.items()
        for one in forced
    }
    # None may be worse on all documents than one threshold is.
    f1 = {name: fits.f1(rule.decide(fits.scores)) for name, rule in rules.items()}
    least = f1[f"global{AT_LEAST_ONE if forced[0] else ''}"]
    rules = {name: rule for name, rule in rules.items() if f1[name] >= least}
    # The best of the fitted rules where they were not fitted, and then 0.5.
    decided = fits.cross_fitted(rules)
    fitted = {name: decided[name] for name in rules if rules[name].kind != "half"}
    best, report = fits.simplest(fitted, confidence=0.5)
    halves = {name: decided[name] for name in rules if name not in fitted}
    best, beside = fits.simplest({best: fitted[best], **halves})
    return rules[best], {**report, **{name: beside[name] for name in halves}}


class _Fits:
    """Rules fitted to predictions, one threshold a column.

    Of the best labels of each document, whose columns are no labels, one threshold for
    all is fitted, by micro-F1.

    Attributes:
        whole: every label has its column.
        rules: what can be fitted, the first choice first.
        metric: what F1 chooses.
        scores: `[M, K]`.
        truth: which columns are true labels, bool `[M, K]`.
        known: which columns the document is annotated for; None for all.
        missed: true labels of each document that have no column, `[M]`.
    """

    def __init__(
        self,
        config: ThresholdConfig,
        predictions: Predictions,
        label_counts: np.ndarray,
    ) -> None:
        self.config, self.predictions = config, predictions
        self.scores, self.known = predictions.probabilities, predictions.known
        self.whole = predictions.ids is None
        self.rules: Sequence[str] = RULES[::-1] if self.whole else ("global",)
        self.metric: Any = config.metric if self.whole else "micro_f1"
        self.missed = np.zeros(len(predictions), np.int64)
        if self.whole:
            self.truth, self.counts = predictions.targets > 0, label_counts
        else:
            assert predictions.truth is not None
            self.truth, self.counts = predictions.hits, np.ones(self.scores.shape[1])
            self.missed += np.diff(predictions.truth.indptr) - self.truth.sum(axis=1)
        if self.known is not None:
            self.truth = self.truth & self.known

    @property
    def positives(self) -> int:
        """Number of positive labels in the annotated cells."""
        return int(self.truth.sum() + self.missed.sum())

    @property
    def may_force_labels(self) -> bool:
        """There are several labels, and few documents without any."""
        with_label = self.truth.any(axis=1) | (self.missed > 0)
        if self.known is not None:
            with_label = with_label[self.known.any(axis=1)]
        several = self.predictions.labels > 1
        return several and 1 - float(with_label.mean()) <= MOST_WITHOUT_LABEL

    @cached_property
    def fits(self) -> ThresholdFits:
        cuts = count_cuts(self.scores, self.truth, self.counts, target_mask=self.known)
        if not self.whole:
            # They belong to no column; only their number counts.
            positives = cuts.positives.copy()
            positives[:, 0] += np.bincount(cuts.block, self.missed, len(positives))
            cuts = cuts._replace(positives=positives)
        return ThresholdFits(cuts, metric=self.metric, shrinkage=self.config.shrinkage)

    def thresholds(self, kinds: Sequence[str]) -> dict[str, np.ndarray]:
        """The thresholds `[K]` of rules, fitted on all documents."""
        if not self.truth.any():
            # Nothing should be predicted. Devices take smaller numbers for 0.
            kind = self.scores.dtype.type
            above = np.nextafter(self.scores.max(), kind(np.inf))
            above = max(above, np.finfo(kind).tiny)
            return dict.fromkeys(kinds, np.full(self.scores.shape[1], float(above)))
        return self.fits.fit(kinds)

    def top_k(self) -> int:
        """The best number of labels for every document."""
        if self.whole:
            return fit_top_k(self.scores, self.truth, target_mask=self.known)
        right = self.truth.sum(axis=0).cumsum()
        predicted = len(self.truth) * np.arange(1, self.truth.shape[1] + 1)
        return 1 + int(np.argmax(2.0 * right / (predicted + self.positives)))

    def simplest(
        self, decided: Mapping[str, np.ndarray], *, confidence: float = CONFIDENCE
    ) -> tuple[str, Report]:
        """The first of some decisions that is as good as any, and how good each is."""
        chosen, report = simplest_rule(
            dict(decided),
            self.truth,
            metric=self.metric,
            target_mask=self.known,
            missed=self.missed,
            confidence=confidence,
        )
        if not self.whole:
            for found in report.values():
                del found["macro_f1"]
        return chosen, report

    def f1(self, decided: np.ndarray) -> float:
        """The metric that chooses, of decisions of all documents."""
        if self.known is not None:
            decided = decided & self.known
        hits, either = (decided & self.truth).sum(0), decided.sum(0) + self.truth.sum(0)
        micro = 2.0 * hits.sum() / (either.sum() + self.missed.sum())
        if self.metric == "micro_f1":
            return float(micro)
        present = self.truth.any(axis=0)
        return float((micro + (2.0 * hits[present] / either[present]).mean()) / 2)

    def cross_fitted(self, rules: Mapping[str, Decision]) -> dict[str, np.ndarray]:
        """Return each rule's decisions on documents that it was not fitted on."""
        if not self.truth.any():
            return {name: rule.decide(self.scores) for name, rule in rules.items()}

        def decide(
            scores: np.ndarray, thresholds: Mapping[str, np.ndarray]
        ) -> dict[str, np.ndarray]:
            return {
                name: dataclasses.replace(
                    rule, thresholds=thresholds.get(rule.kind, rule.thresholds)
                ).decide(scores)
                for name, rule in rules.items()
            }

        return cross_fitted_decisions(self.fits, self.scores, self.rules, decide)


def global_threshold(predictions: Predictions) -> float:
    """Fit the one threshold for all labels, by micro-F1, as the rule `global` does."""
    fits = _Fits(ThresholdConfig(), predictions, np.ones(predictions.labels))
    return float(fits.thresholds(["global"])["global"][0])
