"""Metrics of a run over a table: per task, and the one number that selects."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.functional.losses.tasks import Task, task_slices
from labelgraph_jax.functional.metrics.row_groups import ranking_within_groups
from labelgraph_jax.functional.metrics.tasks import (
    Metrics,
    decision_metrics,
    log_loss,
    task_metrics,
)
from labelgraph_jax.predictors.tables.decision import (
    Rules,
    as_probability,
    decide,
    decided_columns,
)
from labelgraph_jax.predictors.tables.network import (
    PRIOR_FLOOR,
    constant_outputs,
    table_tasks,
)


def measure_tasks(
    outputs: np.ndarray,
    examples: TableExamples,
    targets: Sequence[Target],
    *,
    decided: np.ndarray | None = None,
) -> dict[str, Metrics]:
    """Return `functional.task_metrics`, squared tasks in the column's own unit.

    Args:
        outputs: of the model, `[M, O]`.
        examples: the rows; their targets, masks and weights count.
        targets: the tasks.
        decided: `[M, O]`, what is decided for; at 0.5 by default.
    """
    tasks = table_tasks(targets)
    outputs = np.asarray(outputs, np.float64).copy()
    wanted = np.asarray(examples.targets, np.float64).copy()
    for target, columns in zip(targets, task_slices(tasks), strict=True):
        if target.kind == "squared":
            outputs[:, columns] = target.in_units(outputs[:, columns])
            wanted[:, columns] = wanted[:, columns] * target.scale + target.mean
    return task_metrics(
        outputs,
        wanted,
        tasks,
        target_mask=examples.target_mask,
        decided=decided,
        weights=examples.weights,
    )


def conditional_probability(joint: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """The probability of a conditional task once its parent is positive.

    Args:
        joint: probability of both.
        parent: of the parent, any shape.
    """
    parent = np.maximum(np.asarray(parent, np.float64), np.finfo(np.float32).tiny)
    return np.minimum(np.asarray(joint, np.float64) / parent, 1.0)


def conditional_metrics(
    outputs: np.ndarray, examples: TableExamples, targets: Sequence[Target]
) -> dict[str, dict[str, object]]:
    """Metrics of conditional tasks over the rows whose parent is positive.

    Args:
        outputs: as of `summarise`.
        examples: as of `summarise`.
        targets: as of `summarise`.

    Returns:
        By task `task`, the parent's name, `metrics`, as of a binary task: of the
        conditional probability, decided at 0.5, and the `skill` against its share in
        training.
    """
    found: dict[str, dict[str, object]] = {}
    slices = task_slices(table_tasks(targets))
    place = {t.name: s.start for t, s in zip(targets, slices, strict=True)}
    for target in (target for target in targets if target.given):
        own, above = place[target.name], place[target.given]
        # Rows whose parent is positive, where both are known.
        reached = examples.targets[:, above] > 0.5
        if examples.target_mask is not None:
            reached &= examples.target_mask[:, [own, above]].all(axis=1)
        # The conditional probability, measured as that of a binary task.
        joint, parent = (as_probability(outputs[:, at]) for at in (own, above))
        share = conditional_probability(joint, parent).clip(1e-9, 1 - 1e-9)
        metrics = task_metrics(
            (np.log(share) - np.log1p(-share))[:, None],
            examples.targets[:, [own]],
            [Task(target.name, "binary")],
            target_mask=reached[:, None],
            weights=examples.weights,
        )
        # The skill over the constant share among these rows.
        shares = {t.name: t.prior[:1] for t in targets}
        (both,), (whole,) = shares[target.name], shares[target.given]
        prior = (min(both / max(whole, PRIOR_FLOOR), 1.0),)
        constant = constant_outputs(dataclasses.replace(target, prior=prior))
        least = log_loss(
            np.full(int(reached.sum()), constant[0]),
            examples.targets[reached, own],
            None if examples.weights is None else examples.weights[reached],
        )
        loss = metrics[target.name]["log_loss"]
        found[target.name] = {
            "task": target.given,
            "metrics": metrics[target.name],
            "skill": 1.0 - loss / least if loss is not None and least else None,
        }
    return found


def measure_constant(
    examples: TableExamples, targets: Sequence[Target]
) -> dict[str, Metrics]:
    """The metrics of predicting training's shares, or its mean, for every row."""
    outputs = np.concatenate([constant_outputs(target) for target in targets])
    outputs = np.broadcast_to(outputs, examples.targets.shape)
    return measure_tasks(outputs, examples, targets)


