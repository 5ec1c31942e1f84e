"""From kept predictions to numbers: per label, per threshold, per probability."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from labelgraph_jax.data.labels.groups import head_middle_tail
from labelgraph_jax.functional.metrics.calibration import calibration_bins
from labelgraph_jax.inspection.report.contents import (
    Calibration,
    Confusion,
    Curves,
    LabelTable,
    Scored,
)
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.predictions import KeptPredictions

SHOWN = 20
"""Labels of a picture of confusion."""
PAIRS = 200
"""Pairs of labels that a page lists."""
PER_GROUP = 2
"""Labels of head, middle and tail each that have a curve of their own."""
POINTS = 101
"""Most points of a curve of precision and recall."""
GRID = np.round(np.linspace(0.02, 0.98, 49), 2)
"""Thresholds of the curves."""


def score(
    kept: KeptPredictions,
    names: Sequence[str],
    titles: Mapping[str, str],
    train_counts: np.ndarray,
    decision: Decision,
    baseline_f1: Sequence[float | None] | None = None,
) -> Scored:
    """Everything that predictions of N labels say.

    Args:
        kept: the predictions.
        names: of the labels.
        titles: what labels are called whose name is a mere number.
        train_counts: training documents with each label `[N]`.
        decision: how the model decides.
        baseline_f1: of the labels that a baseline was trained on, the first ones.
    """
    labels = label_table(kept, names, titles, train_counts, decision)
    if baseline_f1 is not None and len(baseline_f1) <= len(names):
        known = np.full(len(names), np.nan)
        known[: len(baseline_f1)] = np.asarray(baseline_f1, np.float64)
        labels = dataclasses.replace(labels, baseline_f1=known)
    return Scored(
        labels,
        calibration(kept),
        curves(kept, decision),
        trade_offs(kept, labels),
        confusion(kept),
    )


def label_table(
    kept: KeptPredictions,
    names: Sequence[str],
    titles: Mapping[str, str],
    train_counts: np.ndarray,
    decision: Decision,
) -> LabelTable:
    """Counts and ratios of every label; arguments as of `score`."""
    right = _sums(kept.right_cells)
    predicted, support = _sums(kept.decided_cells), _sums(kept.truth)
    groups = np.full(len(names), "tail", object)
    for group, ids in head_middle_tail(train_counts).items():
        groups[ids] = group
    thresholds = np.asarray(decision.thresholds, np.float64)
    if decision.kind == "top_k":
        thresholds = np.full(len(names), np.nan)
    return LabelTable(
        names=tuple(names),
        titles=tuple(titles.get(name, "") for name in names),
        groups=tuple(groups),
        train=np.asarray(train_counts).astype(np.int64),
        support=support,
        true_positives=right,
        predicted=predicted,
        precision=_ratio(right, predicted),
        recall=_ratio(right, support),
        f1=np.where(support > 0, _ratio(2 * right, predicted + support), np.nan),
        thresholds=thresholds,
    )


def _sums(cells: sparse.csr_array) -> np.ndarray:
    return np.asarray(cells.sum(axis=0)).round().astype(np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    none = np.full(len(part), np.nan)
    return np.divide(part, whole, out=none, where=whole > 0)


def calibration(kept: KeptPredictions, bins: int = 10) -> Calibration:
    """Probabilities against shares, in bins; of the kept cells."""
    every, predicted = (
        calibration_bins(kept.probabilities, kept.hits, bins=bins, target_mask=mask)
        for mask in (kept.known, kept.known & kept.decided)
    )
    note = "A cell is a label of a document; all of them are counted."
    if not kept.is_whole:
        note = (
            "A cell is a label of a document; counted are the "
            f"{kept.ids.shape[1]:,} most probable of the "
            f"{kept.labels:,} labels of every document; the others were not kept."
        )
    return Calibration(every, predicted, note)


def curves(kept: KeptPredictions, decision: Decision) -> Curves:
    """Precision, recall and F1 at every threshold of `GRID`."""
    hits = kept.hits & kept.known
    scores = np.where(kept.known, kept.probabilities, -1.0)
    support = _sums(kept.truth)
    positives = int(support.sum())
    found: dict[str, list[float]] = {
        name: [] for name in ("micro F1", "macro F1", "precision", "recall")
    }
    for threshold in GRID:
        over = scores >= np.float32(threshold)
        predicted = np.bincount(kept.ids[over], minlength=kept.labels)
        right = np.bincount(kept.ids[over & hits], minlength=kept.labels)
        tp, all_predicted = int(right.sum()), int(predicted.sum())
        found["micro F1"].append(2 * tp / max(all_predicted + positives, 1))
        either = predicted + support
        found["macro F1"].append(float(np.mean(2 * right / np.maximum(either, 1))))
        found["precision"].append(tp / all_predicted if all_predicted else np.nan)
        found["recall"].append(tp / max(positives, 1))
    values = {name: np.asarray(line) for name, line in found.items()}
    # Where nothing is predicted, precision is what it was last.
    values["precision"] = _filled(values["precision"])
    single = decision.kind in ("half", "global")
    return Curves(
        GRID, values, float(decision.thresholds[0]) if single else None, _rule(decision)
    )


def trade_offs(
    kept: KeptPredictions, labels: LabelTable
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Recall and precision from the highest threshold down.

    They are of all cells together, and of the most frequent labels of head, middle and
    tail.

    Args:
        kept: the predictions.
        labels: what is known of the labels.
    """
    found = {"all cells (micro)": (kept.known, int(labels.support.sum()))}
    for group in ("head", "middle", "tail"):
        own = np.asarray([name == group for name in labels.groups]) * labels.support
        for label in np.argsort(-own, kind="stable")[:PER_GROUP]:
            if own[label]:
                cells = kept.known & (kept.ids == label)
                found[labels.shown[label]] = cells, int(own[label])
    hits, curves = kept.hits, {}
    for name, (cells, positives) in found.items():
        if not positives:
            continue
        order = np.argsort(-kept.probabilities[cells], kind="stable")
        scores, right = kept.probabilities[cells][order], hits[cells][order].cumsum()
        # Of equal probabilities all are predicted, or none.
        ends = np.flatnonzero(np.diff(scores, append=-1.0))
        recall, precision = right[ends] / positives, right[ends] / (ends + 1)
        gained = np.diff(recall, prepend=0.0)
        title = f"{short(name, 22)}, AP {float((gained * precision).sum()):.2f}"
        steps = np.searchsorted(recall, np.linspace(0, 1, POINTS))
        drawn = np.unique(np.minimum(steps, len(ends) - 1))
        curves[title] = recall[drawn], precision[drawn]
    return curves


