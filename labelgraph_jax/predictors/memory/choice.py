"""Choice of a memory's temperatures, weights and threshold on validation documents.

Ranking decides, nDCG@5, which needs neither thresholds nor a matrix of documents by
labels: every candidate is a label that the classifier or the memory ranks high.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, logit

from labelgraph_jax.config import MemoryConfig
from labelgraph_jax.functional.many_labels.label_lists import (
    LabelScores,
    scores_at,
    side_by_side,
    sum_lists,
)
from labelgraph_jax.functional.many_labels.retrieval import Neighbours
from labelgraph_jax.functional.metrics.groups import competing_r_precision
from labelgraph_jax.functional.metrics.ranking import ndcg_from_hits
from labelgraph_jax.predictors.memory.memory import Choice, Memory, TextRule, slices
from labelgraph_jax.predictors.predictions import Predictions

TEMPERATURES = (0.02, 0.05, 0.1, 0.2)
LABEL_TEMPERATURES = (0.05, 0.1, 0.2)
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
WITHOUT_VALIDATION = Choice(
    temperature=0.1, label_temperature=0.1, share=0.75, weight=0.0
)
"""Choice without validation documents: the classifier is used alone."""
SHIFTS = (0.0, -0.5, 0.5, -1.0, 1.0, -1.5, 1.5, -2.0, 2.0, 3.0, 4.0, 5.0)
STACKED = (0.05, 0.2)
"""Of the trained labels that stand for unseen ones: as large a share as these have
among all, within these bounds."""
LOST = 0.005
"""RP@5 of the labels with training documents that a shift may cost."""
DEPTH = 5
KEPT = 50
"""Labels of the classifier, at most, that are candidates."""


@dataclass(frozen=True)
class Validation:
    """Validation documents as the choice reads them.

    Attributes:
        queries: their vectors, from `Memory.queries`.
        predictions: the classifier's, with their truth.
    """

    queries: np.ndarray
    predictions: Predictions

    @cached_property
    def positives(self) -> sparse.csr_matrix:
        """Their labels where they are annotated, CSR `[M, N]`."""
        positives = sparse.csr_matrix(self.predictions.truth)
        if self.target_mask is not None:
            positives = sparse.csr_matrix(positives.multiply(self.target_mask))
        positives.eliminate_zeros()
        return positives

    @property
    def target_mask(self) -> np.ndarray | None:
        """True where a document is annotated for a label, `[M, N]`; None for all."""
        return self.predictions.known

    @cached_property
    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids and probabilities of the classifier's best labels, `[M, K]`."""
        best = self.predictions
        if best.ids is None:
            best = best.top(KEPT)
        return best.columns, best.probabilities


class _Candidates(NamedTuple):
    """Labels that may be among the best of some documents, and what is said of them."""

    ids: np.ndarray  # [B, C], ascending
    classifier: np.ndarray  # [B, C]
    documents: dict[float, np.ndarray]  # by temperature
    texts: dict[float, np.ndarray]
    truth: np.ndarray  # bool [B, C]
    positives: np.ndarray  # [B]
    near_texts: Neighbours


def choose(memory: Memory, validation: Validation) -> tuple[Choice, dict[str, float]]:
    """The temperatures, share and weight with the highest nDCG@5 on validation.

    What the settings fix stays. Of equally good ones the smallest weight is taken, so
    that a memory which does not help has none.

    Args:
        memory: whose `choice` counts nothing here.
        validation: what it is chosen on.

    Returns:
        The choice, and nDCG@5 with it, of the classifier and of the memory alone.
    """
    asked = memory.config

    def grid(fixed: float | None, values: Sequence[float]) -> Sequence[float]:
        return values if fixed is None else (fixed,)

    taus = grid(asked.temperature, TEMPERATURES)
    label_taus = grid(asked.label_temperature, LABEL_TEMPERATURES)
    shares = grid(asked.share, SHARES)
    weights = grid(asked.weight, WEIGHTS)
    if not validation.positives.nnz:
        return unchosen(asked), {}
    options = list(itertools.product(weights, shares, taus, label_taus))
    alone = [(1.0, *rest) for rest in itertools.product(shares, taus, label_taus)]
    tried = dict.fromkeys([(0.0, shares[0], taus[0], label_taus[0]), *options, *alone])
    sums = dict.fromkeys(tried, 0.0)
    for rows in slices(len(validation.queries)):
        some = _candidates(memory, validation, rows, taus, label_taus)
        for option in tried:
            sums[option] += _ndcg(some, *option)
    counted = max(1, int((np.diff(validation.positives.indptr) > 0).sum()))
    means = {option: total / counted for option, total in sums.items()}
    # max takes the first of equals, and the weights ascend.
    best = max(options, key=lambda option: round(means[option], 6))
    measured = {
        "nDCG@5": means[best],
        "nDCG@5_classifier": next(iter(means.values())),
        "nDCG@5_memory": max(means[option] for option in alone),
    }
    weight, share, tau, label_tau = best
    choice = Choice(
        temperature=tau, label_temperature=label_tau, share=share, weight=weight
    )
    return choice, measured


