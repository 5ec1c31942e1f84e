"""Decisions on the tasks of a table: calibration and thresholds, from validation.

A binary task and every label of a multi_label one has a threshold of its own, chosen
on validation rows as labels of texts are. Before that its logits are calibrated, as
`scale * logit + shift`, where rows that were not fitted say that this is better.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.functional.decisions.calibrated import (
    Calibration,
    fit_calibration,
)
from labelgraph_jax.functional.losses.conditional import task_parents
from labelgraph_jax.functional.losses.tasks import task_slices
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.decision import (
    HALF,
    Decision,
    at_half,
    decision_from,
    decision_values,
)
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.tables.network import DECIDED, table_tasks
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

TASKS = "tasks"
"""Key in thresholds.json of a run over a table."""


UNCALIBRATED = Calibration()


@dataclass(frozen=True)
class TaskRule:
    """Decision of one task.

    Attributes:
        decision: the thresholds of its columns.
        calibration: the line that its logits are read by first.
    """

    decision: Decision
    calibration: Calibration = UNCALIBRATED

    @property
    def is_half(self) -> bool:
        """True where every column is decided at 0.5."""
        return bool((self.decision.thresholds == HALF).all())

    def summary(self) -> dict[str, object]:
        """The rule and its origin as JSON values; one number where one decides."""
        thresholds = self.decision.thresholds
        return {
            "asked": self.decision.asked or self.decision.kind,
            "kind": self.decision.kind,
            "threshold": float(thresholds[0]) if len(thresholds) == 1 else None,
            "calibration": self.calibration._asdict(),
        }


Rules = Mapping[str, TaskRule]
"""Per task its rule; one without is decided at 0.5, or needs no threshold."""


def rule_of(rules: Rules, target: Target) -> TaskRule:
    """The rule of a binary or multi_label task: 0.5, uncalibrated, where none is."""
    return rules.get(target.name) or TaskRule(at_half(target.width))


def as_probability(logits: np.ndarray) -> np.ndarray:
    """The sigmoid in float32: what is predicted, and compared with thresholds."""
    from scipy.special import expit

    return expit(np.asarray(logits, np.float64)).astype(np.float32)


def calibrated(
    outputs: np.ndarray, targets: Sequence[Target], rules: Rules
) -> np.ndarray:
    """The network's outputs `[M, O]` with calibrated logits, float32."""
    outputs = np.array(outputs, np.float32)
    for target, columns in decided_columns(targets):
        scale, shift, _ = rule_of(rules, target).calibration
        outputs[:, columns] = outputs[:, columns] * scale + shift
    return outputs


def decide(outputs: np.ndarray, targets: Sequence[Target], rules: Rules) -> np.ndarray:
    """Decide every cell of calibrated outputs, bool `[M, O]`.

    Cells of tasks that no threshold decides are False. A conditional task is decided
    for only where all that it is conditional on is, whatever its own threshold.
    """
    found = np.zeros(outputs.shape, bool)
    for target, columns in decided_columns(targets):
        probabilities = as_probability(outputs[:, columns])
        found[:, columns] = rule_of(rules, target).decision.decide(probabilities)
    tasks = table_tasks(targets)
    slices, parents, alone = task_slices(tasks), task_parents(tasks), found.copy()
    for columns, above in zip(slices, parents, strict=True):
        while above >= 0:
            found[:, columns] &= alone[:, slices[above]]
            above = parents[above]
    return found


def decided_columns(targets: Sequence[Target]) -> list[tuple[Target, slice]]:
    """The tasks that thresholds decide, and their columns."""
    slices = task_slices(table_tasks(targets))
    pairs = zip(targets, slices, strict=True)
    return [(target, columns) for target, columns in pairs if target.kind in DECIDED]


