"""Ways to learn, compared on labelled documents that they were not fitted on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.functional.metrics.bootstrap import (
    Interval,
    document_draws,
    resampled_f1,
)
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.training.few_labels import head_probabilities

Way = TypeVar("Way", bound=str)
STRENGTHS = (10.0, 30.0, 100.0, 300.0)
CUTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Thresholds at which strengths are compared."""
FOLDS = 5
RESAMPLES = 1000
SURE = 0.75
"""Share of the resamples in which a way must be better than the plain one."""


class Head(NamedTuple):
    """One way to learn, fitted and measured.

    Attributes:
        weights: D weights and the bias of every label, of the head fitted on all.
        cross_fitted: probabilities of the labelled documents, each by a head that was
            fitted on others.
        decision: fitted to these.
    """

    weights: Float[np.ndarray, "E N"]
    cross_fitted: Float[np.ndarray, "L N"]
    decision: Decision

    def predict(self, vectors: Float[np.ndarray, "M D"]) -> np.ndarray:
        """Return the probabilities of the labels, float32."""
        return np.asarray(head_probabilities(self.weights, vectors))


class Folds:
    """Parts of the labelled documents, each decided by heads fitted on the others.

    Attributes:
        fold: of each document.
        keep: the documents of each fit, bool `[folds + 1, L]`; of the last all.
        rows: their weights, which add up to as much in all: a head's freedom is that
            of the head fitted on all.
    """

    def __init__(
        self,
        targets: Float[np.ndarray, "L N"],
        seed: int,
        thresholds: ThresholdConfig | None = None,
        folds: int = FOLDS,
    ) -> None:
        documents = len(targets)
        self.targets, self.thresholds = targets, thresholds or ThresholdConfig()
        self.fold = np.random.default_rng((seed, 7)).permutation(documents) % folds
        parts = [self.fold != f for f in range(folds)]
        self.keep = np.stack([*parts, np.ones(documents, bool)])
        self.rows = self.keep * (documents / self.keep.sum(axis=1, keepdims=True))

    def crossed(
        self, vectors: Float[np.ndarray, "L D"], heads: Sequence[np.ndarray]
    ) -> Float[np.ndarray, "L N"]:
        """The probabilities of each document by the head of its fold."""
        scores = np.zeros(self.targets.shape, np.float32)
        for f in range(len(self.keep) - 1):
            held = self.fold == f
            scores[held] = np.asarray(head_probabilities(heads[f], vectors))[held]
        return scores

    def measured(
        self, vectors: Float[np.ndarray, "L D"], heads: Sequence[np.ndarray]
    ) -> Head:
        """The last head, with what the others say of documents held back."""
        scores = self.crossed(vectors, heads)
        found = Predictions.of_all(scores, self.targets)
        counts = self.targets.sum(axis=0)
        return Head(heads[-1], scores, choose_decision(self.thresholds, found, counts))

    def best_f1(
        self, vectors: Float[np.ndarray, "L D"], heads: Sequence[np.ndarray]
    ) -> float:
        """Mean of micro- and macro-F1 at the best of some thresholds for all labels."""
        once = np.ones((1, len(self.targets)), int)
        scores = self.crossed(vectors, heads)
        found = (resampled_f1(scores >= cut, self.targets, once) for cut in CUTS)
        return max(float(f["micro_f1"][0] + f["macro_f1"][0]) for f in found)


Draws = Mapping[str, np.ndarray]
"""Values of metrics: of the documents themselves, then of resamples of them."""


def resampled(
    heads: Mapping[Way, Head], targets: Float[np.ndarray, "L N"]
) -> dict[Way, Draws]:
    """Measure every way on documents held back, and on the same resamples of them.

    Returns:
        micro_f1, macro_f1 over the labels with a labelled positive, and mean_f1, their
        mean.
    """
    present = targets.any(axis=0)
    once = np.ones((1, len(targets)), int)
    draws = np.concatenate([once, document_draws(len(targets), RESAMPLES)])
    found: dict[Way, Draws] = {}
    for way, head in heads.items():
        decided = head.decision.decide(head.cross_fitted)[:, present]
        values = resampled_f1(decided, targets[:, present], draws)
        mean = (values["micro_f1"] + values["macro_f1"]) / 2
        found[way] = {**values, "mean_f1": mean}
    return found


def gain_over(values: Draws, base: Draws) -> tuple[dict[str, Interval], float]:
    """Return what one way gains over another in every metric, and how surely.

    Gains have 95 % intervals over documents; beside them stands the share of the
    resamples in which it is better in mean_f1.
    """
    more = {name: each - base[name] for name, each in values.items()}
    gains = {
        name: Interval(float(v[0]), *np.quantile(v[1:], [0.025, 0.975]).tolist())
        for name, v in more.items()
    }
    return gains, float((more["mean_f1"][1:] > 0).mean())


def gains_over(
    values: Mapping[Way, Draws], plain: Way
) -> tuple[dict[Way, dict[str, Interval]], dict[Way, float]]:
    """Return `gain_over` of every way over the plain one.

    Args:
        values: of every way, see `resampled`.
        plain: the way that the others are compared with.
    """
    found = {
        n: gain_over(own, values[plain]) for n, own in values.items() if n != plain
    }
    gains = {way: gain for way, (gain, _) in found.items()}
    return gains, {way: sure for way, (_, sure) in found.items()}


def clearest(
    gains: Mapping[Way, Mapping[str, Interval]], sure: Mapping[Way, float], plain: Way
) -> Way:
    """Return the way with the largest gain that is clear of noise, or the plain one."""
    able = [k for k in gains if sure[k] >= SURE and gains[k]["micro_f1"][0] >= 0]
    return max(able, key=lambda k: gains[k]["mean_f1"][0], default=plain)