def unchosen(config: MemoryConfig) -> Choice:
    """Return the choice without validation: the values that settings fix."""
    fixed = {
        name: getattr(config, name)
        for name in ("temperature", "label_temperature", "share", "weight")
        if getattr(config, name) is not None
    }
    return dataclasses.replace(WITHOUT_VALIDATION, **fixed)


def _candidates(
    memory: Memory,
    validation: Validation,
    rows: slice,
    taus: Sequence[float],
    label_taus: Sequence[float],
) -> _Candidates:
    queries = validation.queries[rows]
    near = memory.near_documents(queries), memory.near_texts(queries)
    documents = {tau: memory.of_documents(near[0], tau) for tau in taus}
    texts = {tau: memory.of_texts(near[1], tau) for tau in label_taus}
    top = LabelScores(*(jnp.asarray(part[rows]) for part in validation.best))
    lists = (documents[taus[0]], texts[label_taus[0]], top)
    ids = np.asarray(sum_lists(side_by_side(*lists)).ids)
    ids = ids[:, : max(1, int((ids >= 0).sum(axis=1).max()))]
    there = ids >= 0
    if validation.target_mask is not None:
        mask = validation.target_mask[rows]
        there &= np.take_along_axis(mask, np.maximum(ids, 0), axis=1)
    classifier = np.where(there, validation.predictions.scores_at(rows, ids), -1.0)
    positives = validation.positives[rows]
    return _Candidates(
        ids,
        classifier.astype(np.float32),
        {tau: np.asarray(scores_at(found, ids)) for tau, found in documents.items()},
        {tau: np.asarray(scores_at(found, ids)) for tau, found in texts.items()},
        _holds(positives, ids) & there,
        np.diff(positives.indptr),
        near[1],
    )


def _holds(positives: sparse.csr_matrix, ids: np.ndarray) -> np.ndarray:
    """Return a mask of the ids that are in their row of a CSR matrix."""
    width = positives.shape[1]
    rows = np.repeat(np.arange(positives.shape[0]), np.diff(positives.indptr))
    held = np.sort(rows * width + positives.indices)
    wanted = np.arange(len(ids))[:, None] * width + ids
    places = np.minimum(np.searchsorted(held, wanted), max(len(held) - 1, 0))
    return (held[places] == wanted) & (ids >= 0) if len(held) else ids < -1


def _ndcg(
    some: _Candidates, weight: float, share: float, tau: float, label_tau: float
) -> float:
    """The sum of nDCG@5 over documents, of a mixture."""
    mixed = _mixed(some, tau, label_tau, share, weight)
    depth = min(DEPTH, mixed.shape[1])
    best = np.argpartition(-mixed, depth - 1, axis=1)[:, :depth]
    scores = np.take_along_axis(mixed, best, axis=1)
    order = np.lexsort((best, -scores), axis=1)  # ids ascend with their places
    best = np.take_along_axis(best, order, axis=1)
    hits = np.take_along_axis(some.truth, best, axis=1)
    hits = np.pad(hits, ((0, 0), (0, DEPTH - depth)))
    values = np.asarray(ndcg_from_hits(hits, some.positives))
    return float(values[some.positives > 0].sum())


def _mixed(
    some: _Candidates, tau: float, label_tau: float, share: float, weight: float
) -> np.ndarray:
    """The score of each candidate; -1 for no label, or one not annotated."""
    memory = share * some.documents[tau] + (1.0 - share) * some.texts[label_tau]
    mixed = (1.0 - weight) * some.classifier + weight * memory
    return np.where(some.classifier < 0, -1.0, mixed)


def fit_text_rule(memory: Memory, validation: Validation) -> TextRule:
    """Fit the decision rule of labels without training documents, by their texts.

    Every trained label among the nearest label texts of a validation document is taken
    as if it were unseen: its score is measured against the *other* labels, and nothing
    but its text enters. A logistic curve is fitted to these scores, and the threshold
    is where micro-F1 over all trained labels is highest.

    Args:
        memory: with its choice made.
        validation: what is fitted on.
    """
    positives, tau = validation.positives, memory.choice.label_temperature
    seen = np.flatnonzero(memory.keys.seen)
    if not positives.nnz or len(seen) < 2:
        return TextRule()
    scores, truth = [], []
    for rows in slices(len(validation.queries)):
        near = memory.near_texts(validation.queries[rows])
        logits = np.asarray(near.similarities, np.float64) / tau
        ids = seen[np.asarray(near.rows)]
        kept = np.ones(ids.shape, bool)
        if validation.target_mask is not None:
            mask = validation.target_mask[rows]
            kept = np.take_along_axis(mask, ids, axis=1)
        scores.append(_against_others(logits)[kept])
        truth.append(_holds(positives[rows], ids)[kept])
    z, y = np.concatenate(scores), np.concatenate(truth)
    if not y.any() or y.all():
        return TextRule()
    slope, intercept = _logistic(z, y)
    # Labels farther off than the nearest are not predicted: their positives are missed.
    total = int(positives[:, seen].sum())
    order = np.argsort(-z, kind="stable")
    hits = np.cumsum(y[order])
    f1 = 2.0 * hits / (np.arange(1, len(z) + 1) + total)
    ends = np.append(np.diff(z[order]) != 0, True)  # equal scores are never parted
    best = int(np.argmax(np.where(ends, f1, -1.0)))
    cut = z[order][best]
    below = z[order][best + 1] if best + 1 < len(z) else cut
    threshold = float(expit(slope * (cut + below) / 2 + intercept))
    return TextRule(slope=slope, intercept=intercept, threshold=threshold)


