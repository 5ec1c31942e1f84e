"""Metrics of single tasks, on the host in float64: AUC, PR-AUC, log-loss, RMSE, ...

An area under a curve is not a mean over rows: it cannot be added up over batches, so
these read all scores of a split at once. What is undefined is None, never 0.5 or 0.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from labelgraph_jax.functional.checks import check_axes, check_numbers, check_targets
from labelgraph_jax.functional.losses.tasks import (
    Task,
    check_task_targets,
    task_slices,
)

Metrics = dict[str, float | None]
Weights = Shaped[np.ndarray, " M"] | None
"""Weight of each row, above 0; 1 each where None. A row of weight 2 counts twice."""


def _each(weights: Weights, count: int) -> Float[np.ndarray, " M"]:
    """Return the weight of each row, float64 `[M]`.

    Raises:
        ValueError: not a finite number of 0 or more for each row, or all are 0.
    """
    if weights is None:
        return np.ones(count)
    check_numbers(weights=weights)
    check_axes(weights=(weights, "M"), rows=(np.empty(count), "M"))
    each = np.asarray(weights, np.float64)
    if not (np.isfinite(each).all() and (each >= 0).all()):
        raise ValueError("weights must be finite numbers of 0 or more")
    if count and not each.any():
        raise ValueError("weights must not all be 0")
    return each


def roc_auc(
    scores: Shaped[np.ndarray, " M"],
    targets: Shaped[np.ndarray, " M"],
    weights: Weights = None,
) -> float | None:
    """Probability that a positive scores above a negative; ties count half.

    None where the targets are constant: there is no pair to compare.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> lg.functional.roc_auc(np.array([0.1, 0.4, 0.8]), np.array([0, 1, 1]))
        1.0

    Raises:
        ValueError: shapes differ, a score is NaN, or a target is NaN or outside 0..1.

    Reference: Mann and Whitney 1947; equal to scikit-learn's roc_auc_score.
    """
    scores, positive = _scores_and_positives(scores, targets)
    if not positive.any() or positive.all():
        return None
    each = _each(weights, len(scores))
    _, inverse = np.unique(scores, return_inverse=True)
    up, down = (np.bincount(inverse, each * kind) for kind in (positive, ~positive))
    below = np.cumsum(down) - down / 2
    return float((up * below).sum() / (up.sum() * down.sum()))


def pr_auc(
    scores: Shaped[np.ndarray, " M"],
    targets: Shaped[np.ndarray, " M"],
    weights: Weights = None,
) -> float | None:
    """Area under the precision-recall curve, as average precision (no interpolation).

        sum_k (recall_k - recall_{k-1}) precision_k

    over the distinct scores, from the largest down. None without a positive or without
    a negative, where every ranking is as good as any other.

    Raises:
        ValueError: as `roc_auc`.

    Reference: equal to scikit-learn's average_precision_score.
    """
    scores, positive = _scores_and_positives(scores, targets)
    if not positive.any() or positive.all():
        return None
    values, inverse = np.unique(-scores, return_inverse=True)
    each = _each(weights, len(scores))
    rows = np.bincount(inverse, each, minlength=len(values))
    hits = np.bincount(inverse, each * positive, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(rows)
    return float((precision * hits).sum() / hits.sum())


def log_loss(
    logits: Shaped[np.ndarray, " M"],
    targets: Shaped[np.ndarray, " M"],
    weights: Weights = None,
) -> float | None:
    """Mean binary cross-entropy, in nats, from logits; None without rows.

    Raises:
        ValueError: shapes differ, or a target lies outside 0..1 or is NaN.
    """
    check_axes(logits=(logits, "M"), targets=(targets, "M"))
    check_targets(targets)
    logits, targets = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    if not len(logits):
        return None
    with np.errstate(invalid="ignore"):  # a logit that is NaN comes out
        losses = np.logaddexp(0.0, logits) - targets * logits
    return float(np.average(losses, weights=_each(weights, len(losses))))


def rmse(
    values: Shaped[np.ndarray, " M"],
    targets: Shaped[np.ndarray, " M"],
    weights: Weights = None,
) -> float | None:
    """Root of the mean squared error; None without rows.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> round(lg.functional.rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0])), 3)
        1.414

    Raises:
        ValueError: shapes differ, or a target is no finite number.
    """
    check_axes(values=(values, "M"), targets=(targets, "M"))
    check_targets(targets, real=True)
    error = np.asarray(values, np.float64) - np.asarray(targets, np.float64)
    if not len(error):
        return None
    each = _each(weights, len(error))
    return float(np.sqrt(np.average(np.square(error), weights=each)))


def explained_variance(
    values: Shaped[np.ndarray, " M"],
    targets: Shaped[np.ndarray, " M"],
    weights: Weights = None,
) -> float | None:
    """R^2 = 1 - squared error / squared deviation from the mean.

    None where the targets do not vary. What `rmse` refuses is refused.
    """
    check_axes(values=(values, "M"), targets=(targets, "M"))
    check_targets(targets, real=True)
    values, targets = np.asarray(values, np.float64), np.asarray(targets, np.float64)
    if not len(targets) or (targets == targets[0]).all():
        return None
    each = _each(weights, len(targets))
    mean = np.average(targets, weights=each)
    total = np.average(np.square(targets - mean), weights=each)
    left = np.average(np.square(values - targets), weights=each)
    return 1.0 - float(left / total) if total > 0.0 else None


def task_metrics(
    outputs: Float[np.ndarray, "M O"],
    targets: Shaped[np.ndarray, "M O"],
    tasks: Sequence[Task],
    *,
    target_mask: Bool[np.ndarray, "M O"] | None = None,
    decided: Bool[np.ndarray, "M O"] | None = None,
    weights: Weights = None,
) -> dict[str, Metrics]:
    """Measure every task by what its kind asks for, over the rows annotated for it.

    Args:
        outputs: logits, or values of squared tasks, of all rows of a split.
        targets: of the same layout; a multi_class task one-hot.
        tasks: which columns are whose.
        target_mask: True where a target is annotated.
        decided: which cells of binary and multi_label tasks are decided for; by default
            those with a probability above 0.5.
        weights: what each row counts, not negative: every metric but `rows` is as if a
            row of weight 2 stood there twice, and one of 0 not at all.

    Returns:
        For every task `rows` (annotated) and: of a binary task `auc`, `pr_auc`,
        `log_loss`, `f1` (of what is decided), `positives` (share); of a
        multi_label task `auc` and `pr_auc` (means over the labels that have both
        kinds of target), `log_loss`, `micro_f1`, `macro_f1`, `labels` (how many the
        means are over); of a multi_class task `accuracy`, `macro_f1`, `log_loss`; of a
        squared task `rmse`, `mae`, `r2`. None where undefined: a constant target has no
        AUC.

    Raises:
        ValueError: the tasks are malformed, or own another number of columns; shapes
            differ; an annotated target is NaN or, but for squared tasks, outside 0..1.
    """
    slices = task_slices(tasks)
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if outputs.shape != targets.shape or outputs.shape[-1] != slices[-1].stop:
        raise ValueError(
            f"outputs and targets must be [M, {slices[-1].stop}], the columns of the "
            f"tasks; got {outputs.shape} and {targets.shape}"
        )
    check_axes(outputs=(outputs, "M O"), target_mask=(target_mask, "M O"))
    check_task_targets(targets, tasks, target_mask)
    everything = np.ones(outputs.shape, bool)
    mask = everything if target_mask is None else np.asarray(target_mask, bool)
    decided = outputs > 0 if decided is None else decided
    each = _each(weights, len(outputs))
    mask = mask & (each > 0)[:, None]
    measures = {
        "binary": _multi_label,
        "multi_label": _multi_label,
        "multi_class": _multi_class,
        "squared": _squared,
    }
    found = {}
    for task, columns in zip(tasks, slices, strict=True):
        wanted, known = targets[:, columns], mask[:, columns]
        measure = measures[task.kind]
        found[task.name] = measure(task, outputs[:, columns], wanted, known, each)
        if task.kind in ("binary", "multi_label"):
            chosen = decided[:, columns]
            found[task.name] |= decision_metrics(task, chosen, wanted, known, each)
    return found


def decision_metrics(
    task: Task,
    decided: Bool[np.ndarray, "M C"],
    targets: Shaped[np.ndarray, "M C"],
    mask: Bool[np.ndarray, "M C"],
    weights: Weights = None,
) -> Metrics:
    """F1 of what is decided of a binary task; micro- and macro-F1 of a multi_label one.

    Args:
        task: whose columns these are.
        decided: which cells are decided for.
        targets: the truth.
        mask: True where annotated.
        weights: what each row counts; one by default.
    """
    each = np.ones(len(mask)) if weights is None else np.asarray(weights, np.float64)
    chosen, true = decided & mask, (targets > 0.5) & mask
    hits = each @ (chosen & true)
    sizes = each @ chosen + each @ true
    f1 = np.divide(2 * hits, sizes, out=np.zeros_like(hits), where=sizes > 0)
    pooled = None
    if mask.any():
        pooled = float(2 * hits.sum() / sizes.sum()) if sizes.any() else 0.0
    if task.kind == "binary":
        return {"f1": pooled}
    return {
        "micro_f1": pooled,
        "macro_f1": float(f1.mean()) if mask.any() else None,
    }


def _multi_label(
    task: Task,
    logits: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray,
) -> Metrics:
    columns = [
        (logits[kept, n], targets[kept, n], weights[kept])
        for n, kept in enumerate(mask.T)
    ]
    cells = np.broadcast_to(weights[:, None], mask.shape)[mask]
    aucs = [roc_auc(*column) for column in columns]
    areas = [pr_auc(*column) for column in columns]
    common: Metrics = {
        "rows": float(mask.any(axis=1).sum()),
        "auc": _mean(aucs),
        "pr_auc": _mean(areas),
        "log_loss": log_loss(logits[mask], targets[mask], cells),
    }
    if task.kind == "binary":
        if not mask.any():
            return common | {"positives": None}
        positives = np.average(targets[mask] > 0.5, weights=cells)
        return common | {"positives": float(positives)}
    return common | {"labels": float(sum(auc is not None for auc in aucs))}


def _multi_class(
    task: Task,
    logits: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray,
) -> Metrics:
    rows = mask.all(axis=1)
    logits, targets = logits[rows].astype(np.float64), targets[rows].astype(np.float64)
    each = weights[rows]
    if not len(logits):
        return {"rows": 0.0, "accuracy": None, "macro_f1": None, "log_loss": None}
    chosen, true = logits.argmax(axis=1), targets.argmax(axis=1)
    right = chosen == true
    hits = np.bincount(true, each * right, minlength=task.width)
    sizes = np.bincount(chosen, each, task.width) + np.bincount(true, each, task.width)
    present = sizes > 0
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "rows": float(len(logits)),
        "accuracy": float(np.average(right, weights=each)),
        "macro_f1": float((2 * hits[present] / sizes[present]).mean()),
        "log_loss": float(-np.average((targets * logs).sum(axis=1), weights=each)),
    }


def _squared(
    task: Task,
    values: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray,
) -> Metrics:
    predicted, true = values[mask], targets[mask]
    each = np.broadcast_to(weights[:, None], mask.shape)[mask]
    absolute = np.abs(predicted.astype(np.float64) - true)
    return {
        "rows": float(mask.any(axis=1).sum()),
        "rmse": rmse(predicted, true, each),
        "mae": float(np.average(absolute, weights=each)) if len(absolute) else None,
        "r2": explained_variance(predicted, true, each),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _scores_and_positives(
    scores: Shaped[np.ndarray, " M"], targets: Shaped[np.ndarray, " M"]
) -> tuple[Float[np.ndarray, " M"], Bool[np.ndarray, " M"]]:
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets)
    if scores.shape != targets.shape or scores.ndim != 1:
        raise ValueError(
            f"scores and targets must be two arrays [M]; got {scores.shape} and "
            f"{targets.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError("scores must not be NaN")
    check_targets(targets)
    return scores, targets > 0.5
