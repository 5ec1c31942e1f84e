"""From kept predictions to numbers: per label, per threshold, per probability."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from labelgraph_jax.data.labels.groups import head_middle_tail
from labelgraph_jax.functional.metrics.calibration import (
    calibration_bins,
    expected_calibration_error,
)
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
GRID = np.round(np.linspace(0.02, 0.98, 49), 2)
"""Thresholds of the curves."""


def score(
    kept: KeptPredictions,
    names: Sequence[str],
    titles: Mapping[str, str],
    train_counts: np.ndarray,
    decision: Decision,
) -> Scored:
    """Everything that predictions of N labels say.

    Args:
        kept: the predictions.
        names: of the labels.
        titles: what labels are called whose name is a mere number.
        train_counts: training documents with each label `[N]`.
        decision: how the model decides.
    """
    return Scored(
        label_table(kept, names, titles, train_counts, decision),
        calibration(kept),
        curves(kept, decision),
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
    counted = calibration_bins(
        kept.probabilities, kept.hits, bins=bins, target_mask=kept.known
    )
    note = "All probabilities of every document are counted."
    if not kept.is_whole:
        note = (
            f"Counted are the {kept.ids.shape[1]:,} most probable of the "
            f"{kept.labels:,} labels of every document; the others were not kept."
        )
    return Calibration(
        *counted, error=float(expected_calibration_error(counted)), note=note
    )


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
    """Which labels are missed together, and what is predicted in their place."""
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


def _among(cells: Any, labels: np.ndarray) -> np.ndarray:
    part = sparse.csr_array(cells)[labels][:, labels].toarray()
    return np.asarray(part).round().astype(np.int64)
