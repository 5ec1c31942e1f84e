"""The threshold that calibrated scores ask for, from next to no positives.

Where ten documents are positive, the threshold that parts them best is chance; but how
high all scores are beside how many positives there are says whether they are
calibrated, and calibrated scores name their own best threshold.
"""

import math

import numpy as np
from jaxtyping import Float

SCALE_SPREAD, SHIFT_SPREAD = 0.3, 3.0
"""Expected distance of scores from calibrated ones: standard deviations."""
LEAST_SCALE = 0.1
NEWTON_STEPS = 20


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
        ValueError: there are fewer than two cuts.

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
    step = cuts[1] - cuts[0]
    x = np.minimum(cuts + step / 2, cuts[-1])
    cells, true = (t - np.append(t[1:], 0) for t in (predicted, hits))
    design = np.stack([x, np.ones_like(x)], axis=1)
    as_given = np.array([1.0, 0.0])
    precision = np.array([SCALE_SPREAD, SHIFT_SPREAD]) ** -2

    # The line a x + b with the highest posterior, by Newton's method.
    line = as_given
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-design @ line))
        slope = design.T @ (true - cells * p) - precision * (line - as_given)
        curvature = (design.T * (cells * p * (1 - p))) @ design + np.diag(precision)
        move = np.linalg.solve(curvature, slope)
        line = line + move / max(1.0, abs(move).max())

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
