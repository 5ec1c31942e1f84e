"""Decision thresholds from few documents: averaged over resamples, shrunk, sloped.

The threshold that is best on the validation documents is best for their noise as well.
On a few hundred documents F1 is nearly flat around its optimum, so that the plain
optimum lands anywhere on the plateau, and a threshold that lands high costs the rare
labels their few hits. Three things are done about it:

- every fit is the mean, in logits, of the fits to resamples of the documents (bagging);
- labels borrow from each other: `sloped` has two numbers for all labels, a height and a
  slope against the logarithm of how often a label occurs in training, and `label` draws
  each label's own threshold towards that line;
- where positives are few, thresholds are drawn towards the one that two numbers for all
  scores ask for: a scale and a shift of their logits after which they are calibrated;
- everything is read off one table of counts per block of documents, which makes a
  resample a weighted sum of blocks, and leaving documents out a matter of weights.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_targets
from labelgraph_jax.functional.decisions.calibrated import calibrated_cut
from labelgraph_jax.functional.decisions.thresholds import check_one_shape

Metric = Literal["micro_f1", "mean_f1"]

RULES = ("global", "sloped", "label")
BLOCKS = 20
RESAMPLES = 20
SLOPES = np.array([-0.25, 0.0, 0.25, 0.5, 0.75])
MOST_CUTS = 128
TABLE_CELLS = 2**24
# Predicting fifty times the positives cannot reach an F1 above 0.04.
PREDICTED_PER_POSITIVE = 50
EXTREME_LOGIT = 16.0
LEAST_CELLS = 2000


class CutCounts(NamedTuple):
    """Counts of each block of documents at or above each cut, label by label.

    Attributes:
        cuts: candidate thresholds as logits, ascending and evenly spaced.
        block: the block of each document.
        hits: positives at or above the cut.
        predicted: all documents at or above the cut.
        positives: positives altogether.
        rarity: logarithm of each label's training documents, centred on the average
            positive of these documents.
    """

    cuts: Float[np.ndarray, " G"]
    block: Int[np.ndarray, " M"]
    hits: Float[np.ndarray, "K N G"]
    predicted: Float[np.ndarray, "K N G"]
    positives: Float[np.ndarray, "K N"]
    rarity: Float[np.ndarray, " N"]


def count_cuts(
    probabilities: Float[np.ndarray, "M N"],
    targets: Shaped[np.ndarray, "M N"],
    label_counts: Shaped[np.ndarray, " N"],
    *,
    target_mask: Bool[np.ndarray, "M N"] | None = None,
    seed: int = 0,
) -> CutCounts:
    """Tabulate hits and predictions of every label at every candidate threshold.

    Documents are dealt to at most 20 blocks at random. The cuts reach from the highest
    score down to where fifty times as many cells would be predicted as are positive,
    which no F1 above 0.04 does, and 2,000 at least.

    Args:
        probabilities: scores in [0, 1] of the validation documents.
        targets: their truth; positive where > 0.
        label_counts: training documents with each label.
        target_mask: True where the document is annotated for the label; other cells
            count nowhere.
        seed: of the dealing.

    Raises:
        ValueError: shapes differ, a score is no probability, an annotated target is NaN
            or outside 0..1, or nothing is positive.
    """
    scores, truth = np.asarray(probabilities), np.asarray(targets) > 0
    _check_shapes(scores, truth, np.asarray(label_counts), target_mask)
    check_targets(targets, target_mask)
    # Cells that are not annotated score 0 and are not true.
    if target_mask is not None:
        truth = truth & target_mask
        scores = np.where(target_mask, scores, 0).astype(scores.dtype)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be probabilities in [0, 1]")
    if not truth.any():
        raise ValueError("thresholds are fitted on positives: there is none")
    # Documents in blocks, drawn at random.
    documents, labels = scores.shape
    blocks = min(BLOCKS, documents)
    block = np.random.default_rng((seed, 0)).permutation(documents) % blocks

    cuts = _cuts(
        scores, truth, min(MOST_CUTS, max(TABLE_CELLS // (blocks * labels), 8))
    )
    # The lowest and the highest score are cuts, but for the last bit.
    row, column = np.nonzero(scores >= _sigmoid(cuts[:1] - 1e-9))
    place = (_logit(scores[row, column]) - cuts[0]) / (cuts[1] - cuts[0])
    cut = np.clip(place + 1e-9, 0, len(cuts) - 1).astype(np.int64)
    cell = (block[row] * labels + column) * len(cuts) + cut

    # [blocks, N, cuts]: cells at every cut or above it.
    def table(weights: np.ndarray | None) -> np.ndarray:
        size = blocks * labels * len(cuts)
        counted = np.bincount(cell, weights, minlength=size)
        at = counted.reshape(blocks, labels, len(cuts)).astype(np.float32)
        return np.ascontiguousarray(
            at[..., ::-1].cumsum(-1, dtype=np.float32)[..., ::-1]
        )

    # Positives in every block, and how rare labels are in training.
    true_row, true_column = np.nonzero(truth)
    positives = (
        np.bincount(block[true_row] * labels + true_column, minlength=blocks * labels)
        .reshape(blocks, labels)
        .astype(np.float32)
    )
    occurrences = np.log(np.maximum(np.asarray(label_counts, np.float64), 1.0))
    centre = np.average(occurrences, weights=positives.sum(0))
    return CutCounts(
        cuts=cuts,
        block=block,
        hits=table(truth[row, column]),
        predicted=table(None),
        positives=positives,
        rarity=occurrences - centre,
    )


class ThresholdFits:
    """Every rule's thresholds for any choice of the documents of a table.

    Args:
        counts: the table.
        metric: what `global` and `sloped` maximise: micro-F1, or the mean of micro-F1
            and macro-F1 over the labels with positives.
        shrinkage: positives at which a label's own threshold and the line weigh equal.
        doubt: positives at which what they ask for and what calibrated scores would ask
            for weigh equal.
        resamples: how many fits are averaged.
        seed: of the resampling.
    """

    def __init__(
        self,
        counts: CutCounts,
        *,
        metric: Metric = "micro_f1",
        shrinkage: float = 20.0,
        doubt: float = 10.0,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        for name, value in (("shrinkage", shrinkage), ("doubt", doubt)):
            if not value >= 0:
                raise ValueError(f"{name} must be >= 0, got {value}")
        self.counts, self.metric, self.shrinkage = counts, metric, shrinkage
        self.doubt = doubt
        self.resamples, self.seed = resamples, seed
        step = counts.cuts[1] - counts.cuts[0]
        shift = np.rint(SLOPES[:, None] * counts.rarity / step).astype(np.int64)
        grid = np.arange(len(counts.cuts))
        # [S, N, G]: which cut a line through height g and slope s is at label n.
        self.at = np.clip(shift[:, :, None] + grid, 0, len(grid) - 1)
        self.line_hits, self.line_predicted = (
            np.stack([_take(table, at).sum(1) for at in self.at], axis=1)
            for table in (counts.hits, counts.predicted)
        )

    def fit(
        self, rules: Sequence[str], *, keep: Bool[np.ndarray, " K"] | None = None
    ) -> dict[str, Float[np.ndarray, " N"]]:
        """Thresholds of the rules, fitted on the documents of the kept blocks.

        `global`: one for all labels. `sloped`: sigmoid(a + b rarity_n), so that
        rare labels may have lower or higher ones. `label`: in logits,

            t_n = w_n own_n + (1 - w_n) line_n,   w_n = positives_n / (positives_n + s)

        with own_n the best cut for the label's own F1, and line_n where no resample
        holds a positive.

        All of them are then mixed, in logits, with the threshold c of calibrated scores
        (see `calibrated_cut`): t = w t + (1 - w) c, w = positives / (positives + doubt)
        or the least w above it at which micro-F1 on the kept blocks is not lower by
        more than a positive's part.

        Raises:
            ValueError: no rule has that name, or the kept blocks hold no positive.
        """
        if unknown := set(rules) - set(RULES):
            raise ValueError(f"rules are {list(RULES)}, got {sorted(unknown)}")
        blocks = len(self.counts.positives)
        kept = np.arange(blocks) if keep is None else np.flatnonzero(keep)
        positives = self.counts.positives[kept].sum(0)
        if not positives.any():
            raise ValueError("thresholds are fitted on positives: there is none")
        draws = self._draws(kept)
        labels = len(self.counts.rarity)
        fitted: dict[str, np.ndarray] = {}
        if "global" in rules:
            flat = SLOPES.tolist().index(0.0)
            height, _ = self._line(draws, slice(flat, flat + 1))
            fitted["global"] = np.full(labels, height)
        if "sloped" in rules or "label" in rules:
            height, slope = self._line(draws, slice(None))
            line = height + slope * self.counts.rarity
            fitted["sloped"] = line
        if "label" in rules:
            trust = positives / np.maximum(positives + self.shrinkage, 1e-9)
            own = self._own(draws, line)
            fitted["label"] = trust * own + (1 - trust) * line
        mixed = self._doubted({rule: fitted[rule] for rule in rules}, kept)
        return {rule: _sigmoid(each) for rule, each in mixed.items()}

    def _doubted(
        self, fitted: dict[str, Float[np.ndarray, " N"]], kept: Int[np.ndarray, " L"]
    ) -> dict[str, Float[np.ndarray, " N"]]:
        """Thresholds mixed with the one that calibrated scores ask for, see `fit`."""
        cuts, positives = self.counts.cuts, float(self.counts.positives[kept].sum())
        hits, predicted = (
            table[kept].sum(0) for table in (self.counts.hits, self.counts.predicted)
        )
        asked = calibrated_cut(cuts, hits.sum(0), predicted.sum(0))

        # One cut more, at which nothing is predicted.
        hits, predicted = (np.pad(t, ((0, 0), (0, 1))) for t in (hits, predicted))

        def score(logits: np.ndarray) -> float:
            place = np.ceil((logits - cuts[0]) / (cuts[1] - cuts[0]) - 1e-9)
            at = place.clip(0, len(cuts)).astype(np.int64)[:, None]
            taken = _take(hits, at).sum(), _take(predicted, at).sum()
            return float(_f1(*taken, positives))

        mixed = {}
        for rule, logits in fitted.items():
            least = score(logits) * (1 - 1 / max(positives, 1.0))
            # What lies below the lowest cut is counted nowhere.
            lowest = np.minimum(logits, cuts[0])
            for weight in np.linspace(positives / (positives + self.doubt), 1, 11):
                moved = np.maximum(weight * logits + (1 - weight) * asked, lowest)
                if score(moved) >= least:
                    break
            mixed[rule] = moved
        return mixed

    def _draws(self, kept: Int[np.ndarray, " L"]) -> Float[np.ndarray, "R K"]:
        """Return how often each block stands in each resample of the kept ones.

        A resample without a positive has nothing to fit and is the whole instead.
        """
        generator = np.random.default_rng((self.seed, 1))
        draws = np.zeros((self.resamples, len(self.counts.positives)), np.float32)
        draws[:, kept] = generator.multinomial(
            len(kept), np.full(len(kept), 1 / len(kept)), size=self.resamples
        )
        empty = draws @ self.counts.positives.sum(1) == 0
        draws[np.ix_(empty, kept)] = 1.0
        return draws

    def _line(
        self, draws: Float[np.ndarray, "R K"], slopes: slice
    ) -> tuple[float, float]:
        """Height and slope of the best line, each the mean over the resamples."""
        hits = np.einsum("rk,ksg->rsg", draws, self.line_hits[:, slopes])
        predicted = np.einsum("rk,ksg->rsg", draws, self.line_predicted[:, slopes])
        positives = draws @ self.counts.positives
        score = _f1(hits, predicted, positives.sum(1)[:, None, None])
        if self.metric == "mean_f1":
            score = (score + self._macro(draws, positives, slopes)) / 2
        best = np.isclose(score, score.max(axis=(1, 2), keepdims=True), rtol=1e-6)
        weight = best / best.sum(axis=(1, 2), keepdims=True)
        heights = np.einsum("rsg,g->r", weight, self.counts.cuts)
        inclines = np.einsum("rsg,s->r", weight, SLOPES[slopes])
        return float(heights.mean()), float(inclines.mean())

    def _macro(
        self,
        draws: Float[np.ndarray, "R K"],
        positives: Float[np.ndarray, "R N"],
        slopes: slice,
    ) -> Float[np.ndarray, "R S G"]:
        """Macro-F1 of every line, over the labels with positives in the resample."""
        means = []
        for draw, positive in zip(draws, positives, strict=True):
            hits, predicted = self._drawn(draw)
            own = _f1(hits, predicted, positive[:, None])
            present = np.flatnonzero(positive)
            own = own[present]
            means.append([_take(own, at[present]).mean(0) for at in self.at[slopes]])
        return np.asarray(means)

    def _own(
        self, draws: Float[np.ndarray, "R K"], line: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """Each label's best cut as a logit, the mean over the resamples."""
        total = np.zeros(len(line))
        for draw in draws:
            hits, predicted = self._drawn(draw)
            score = _f1(hits, predicted, (draw @ self.counts.positives)[:, None])
            highest = score.max(axis=1, keepdims=True)
            best = score >= highest * (1 - 1e-6)
            middle = best @ self.counts.cuts / best.sum(axis=1)
            total += np.where(highest[:, 0] > 0, middle, line)
        return total / len(draws)

    def _drawn(
        self, draw: Float[np.ndarray, " K"]
    ) -> tuple[Float[np.ndarray, "N G"], Float[np.ndarray, "N G"]]:
        """Hits and predictions of one resample."""
        return (
            np.tensordot(draw, self.counts.hits, 1),
            np.tensordot(draw, self.counts.predicted, 1),
        )


