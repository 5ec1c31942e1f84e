"""The train step: one pure function of the state and a batch."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from labelgraph_jax.training.objectives import Batch, LossFn, Params

Metrics = dict[str, jax.Array]


class TrainState(NamedTuple):
    """Everything a step reads and writes: what is checkpointed, and nothing else."""

    step: Int[Array, ""]
    params: Params
    opt_state: Any


class TrainStep(Protocol):
    """`train_step(state, batch, axis_name=None)` -> `(state, metrics)`."""

    def __call__(
        self, state: TrainState, batch: Batch, axis_name: str | None = None
    ) -> tuple[TrainState, Metrics]: ...


def init_train_state(
    params: Params, optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def path_string(path: tuple[Any, ...]) -> str:
    """A leaf's path as text: `encoder/layer_0/attention/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def hold_constant(params: Params, is_frozen: Callable[[str], bool] | None) -> Params:
    """The same parameters; those whose path `is_frozen` accepts get no gradient.

    Their backward pass is never built, so a frozen encoder costs its forward alone.
    """
    if is_frozen is None:
        return params

    def hold(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(leaf) if is_frozen(path_string(path)) else leaf

    return jax.tree_util.tree_map_with_path(hold, params)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    *,
    is_frozen: Callable[[str], bool] | None = None,
    learning_rate: Callable[[Any], Any] | None = None,
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
      learning_rate: schedule reported in the metrics; it does not act.

    Returns:
      `train_step(state, batch, axis_name=None)` -> `(state, metrics)`, with float32
      scalars `loss`, `gradient_norm` (before clipping), `examples` and, where a
      schedule was given, `learning_rate`. With `axis_name` (under pmap) sums are taken
      over that axis and each device draws its own dropout.
    """

    def train_step(
        state: TrainState, batch: Batch, axis_name: str | None = None
    ) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(key, state.step)
        if axis_name is not None:
            step_key = jax.random.fold_in(step_key, jax.lax.axis_index(axis_name))

        def objective(
            params: Params,
        ) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Float[Array, ""]]]:
            loss_sum, weight_sum = loss_fn(
                hold_constant(params, is_frozen), batch, step_key
            )
            return loss_sum, (loss_sum, weight_sum)

        gradient, (loss_sum, weight_sum) = jax.grad(objective, has_aux=True)(
            state.params
        )
        examples = count_examples(batch)
        if axis_name is not None:
            gradient, loss_sum, weight_sum, examples = jax.lax.psum(
                (gradient, loss_sum, weight_sum, examples), axis_name
            )
        tiny = jnp.finfo(jnp.float32).tiny
        weight = jnp.maximum(weight_sum.astype(jnp.float32), tiny)
        gradient = jax.tree.map(
            lambda leaf: (leaf.astype(jnp.float32) / weight).astype(leaf.dtype),
            gradient,
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = _update(state.params, updates, is_frozen)
        metrics = {
            "loss": loss_sum.astype(jnp.float32) / weight,
            "gradient_norm": optax.tree.norm(gradient).astype(jnp.float32),
            "examples": examples,
        }
        if learning_rate is not None:
            metrics["learning_rate"] = jnp.asarray(
                learning_rate(state.step), jnp.float32
            )
        return TrainState(state.step + 1, params, opt_state), metrics

    return train_step


def _update(
    params: Params, updates: Any, is_frozen: Callable[[str], bool] | None
) -> Params:
    updated = optax.apply_updates(params, updates)
    if is_frozen is None:
        return updated
    return jax.tree_util.tree_map_with_path(
        lambda path, old, new: old if is_frozen(path_string(path)) else new,
        params,
        updated,
    )


def count_examples(batch: Batch) -> Float[Array, ""]:
    """How many real examples a batch holds (its rows, where it has no mask)."""
    if "example_mask" in batch:
        return jnp.sum(batch["example_mask"], dtype=jnp.float32)
    return jnp.float32(jax.tree.leaves(dict(batch))[0].shape[0])
