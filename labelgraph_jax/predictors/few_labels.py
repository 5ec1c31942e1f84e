"""Cross-fitted estimate, on the labelled documents, of what unlabelled ones add.

Every way is fitted on all folds of the labelled documents but one and decides that one,
as the supervised head does; the strength of both is that of the supervised head.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.functional.many_labels.retrieval import Neighbours
from labelgraph_jax.functional.metrics.bootstrap import (
    Interval,
    document_draws,
    resampled_f1,
)
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.training.few_labels import (
    Kind,
    Precision,
    PseudoTargets,
    document_graph,
    fit_heads,
    fit_student,
    head_probabilities,
    spread_scores,
    targets_of_scores,
)

KINDS: tuple[Kind, ...] = ("graph", "cap", "teacher", "vat")
STRENGTHS = (10.0, 30.0, 100.0, 300.0)
CUTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Thresholds at which strengths are compared."""
FOLDS = 5
LEAST_DOCUMENTS = 20
RESAMPLES = 1000
SURE = 0.75
"""Share of the resamples in which a way must be better than the supervised head."""
APART = 0.8
"""Share that a probe may tell apart of labelled and unlabelled documents. Where they
are of two kinds, labelled documents held back do not say what the others teach."""


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


class SemiChoice(NamedTuple):
    """Chosen way to learn from unlabelled documents, with the gain of each way.

    Attributes:
        kind: the chosen one, `none` where no gain is clear of noise.
        strength: of the supervised head, see `fit_heads`.
        heads: of every way, `none` the supervised one.
        gains: of every way over the supervised head: micro_f1, macro_f1 over the labels
            with a labelled positive, and mean_f1, their mean, each with a 95 % interval
            over documents.
        sure: share of the resamples in which its mean_f1 is above the supervised one.
        apart: share of labelled and unlabelled documents, each half, that a probe tells
            apart that was fitted on others; 0.5 where they are alike.
        pseudo: what each way takes the unlabelled documents to be.
    """

    kind: Kind
    strength: float
    heads: Mapping[Kind, Head]
    gains: Mapping[Kind, Mapping[str, Interval]]
    sure: Mapping[Kind, float]
    apart: float
    pseudo: Mapping[Kind, PseudoTargets]

    @property
    def said(self) -> str:
        """The choice in one line."""
        if self.apart > APART:
            return (
                f"'none', for the documents are of another kind: a probe tells "
                f"{100 * self.apart:.0f} % of them from the labelled ones"
            )
        if self.kind == "none":
            return "'none', for no gain is clear on labelled documents held back"
        gain = self.gains[self.kind]["mean_f1"]
        return (
            f"'{self.kind}', mean F1 {100 * gain.difference:+.1f} points "
            f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] on labelled documents "
            "held back"
        )


def pseudo_targets(
    labelled: Float[np.ndarray, "L D"],
    targets: Shaped[np.ndarray, "L N"],
    unlabelled: Float[np.ndarray, "U D"],
    *,
    kind: Kind,
    seed: int = 0,
) -> PseudoTargets:
    """Return what one way takes the unlabelled documents to be, see `choose_semi`.

    Raises:
        ValueError: as `choose_semi`, or there is no unlabelled document.
    """
    if not len(unlabelled):
        raise ValueError("there must be an unlabelled document, got none")
    choice = choose_semi(labelled, targets, unlabelled, kinds=(kind,), seed=seed)
    return choice.pseudo[kind]


