"""From runs to numbers: F1 of every label set, differences with intervals, gates."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study import student_interval
from experiments.text.runs import TextRun
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    resampled_f1,
    run_draws,
)

METRICS = ("micro_f1", "macro_f1")
Columns = Mapping[str, np.ndarray]


def f1_rows(runs: Sequence[TextRun], columns: Columns) -> list[dict[str, Any]]:
    """Mean and spread of each set's F1 over the seeds."""
    rows = []
    for task in columns:
        found = [_f1(run, columns[task]) for run in runs]
        for metric in METRICS:
            values = [float(one[metric]) for one in found]
            rows.append(
                {
                    "task": task,
                    "metric": metric,
                    "mean": statistics.fmean(values),
                    "sd": statistics.stdev(values) if len(values) > 1 else None,
                    "values": values,
                }
            )
    return rows


def _f1(run: TextRun, columns: np.ndarray) -> dict[str, float]:
    decisions, targets = _annotated(run, columns)
    once = np.ones((1, len(targets)), int)
    return {n: float(v[0]) for n, v in resampled_f1(decisions, targets, once).items()}


def _annotated(run: TextRun, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decisions and targets of the documents that are annotated for a set."""
    rows = run.mask[:, columns].any(axis=1)
    return run.decisions[rows][:, columns], run.targets[rows][:, columns]


def differences(
    cells: Mapping[str, Sequence[TextRun]],
    reference: str,
    columns: Columns,
    *,
    resamples: int,
) -> list[dict[str, Any]]:
    """Each way less the reference, per set, with two 95 % intervals.

    `interval` draws test documents and seeds again, both paired; `seed_interval` is
    Student's over the paired seeds, on these very documents.
    """
    rows = []
    for task, part in columns.items():
        count = int(cells[reference][0].mask[:, part].any(axis=1).sum())
        draws = document_draws(count, resamples)
        drawn = {
            way: [resampled_f1(*_annotated(run, part), draws) for run in runs]
            for way, runs in cells.items()
        }
        plain = {way: [_f1(run, part) for run in runs] for way, runs in cells.items()}
        for way in cells:
            if way == reference:
                continue
            for metric in METRICS:
                pairs = np.array(
                    [
                        mine[metric] - other[metric]
                        for mine, other in zip(
                            plain[way], plain[reference], strict=True
                        )
                    ]
                )
                values, others = (
                    np.stack([one[metric] for one in drawn[name]], axis=1)
                    for name in (way, reference)
                )
                interval = paired_interval(
                    values,
                    others,
                    run_draws(len(pairs), resamples),
                    difference=float(pairs.mean()),
                )
                rows.append(
                    {
                        "way": way,
                        "reference": reference,
                        "task": task,
                        "metric": metric,
                        "difference": float(pairs.mean()),
                        "interval": [interval.low, interval.high],
                        "seed_interval": student_interval(pairs),
                        "pairs": len(pairs),
                    }
                )
    return rows


def gate_rows(runs: Sequence[TextRun]) -> dict[str, Any] | None:
    """The first seed's gates, and the likeness of the tasks' gates over all seeds.

    Experts have no order that seeds share. None without gates.
    """
    if not runs[0].gates:
        return None
    likeness = np.mean([run.gates["similarity"] for run in runs], axis=0)
    first = runs[0]
    return {
        "seed": first.seed,
        "mean_weights": first.gates["mean_weights"].tolist(),
        "spread": first.gates["spread"].tolist(),
        "similarity": likeness.tolist(),
        "warnings": first.results["warnings"],
    }


def verdict(record: Mapping[str, Any]) -> list[str]:
    """What the differences say of MMoE against the shared bottom, in words."""
    found = [
        row
        for row in record["differences"]
        if row["way"] == "mmoe" and row["reference"] == "shared_bottom"
    ]
    above = [r for r in found if min(_bounds(r)) > 0]
    below = [r for r in found if max(_bounds(r)) < 0]
    sentences = [
        f"Of {len(found)} comparisons with the shared bottom, MMoE is above it in "
        f"{len(above)} and below it in {len(below)} with both intervals off zero."
    ]
    for words, rows in (("It wins on", above), ("It loses on", below)):
        if rows:
            names = (
                f"{r['task']} {r['metric'].replace('_f1', '-F1')} "
                f"({100 * r['difference']:+.2f})"
                for r in rows
            )
            sentences.append(f"{words} {', '.join(names)}.")
    gates = record["gates"]
    if gates:
        similarity = np.asarray(gates["similarity"])
        pairs = similarity[np.triu_indices(len(similarity), 1)]
        spread = np.asarray(gates["spread"]).max()
        alike = (
            "the sets use the experts alike, so that there is little for separate "
            "gates to win"
            if pairs.mean() > 0.9
            else "the sets have parted the experts among them"
        )
        sentences.append(
            f"The likeness of two sets' gates is {pairs.mean():.2f} in the mean "
            f"({pairs.min():.2f} to {pairs.max():.2f}): {alike}. A gate's weight "
            f"varies from document to document by up to {spread:.2f} (standard "
            "deviation)."
        )
    return sentences


def _bounds(row: Mapping[str, Any]) -> list[float]:
    return [*row["interval"], *(row["seed_interval"] or [])]
