"""Losses of several tasks at once, each of its own kind, with missing targets.

The tasks' outputs stand side by side in one array `[B, O]`: a task owns `width`
neighbouring columns. Targets and masks have the same layout.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets, is_known
from labelgraph_jax.functional.losses.elementwise import LossSum

TaskKind = Literal["binary", "multi_label", "multi_class", "squared"]
TASK_KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
LOG_VARIANCE = "task_log_variance"
"""Name that models give the parameter `[T]` by which tasks are weighed: s of
`multi_task_loss`, or -s of `balanced_weights`."""


class Task(NamedTuple):
    """One task: what it is called, what it predicts, and how many columns it owns.

    Attributes:
        name: as reports print it.
        kind: `binary` (0 / 1, or a probability), `multi_label` (one 0 / 1 column per
            label), `multi_class` (one column per class, targets one-hot or a
            distribution), `squared` (real values).
        width: columns of outputs and targets.
        given: another binary task, where this one can be positive only if that one is;
            see `conditional.joint_outputs`.
    """

    name: str
    kind: TaskKind
    width: int = 1
    given: str = ""


def task_slices(tasks: Sequence[Task]) -> tuple[slice, ...]:
    """The columns of each task in `[B, O]`, in order.

    Raises:
        ValueError: no task, two of one name, an unknown kind, or a width below 1 (below
            2 for multi_class).
    """
    if not tasks:
        raise ValueError("there must be at least one task; got none")
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise ValueError(f"task names must differ; got {names}")
    slices, start = [], 0
    for task in tasks:
        least = 2 if task.kind == "multi_class" else 1
        if task.kind not in TASK_KINDS:
            raise ValueError(
                f"task {task.name}: kind must be one of {list(TASK_KINDS)}; "
                f"got {task.kind!r}"
            )
        if task.width < least:
            raise ValueError(
                f"task {task.name}: a {task.kind} task must have at least {least} "
                f"columns; got {task.width}"
            )
        slices.append(slice(start, start + task.width))
        start += task.width
    return tuple(slices)


def check_task_targets(
    targets: Shaped[ArrayLike, "B O"],
    tasks: Sequence[Task],
    target_mask: Bool[ArrayLike, "B O"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> None:
    """Refuse annotated targets that say nothing to a task of their kind.

    Raises:
        ValueError: NaN, or outside 0..1 of a task that is not squared; names the task.
    """
    masks = (mask for mask in (target_mask, example_mask) if mask is not None)
    if not is_known(targets, *masks):
        return
    for task, columns in zip(tasks, task_slices(tasks), strict=True):
        mask = None if target_mask is None else np.asarray(target_mask)[:, columns]
        given = np.asarray(targets)[:, columns]
        try:
            check_targets(given, mask, example_mask, real=task.kind == "squared")
        except ValueError as refused:
            raise ValueError(f"task {task.name}: {refused}") from None


def task_loss_sums(
    outputs: Float[ArrayLike, "B O"],
    targets: Shaped[ArrayLike, "B O"],
    tasks: Sequence[Task],
    *,
    target_mask: Bool[ArrayLike, "B O"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    example_weight: Float[ArrayLike, " B"] | None = None,
    positive_weight: Float[ArrayLike, " O"] | None = None,
) -> tuple[Float[Array, " T"], Float[Array, " T"]]:
    """Sum each task's loss over the rows that are annotated for it.

    Per row: binary cross-entropy; its mean over the annotated labels of a multi_label
    task; softmax cross-entropy; the mean of (output - target)^2 over the columns. All
    in float32. What is masked out adds nothing, and the gradient of its output is
    exactly zero, whatever output and target hold there (NaN included).

    Args:
        outputs: logits, or predicted values of squared tasks.
        targets: of the same layout.
        tasks: which columns are whose.
        target_mask: True where a target is annotated. A multi_class task counts where
            all its columns are annotated, the others where any is.
        example_mask: True where the row is real, False where it is padding.
        example_weight: what a row counts, finite and not negative; one each by default.
        positive_weight: what a positive cell of a binary or multi_label task counts
            against a negative one; it changes the loss, not the weight. Columns of
            other tasks are not read.

    Returns:
        (loss_sums, weight_sums), float32 `[T]`: a task's mean loss is their ratio, its
        weight_sum the weight of the rows annotated for it; zero and zero where none is.

    Raises:
        ValueError: the tasks are malformed, or own another number of columns; a mask
            does not fit; an annotated target is NaN or, but for squared tasks, outside
            0..1 (seen only where it is known, so not under `jit`).
    """
    # Check shapes and targets.
    given = targets
    outputs = jnp.asarray(outputs, jnp.float32)
    targets = jnp.asarray(targets).astype(jnp.float32)
    slices = task_slices(tasks)
    if outputs.shape != targets.shape or outputs.shape[-1] != slices[-1].stop:
        raise ValueError(
            f"outputs and targets must be [B, {slices[-1].stop}], the columns of the "
            f"tasks; got {outputs.shape} and {targets.shape}"
        )
    check_axes(
        outputs=(outputs, "B O"),
        target_mask=(target_mask, "B O"),
        example_mask=(example_mask, "B"),
    )
    check_task_targets(given, tasks, target_mask, example_mask)
    # Cells that count: annotated ones, in real rows.
    mask = jnp.ones(outputs.shape, bool)
    if target_mask is not None:
        mask &= jnp.asarray(target_mask, bool)
    if example_mask is not None:
        mask &= jnp.asarray(example_mask, bool)[:, None]
    # Masked before anything is computed, so that no NaN reaches a gradient.
    outputs = jnp.where(mask, outputs, 0.0)
    targets = jnp.where(mask, targets, 0.0)
    if positive_weight is not None:
        positive_weight = jnp.asarray(positive_weight, jnp.float32)
    # The loss of each task, summed over rows.
    losses, weights = [], []
    for task, columns in zip(tasks, slices, strict=True):
        loss, weight = _row_losses(
            task.kind,
            outputs[:, columns],
            targets[:, columns],
            mask[:, columns],
            None if positive_weight is None else positive_weight[columns],
        )
        if example_weight is not None:
            weight = weight * jnp.asarray(example_weight, jnp.float32)
        losses.append(jnp.sum(loss * weight))
        weights.append(jnp.sum(weight))
    return jnp.stack(losses), jnp.stack(weights)


def _row_losses(
    kind: TaskKind,
    outputs: Float[Array, "B C"],
    targets: Float[Array, "B C"],
    mask: Bool[Array, "B C"],
    positive_weight: Float[Array, " C"] | None,
) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
    """A task's loss of every row, and its weight, 0 or 1."""
    if kind == "multi_class":
        weight = mask.all(axis=-1)
        loss = -jnp.sum(targets * jax.nn.log_softmax(outputs, axis=-1), axis=-1)
        return loss, weight.astype(jnp.float32)
    if kind == "squared":
        cells = jnp.square(outputs - targets)
    else:
        cells = jax.nn.softplus(outputs) - targets * outputs
        if positive_weight is not None:
            cells += (positive_weight - 1) * targets * jax.nn.softplus(-outputs)
    cells = jnp.where(mask, cells, 0.0)
    kept = mask.sum(axis=-1)
    loss = cells.sum(axis=-1) / jnp.maximum(kept, 1).astype(jnp.float32)
    return loss, (kept > 0).astype(jnp.float32)


