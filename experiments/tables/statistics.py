"""From the runs of a table to its numbers: rows, and differences with intervals."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.collect import METRICS
from experiments.study import student_interval
from experiments.tables.store import SeedRun
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    resampled_f1,
    run_draws,
)

COMPARED = ("micro_f1", "macro_f1")
RANKED = ("mAP",)
"""Compared over the seeds alone: drawing documents again would rank them anew."""


@dataclass(frozen=True)
class Outcome:
    """A run by one decision rule.

    Attributes:
        metrics: of the test documents.
        decisions: which label each test document gets, bool `[M, N]`.
        kind: the rule that decided; where `auto` was asked for, what it chose.
    """

    metrics: Mapping[str, float]
    decisions: np.ndarray
    kind: str


@dataclass(frozen=True)
class CellResult:
    """A cell with all its runs.

    Attributes:
        name, title, command: as the table prints them; the command is the first seed's.
        runs: one per seed.
        outcomes: per decision rule, one per run.
    """

    name: str
    title: str
    command: str
    runs: tuple[SeedRun, ...]
    outcomes: Mapping[str, tuple[Outcome, ...]]


def metric_rows(cell: CellResult, head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per decision rule and metric: mean and spread over the seeds."""
    rows = []
    for rule, outcomes in cell.outcomes.items():
        for metric in METRICS:
            values = [float(outcome.metrics[metric]) for outcome in outcomes]
            rows.append(
                {
                    **head,
                    "cell": cell.name,
                    "setting": f"{cell.title}, {rule}",
                    "rule": rule,
                    "metric": metric,
                    "mean": statistics.fmean(values),
                    "sd": statistics.stdev(values) if len(values) > 1 else None,
                    "values": values,
                    "seeds": [run.seed for run in cell.runs],
                    "command": cell.command,
                    "seconds": [round(run.seconds, 1) for run in cell.runs],
                    "parameters": cell.runs[0].parameters,
                    "decided_by": [outcome.kind for outcome in outcomes],
                    "best_epochs": [run.best_epoch for run in cell.runs],
                }
            )
    return rows


def differences(
    cells: Sequence[CellResult],
    reference: CellResult,
    targets: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
    resampled: Callable[..., dict[str, np.ndarray]] = resampled_f1,
) -> list[dict[str, Any]]:
    """Each cell against the reference cell, with two 95 % intervals.

    `interval` draws test documents and seeds again, pairing both: what another test
    set and other seeds could have given. `seed_interval` is Student's over the paired
    differences of the seeds alone, on this very test set; None for one pair. Ranking
    metrics have the latter alone.
    """
    draws = document_draws(len(targets), resamples, seed=seed)
    rows = []
    of_reference = _resampled(reference, targets, draws, resampled)
    for cell in cells:
        if cell.name == reference.name:
            continue
        of_cell = _resampled(cell, targets, draws, resampled)
        for rule in cell.outcomes:
            for metric in COMPARED:
                rows.append(
                    _difference(cell, reference, rule, metric, of_cell, of_reference)
                    | {"resamples": resamples}
                )
            rows += [
                _difference(cell, reference, rule, metric, {}, {}) | {"resamples": 0}
                for metric in RANKED
            ]
    return rows


def _resampled(
    cell: CellResult,
    targets: np.ndarray,
    draws: np.ndarray,
    resampled: Callable[..., dict[str, np.ndarray]],
) -> dict[tuple[str, str], np.ndarray]:
    """(rule, metric) -> the metric on every resample of the documents `[R, S]`."""
    values: dict[tuple[str, str], np.ndarray] = {}
    for rule, outcomes in cell.outcomes.items():
        runs = [resampled(outcome.decisions, targets, draws) for outcome in outcomes]
        for metric in COMPARED:
            values[rule, metric] = np.stack([run[metric] for run in runs], axis=1)
    return values


def _difference(
    cell: CellResult,
    reference: CellResult,
    rule: str,
    metric: str,
    of_cell: Mapping[tuple[str, str], np.ndarray],
    of_reference: Mapping[tuple[str, str], np.ndarray],
) -> dict[str, Any]:
    ours, theirs = paired_columns(cell.runs, reference.runs)
    mine = np.array([outcome.metrics[metric] for outcome in cell.outcomes[rule]])
    other = np.array([outcome.metrics[metric] for outcome in reference.outcomes[rule]])
    pairs = mine[ours] - other[theirs]
    interval = None
    if (rule, metric) in of_cell:
        values = of_cell[rule, metric][:, ours]
        _, *interval = paired_interval(
            values,
            of_reference[rule, metric][:, theirs],
            run_draws(len(ours), len(values)),
            difference=float(pairs.mean()),
        )
    return {
        "cell": cell.name,
        "reference": reference.name,
        "rule": rule,
        "metric": metric,
        "difference": float(pairs.mean()),
        "interval": interval,
        "seed_interval": student_interval(pairs),
        "pairs": len(pairs),
    }


def paired_columns(
    mine: Sequence[SeedRun], other: Sequence[SeedRun]
) -> tuple[list[int], list[int]]:
    """Which runs of two cells belong together: those of one seed.

    A cell with a single run (nothing random in it) stands beside every run of the
    other.

    Raises:
        ValueError: no seed is common to both.
    """
    if len(mine) == 1 or len(other) == 1:
        count = max(len(mine), len(other))
        return (
            list(range(count)) if len(mine) > 1 else [0] * count,
            list(range(count)) if len(other) > 1 else [0] * count,
        )
    places = {run.seed: place for place, run in enumerate(other)}
    common = [i for i, run in enumerate(mine) if run.seed in places]
    if not common:
        raise ValueError("two cells can be compared only where they share a seed")
    return common, [places[mine[i].seed] for i in common]