def loss_of(kind: str, metrics: Metrics) -> float | None:
    """The loss that a task is learned by, from its metrics."""
    if kind != "squared":
        return metrics["log_loss"]
    return None if metrics["rmse"] is None else metrics["rmse"] ** 2


def skills(
    metrics: Mapping[str, Metrics],
    constant: Mapping[str, Metrics],
    targets: Sequence[Target],
) -> dict[str, float | None]:
    """Per task `1 - loss / loss of the constant prediction`.

    0 is no better than knowing the shares of training, 1 is perfect. None where there
    is no target, or where the constant prediction is perfect.
    """
    found: dict[str, float | None] = {}
    for target in targets:
        loss = loss_of(target.kind, metrics[target.name])
        least = loss_of(target.kind, constant[target.name])
        undefined = loss is None or least is None or target.is_constant or least <= 0.0
        found[target.name] = None if undefined else 1.0 - loss / least  # type: ignore[operator]
    return found


def mean_skill(skill: Mapping[str, float | None], weights: Sequence[float]) -> float:
    """The mean over the tasks that have one, by their weights; 0 where none has."""
    pairs = [
        (value, weight)
        for value, weight in zip(skill.values(), weights, strict=True)
        if value is not None and weight > 0
    ]
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if pairs else 0.0


def summarise(
    outputs: np.ndarray,
    examples: TableExamples,
    targets: Sequence[Target],
    weights: Sequence[float],
    *,
    rules: Rules | None = None,
) -> dict[str, Any]:
    """Metrics of the model and of the constant prediction, and the skills.

    Args:
        outputs: of the model, `[M, O]`, calibrated.
        examples: the rows, with targets; where they have groups, binary tasks are
            ranked within these as well.
        targets: the tasks; conditional ones are measured over all rows, and over those
            whose parent is positive.
        weights: of the tasks, for the mean skill.
        rules: how tasks are decided, which is then told, with the metrics at 0.5 where
            that is another rule; at 0.5 by default.
    """
    # The model, the constant prediction, and the skill of one over the other.
    decided = decide(outputs, targets, rules or {})
    measured = measure_tasks(outputs, examples, targets, decided=decided)
    constant = measure_constant(examples, targets)
    skill = skills(measured, constant, targets)
    tasks: dict[str, dict[str, Any]] = {
        target.name: {
            "kind": target.kind,
            "skill": skill[target.name],
            "metrics": measured[target.name],
            "constant": constant[target.name],
        }
        for target in targets
    }
    # Conditional tasks, over the rows that reach them.
    for name, given in conditional_metrics(outputs, examples, targets).items():
        tasks[name]["given"] = given
    # Rankings within groups, and decisions beside those at one half.
    for target, columns in decided_columns(targets):
        mask = np.ones(outputs.shape, bool)
        if examples.target_mask is not None:
            mask = examples.target_mask
        own = [array[:, columns] for array in (outputs, examples.targets, mask)]
        if examples.groups is not None and target.kind == "binary":
            scores, wanted, known = (array[:, 0] for array in own)
            beside = wanted, np.where(known, examples.groups, -1)
            for key, ranked in (("", scores), ("constant_", np.zeros(len(scores)))):
                found = ranking_within_groups(ranked, *beside)
                tasks[target.name][f"{key}groups"] = found
        rule = (rules or {}).get(target.name)
        if rule is None:
            continue
        tasks[target.name]["decision"] = rule.summary()
        if not rule.is_half:
            task = Task(target.name, target.kind, target.width)
            tasks[target.name]["metrics_at_half"] = decision_metrics(
                task, own[0] >= 0, own[1], own[2], examples.weights
            )
    return {"skill": mean_skill(skill, weights), "tasks": tasks}


class Unseen(TypedDict):
    """Values of a column that training has not seen: in how many rows, and which."""

    rows: int
    values: int
    most_frequent: dict[str, int]


def unseen_lines(unseen: Mapping[str, Unseen], rows: int) -> Iterator[str]:
    """A sentence for each column that holds values without an id of their own."""
    for name, found in unseen.items():
        yield (
            f"column {name}: {found['rows']:,} of {rows:,} rows hold a value that "
            f"training has not seen often enough ({found['values']:,} different)"
        )


def count_unseen(unseen: Mapping[str, Counter[str]]) -> dict[str, Unseen]:
    """Return the number of fields and distinct values, and the most frequent ones."""
    return {
        name: {
            "rows": counts.total(),
            "values": len(counts),
            "most_frequent": dict(counts.most_common(5)),
        }
        for name, counts in unseen.items()
    }