def multi_task_loss(
    outputs: Float[ArrayLike, "B O"],
    targets: Shaped[ArrayLike, "B O"],
    tasks: Sequence[Task],
    *,
    task_weights: Float[ArrayLike, " T"] | None = None,
    log_variance: Float[Array, " T"] | None = None,
    target_mask: Bool[ArrayLike, "B O"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    example_weight: Float[ArrayLike, " B"] | None = None,
    positive_weight: Float[ArrayLike, " O"] | None = None,
) -> LossSum:
    """Join the tasks' losses, with given weights, with learned ones, or with both.

        loss_sum = sum_t lambda_t [ c_t exp(-s_t) L_t + s_t n_t / 2 ]

    where L_t is the task's loss sum and n_t the rows annotated for it. Without
    `log_variance` the bracket is L_t. c_t is 1/2 for a squared task and 1 for the
    others. A task that no row of the batch is annotated for adds zero, also to the
    gradient of its s_t.

    Args:
        outputs: as in `task_loss_sums`.
        targets: as in `task_loss_sums`.
        tasks: as in `task_loss_sums`.
        task_weights: lambda; one each by default.
        log_variance: s, a parameter: the logarithm of each task's noise variance.
        target_mask: as in `task_loss_sums`.
        example_mask: as in `task_loss_sums`.
        example_weight: as in `task_loss_sums`.
        positive_weight: as in `task_loss_sums`.

    Returns:
        (loss_sum, weight_sum), float32 scalars; weight_sum is the weight of all real
        rows, their number by default, annotated or not, so that both add over batches
        and devices. A task that is annotated half as often therefore weighs half as
        much: raise its lambda to undo that.

    Raises:
        ValueError: as `task_loss_sums`; or weights that are not one per task.

    Reference: Ma et al., KDD 2018 (weighted sum); Kendall et al., Multi-task learning
    using uncertainty, CVPR 2018, equations 7 to 10 (log_variance).
    """
    losses, weights = task_loss_sums(
        outputs,
        targets,
        tasks,
        target_mask=target_mask,
        example_mask=example_mask,
        example_weight=example_weight,
        positive_weight=positive_weight,
    )
    total = join_task_losses(
        losses,
        weights,
        task_weights=task_weights,
        log_variance=log_variance,
        variance_scales=[0.5 if task.kind == "squared" else 1.0 for task in tasks],
    )
    if example_mask is None and example_weight is None:
        return total, jnp.float32(jnp.shape(outputs)[0])
    each = jnp.ones(jnp.shape(outputs)[0], jnp.float32)
    if example_weight is not None:
        each = jnp.asarray(example_weight, jnp.float32)
    if example_mask is not None:
        each = jnp.where(jnp.asarray(example_mask, bool), each, 0.0)
    return total, jnp.sum(each)


def join_task_losses(
    loss_sums: Float[Array, " T"],
    weight_sums: Float[Array, " T"],
    *,
    task_weights: Float[ArrayLike, " T"] | None = None,
    log_variance: Float[Array, " T"] | None = None,
    variance_scales: Sequence[float] | None = None,
) -> Float[Array, ""]:
    """The sum over tasks that `multi_task_loss` describes, from their sums.

    Args:
        loss_sums: L.
        weight_sums: n.
        task_weights: lambda; one each by default.
        log_variance: s, where the weights are learned.
        variance_scales: c; one each by default.

    Raises:
        ValueError: weights that are not one per task.
    """
    count = len(loss_sums)
    for name, values in (
        ("task_weights", task_weights),
        ("log_variance", log_variance),
    ):
        if values is not None and jnp.shape(values) != (count,):
            raise ValueError(
                f"{name} must hold one number for each of the {count} tasks; got "
                f"shape {jnp.shape(values)}"
            )
    losses = loss_sums
    if log_variance is not None:
        scales = [1.0] * count if variance_scales is None else variance_scales
        log_variance = jnp.asarray(log_variance, jnp.float32)
        scale = jnp.asarray(scales, jnp.float32)
        losses = scale * jnp.exp(-log_variance) * losses
        losses += log_variance * weight_sums / 2
    if task_weights is not None:
        losses = losses * jnp.asarray(task_weights, jnp.float32)
    return losses.sum()


def output_count(tasks: Sequence[Task]) -> int:
    """Columns of all tasks together."""
    return task_slices(tasks)[-1].stop


def task_probabilities(
    outputs: Float[Array, "B O"], tasks: Sequence[Task]
) -> Float[Array, "B O"]:
    """Outputs as what they predict: sigmoid, softmax, or the value itself; float32.

    Raises:
        ValueError: the tasks are malformed, or own another number of columns.
    """
    slices = task_slices(tasks)
    check_axes(outputs=(outputs, f"B {slices[-1].stop}"))
    outputs = jnp.asarray(outputs, jnp.float32)
    parts = []
    for task, columns in zip(tasks, slices, strict=True):
        part = outputs[:, columns]
        if task.kind == "multi_class":
            part = jax.nn.softmax(part, axis=-1)
        elif task.kind != "squared":
            part = jax.nn.sigmoid(part)
        parts.append(part)
    return jnp.concatenate(parts, axis=-1)
