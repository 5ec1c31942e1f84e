"""The optimizer: AdamW, warm-up and decay, clipping, parameter groups."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import KeyPath
from jax.typing import ArrayLike
from jaxtyping import PyTree

from labelgraph_jax.functional.trees import Params
from labelgraph_jax.training.step import path_string

PathPredicate = Callable[[str], bool]
SCHEDULES = ("cosine", "linear", "constant")


def make_schedule(
    peak: float, *, warmup_steps: int, total_steps: int, schedule: str = "cosine"
) -> optax.Schedule:
    """The learning rate of every step: a linear warm-up, then a decay to zero.

    With w = `warmup_steps`, T = `total_steps` and x = (s - w) / (T - w), step s
    (counted from 0) takes

        peak (s + 1) / w           for s < w
        peak (1 + cos(pi x)) / 2   "cosine"
        peak (1 - x)               "linear"
        peak                       "constant"

    so that no step, the first included, has a rate of zero.

    Raises:
        ValueError: a rate that is not positive and finite, steps that are negative or
            leave nothing after the warm-up, an unknown schedule.
    """
    _check_positive("learning_rate", peak)
    _check_count("warmup_steps", warmup_steps, 0)
    _check_count("total_steps", total_steps, 1)
    if warmup_steps > total_steps:
        raise ValueError(
            f"warmup_steps ({warmup_steps}) must not exceed total_steps ({total_steps})"
        )
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {SCHEDULES}; got {schedule!r}")

    def rate(step: ArrayLike) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        warm = (step + 1) / max(warmup_steps, 1)
        done = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        done = jnp.clip(done, 0.0, 1.0)
        decay = {
            "cosine": (1 + jnp.cos(jnp.pi * done)) / 2,
            "linear": 1 - done,
            "constant": jnp.ones_like(done),
        }[schedule]
        return peak * jnp.where(step < warmup_steps, warm, decay)

    return rate


def has_weight_decay(path: str, leaf: ArrayLike) -> bool:
    """Return True for matrices and tables, which decay; biases and norms do not."""
    return path.rsplit("/", 1)[-1] not in ("bias", "scale") and jnp.ndim(leaf) > 1


def make_optimizer(
    *,
    learning_rate: float,
    total_steps: int,
    warmup_steps: int = 0,
    schedule: str = "cosine",
    body_learning_rate: float | None = None,
    is_body: PathPredicate | None = None,
    is_frozen: PathPredicate | None = None,
    is_table: PathPredicate | None = None,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """AdamW with warm-up and decay, global-norm clipping and up to three groups.

    A predicate gets a parameter's path as text, `encoder/layer_0/attention/kernel`.

    Args:
        learning_rate: peak rate of everything that is neither body nor frozen.
        total_steps: where the decay ends.
        warmup_steps: see `make_schedule`, as for `schedule`.
        schedule: "cosine", "linear" or "constant".
        body_learning_rate: peak rate of the body (a pretrained encoder); the same as
            `learning_rate` when None.
        is_body: which parameters are the body.
        is_frozen: which parameters never change: no update, no optimizer state, no part
            in the clipped norm. Give it to `make_train_step` too, which then skips
            their backward pass.
        is_table: tables whose rows `RowAdamW` moves: no optimizer state here, and in
            place of their update their gradient, clipped with all others.
        weight_decay: decoupled decay, on `has_weight_decay` parameters only.
        clip_norm: largest global gradient norm, or None for no clipping.
        b1: decay of AdamW's average of gradients.
        b2: decay of its average of squares.
        eps: added to the root of the latter.

    Raises:
        ValueError: a number out of its range, or an unknown schedule.

    Reference:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
    """
    # Refuse numbers out of range.
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"weight_decay must be at least 0; got {weight_decay}")
    if clip_norm is not None:
        _check_positive("clip_norm", clip_norm)
    if body_learning_rate is not None:
        _check_positive("body_learning_rate", body_learning_rate)

    # AdamW with its schedule, and the group of every parameter.
    def adamw(peak: float) -> optax.GradientTransformation:
        rate = make_schedule(
            peak,
            warmup_steps=warmup_steps,
            total_steps=total_steps,
            schedule=schedule,
        )
        return optax.adamw(
            rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=_decay_mask
        )

    def group(path: KeyPath, _: object) -> str:
        text = path_string(path)
        if is_frozen is not None and is_frozen(text):
            return "frozen"
        if is_table is not None and is_table(text):
            return "table"
        return "body" if is_body is not None and is_body(text) else "head"

    def trainable(params: Params) -> PyTree[bool]:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: group(path, leaf) != "frozen", params
        )

    # An optimizer for each group; a table's gradient is passed on to `RowAdamW`.
    head = adamw(learning_rate)
    body = head if body_learning_rate is None else adamw(body_learning_rate)
    groups = {"head": head, "body": body, "frozen": optax.set_to_zero()}
    grouped = optax.partition(
        groups if is_table is None else groups | {"table": optax.identity()},
        lambda params: jax.tree_util.tree_map_with_path(group, params),
    )
    # Clip by the norm of what is trained.
    if clip_norm is None:
        return grouped
    clip = optax.masked(optax.clip_by_global_norm(clip_norm), trainable)
    return optax.chain(clip, grouped)


def at_step(opt_state: optax.OptState, step: int) -> optax.OptState:
    """A fresh optimizer state whose learning rates stand where a step finds them.

    Args:
        opt_state: of `make_optimizer`.
        step: steps done.
    """

    def is_schedule(node: object) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    def moved(node: optax.OptState) -> optax.OptState:
        if not is_schedule(node):
            return node
        return node._replace(count=jnp.full_like(node.count, step))

    return jax.tree.map(moved, opt_state, is_leaf=is_schedule)


def _decay_mask(params: Params) -> PyTree[bool]:
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: has_weight_decay(path_string(path), leaf), params
    )


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite; got {value}")


def _check_count(name: str, value: int, least: int) -> None:
    if value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}; got {value}")
