"""Scores of candidates for ranking, joined from the predictions of several tasks."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def weighted_product(
    values: Float[ArrayLike, "*batch T"], weights: Float[ArrayLike, " T"]
) -> Float[Array, "*batch"]:
    """The tasks' values multiplied, each raised to its weight.

        score[b] = prod_t values[b, t] ^ weights[t]

    Taken through logarithms, in float32, so that many small probabilities do not
    underflow on the way. A weight of zero leaves a task out; a negative one asks for
    candidates of which the task says little (a predicted dismissal).

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> chances = jnp.array([[0.5, 0.25]])  # of two tasks
        >>> lg.functional.weighted_product(chances, jnp.array([1.0, 0.5])).tolist()
        [0.25]

    Args:
        values: probabilities (see `task_probabilities`), or other amounts from 0 on,
            such as seconds watched. What is not above 0 counts as the smallest positive
            number, so that no gradient is NaN.
        weights: one for each task, set by hand as the service's aims ask.

    Raises:
        ValueError: the weights are not one for each task.

    Reference: Zhao et al., Recommending what video to watch next, RecSys 2019, on
    ranking objectives ("weighted multiplication"). The formula is not printed there;
    this is its usual reading.
    """
    values, weights = _checked(values, weights)
    positive = jnp.maximum(values, jnp.finfo(jnp.float32).tiny)
    return jnp.exp(jnp.sum(weights * jnp.log(positive), axis=-1))


def weighted_sum(
    values: Float[ArrayLike, "*batch T"], weights: Float[ArrayLike, " T"]
) -> Float[Array, "*batch"]:
    """The tasks' values added up: score[b] = sum_t weights[t] values[b, t], float32.

    A rare action needs a large weight to count at all here; in `weighted_product` the
    scale of a task does not matter.

    Args:
        values: what the tasks predict, of any sign.
        weights: one for each task.

    Raises:
        ValueError: the weights are not one for each task.

    Reference: the slides of RecSys 2019 say sum where the paper says multiplication.
    """
    values, weights = _checked(values, weights)
    return jnp.sum(weights * values, axis=-1)


def _checked(
    values: Float[ArrayLike, "*batch T"], weights: Float[ArrayLike, " T"]
) -> tuple[Float[Array, "*batch T"], Float[Array, " T"]]:
    values = jnp.asarray(values, jnp.float32)
    weights = jnp.asarray(weights, jnp.float32)
    if not values.ndim or weights.shape != values.shape[-1:]:
        raise ValueError(
            "weights must be one for each task, the last axis of the values; got "
            f"weights {weights.shape} for values {values.shape}"
        )
    return values, weights