def _cuts(
    scores: Float[np.ndarray, "M N"], truth: Bool[np.ndarray, "M N"], count: int
) -> Float[np.ndarray, " G"]:
    """Evenly spaced logits over the scores at which a cut can be any good."""
    most = max(PREDICTED_PER_POSITIVE * int(truth.sum()), LEAST_CELLS)
    most = min(most, scores.size)
    lowest = np.partition(scores, scores.size - most, axis=None)[scores.size - most]
    low, high = _logit(np.array([lowest, scores.max()]))
    # Where all scores are alike, a cut below them all must be possible.
    return np.linspace(min(low, high - 1.0), high, count)


def _take(
    table: Float[np.ndarray, "*K N G"], at: Int[np.ndarray, "N C"]
) -> Float[np.ndarray, "*K N C"]:
    """table[..., n, at[n, c]]."""
    every = np.broadcast_to(at, (*table.shape[:-1], at.shape[-1]))
    return np.take_along_axis(table, every, axis=-1)


def _f1(hits: Any, predicted: Any, positives: Any) -> Any:
    return 2 * hits / np.maximum(predicted + positives, 1e-9)


def _logit(p: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    p = np.asarray(p, np.float64)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(p) - np.log1p(-p), -EXTREME_LOGIT, EXTREME_LOGIT)


def _sigmoid(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    return 1 / (1 + np.exp(-x))


def _check_shapes(
    scores: np.ndarray,
    truth: np.ndarray,
    label_counts: np.ndarray,
    target_mask: np.ndarray | None,
) -> None:
    check_one_shape(scores, truth)
    if label_counts.shape != scores.shape[1:]:
        raise ValueError(
            f"label_counts must be one number for each of {scores.shape[1]} labels, "
            f"got the shape {label_counts.shape}"
        )
    if target_mask is not None and target_mask.shape != scores.shape:
        raise ValueError(
            f"target_mask must have the shape {scores.shape} of the scores, got "
            f"{target_mask.shape}"
        )
