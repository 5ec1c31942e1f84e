"""Calibrated logits, and the threshold that they ask for, from next to no positives.

Where ten documents are positive, the threshold that parts them best is chance; but how
high all scores are beside how many positives there are says whether they are
calibrated, and calibrated scores name their own best threshold.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from labelgraph_jax.functional.checks import check_axes, check_numbers

SCALE_SPREAD, SHIFT_SPREAD = 0.3, 3.0
"""Expected distance of scores from calibrated ones: standard deviations."""
LEAST_SCALE = 0.1
NEWTON_STEPS = 20
FOLDS = 10
SURE = 1.645
"""Standard errors that a gain must be above 0 to be none of chance, in 95 of 100."""


class Calibration(NamedTuple):
    """A line that logits are read by, and what it is worth.

    Attributes:
        scale, shift: a logit x becomes scale * x + shift; 1 and 0 leave it as it is.
        gain: the mean log-loss that it saves, in nats, where it was not fitted.
    """

    scale: float = 1.0
    shift: float = 0.0
    gain: float = 0.0


def fit_calibration(
    logits: Float[np.ndarray, " M"],
    positives: Bool[np.ndarray, " M"],
    *,
    weights: Float[np.ndarray, " M"] | None = None,
) -> Calibration:
    """Fit the line that makes logits calibrated, if it is any better than none.

    sigmoid(a x + b), with the most likely a and b given a ~ N(1, 0.3) and b ~ N(0, 3),
    as in `calibrated_cut`. The line is fitted ten times on nine tenths of the cells
    (positives and negatives dealt alike) and measured on the tenth; where the mean of
    the log-loss it saves there is not above 0 by 1.645 standard errors, or there are
    fewer than ten cells of a kind, logits are left as they are.

    Args:
        logits: of validation cells, finite.
        positives: their truth.
        weights: what each counts, not negative; one each by default.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> logits = np.random.default_rng(0).normal(0, 2, 2000)
        >>> truth = np.random.default_rng(1).random(2000) < 1 / (1 + np.exp(-logits))
        >>> lg.functional.fit_calibration(logits, truth)
        Calibration(scale=1.0, shift=0.0, gain=0.0)
        >>> round(lg.functional.fit_calibration(logits + 2, truth).shift)
        -2

    Raises:
        ValueError: the shapes differ, or a logit is not finite.

    Reference: Platt, Probabilistic outputs for support vector machines, 1999; the
    prior, and leaving well alone, are ours.
    """
    check_axes(logits=(logits, "M"), positives=(positives, "M"), weights=(weights, "M"))
    x, truth = np.asarray(logits, np.float64), np.asarray(positives, bool)
    if not np.isfinite(x).all():
        raise ValueError("logits must be finite")
    if min(truth.sum(), (~truth).sum()) < FOLDS:
        return Calibration()
    fold = np.empty(len(x), np.int64)
    for kind in (truth, ~truth):
        order = np.random.default_rng(0).permutation(int(kind.sum()))
        fold[kind] = order % FOLDS
    y, each = truth.astype(np.float64), np.ones(len(x))
    if weights is not None:
        each = np.asarray(weights, np.float64) / np.mean(weights)
    saved = np.empty(len(x))
    for number in range(FOLDS):
        held, rest = fold == number, fold != number
        (a, b), _ = _line(x[rest], (each * y)[rest], each[rest])
        saved[held] = _loss(x[held], y[held]) - _loss(a * x[held] + b, y[held])
    saved *= each
    gain = float(saved.mean())
    if gain <= SURE * saved.std() / math.sqrt(len(saved)):
        return Calibration()
    line, _ = _line(x, each * y, each)
    return Calibration(float(line[0]), float(line[1]), gain)


def _loss(
    logits: Float[np.ndarray, " M"], targets: Float[np.ndarray, " M"]
) -> Float[np.ndarray, " M"]:
    return np.logaddexp(0.0, logits) - targets * logits


def _line(
    x: Float[np.ndarray, " G"],
    true: Float[np.ndarray, " G"],
    cells: Float[np.ndarray, " G"],
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 2"]]:
    """The line a x + b with the highest posterior, by Newton's method; its curvature.

    Args:
        x: logits.
        true: positives at each.
        cells: all cells at each.
    """
    design = np.stack([x, np.ones_like(x)], axis=1)
    precision = np.array([SCALE_SPREAD, SHIFT_SPREAD]) ** -2
    line = as_given = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-design @ line))
        slope = design.T @ (true - cells * p) - precision * (line - as_given)
        curvature = (design.T * (cells * p * (1 - p))) @ design + np.diag(precision)
        move = np.linalg.solve(curvature, slope)
        line = line + move / max(1.0, abs(move).max())
    return line, curvature


def calibrated_cut(
    cuts: Float[np.ndarray, " G"],
    hits: Float[np.ndarray, " G"],
    predicted: Float[np.ndarray, " G"],
) -> float:
    """Return the logit of the threshold that scores with few positives ask for.

    The highest expected F1 is reached where a probability is half of that F1.
    Probabilities are taken at their word, or calibrated first, as sigmoid(a x + b) of a
    logit x, with the most likely a and b given a ~ N(1, 0.3) and b ~ N(0, 3). The
    second cut is multiplied by positives / (positives + 1), so that next to none leaves
    0.5. What is returned is their mean by the evidence for each (Laplace's
    approximation), even odds beforehand.

    Args:
        cuts: candidate thresholds as logits, ascending and evenly spaced; two at least.
        hits: positives at or above each cut.
        predicted: scores at or above each cut.

    Returns:
        A logit, which may lie outside the cuts; its sigmoid is the threshold.

    Raises:
        ValueError: there are fewer than two cuts, shapes differ, or one is NaN.

    Example:
        >>> import numpy as np
        >>> import labelgraph_jax as lg
        >>> cuts = np.array([-2.0, 0.0, 2.0])
        >>> hits, predicted = np.array([9.0, 8, 6]), np.array([40.0, 14, 7])
        >>> round(lg.functional.calibrated_cut(cuts, hits, predicted), 1)
        0.6

    Reference: Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to
    Maximize F1 Measure, ECML PKDD 2014, for the cut at half of the F1; the prior over
    lines, and weighing both cuts by evidence, are ours.
    """
    if len(cuts) < 2:
        raise ValueError(f"there must be two cuts at least; got {len(cuts)}")
    check_axes(cuts=(cuts, "G"), hits=(hits, "G"), predicted=(predicted, "G"))
    check_numbers(cuts=cuts, hits=hits, predicted=predicted)
    step = cuts[1] - cuts[0]
    x = np.minimum(cuts + step / 2, cuts[-1])
    cells, true = (t - np.append(t[1:], 0) for t in (predicted, hits))
    design = np.stack([x, np.ones_like(x)], axis=1)
    as_given = np.array([1.0, 0.0])
    precision = np.array([SCALE_SPREAD, SHIFT_SPREAD]) ** -2

    line, curvature = _line(x, true, cells)

    def likelihood(line: np.ndarray) -> float:
        z = design @ line
        return float(-true @ np.logaddexp(0, -z) - (cells - true) @ np.logaddexp(0, z))

    def best(line: np.ndarray) -> float:
        """The cut where the probability is half of the best expected F1."""
        expected = (cells / (1 + np.exp(-design @ line)))[::-1].cumsum()[::-1]
        f1 = 2 * expected / np.maximum(predicted + expected[0], 1e-9)
        half = max(f1.max(), 1e-6) / 2
        return float((np.log(half / (1 - half)) - line[1]) / max(line[0], LEAST_SCALE))

    # Laplace's approximation of the evidence for a line against none.
    evidence = likelihood(line) - likelihood(as_given)
    evidence -= precision @ (line - as_given) ** 2 / 2
    evidence += (np.log(precision).sum() - np.linalg.slogdet(curvature)[1]) / 2
    share = 1 / (1 + math.exp(-float(np.clip(evidence, -50, 50))))
    calibrated = best(line) * float(hits[0] / (hits[0] + 1))
    return share * calibrated + (1 - share) * best(as_given)
