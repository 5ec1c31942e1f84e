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
from labelgraph_jax.functional.metrics.bootstrap import Interval
from labelgraph_jax.predictors.cross_fitting import (
    FOLDS,
    STRENGTHS,
    Folds,
    Head,
    clearest,
    gains_over,
    resampled,
)
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
LEAST_DOCUMENTS = 20
APART = 0.8
"""Share that a probe may tell apart of labelled and unlabelled documents. Where they
are of two kinds, labelled documents held back do not say what the others teach."""


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
    # Refuse documents that are too few to choose by.
    documents = len(targets)
    if documents < LEAST_DOCUMENTS:
        raise ValueError(
            f"to learn from unlabelled documents there must be at least "
            f"{LEAST_DOCUMENTS} labelled ones, got {documents}"
        )
    if not targets.any():
        raise ValueError("a labelled document must carry a label, got none in any")
    folds = Folds(targets, seed, thresholds)
    rows, keep = folds.rows, folds.keep

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
    best = max(tried, key=lambda s: folds.best_f1(labelled, tried[s]))
    supervised, head = tried[best], folds.measured(labelled, tried[best])
    found: dict[Kind, Head] = {"none": head}
    pseudo: dict[Kind, PseudoTargets] = {}
    precision = Precision.measured(head.cross_fitted, targets)
    # Students of every kind, fitted and measured on the same folds.
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
        found[kind] = folds.measured(labelled, students)
    # The kind that surely gains, unless unlabelled documents are of another sort.
    gains, sure = gains_over(resampled(found, targets), "none")
    apart = _apart(labelled, unlabelled, folds.fold) if len(unlabelled) else 0.5
    chosen: Kind = "none" if apart > APART else clearest(gains, sure, "none")
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