def choose_rules(
    config: ThresholdConfig,
    outputs: np.ndarray,
    targets: Sequence[Target],
    truth: np.ndarray,
    target_mask: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, TaskRule]:
    """Calibrate, and choose thresholds, on validation rows.

    Args:
        config: `kind`, `metric` and `shrinkage` count.
        outputs: of the network for these rows, `[M, O]`.
        targets: the tasks.
        truth: their targets, `[M, O]`.
        target_mask: True where annotated, `[M, O]`.
        weights: what each row counts, `[M]`, in the calibration; thresholds count all
            rows whose weight is above 0 alike.

    Returns:
        The rule of every binary and multi_label task; 0.5 where no row here is
        positive. With `auto` a binary task keeps 0.5 as well where another threshold
        costs the negative value more F1 than it gives the positive one.
    """
    rules = {}
    for target, columns in decided_columns(targets):
        logits = np.asarray(outputs[:, columns], np.float64)
        wanted = truth[:, columns] > HALF
        known = np.ones(wanted.shape, bool)
        if target_mask is not None:
            known = target_mask[:, columns]
        each = None
        if weights is not None:
            known = known & (weights > 0)[:, None]
            each = np.broadcast_to(weights[:, None], known.shape)[known]
        line = fit_calibration(logits[known], wanted[known], weights=each)
        probabilities = as_probability(logits * line.scale + line.shift)
        decision = choose_decision(
            dataclasses.replace(config, at_least_one=False),
            Predictions.of_all(probabilities, wanted, known),
            np.asarray(target.prior) * target.rows,
        )
        if target.kind == "binary" and config.kind == "auto":
            half, rows = at_half(1), (probabilities[known][:, None], wanted[known])
            if _mean_f1(decision, *rows) < _mean_f1(half, *rows):
                decision = dataclasses.replace(half, asked="auto", fit=decision.fit)
        rules[target.name] = TaskRule(decision, line)
    return rules


def _mean_f1(
    decision: Decision, probabilities: np.ndarray, wanted: np.ndarray
) -> float:
    """The mean of the F1 of both values of a binary task.

    F1 of positives alone would call nearly every row positive where half of them are.
    """
    chosen = decision.decide(probabilities)[:, 0]
    hits = np.array([(chosen & wanted).sum(), (~chosen & ~wanted).sum()])
    wrong = (chosen != wanted).sum()
    return float((2 * hits / np.maximum(2 * hits + wrong, 1)).mean())


def save_rules(place: Workdir, targets: Sequence[Target], rules: Rules) -> None:
    """Write thresholds.json: per task its thresholds and its calibration."""
    tasks = {
        target.name: decision_values(rules[target.name].decision, names_of(target))
        | {"calibration": rules[target.name].calibration._asdict()}
        for target, _ in decided_columns(targets)
        if target.name in rules
    }
    place.save_thresholds({TASKS: tasks})


def read_rules(place: Workdir, targets: Sequence[Target]) -> dict[str, TaskRule]:
    """Read what `save_rules` wrote; nothing where there is none, as before 0.7.

    Raises:
        WorkdirError: it holds no rule for these tasks, or a number that none may be.
    """
    if not place.has_thresholds:
        return {}
    path, stored = place.thresholds_path, place.thresholds()
    rules = {}
    for target, _ in decided_columns(targets):
        try:
            values = dict(stored[TASKS][target.name])
            line = Calibration(**values.pop("calibration"))
            if not np.isfinite(np.asarray(line, np.float64)).all():
                raise ValueError(f"a calibration must be finite, got {list(line)}")
            decision = decision_from(values, names_of(target), path)
            if not ((decision.thresholds >= 0) & (decision.thresholds <= 1)).all():
                raise ValueError("thresholds must lie in 0..1")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WorkdirError(
                f"{path}: must hold thresholds and calibration of task "
                f"{target.name!r}: {error}"
            ) from error
        rules[target.name] = TaskRule(decision, line)
    return rules


def names_of(target: Target) -> tuple[str, ...]:
    """Names that the columns of a binary or multi_label task predict."""
    return target.values[1:] if target.kind == "binary" else target.values
