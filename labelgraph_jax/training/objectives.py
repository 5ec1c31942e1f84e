"""Objectives: a model and a loss joined into one function of the parameters."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from labelgraph_jax.functional.losses.consistency import symmetric_divergence
from labelgraph_jax.functional.losses.tasks import (
    Task,
    join_task_losses,
    multi_task_loss,
)
from labelgraph_jax.functional.trees import Batch, Params
from labelgraph_jax.training.balance import BalancedObjective, balanced_objective

LossSum = tuple[Float[Array, ""], Float[Array, ""]]
LossFn = Callable[[Params, Batch, jax.Array], LossSum]


class ApplyFn(Protocol):
    """Logits of one batch: `apply_fn(params, batch, *, key, train)` -> `[B, N]`."""

    def __call__(
        self, params: Params, batch: Batch, *, key: jax.Array | None, train: bool
    ) -> Float[Array, "B N"]:
        """Return the logits of a batch; with `train`, dropout is drawn from `key`."""


ROWS_AT_ONCE = 1024
"""Rows of outputs whose losses `loss_of_outputs` holds at once."""


def given_outputs(
    params: Params, batch: Batch, *, key: jax.Array | None, train: bool
) -> Float[Array, "B N"]:
    """Return the outputs that stand in a batch, as an `ApplyFn` of a model that ran."""
    return jnp.asarray(batch["outputs"])


def loss_of_outputs(
    loss_fn: LossFn,
    params: Params,
    outputs: Float[np.ndarray, "M N"],
    targets: Float[np.ndarray, "M N"],
    target_mask: np.ndarray | None = None,
    example_weight: np.ndarray | None = None,
) -> float:
    """Return the mean loss of what a model gave without dropout.

    Args:
        loss_fn: compiled, of a model that is `given_outputs`.
        params: of the model that ran; a loss may have a penalty of them.
        outputs: of the model.
        targets: of the same rows.
        target_mask: True where a row is annotated, `[M, N]`; None for everywhere.
        example_weight: what each row counts, `[M]`; one each where None.
    """
    arrays = {
        "outputs": outputs,
        "targets": targets,
        "target_mask": target_mask,
        "example_weight": example_weight,
    }
    given = {name: array for name, array in arrays.items() if array is not None}
    total = weight = 0.0
    for start in range(0, len(outputs), ROWS_AT_ONCE):
        part = {n: array[start : start + ROWS_AT_ONCE] for n, array in given.items()}
        sums = loss_fn(params, part, jax.random.key(0))
        total, weight = total + float(sums[0]), weight + float(sums[1])
    return total / max(weight, 1e-9)


def loss_of_batches(loss_fn: LossFn, params: Params, batches: Iterable[Batch]) -> float:
    """Return the mean loss over batches, each of which goes through the model.

    Args:
        loss_fn: compiled, without dropout.
        params: of the model.
        batches: as `loss_fn` takes them.
    """
    total = weight = 0.0
    for batch in batches:
        loss_sum, weight_sum = loss_fn(params, batch, jax.random.key(0))
        total, weight = total + float(loss_sum), weight + float(weight_sum)
    return total / max(weight, 1e-9)


def multi_label_objective(
    apply_fn: ApplyFn, loss: Callable[..., LossSum], **options: ArrayLike | None
) -> LossFn:
    """Join a model and a multi-label loss into `loss_fn(params, batch, key)`.

    Args:
        apply_fn: `apply_fn(params, batch, *, key, train)` -> logits `[B, N]`.
        loss: `loss(logits, targets, *, target_mask, example_mask, **options)` ->
            `(loss_sum, weight_sum)`, for example
            `labelgraph_jax.functional.binary_cross_entropy`.
        **options: handed to `loss` at every call.

    Returns:
        A function of the parameters, a batch with `targets` `[B, N]` (and, where they
        exist, `target_mask` `[B, N]`, `example_mask` `[B]` and `example_weight` `[B]`)
        and the dropout key, giving the loss as `(loss_sum, weight_sum)`, both float32
        scalars. The cells of a document of weight w are w cells each.
    """

    def of_cells(cells: Batch) -> LossSum:
        return loss(
            cells["logits"],
            cells["targets"],
            target_mask=cells.get("target_mask"),
            example_mask=cells.get("example_mask"),
            **options,
        )

    def loss_fn(params: Params, batch: Batch, key: jax.Array) -> LossSum:
        logits = apply_fn(params, batch, key=key, train=True)
        names = ("targets", "target_mask", "example_mask")
        cells = {name: batch[name] for name in names if name in batch}
        cells["logits"] = logits
        weights = batch.get("example_weight")
        if weights is None:
            return of_cells(cells)
        alone = {name: jnp.asarray(array)[:, None] for name, array in cells.items()}
        loss_sums, weight_sums = jax.vmap(of_cells)(alone)
        return jnp.dot(loss_sums, weights), jnp.dot(weight_sums, weights)

    return loss_fn


def two_pass_objective(
    apply_fn: ApplyFn, loss: Callable[..., LossSum], weight: float
) -> LossFn:
    """`multi_label_objective` of two passes with other dropout, which are to agree.

        loss_sum = (first_sum + second_sum) / 2 + weight divergence_sum

    Args:
        apply_fn: as of `multi_label_objective`.
        loss: as of `multi_label_objective`.
        weight: of the divergence, see `functional.symmetric_divergence`; both are means
            over the same cells.

    Reference: Wu et al., R-Drop: Regularized dropout for neural networks, NeurIPS 2021,
      with alpha = 2 weight: they add up the losses of both passes.
    """

    def apply_twice(
        params: Params, batch: Batch, *, key: jax.Array | None, train: bool
    ) -> Array:
        assert key is not None
        keys = key, jax.random.fold_in(key, 2)
        passes = [apply_fn(params, batch, key=each, train=train) for each in keys]
        return jnp.stack(passes, axis=-1)

    def loss_of_both(logits: Array, targets: Array, **masks: Array | None) -> LossSum:
        first, second = logits[..., 0], logits[..., 1]
        sums = [loss(each, targets, **masks) for each in (first, second)]
        apart, _ = symmetric_divergence(first, second, **masks)
        return (sums[0][0] + sums[1][0]) / 2 + weight * apart, sums[0][1]

    return multi_label_objective(apply_twice, loss_of_both)


def added_objective(
    labelled: LossFn,
    extra: Callable[[Params, Batch, jax.Array], Float[Array, ""]],
    weight: float = 1.0,
) -> LossFn:
    """Add a mean loss of other documents to the loss of the labelled ones.

        loss_sum = labelled_sum + weight extra weight_sum

    so that the mean loss becomes `weight * extra` larger. In micro-batches and under
    pmap `extra` is the mean over the documents of each part.

    Args:
        labelled: the loss of the labelled documents.
        extra: `extra(params, batch, key)` -> the mean loss of the other documents of a
            batch, see `data.batches.unlabelled.unlabelled_part`; its key is another
            than that of `labelled`.
        weight: what `extra` counts; with 0 the result is `labelled` itself.

    Raises:
        ValueError: the weight is negative or not finite.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must be finite and at least 0; got {weight}")
    if not weight:
        return labelled
    if isinstance(labelled, BalancedObjective):
        raise ValueError(
            "tasks whose gradients are balanced take no other loss beside theirs: "
            "leave unlabelled documents out, or choose mixture.weighting 'given' or "
            f"'uncertainty', got '{labelled.kind}'"
        )

    def loss_fn(params: Params, batch: Batch, key: jax.Array) -> LossSum:
        loss_sum, weight_sum = labelled(params, batch, key)
        mean = extra(params, batch, jax.random.fold_in(key, 1))
        return loss_sum + weight * mean * weight_sum, weight_sum

    return loss_fn