def choose_semi(
    labelled: Float[np.ndarray, "L D"],
    targets: Shaped[np.ndarray, "L N"],
    unlabelled: Float[np.ndarray, "U D"],
    *,
    kinds: Sequence[Kind] = KINDS,
    seed: int = 0,
    graph: Neighbours | None = None,
    thresholds: ThresholdConfig | None = None,
) -> SemiChoice:
    """Choose how to learn from unlabelled documents, or not to.

    Args:
        labelled: document vectors, of length 1 or so.
        targets: their labels, 0 or 1.
        unlabelled: vectors of the other documents.
        kinds: ways to try.
        seed: of the folds.
        graph: of labelled, then unlabelled documents, where it is at hand.
        thresholds: how labels are decided.

    Raises:
        ValueError: fewer than 20 labelled documents, or none with a label.
    """
    labelled, unlabelled = (np.asarray(x, np.float32) for x in (labelled, unlabelled))
    targets = (np.asarray(targets) > 0).astype(np.float32)
    documents = len(targets)
    if documents < LEAST_DOCUMENTS:
        raise ValueError(
            f"to learn from unlabelled documents there must be at least "
            f"{LEAST_DOCUMENTS} labelled ones, got {documents}"
        )
    if not targets.any():
        raise ValueError("a labelled document must carry a label, got none in any")
    thresholds = thresholds or ThresholdConfig()
    fold = np.random.default_rng((seed, 7)).permutation(documents) % FOLDS
    # The last row is all documents. The others weigh as much together: a head's
    # freedom is that of the head fitted on all.
    keep = np.stack([fold != f for f in range(FOLDS)] + [np.ones(documents, bool)])
    rows = keep * (documents / keep.sum(axis=1, keepdims=True))

    def crossed(heads: Sequence[np.ndarray]) -> np.ndarray:
        scores = np.zeros(targets.shape, np.float32)
        for f in range(FOLDS):
            held = fold == f
            scores[held] = np.asarray(head_probabilities(heads[f], labelled))[held]
        return scores

    def measured(heads: Sequence[np.ndarray]) -> Head:
        scores = crossed(heads)
        counts = targets.sum(axis=0)
        found = Predictions.of_all(scores, targets)
        return Head(heads[-1], scores, choose_decision(thresholds, found, counts))

    # The supervised head, its strength cross-fitted.
    tried: dict[float, list[np.ndarray]] = {}
    for strength in STRENGTHS:
        tried[strength] = [
            np.asarray(
                fit_heads(
                    labelled,
                    targets,
                    row[:, None].astype(np.float32),
                    np.float32(strength),
                )
            )
            for row in rows
        ]
    best = max(tried, key=lambda s: _best_f1(crossed(tried[s]), targets))
    supervised, head = tried[best], measured(tried[best])
    found: dict[Kind, Head] = {"none": head}
    pseudo: dict[Kind, PseudoTargets] = {}
    precision = Precision.measured(head.cross_fitted, targets)
    if graph is None and "graph" in kinds and len(unlabelled):
        graph = document_graph(np.concatenate([labelled, unlabelled]))
    for kind in kinds if len(unlabelled) else ():
        students: list[np.ndarray] = []
        for row, kept, teacher in zip(rows, keep, supervised, strict=True):
            scores = np.asarray(head_probabilities(teacher, unlabelled))
            spread = None
            if kind == "graph" and graph is not None:
                spread = spread_scores(graph, targets, scores, kept)
            counts = targets[kept].sum(axis=0)
            learned = targets_of_scores(
                kind, scores, counts, int(kept.sum()), precision, spread=spread
            )
            students.append(
                fit_student(
                    kind,
                    labelled,
                    targets,
                    row,
                    unlabelled,
                    learned,
                    teacher,
                    strength=best,
                    seed=seed,
                )
            )
        pseudo[kind] = learned
        found[kind] = measured(students)
    gains, sure = _gains(found, targets)
    apart = _apart(labelled, unlabelled, fold) if len(unlabelled) else 0.5
    able = [k for k in gains if sure[k] >= SURE and gains[k]["micro_f1"][0] >= 0]
    able = [] if apart > APART else able
    chosen: Kind = max(able, key=lambda k: gains[k]["mean_f1"][0], default="none")
    return SemiChoice(chosen, best, found, gains, sure, apart, pseudo)


def _apart(labelled: np.ndarray, unlabelled: np.ndarray, fold: np.ndarray) -> float:
    """Balanced accuracy of a linear probe on documents that it was not fitted on."""
    count = min(len(labelled), len(unlabelled))
    # Drawn, for a file may be in some order.
    drawn = np.random.default_rng(7).choice(len(unlabelled), count, replace=False)
    vectors = np.concatenate([labelled, unlabelled[drawn]])
    which = np.repeat([1.0, 0.0], [len(labelled), count])[:, None].astype(np.float32)
    fold = np.concatenate([fold, np.arange(count) % FOLDS])
    right = np.zeros(len(vectors), bool)
    for f in range(FOLDS):
        rows = (fold != f)[:, None].astype(np.float32)
        head = fit_heads(vectors, which, rows, np.float32(STRENGTHS[0]))
        scores = np.asarray(head_probabilities(head, vectors))[:, 0]
        right |= (fold == f) & ((scores > 0.5) == (which[:, 0] > 0))
    return float(right[: len(labelled)].mean() + right[len(labelled) :].mean()) / 2


def _best_f1(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean of micro- and macro-F1 at the best of some thresholds for all labels."""
    once = np.ones((1, len(targets)), int)
    found = (resampled_f1(scores >= cut, targets, once) for cut in CUTS)
    return max(float(f["micro_f1"][0] + f["macro_f1"][0]) for f in found)


def _gains(
    heads: Mapping[Kind, Head], targets: np.ndarray
) -> tuple[dict[Kind, dict[str, Interval]], dict[Kind, float]]:
    present = targets.any(axis=0)
    once = np.ones((1, len(targets)), int)
    draws = np.concatenate([once, document_draws(len(targets), RESAMPLES)])

    def f1(head: Head) -> dict[str, np.ndarray]:
        decided = head.decision.decide(head.cross_fitted)[:, present]
        values = resampled_f1(decided, targets[:, present], draws)
        return values | {"mean_f1": (values["micro_f1"] + values["macro_f1"]) / 2}

    base = f1(heads["none"])
    gains: dict[Kind, dict[str, Interval]] = {}
    sure: dict[Kind, float] = {}
    for kind, head in heads.items():
        if kind == "none":
            continue
        more = {name: values - base[name] for name, values in f1(head).items()}
        gains[kind] = {
            name: Interval(float(v[0]), *np.quantile(v[1:], [0.025, 0.975]).tolist())
            for name, v in more.items()
        }
        sure[kind] = float((more["mean_f1"][1:] > 0).mean())
    return gains, sure
