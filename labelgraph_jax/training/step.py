"""The train step: one pure function of the state and a batch."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from jax.tree_util import KeyPath
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from labelgraph_jax.functional.slice_keys import slice_key
from labelgraph_jax.functional.trees import Batch, Params, Tree
from labelgraph_jax.training.balance import BalancedObjective
from labelgraph_jax.training.objectives import LossFn, LossSum
from labelgraph_jax.training.partners import (
    Partners,
    PartnersObjective,
    gathered,
    joined,
    queue_of,
)

Metrics = dict[str, jax.Array]


class TrainState(NamedTuple):
    """Everything a step reads and writes: what is checkpointed, and nothing else."""

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState


class TrainStep(Protocol):
    """`train_step(state, batch, axis_name=None)` -> `(state, metrics)`."""

    def __call__(
        self, state: TrainState, batch: Batch, axis_name: str | None = None
    ) -> tuple[TrainState, Metrics]:
        """Return the state after one step, and its metrics; see `make_train_step`."""


Sums = tuple[PyTree[Array], Float[Array, ""]]
"""Loss sum and weight sum of a batch; of balanced tasks a pair of loss sums."""
Part = tuple[Params, tuple[Sums, Partners | None]]
"""The gradient of a loss sum, the sums, and the documents of the batch."""
PartFn = Callable[..., Part]
GradientFn = Callable[..., tuple[Params, Metrics, Partners | None]]
"""`gradient_of(params, batch, step, axis_name=None, queue=None)` -> `(gradient,
metrics, newest)`, see `make_gradient`."""


def init_train_state(
    params: Params, optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def path_string(path: KeyPath) -> str:
    """A leaf's path as text: `encoder/layer_0/attention/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def hold_constant(params: Params, is_frozen: Callable[[str], bool] | None) -> Params:
    """The same parameters; those whose path `is_frozen` accepts get no gradient.

    Their backward pass is never built, so a frozen encoder costs its forward alone.
    """
    if is_frozen is None:
        return params

    def hold(path: KeyPath, leaf: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(leaf) if is_frozen(path_string(path)) else leaf

    return jax.tree_util.tree_map_with_path(hold, params)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    *,
    is_frozen: Callable[[str], bool] | None = None,
    micro_batches: int = 1,
    learning_rate: optax.Schedule | None = None,
    teacher: Callable[[Params, Batch], Batch] | None = None,
) -> TrainStep:
    """Build the pure train step.

    The gradient is that of `loss_sum / weight_sum` over the global batch, divided once,
    so padding and uneven devices change nothing; a batch of padding alone gives a zero
    gradient. The key of step s is `fold_in(key, s)`: a resumed run draws what the
    uninterrupted one would have drawn.

    Args:
        loss_fn: `loss_fn(params, batch, key)` -> `(loss_sum, weight_sum)`.
        optimizer: from `make_optimizer`, or any optax transformation.
        key: the run's dropout key.
        is_frozen: tells by its path whether a parameter is held constant.
        micro_batches: run the batch in so many parts, one after the other, whose
            gradients are summed: the same step but for dropout, in less memory. On a
            CPU also faster where a whole batch's activations leave the cache.
        learning_rate: schedule reported in the metrics; it does not act.
        teacher: `teacher(average, batch)` -> the batch that is learned; the average of
            the parameters is that of an optimizer `averaging.with_average`.

    Returns:
        `train_step(state, batch, axis_name=None)` -> `(state, metrics)`, with float32
        scalars `loss`, `gradient_norm` (before clipping), `examples` and, where a
        schedule was given, `learning_rate`. With `axis_name` (under pmap) sums are
        taken over that axis, and each device draws its rows of the global batch's
        dropout.
    """
    gradient_of = make_gradient(
        loss_fn,
        key,
        is_frozen=is_frozen,
        micro_batches=micro_batches,
        learning_rate=learning_rate,
    )

    def train_step(
        state: TrainState, batch: Batch, axis_name: str | None = None
    ) -> tuple[TrainState, Metrics]:
        if teacher is not None:
            batch = teacher(state.opt_state.average, batch)
        queue = queue_of(state.opt_state)
        gradient, metrics, newest = gradient_of(
            state.params, batch, state.step, axis_name, queue
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = apply_updates(state.params, updates, is_frozen)
        opt_state = joined(opt_state, newest)
        return TrainState(state.step + 1, params, opt_state), metrics

    return train_step


def make_gradient(
    loss_fn: LossFn,
    key: jax.Array,
    *,
    is_frozen: Callable[[str], bool] | None = None,
    micro_batches: int = 1,
    learning_rate: optax.Schedule | None = None,
) -> GradientFn:
    """Build the gradient of a train step, without what an optimizer makes of it.

    Args:
        loss_fn: as of `make_train_step`.
        key: as of `make_train_step`.
        is_frozen: as of `make_train_step`.
        micro_batches: as of `make_train_step`.
        learning_rate: as of `make_train_step`.

    Returns:
        `gradient_of(params, batch, step, axis_name=None, queue=None)` -> the gradient
        of the mean loss over the global batch, the metrics of the step and, where there
        is a queue of documents (see `partners`), those of the batch that join it.
    """

    # The loss of a batch, with frozen parameters held constant.
    def objective(
        params: Params, batch: Batch, key: jax.Array, *others: Partners | str | None
    ) -> tuple[Array, tuple[LossSum, Partners | None]]:
        held, newest = hold_constant(params, is_frozen), None
        if isinstance(loss_fn, PartnersObjective):
            sums, newest = loss_fn.losses(held, batch, key, *others)
        else:
            sums = loss_fn(held, batch, key)
        return sums[0], (sums, newest)

    # Sums over micro-batches, for every task apart where gradients are balanced.
    balance = loss_fn if isinstance(loss_fn, BalancedObjective) else None
    if balance is None:
        sums = _in_parts(jax.grad(objective, has_aux=True), micro_batches)
    else:
        of_tasks = _task_gradients(balance, is_frozen)
        sums = _in_parts(of_tasks, micro_batches, per_task=True)

    def gradient_of(
        params: Params,
        batch: Batch,
        step: Int[ArrayLike, ""],
        axis_name: str | None = None,
        queue: Partners | None = None,
    ) -> tuple[Params, Metrics, Partners | None]:
        # A key of the step, and of the slice where a device has one.
        step_key = whole_key = jax.random.fold_in(key, step)
        if axis_name is not None:
            step_key = slice_key(step_key, jax.lax.axis_index(axis_name))

        # Sums over the batch, and over all devices.
        gradient, ((loss_sum, weight_sum), newest) = sums(
            params, batch, step_key, queue, axis_name
        )
        examples = count_examples(batch)
        if axis_name is not None:
            gradient, loss_sum, weight_sum, examples = _sum_over(
                axis_name, (gradient, loss_sum, weight_sum, examples)
            )
        # Divide once, at the end.
        tiny = jnp.finfo(jnp.float32).tiny
        weight = jnp.maximum(weight_sum.astype(jnp.float32), tiny)
        gradient = jax.tree.map(
            lambda leaf: (leaf.astype(jnp.float32) / weight).astype(leaf.dtype),
            gradient,
        )
        # Balance the tasks, and measure.
        if balance is not None:
            losses, first = (sums / weight for sums in loss_sum)
            gradient = balance.join(gradient, losses, first, params, whole_key)
            loss_sum = loss_sum[0].sum()
        metrics = {
            "loss": loss_sum.astype(jnp.float32) / weight,
            "gradient_norm": optax.tree.norm(gradient).astype(jnp.float32),
            "examples": examples,
        }
        if learning_rate is not None:
            metrics["learning_rate"] = jnp.asarray(learning_rate(step), jnp.float32)
        newest = None if queue is None else gathered(newest, axis_name)
        return gradient, metrics, newest

    return gradient_of


def _task_gradients(
    objective: BalancedObjective, is_frozen: Callable[[str], bool] | None
) -> PartFn:
    """The gradient of every task, leaves `[T, ...]`, and the sums of losses."""

    def gradients(
        params: Params, batch: Batch, key: jax.Array, *others: Partners | str | None
    ) -> Part:
        def losses(params: Params) -> tuple[Array, Sums]:
            held = hold_constant(params, is_frozen)
            found, first, weight_sum = objective.losses(held, batch, key)
            return found, ((found, first), weight_sum)

        found, pullback, sums = jax.vjp(losses, params, has_aux=True)
        # One pass forward, and one backward for each task.
        (each,) = jax.vmap(pullback)(jnp.eye(len(found), dtype=found.dtype))
        return each, (sums, None)

    return gradients


def _in_parts(
    gradient_fn: PartFn,
    parts: int,
    *,
    per_task: bool = False,
) -> PartFn:
    """The same sums and rows, from `parts` pieces of the batch one after the other."""
    if parts < 1:
        raise ValueError(f"micro_batches must be at least 1; got {parts}")
    if parts == 1:
        return gradient_fn

    def split(leaf: ArrayLike) -> jax.Array:
        rows = jnp.shape(leaf)[0]
        if rows % parts:
            raise ValueError(
                f"a batch of {rows} rows does not divide into {parts} micro-batches"
            )
        # Part i takes every `parts`-th row, so that a batch which is split over
        # devices stays where it is.
        leaf = jnp.asarray(leaf)
        return leaf.reshape(rows // parts, parts, *leaf.shape[1:]).swapaxes(0, 1)

    def whole(leaf: jax.Array) -> jax.Array:
        return leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:])

    def summed(
        params: Params, batch: Batch, key: jax.Array, *others: Partners | str | None
    ) -> Part:
        pieces = jax.tree.map(split, dict(batch))
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(parts))
        # What gradient_fn gives, known without tracing it once more.
        sums = (jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))
        zeros = (jax.tree.map(jnp.zeros_like, params), sums)
        if per_task:
            piece = jax.tree.map(lambda leaf: leaf[0], (pieces, keys))
            gradient, (sums, _) = jax.eval_shape(gradient_fn, params, *piece)
            zeros = jax.tree.map(
                lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (gradient, sums)
            )

        def add(
            total: tuple[Params, Sums], piece: tuple[Batch, jax.Array]
        ) -> tuple[tuple[Params, Sums], Partners | None]:
            gradient, (found, rows) = gradient_fn(params, *piece, *others)
            return jax.tree.map(
                lambda sum_, one: sum_ + one.astype(sum_.dtype),
                total,
                (gradient, found),
            ), rows

        (gradient, found), rows = jax.lax.scan(add, zeros, (pieces, keys))
        return gradient, (found, jax.tree.map(whole, rows))

    return summed


def _sum_over(axis_name: str, tree: Tree) -> Tree:
    """The sums of all arrays over the devices.

    Between processes on CPUs every array is a message of its own, some 4 ms each, so
    there they go as one; XLA joins them by itself on GPU and TPU.
    """
    if jax.default_backend() != "cpu" or jax.process_count() == 1:
        return jax.lax.psum(tree, axis_name)
    flat, back = jax.flatten_util.ravel_pytree(tree)
    return back(jax.lax.psum(flat, axis_name))


def apply_updates(
    params: Params, updates: optax.Updates, is_frozen: Callable[[str], bool] | None
) -> Params:
    """The parameters after a step; frozen ones as they are, bit for bit."""
    updated = optax.apply_updates(params, updates)
    if is_frozen is None:
        return updated
    return jax.tree_util.tree_map_with_path(
        lambda path, old, new: old if is_frozen(path_string(path)) else new,
        params,
        updated,
    )


def count_examples(batch: Batch) -> Float[Array, ""]:
    """Return the number of real examples in a batch: its rows where it has no mask."""
    if "example_mask" in batch:
        return jnp.sum(batch["example_mask"], dtype=jnp.float32)
    return jnp.float32(jax.tree.leaves(dict(batch))[0].shape[0])