def short(name: str, most: int = 32) -> str:
    """Return a name, or its beginning and an ellipsis where it is long."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _filled(values: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.zeros_like(values)
    place = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    return values[known[np.maximum(place, 0)]]


_RULES = {
    "half": "Every label is decided at 0.5.",
    "global": "Every label is decided at one threshold, fitted on validation.",
    "sloped": "The thresholds slope with how often training has a label; the table of "
    "labels has them.",
    "label": "Every label has a threshold of its own; the table of labels has them.",
}


def _rule(decision: Decision) -> str:
    if decision.kind == "top_k":
        said = (
            f"The {decision.k} most probable labels of each document are predicted, "
            "whatever their probability: no threshold decides."
        )
    else:
        said = _RULES[decision.kind]
    if decision.at_least_one:
        said += " A document without any gets its most probable label."
    if decision.consistent:
        said += " A label implies its ancestors in the taxonomy."
    return said


def confusion(kept: KeptPredictions) -> Confusion | str:
    """Count the labels missed together, and those predicted in their place."""
    missed = sparse.csr_array(kept.truth - kept.right_cells)
    missed.eliminate_zeros()
    wrong = sparse.csr_array(kept.decided_cells - kept.right_cells)
    wrong.eliminate_zeros()
    if not missed.nnz:
        return "No label of a test document was missed."
    together = sparse.coo_array(missed.T @ missed)
    confused = sparse.coo_array(missed.T @ wrong)
    upper = together.row < together.col
    pairs = _most(together.row[upper], together.col[upper], together.data[upper])
    confused_pairs = _most(confused.row, confused.col, confused.data)
    # Of nothing, bincount counts in whole numbers.
    weight = np.bincount(confused.row, confused.data, kept.labels).astype(float)
    weight += np.bincount(confused.col, confused.data, kept.labels)
    beside = together.row != together.col
    weight += np.bincount(together.row[beside], together.data[beside], kept.labels)
    if not weight.any():
        return "Labels were missed, but never two at once nor one for another."
    count = min(SHOWN, int((weight > 0).sum()))
    labels = np.argsort(-weight, kind="stable")[:count]
    return Confusion(
        labels,
        _among(together, labels),
        _among(confused, labels),
        pairs,
        confused_pairs,
    )


def _most(
    rows: np.ndarray, columns: np.ndarray, counts: np.ndarray
) -> tuple[tuple[int, int, int], ...]:
    order = np.lexsort((columns, rows, -counts))[:PAIRS]
    return tuple(
        (int(rows[i]), int(columns[i]), round(float(counts[i]))) for i in order
    )


def _among(cells: np.ndarray, labels: np.ndarray) -> np.ndarray:
    part = sparse.csr_array(cells)[labels][:, labels].toarray()
    return np.asarray(part).round().astype(np.int64)