def multi_task_objective(
    apply_fn: ApplyFn,
    tasks: Sequence[Task],
    *,
    positive_weight: Float[np.ndarray, " O"] | None = None,
    task_weights: Float[ArrayLike, " T"] | None = None,
    log_variance: Callable[[Params], Float[Array, " T"]] | None = None,
    penalty: Callable[[Params], Float[Array, ""]] | None = None,
    balance: str = "",
    constant: Float[ArrayLike, " O"] | None = None,
) -> LossFn:
    """Join a model and the losses of its tasks into `loss_fn(params, batch, key)`.

    Args:
        apply_fn: `apply_fn(params, batch, *, key, train)` -> outputs `[B, O]`.
        tasks: which columns are whose, and by what loss they are learned.
        positive_weight: w, what a positive cell counts, see
            `functional.multi_task_loss`. The loss reads logit + log w, so that the
            model's own logit stays that of the probability, and needs no correction
            afterwards.
        task_weights: lambda of every task; one each by default.
        log_variance: picks the learned log-variances of the tasks out of the
            parameters: their losses are weighed by uncertainty (see
            `functional.multi_task_loss`).
        penalty: of the parameters; the mean loss per row becomes so much larger.
        balance: join the tasks' gradients by this rule, see `BalancedObjective`; there
            can be no penalty then.
        constant: what a constant prediction of every column is, where gradients are
            balanced.

    Returns:
        A function of the parameters, a batch with `targets` `[B, O]` (and, where they
        exist, `target_mask` `[B, O]`, `example_mask` and `example_weight` `[B]`) and
        the dropout key, giving the loss as `(loss_sum, weight_sum)`: the weight is that
        of the rows, their number by default.
    """

    def weighed(
        outputs: Array, params: Params, batch: Batch, task_weights: ArrayLike | None
    ) -> LossSum:
        if positive_weight is not None:
            outputs = outputs + np.log(positive_weight).astype(np.float32)
        return multi_task_loss(
            outputs,
            batch["targets"],
            tasks,
            task_weights=task_weights,
            log_variance=None if log_variance is None else log_variance(params),
            target_mask=batch.get("target_mask"),
            example_mask=batch.get("example_mask"),
            example_weight=batch.get("example_weight"),
            positive_weight=positive_weight,
        )

    return _joined(
        weighed, apply_fn, len(tasks), task_weights, penalty, balance, constant
    )


