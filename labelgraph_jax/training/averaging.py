"""An average of the parameters: a teacher, or what validation and prediction read."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.objectives import Params
from labelgraph_jax.training.step import TrainState

DECAY = 0.99
"""Of the average: it looks back over about a hundred steps."""


class Averaged(NamedTuple):
    """The state of an optimizer `with_average`.

    Attributes:
        inner: of the optimizer itself.
        average: of the parameters so far.
        steps: that are in it.
    """

    inner: optax.OptState
    average: Params
    steps: jax.Array


def with_average(
    optimizer: optax.GradientTransformation,
    decay: float = DECAY,
    *,
    every: int = 0,
    first: int = 1,
) -> optax.GradientTransformation:
    """Return the same optimizer, whose state also averages the parameters it makes.

        a_0 = theta_0,   a_t = d_t a_{t-1} + (1 - d_t) theta_t,
        d_t = min(decay, t / (t + 9))

    or, of the parameters after steps k m, (k + 1) m, ... so far, each as much as any
    other; before these it is the parameters themselves.

    Args:
        optimizer: as it is.
        decay: of an old step against a new one.
        every: m, for the second form; 0 for the first.
        first: k.

    Raises:
        ValueError: the decay lies outside [0, 1), or a count is out of its range.

    Reference: Tarvainen and Valpola, Mean teachers are better role models, NeurIPS
      2017. Early steps are forgotten faster, as in their code. Izmailov et al.,
      Averaging weights leads to wider optima and better generalization, UAI 2018, for
      the second; here the learning rate decays as ever.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay must lie in [0, 1); got {decay}")
    if every < 0 or first < 1:
        raise ValueError(
            f"every must be at least 0 and first at least 1; got {every} and {first}"
        )

    def init(params: Params) -> Averaged:
        average = jax.tree.map(jnp.array, params)
        return Averaged(optimizer.init(params), average, jnp.zeros((), jnp.int32))

    def update(
        updates: optax.Updates, state: Averaged, params: Params = None
    ) -> tuple[optax.Updates, Averaged]:
        updates, inner = optimizer.update(updates, state.inner, params)
        steps = state.steps + 1
        kept = jnp.minimum(decay, steps / (steps + 9.0))
        if every:
            ends = jnp.maximum(steps // every - first + 1, 0)
            kept = jnp.where(steps % every == 0, 1 - 1 / jnp.maximum(ends, 1), 1.0)
            kept = jnp.where(ends == 0, 0.0, kept)

        def moved(average: jax.Array, new: jax.Array) -> jax.Array:
            return (average + (1 - kept) * (new - average)).astype(average.dtype)

        after = optax.apply_updates(params, updates)
        average = jax.tree.map(moved, state.average, after)
        return updates, Averaged(inner, average, steps)

    return optax.GradientTransformation(init, update)


def begun_at(opt_state: optax.OptState, params: Params, step: int) -> optax.OptState:
    """Return the state of a fresh optimizer, as if of so many steps.

    Its average, if any, is `params`.
    """
    if isinstance(opt_state, Averaged):
        steps = jnp.full_like(opt_state.steps, step)
        return opt_state._replace(average=params, steps=steps)
    return opt_state


def swapped(state: TrainState) -> TrainState:
    """Return a state whose parameters and their average have changed places."""
    average = state.opt_state.average
    opt_state = state.opt_state._replace(average=state.params)
    return state._replace(params=average, opt_state=opt_state)


def publishing_average(compiled: CompiledStep) -> CompiledStep:
    """Return the same step, of which evaluation and checkpoints see the average.

    Wherever a state leaves the devices its `params` are the average, and the trained
    parameters stand in the average's place; placed again, they change back. So whoever
    restores `params` has the average, and a run goes on bit for bit.

    Args:
        compiled: of an optimizer `with_average`.
    """
    return dataclasses.replace(
        compiled,
        place_state=lambda state: compiled.place_state(swapped(state)),
        whole=lambda state: swapped(compiled.whole(state)),
    )
