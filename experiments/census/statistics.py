"""From the runs of a group to its numbers: rows, differences, and what the gates do."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from experiments.census.cells import Cell
from experiments.study import student_interval
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    run_draws,
)


def task_rows(cell: Cell, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Per task mean, spread and best of the test AUC over the runs.

    `by_validation` is the test AUC of the run whose main task is best on validation:
    nothing of it was chosen on the test rows, as it is for `best`.
    """
    best = int(np.argmax([run.validation[0] for run in cell.runs]))
    rows = []
    for number, task in enumerate(tasks):
        values = [run.test[number] for run in cell.runs]
        rows.append(
            {
                "task": task.name,
                "metric": "auc",
                "mean": statistics.fmean(values),
                "sd": statistics.stdev(values) if len(values) > 1 else None,
                "best": max(values),
                "worst": min(values),
                "by_validation": values[best],
                "validation_mean": statistics.fmean(
                    run.validation[number] for run in cell.runs
                ),
                "values": values,
            }
        )
    return rows


def differences(
    cells: Sequence[Cell],
    reference: Cell,
    tasks: Sequence[Task],
    targets: np.ndarray,
    *,
    resamples: int,
) -> list[dict[str, Any]]:
    """Each model's AUC less the reference's, with two 95 % intervals.

    `interval` draws test rows and seeds again, both paired; `seed_interval` is
    Student's over the paired seeds, on these very test rows.
    """
    draws = document_draws(len(targets), resamples).astype(np.float32)
    rows = []
    for number, task in enumerate(tasks):
        areas = _resampled(cells, number, targets[:, number] > 0.5, draws)
        for cell in cells:
            if cell.model == reference.model:
                continue
            pairs = np.array(
                [
                    mine.test[number] - other.test[number]
                    for mine, other in zip(cell.runs, reference.runs, strict=True)
                ]
            )
            interval = paired_interval(
                areas[cell.model],
                areas[reference.model],
                run_draws(len(pairs), resamples),
                difference=float(pairs.mean()),
            )
            rows.append(
                {
                    "model": cell.model,
                    "reference": reference.model,
                    "task": task.name,
                    "difference": interval.difference,
                    "interval": [interval.low, interval.high],
                    "seed_interval": student_interval(pairs),
                    "pairs": len(pairs),
                    "resamples": resamples,
                }
            )
    return rows


def _resampled(
    cells: Sequence[Cell], task: int, positive: np.ndarray, draws: np.ndarray
) -> dict[str, np.ndarray]:
    """Per model the AUC of every run on every resample of the rows `[R, S]`."""
    outputs: list[Any] = [run.test_outputs for cell in cells for run in cell.runs]
    scores = np.stack([run[:, task] for run in outputs])
    areas = resampled_auc(scores, positive, draws)
    ends = np.cumsum([len(cell.runs) for cell in cells])
    parts = np.split(areas, ends[:-1], axis=1)
    return {cell.model: part for cell, part in zip(cells, parts, strict=True)}


def resampled_auc(
    scores: np.ndarray, positive: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """AUC of every run on every resample of the rows `[R, S]`, to first order.

    With V_i the share of the negatives that a positive i scores above, and V_j the
    share of the positives that score above a negative j,

        AUC_r = mean_c(V_i) + mean_c(V_j) - AUC

    where c weighs rows by how often resample r holds them. Exact where the resample
    holds every row once; what is left out is of the order 1 / M.

    Args:
        scores: of the rows, per run `[S, M]`.
        positive: bool `[M]`.
        draws: how often each resample holds each row `[R, M]`.

    Reference: DeLong, DeLong and Clarke-Pearson, Biometrics 1988.
    """
    total = 0.0
    for rows, others in ((positive, ~positive), (~positive, positive)):
        everywhere = rankdata(scores, axis=1)[:, rows]
        below = everywhere - rankdata(scores[:, rows], axis=1)
        share = below / max(int(others.sum()), 1)
        # A negative counts the positives above it, not those below.
        share = share if rows is positive else 1.0 - share
        area = share.mean(axis=1)
        drawn = draws[:, rows]
        deviation = (share - area[:, None]).astype(np.float32)
        means = (drawn @ deviation.T) / drawn.sum(axis=1, keepdims=True).clip(1)
        total = total + means.astype(np.float64)
    return area + total


def gate_summary(cell: Cell) -> dict[str, Any] | None:
    """What the gates of a model do on the test rows, over its runs; None without.

    Experts have no order, so that means over runs are taken of what does not depend
    on it; the weights themselves are those of the run that is best on validation.
    """
    gates = [run.gates for run in cell.runs if run.gates is not None]
    if not gates:
        return None
    best = int(np.argmax([run.validation[0] for run in cell.runs]))
    over_runs = {}
    for name, values in {
        "similarity": [gate["similarity"][0][-1] for gate in gates],
        "overlap": [gate["overlap"] for gate in gates],
        "entropy": [float(np.mean(gate["entropy"])) for gate in gates],
        "polarisation": [float(np.mean(gate["polarisation"])) for gate in gates],
        "spread": [float(np.mean(gate["spread"])) for gate in gates],
        "least_used": [min(gate["utilisation"]) for gate in gates],
    }.items():
        sd = statistics.stdev(values) if len(values) > 1 else None
        over_runs[name] = {"mean": statistics.fmean(values), "sd": sd}
    return {
        "model": cell.model,
        "over_runs": over_runs,
        "best_run": {"seed": cell.runs[best].trial.seed, **gates[best]},
    }
