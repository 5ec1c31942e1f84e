"""The way to adapt to target documents, chosen without a label of theirs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.decisions.thresholds import fit_global_threshold
from labelgraph_jax.training.adaptation import KINDS, MOVING, Head, fit_adapted
from labelgraph_jax.training.domains import domain_probe

DECAYS = (1e-4, 1e-3, 1e-2)
HELD_OUT = 5
"""One source document in so many judges a choice."""
LEAST_EFFECTIVE = 30
COLLAPSED = 0.2
"""Of the information of other predictions: below it they say next to nothing."""
ALIKE, APART = 0.65, 0.8
"""Accuracies of a fresh classifier of domains: up to which they are alike, and from
which on they are apart."""
AT_NO_COST = 0.01
"""Of micro-F1 on the source, what an alignment may cost."""


def information(probabilities: Float[np.ndarray, "M N"]) -> float:
    """Return what predictions tell about documents, in nats of all labels together.

    It is the entropy of the mean less the mean entropy; near 0 all documents get the
    prior.
    """

    def entropy(p: np.ndarray) -> np.ndarray:
        p = np.clip(p, 1e-7, 1 - 1e-7)
        return np.asarray(-(p * np.log(p) + (1 - p) * np.log1p(-p)))

    p = np.asarray(probabilities, np.float64)
    return float((entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)).sum())


class Choice(NamedTuple):
    """A way to adapt, chosen without a label of the target.

    Attributes:
        kind: one of `KINDS`.
        reason: in words.
        accuracy: of the held-out classifier of domains on the vectors as they are.
        effective: so many held-out source documents weigh as much as target documents.
        gains: of each kind that was tried: micro-F1 over `none`, on held-out source
            documents weighed as target documents, and its 95 % interval, in points.
        decay: of the squared weights, the best on held-out source documents.
        held: source documents that no head was fitted on.
        heads: that were tried, fitted on the others.
        left: accuracies of fresh classifiers of domains after an alignment.
    """

    kind: str
    reason: str
    accuracy: float
    effective: float
    gains: dict[str, tuple[float, float, float]]
    decay: float
    held: Bool[np.ndarray, " B"]
    heads: dict[str, Head]
    left: dict[str, float]


def choose_adaptation(
    source: Float[np.ndarray, "B D"],
    targets: Float[np.ndarray, "B N"],
    target: Float[np.ndarray, "U D"],
    key: Array,
    *,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
) -> Choice:
    """Choose how to adapt, from source documents that no head was fitted on.

    They are weighed by how much likelier each is among the target's. A kind is taken
    where its weighed micro-F1 is above that of `none` beyond chance. Where too few
    source documents are like the target's for that, an alignment is taken that makes
    domains alike, to a fresh classifier, which could be told apart before, and costs
    the source nothing: what is left then of the bound on the error of the target is no
    larger, and the distance of the domains is smaller. All else is `none`; so is
    whatever gives all target documents the same labels.

    Args:
        source: vectors of the source documents, as of `fit_adapted`.
        targets: their labels.
        target: vectors of the target documents.
        key: of probe and heads.
        kinds: that may be chosen, beside `none`.
        seed: of the documents held out, and of the interval.

    Reference: the weighed validation of Sugiyama et al., JMLR 2007, with weights by a
        classifier of domains (Bickel et al., JMLR 2009).
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(source), bool)
    held[rng.permutation(len(source))[: max(1, len(source) // HELD_OUT)]] = True
    rows, truth = (~held).astype(np.float32), targets[held] > 0

    def fit(kind: str, decay: float) -> Head:
        return fit_adapted(kind, source, targets, target, key, decay=decay, rows=rows)

    def cut(scores: np.ndarray) -> float:
        return fit_global_threshold(scores, truth)

    # The strength of the head that learns from the source alone.
    found: dict[float, tuple[float, Head]] = {}
    for decay in DECAYS:
        head = fit("none", decay)
        scores = head.probabilities(source[held])
        found[decay] = (_weighed_f1(scores >= cut(scores), truth), head)
    decay = max(found, key=lambda d: found[d][0])
    plain = found[decay][1]
    accuracy, ratio = domain_probe(source, target, key)
    weights = ratio[held]
    effective = float(weights.sum() ** 2 / np.square(weights).sum())
    heads, left = {"none": plain}, dict[str, float]()
    gains: dict[str, tuple[float, float, float]] = {}
    about = accuracy, effective, gains, decay, held, heads, left
    if not truth.any():
        return Choice("none", "no held-out source document has a label", *about)

    # What each kind gives on held-out source documents, and what it says of the target.
    own = plain.probabilities(source[held])
    threshold, told = cut(own), information(plain.probabilities(target))
    before, base = own >= threshold, found[decay][0]
    draws = rng.multinomial(len(weights), np.full(len(weights), 1 / len(weights)), 500)
    comparable, collapsed, free = effective >= LEAST_EFFECTIVE, set(), set()
    for kind in kinds:
        if kind == "none" or not (comparable or (kind in MOVING and accuracy >= APART)):
            continue
        head = heads[kind] = fit(kind, decay)
        scores = head.probabilities(source[held])
        after = scores >= (threshold if kind == "prior" else cut(scores))
        if information(head.probabilities(target)) < COLLAPSED * told:
            collapsed.add(kind)
        if comparable:
            gains[kind] = _gain(before, after, truth, weights, draws)
        if kind in MOVING:
            left[kind] = domain_probe(
                head.features(source), head.features(target), key
            )[0]
            if _weighed_f1(after, truth) >= base - AT_NO_COST:
                free.add(kind)
    better = [k for k, g in gains.items() if g[1] > 0 and k not in collapsed]
    if better:
        best = max(better, key=lambda k: gains[k][1])
        reason = (
            "on held-out source documents weighed as the target's it gains "
            f"{gains[best][0]:+.1f} points of micro-F1, 95 % interval "
            f"{gains[best][1]:+.1f} to {gains[best][2]:+.1f}"
        )
        return Choice(best, reason, *about)
    alike = [k for k in free - collapsed if left[k] <= ALIKE and accuracy >= APART]
    if alike:
        best = min(alike, key=lambda k: left[k])
        reason = (
            f"a fresh classifier tells the domains apart with accuracy {accuracy:.2f} "
            f"before and {left[best]:.2f} after it, which costs the source nothing"
        )
        return Choice(best, reason, *about)
    reason = (
        "no way to adapt is better beyond chance on held-out source documents weighed "
        "as the target's"
        if comparable
        else f"the {int(held.sum()):,} held-out source documents weigh as much as "
        f"{effective:.0f} of the target's, fewer than the {LEAST_EFFECTIVE} that a "
        "choice needs, and no alignment makes the domains alike"
    )
    return Choice("none", reason, *about)


def _gain(
    before: np.ndarray,
    after: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    draws: np.ndarray,
) -> tuple[float, float, float]:
    """Weighed micro-F1 of decisions less that of others, and its interval."""
    sums = np.stack([_counts(decided, truth) for decided in (before, after)])

    def difference(weighed: np.ndarray) -> np.ndarray:  # [2, 2, ...] -> [...]
        f1 = 200 * weighed[:, 0] / np.maximum(weighed[:, 1], 1e-12)
        return np.asarray(f1[1] - f1[0])

    drawn = difference(np.einsum("km,dcm->dck", draws * weights, sums))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(difference(sums @ weights)), float(low), float(high)


def _counts(decided: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Right labels of each document, and its decided and true ones together."""
    either = decided.sum(axis=1) + truth.sum(axis=1)
    return np.stack([(decided & truth).sum(axis=1), either]).astype(float)


def _weighed_f1(decided: np.ndarray, truth: np.ndarray) -> float:
    hits, either = _counts(decided, truth).sum(axis=1)
    return float(2 * hits / max(either, 1.0))
