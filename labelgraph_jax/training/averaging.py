"""A running average of the parameters: the teacher of a mean-teacher run."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from labelgraph_jax.training.objectives import Params

DECAY = 0.99
"""Of the average: it looks back over about a hundred steps."""


class Averaged(NamedTuple):
    """The state of an optimizer `with_average`.

    Attributes:
      inner: of the optimizer itself.
      average: of the parameters so far.
      steps: that are in it.
    """

    inner: Any
    average: Params
    steps: jax.Array


def with_average(
    optimizer: optax.GradientTransformation, decay: float = DECAY
) -> optax.GradientTransformation:
    """Return the same optimizer, whose state also averages the parameters it makes.

        a_0 = theta_0,   a_t = d_t a_{t-1} + (1 - d_t) theta_t,
        d_t = min(decay, t / (t + 9))

    Args:
      optimizer: as it is.
      decay: of an old step against a new one.

    Raises:
      ValueError: the decay lies outside [0, 1).

    Reference: Tarvainen and Valpola, Mean teachers are better role models, NeurIPS
      2017. Early steps are forgotten faster, as in their code.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay must lie in [0, 1); got {decay}")

    def init(params: Params) -> Averaged:
        average = jax.tree.map(jnp.array, params)
        return Averaged(optimizer.init(params), average, jnp.zeros((), jnp.int32))

    def update(
        updates: Any, state: Averaged, params: Params = None
    ) -> tuple[Any, Averaged]:
        updates, inner = optimizer.update(updates, state.inner, params)
        steps = state.steps + 1
        kept = jnp.minimum(decay, steps / (steps + 9.0))

        def moved(average: jax.Array, new: jax.Array) -> jax.Array:
            return (average + (1 - kept) * (new - average)).astype(average.dtype)

        after = optax.apply_updates(params, updates)
        average = jax.tree.map(moved, state.average, after)
        return updates, Averaged(inner, average, steps)

    return optax.GradientTransformation(init, update)
