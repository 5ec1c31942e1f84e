"""How labels are decided, chosen on validation documents."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.functional.decisions.fitting import (
    RULES,
    ThresholdFits,
    count_cuts,
)
from labelgraph_jax.functional.decisions.selection import (
    cross_fitted_decisions,
    simplest_rule,
)
from labelgraph_jax.functional.decisions.thresholds import (
    fit_global_threshold,
    fit_top_k,
)
from labelgraph_jax.functional.metrics.ranked import fit_global_threshold_ranked
from labelgraph_jax.predictors.decision import HALF, Decision
from labelgraph_jax.predictors.predictions import Predictions

FOLDS = 2
"""Parts of the documents between which a threshold over the best labels is fitted."""


def choose_decision(
    config: ThresholdConfig,
    predictions: Predictions,
    label_counts: np.ndarray,
    *,
    ancestors: np.ndarray | None = None,
) -> Decision:
    """Fit what the settings ask for to the validation documents.

    With `auto` and the probabilities of all labels, half, global, sloped and label are
    fitted on nine tenths of the documents and decide the last tenth, ten times over;
    each gives way to the next only where that is better in 95 of 100 resamples of the
    documents (see `functional.simplest_rule`). Of the best labels alone, one threshold
    for all labels is fitted on each half of the documents and decides the other; it
    takes the place of 0.5 where it has the higher micro-F1 there. The chosen rule is
    fitted again on all of them. Whether every document gets a label is chosen before,
    in the same way, at 0.5.

    Args:
        config: what is asked for.
        predictions: of the validation documents, with their truth.
        label_counts: training documents with each label, `[N]`.
        ancestors: see `Decision`.

    Returns:
        The decision. Without validation documents that are positive for a label
        everything is decided at 0.5, or top_k takes one label where k is open.
    """
    plain = Decision(
        kind="half",
        thresholds=np.full(predictions.labels, HALF),
        at_least_one=bool(config.at_least_one),
        consistent=config.consistent and predictions.ids is None,
        ancestors=ancestors,
        asked=config.kind,
        fit={"fitted_on": None},
    )
    fits = (
        _FitsOfAll(config, predictions, label_counts)
        if predictions.ids is None
        else _FitsOfBest(predictions)
    )
    # What needs no threshold.
    if config.kind == "top_k" and (config.k or not fits.positives):
        return dataclasses.replace(plain, kind="top_k", k=config.k or 1)
    if config.kind == "half" or not fits.positives:
        return plain
    if config.kind == "top_k":
        return dataclasses.replace(plain, kind="top_k", k=fits.top_k(), fit=fits.about)
    # One rule that is asked for, or the simplest that does as well as any.
    fit: dict[str, Any] = {**fits.about, "metric": fits.metric}
    kind: str = config.kind
    if kind == "auto":
        if config.at_least_one is None:
            forced = dataclasses.replace(plain, at_least_one=True)
            options = {"half": plain, "at_least_one": forced}
            name, fit["at_half"] = fits.simplest(
                {name: rule.decide(*fits.scores) for name, rule in options.items()}
            )
            plain = options[name]
        decided = {"half": plain.decide(*fits.scores), **fits.cross_fitted(plain)}
        kind, fit["cross_fitted"] = fits.simplest(decided)
    if kind == "half":
        return dataclasses.replace(plain, fit=fit)
    thresholds = fits.thresholds(kind)
    return dataclasses.replace(plain, kind=kind, thresholds=thresholds, fit=fit)


class _FitsOfAll:
    """Rules fitted to the probabilities of all labels.

    Attributes:
        metric: what F1 chooses.
        about: what the decision says of its fit.
        scores: what `Decision.decide` reads.
    """

    about: Mapping[str, Any] = {"fitted_on": "validation"}

    def __init__(
        self,
        config: ThresholdConfig,
        predictions: Predictions,
        label_counts: np.ndarray,
    ) -> None:
        self.config, self.counts = config, label_counts
        self.metric: str = config.metric
        self.scores = predictions.probabilities, None
        self.known = predictions.known
        self.truth = predictions.targets > 0
        if self.known is not None:
            self.truth = self.truth & self.known

    @property
    def positives(self) -> int:
        """How many labels the documents carry, where they are annotated."""
        return int(self.truth.sum())

    @cached_property
    def fits(self) -> ThresholdFits:
        cuts = count_cuts(
            self.scores[0], self.truth, self.counts, target_mask=self.known
        )
        return ThresholdFits(
            cuts, metric=self.config.metric, shrinkage=self.config.shrinkage
        )

    def top_k(self) -> int:
        """The best number of labels for every document."""
        return fit_top_k(self.scores[0], self.truth, target_mask=self.known)

    def simplest(
        self, decided: Mapping[str, np.ndarray]
    ) -> tuple[str, Mapping[str, Any]]:
        """The first of some decisions that is as good as any, and how good each is."""
        return simplest_rule(
            dict(decided), self.truth, metric=self.fits.metric, target_mask=self.known
        )

    def cross_fitted(self, plain: Decision) -> Mapping[str, np.ndarray]:
        """What each rule decides of documents that it was not fitted on."""

        def decide(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
            return dataclasses.replace(plain, thresholds=thresholds).decide(scores)

        return cross_fitted_decisions(self.fits, self.scores[0], RULES, decide)

    def thresholds(self, kind: str) -> np.ndarray:
        """The thresholds `[N]` of a rule, fitted on all documents."""
        return self.fits.fit([kind])[kind]


class _FitsOfBest:
    """One threshold for all labels, fitted to the best labels of each document; as
    `_FitsOfAll`."""

    metric = "micro_f1"
    about: Mapping[str, Any] = {"fitted_on": "validation", "metric": "micro_f1"}

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions
        self.scores = predictions.probabilities, predictions.ids
        assert predictions.truth is not None
        self.truth: csr_array = predictions.truth

    @property
    def positives(self) -> int:
        return int(self.truth.nnz)

    @cached_property
    def hits(self) -> np.ndarray:
        return self.predictions.hits

    def top_k(self) -> int:
        right = self.hits.sum(axis=0).cumsum()
        predicted = len(self.hits) * np.arange(1, self.hits.shape[1] + 1)
        return 1 + int(np.argmax(2.0 * right / (predicted + self.positives)))

    def simplest(
        self, decided: Mapping[str, np.ndarray]
    ) -> tuple[str, Mapping[str, Any]]:
        scores = {name: self._micro_f1(each) for name, each in decided.items()}
        # max takes the first of equals.
        return max(scores, key=lambda name: scores[name]), scores

    def _micro_f1(self, decided: np.ndarray) -> float:
        right, predicted = int((decided & self.hits).sum()), int(decided.sum())
        return 2.0 * right / max(predicted + self.positives, 1)

    def cross_fitted(self, plain: Decision) -> Mapping[str, np.ndarray]:
        decided = np.zeros(self.hits.shape, bool)
        fold = np.arange(len(self.hits)) % FOLDS
        for held in range(FOLDS):
            learned, kept = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
            if not len(learned) or not self.truth[learned].nnz:
                return {"global": np.zeros(self.hits.shape, bool)}
            threshold = global_threshold(self.predictions.rows(learned))
            thresholds = np.full_like(plain.thresholds, threshold)
            rule = dataclasses.replace(plain, kind="global", thresholds=thresholds)
            decided[kept] = self.predictions.rows(kept).decide(rule).decided
        return {"global": decided}

    def thresholds(self, kind: str) -> np.ndarray:
        return np.full(self.predictions.labels, global_threshold(self.predictions))


def global_threshold(predictions: Predictions) -> float:
    """Fit the one threshold for all labels with the highest micro-F1."""
    truth = predictions.truth
    assert truth is not None
    if predictions.ids is None:
        return float(
            fit_global_threshold(
                predictions.probabilities,
                predictions.targets,
                target_mask=predictions.known,
            )
        )
    if not truth.nnz:
        return HALF
    return float(
        fit_global_threshold_ranked(
            predictions.ids, predictions.probabilities, truth.indptr, truth.indices
        )
    )