def _joined(
    weighed: Callable[..., LossSum],
    apply_fn: ApplyFn,
    count: int,
    task_weights: ArrayLike | None,
    penalty: Callable[[Params], Float[Array, ""]] | None,
    balance: str,
    constant: Float[ArrayLike, " O"] | None,
) -> LossFn:
    """The loss of `count` tasks: their weighed sum, or balanced by gradients."""
    if balance:
        assert constant is not None and penalty is None
        each = jnp.ones(count) if task_weights is None else jnp.asarray(task_weights)
        return balanced_objective(weighed, apply_fn, each, balance, constant)

    def loss_fn(params: Params, batch: Batch, key: jax.Array) -> LossSum:
        outputs = apply_fn(params, batch, key=key, train=True)
        loss_sum, weight_sum = weighed(outputs, params, batch, task_weights)
        if penalty is not None:
            loss_sum = loss_sum + penalty(params) * weight_sum
        return loss_sum, weight_sum

    return loss_fn


class LabelSet(NamedTuple):
    """Some of a model's labels, learned as one task.

    Attributes:
        columns: which columns of logits and targets are theirs, int `[N_t]`.
        loss: as in `multi_label_objective`, of these columns.
    """

    columns: np.ndarray
    loss: Callable[..., LossSum]


def label_sets_objective(
    apply_fn: ApplyFn,
    label_sets: Sequence[LabelSet],
    *,
    task_weights: Float[ArrayLike, " T"] | None = None,
    log_variance: Callable[[Params], Float[Array, " T"]] | None = None,
    penalty: Callable[[Params], Float[Array, ""]] | None = None,
    balance: str = "",
    constant: Float[ArrayLike, " O"] | None = None,
) -> LossFn:
    """Join a model and the losses of several label sets into one function.

    The loss of a set is its sum over the annotated (document, label) cells, divided by
    how many labels it has: a set of ten labels counts as much as one of a hundred.

    Args:
        apply_fn: `apply_fn(params, batch, *, key, train)` -> logits `[B, N]`.
        label_sets: the tasks.
        task_weights: as in `multi_task_objective`.
        log_variance: as in `multi_task_objective`.
        penalty: as in `multi_task_objective`.
        balance: as in `multi_task_objective`.
        constant: as in `multi_task_objective`.

    Returns:
        As `multi_task_objective`: the weight is the number of documents.
    """

    def weighed(
        logits: Array, params: Params, batch: Batch, task_weights: ArrayLike | None
    ) -> LossSum:
        target_mask = batch.get("target_mask")
        sums = []
        for columns, loss in label_sets:
            loss_sum, cells = loss(
                logits[:, columns],
                batch["targets"][:, columns],
                target_mask=None if target_mask is None else target_mask[:, columns],
                example_mask=batch.get("example_mask"),
            )
            sums.append((loss_sum / len(columns), cells / len(columns)))
        loss_sums, weight_sums = (jnp.stack(parts) for parts in zip(*sums, strict=True))
        total = join_task_losses(
            loss_sums,
            weight_sums,
            task_weights=task_weights,
            log_variance=None if log_variance is None else log_variance(params),
        )
        rows = jnp.float32(len(logits))
        if batch.get("example_mask") is not None:
            rows = jnp.sum(batch["example_mask"], dtype=jnp.float32)
        return total, rows

    return _joined(
        weighed, apply_fn, len(label_sets), task_weights, penalty, balance, constant
    )
