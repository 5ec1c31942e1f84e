"""From the outputs of runs to numbers: metrics, and differences with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study import student_interval
from experiments.video.log import GROUPS, Rows
from labelgraph_jax.functional.losses.tasks import Task, task_slices
from labelgraph_jax.functional.metrics.bootstrap import paired_interval, run_draws
from labelgraph_jax.functional.metrics.bootstrap_ranking import (
    group_draws,
    resampled_areas,
    resampled_mean,
)
from labelgraph_jax.functional.metrics.tasks import (
    explained_variance,
    log_loss,
    task_metrics,
)

BY_KIND = {"binary": ("auc", "pr_auc", "log_loss"), "squared": ("rmse", "r2")}
DRAWN = {"binary": ("auc", "pr_auc", "log_loss"), "squared": ("rmse",)}
"""What is computed again on every resample."""

Values = dict[str, Any]


def measure(
    outputs: np.ndarray, rows: Rows, tasks: Sequence[Task], *, scale: float
) -> dict[str, float]:
    """`task/metric` -> value of one run, and the mean AUC of either group of tasks.

    Args:
        outputs: `[M, T]`.
        rows: the targets.
        tasks: of the columns.
        scale: of squared tasks: their RMSE is printed in the units of the log.
    """
    measured = task_metrics(outputs, rows.targets, tasks, target_mask=rows.target_mask)
    values = {}
    for task in tasks:
        for metric in BY_KIND[task.kind]:
            value = measured[task.name][metric]
            # A constant target has no AUC; it is a gap in the table.
            value = np.nan if value is None else value
            values[f"{task.name}/{metric}"] = value * (
                scale if metric == "rmse" else 1.0
            )
    return values | _means(values, tasks)


def measure_resampled(
    outputs: np.ndarray,
    rows: Rows,
    tasks: Sequence[Task],
    draws: np.ndarray,
    *,
    scale: float,
) -> dict[str, np.ndarray]:
    """The same of one run on every resample of the users: `[R]` each."""
    values: dict[str, np.ndarray] = {}
    for task, columns in zip(tasks, task_slices(tasks), strict=True):
        at = columns.start
        kept = rows.target_mask[:, at]
        scores, targets = outputs[kept, at].astype(np.float64), rows.targets[kept, at]
        drawn = draws[:, kept]
        if task.kind == "squared":
            errors = resampled_mean(np.square(scores - targets), drawn)
            values[f"{task.name}/rmse"] = scale * np.sqrt(errors)
            continue
        areas = resampled_areas(outputs[kept, at], targets, drawn)
        values |= {f"{task.name}/{name}": area for name, area in areas.items()}
        losses = np.logaddexp(0.0, scores) - targets * scores
        values[f"{task.name}/log_loss"] = resampled_mean(losses, drawn)
    return values | _means(values, tasks)


def user_draws(rows: Rows, resamples: int) -> np.ndarray:
    """How often each row stands in each resample of the users."""
    return group_draws(rows.users, resamples)


def difference(
    mine: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    mine_drawn: Mapping[str, np.ndarray],
    other_drawn: Mapping[str, np.ndarray],
    metric: str,
) -> Values:
    """One metric of one cell minus that of another, runs paired by seed.

    `interval` draws users and seeds again; `seed_interval` is Student's over the seeds
    alone, on these very test rows.
    """
    pairs = mine[metric] - other[metric]
    interval = None
    if metric in mine_drawn:
        drawn = mine_drawn[metric]
        usable = np.isfinite(drawn).all(axis=1)
        usable &= np.isfinite(other_drawn[metric]).all(axis=1)
        if usable.any() and np.isfinite(pairs).all():
            _, *interval = paired_interval(
                drawn[usable],
                other_drawn[metric][usable],
                run_draws(drawn.shape[1], int(usable.sum())),
                difference=float(pairs.mean()),
            )
    return {
        "metric": metric,
        "difference": float(pairs.mean()),
        "interval": interval,
        "seed_interval": student_interval(pairs),
        "pairs": len(pairs),
    }


def explained(outputs: np.ndarray, rows: Rows, tasks: Sequence[Task]) -> float:
    """Mean over tasks of the share of the loss that a constant leaves unexplained.

        1 - loss_t / loss_t(the best constant)

    By it an epoch and a learning rate are chosen: every task counts alike, however
    rare what it predicts is. A task with a constant target is left out.
    """
    shares = []
    for task, columns in zip(tasks, task_slices(tasks), strict=True):
        kept = rows.target_mask[:, columns.start]
        predicted = outputs[kept, columns.start]
        true = rows.targets[kept, columns.start]
        if not len(true) or true.min() == true.max():
            continue
        if task.kind == "squared":
            share = explained_variance(predicted, true)
        else:
            rate = np.full(len(true), true.mean(dtype=np.float64))
            constant = log_loss(np.log(rate) - np.log1p(-rate), true)
            share = 1 - (log_loss(predicted, true) or 0.0) / (constant or 1.0)
        if share is not None:
            shares.append(share)
    return float(np.mean(shares)) if shares else float("nan")


def _means(values: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, Any]:
    binary = {task.name for task in tasks if task.kind == "binary"}
    means = {}
    for group, members in GROUPS.items():
        names = [name for name in members if name in binary]
        for metric in ("auc", "pr_auc", "log_loss"):
            found = [
                values[f"{n}/{metric}"] for n in names if f"{n}/{metric}" in values
            ]
            if found:
                means[f"{group}/{metric}"] = np.mean(found, axis=0)
    return means