def stack(memory: Memory, validation: Validation) -> tuple[TextRule, dict[str, float]]:
    """Shift the text rule so that unseen labels compete with seen ones.

    Calibrated stacking: a constant on the logit of every label without training
    documents, the one with the highest harmonic mean of RP@5 of both kinds of those
    that cost the seen labels next to nothing: most documents carry no unseen label. The
    trained labels with the fewest documents stand for the unseen ones: of them the text
    alone counts. The threshold moves along, so that nothing is decided otherwise.

    Args:
        memory: with its choice and text rule made.
        validation: what the constant is chosen on.

    Returns:
        The rule, and what was measured with it; as it was, and nothing, where no
        document carries a label of each kind.

    Reference: Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot
    Learning", ECCV 2016, section 3.
    """
    # Hide the rarest of the trained labels, by the share of labels that are unseen.
    rule, choice, seen = memory.text_rule, memory.choice, memory.keys.seen
    trained = np.flatnonzero(seen)
    share = np.clip(np.mean(~seen), *STACKED)
    labels = memory.keys.document_labels
    counts = np.bincount(labels[labels >= 0], minlength=len(seen))
    drawn = np.random.default_rng(0).permutation(trained)  # among equals
    rarest = drawn[np.argsort(counts[drawn], kind="stable")]
    hidden = np.zeros(len(seen), bool)
    hidden[rarest[: round(share * len(trained))]] = True
    positives = validation.positives
    held = hidden[positives.indices]
    if held.all() or not held.any():
        return rule, {}
    # Rank with hidden labels scored by their text alone, at every shift.
    ranked: dict[float, list[np.ndarray]] = {shift: [] for shift in SHIFTS}
    tau, label_tau = choice.temperature, choice.label_temperature
    for rows in slices(len(validation.queries)):
        some = _candidates(memory, validation, rows, [tau], [label_tau])
        near = some.near_texts
        texts = np.full((len(some.ids), len(seen)), -np.inf)
        z = _against_others(np.asarray(near.similarities, np.float64) / label_tau)
        np.put_along_axis(texts, trained[np.asarray(near.rows)], z, axis=1)
        places = np.maximum(some.ids, 0)
        logits = rule.slope * np.take_along_axis(texts, places, axis=1) + rule.intercept
        mixed = _mixed(some, *dataclasses.astuple(choice))
        own = hidden[places] & (mixed >= 0)
        for shift, lists in ranked.items():
            scores = np.where(own, expit(logits + shift), mixed)
            best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
            ids = np.full((len(scores), DEPTH), -1)
            ids[:, : best.shape[1]] = np.take_along_axis(some.ids, best, axis=1)
            lists.append(ids)
    groups = {"seen": np.flatnonzero(~hidden), "unseen": np.flatnonzero(hidden)}
    truth = positives.indptr, positives.indices, groups
    measured = {
        shift: competing_r_precision(np.concatenate(lists), *truth, labels=len(seen))
        for shift, lists in ranked.items()
    }
    # The shift that serves both best, at little cost to seen labels.
    least = max(found["seen"] for found in measured.values()) - LOST
    allowed = [one for one in measured if measured[one]["seen"] >= least]
    # The first of equals: the smallest shift.
    shift = max(allowed, key=lambda one: round(measured[one]["harmonic_mean"], 4))
    moved = dataclasses.replace(
        rule,
        intercept=rule.intercept + shift,
        threshold=float(expit(logit(rule.threshold) + shift)),
    )
    return moved, {"shift": shift, **measured[shift]}


def _against_others(logits: np.ndarray) -> np.ndarray:
    """Each logit minus the log of the sum of all others' exponentials."""
    largest = logits.max(axis=1, keepdims=True)
    parts = np.exp(logits - largest)
    rest = np.maximum(parts.sum(axis=1, keepdims=True) - parts, 1e-30)
    return logits - largest - np.log(rest)


def _logistic(z: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope (above 0) and intercept with the lowest cross-entropy."""

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        logits = values[0] * z + values[1]
        error = (expit(logits) - y) / len(z)
        mean = np.mean(np.logaddexp(0.0, logits) - y * logits)
        return float(mean), np.array([error @ z, error.sum()])

    start, bounds = np.array([1.0, 0.0]), [(1e-3, None), (None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])
