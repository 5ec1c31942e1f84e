"""Attribution of a function to rows of its input: gradient x input, and its path."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Scalar = Callable[[Array], Float[Array, ""]]
"""A function of an array `[*S, D]` with one number as its value, differentiable."""


class Attribution(NamedTuple):
    """Contribution of each row of an input to a function's value.

    Attributes:
        rows: one number per row, float32.
        value: the function at the input.
        baseline_value: the function at the baseline.
    """

    rows: Float[Array, "*S"]
    value: Float[Array, ""]
    baseline_value: Float[Array, ""]


class Completeness(NamedTuple):
    """Difference between the sum of attributions and what they explain.

    Attributes:
        total: the sum of the attributions.
        difference: the function's value at the input minus that at the baseline.
        gap: total - difference.
        relative: abs(gap) / abs(difference); 0 where both are 0, and infinite where
            the difference alone is.
    """

    total: Float[Array, ""]
    difference: Float[Array, ""]
    gap: Float[Array, ""]
    relative: Float[Array, ""]


def gradient_times_input(
    function: Scalar,
    inputs: Float[ArrayLike, "*S D"],
    baseline: Float[ArrayLike, "..."] | None = None,
) -> Attribution:
    """The first-order change of a function that each row of its input makes.

        a_s = sum_d (x_sd - b_sd) df/dx_sd (x)

    Complete, which is to say that the a_s add up to f(x) - f(b), where f is linear
    between b and x; a saturated f gives less, a ReLU that opened on the way more.

    Args:
        function: f.
        inputs: x, one vector per row.
        baseline: b, the input that says nothing; zeros if None.

    Raises:
        ValueError: inputs without a feature axis, or a baseline of another shape.

    Reference: Shrikumar, Greenside, Shcherbina and Kundaje, "Not Just a Black Box",
    arXiv 1605.01713, 2016. There b is 0; with another b it is the first-order Taylor
    term of f(x) - f(b).
    """
    inputs, baseline = _checked(inputs, baseline)
    value, gradient = jax.value_and_grad(_in_float32(function))(inputs)
    return Attribution(
        jnp.einsum("...d,...d->...", inputs - baseline, gradient),
        value,
        _in_float32(function)(baseline),
    )


def integrated_gradients(
    function: Scalar,
    inputs: Float[ArrayLike, "*S D"],
    baseline: Float[ArrayLike, "..."] | None = None,
    *,
    steps: int = 32,
) -> Attribution:
    """Gradient x input averaged on the straight line from a baseline to the input.

        a_s = sum_d (x_sd - b_sd) integral_0^1 df/dx_sd (b + t (x - b)) dt

    by the midpoint rule, t_k = (k + 1/2) / K. The exact integral is complete: the a_s
    add up to f(x) - f(b) (axiom of completeness, proposition 1). The rule is exact for
    f up to the second degree, and its gap falls with K^2 where f is smooth and with K
    where it has kinks. One gradient is in memory at a time, whatever K.

    Args:
        function: f.
        inputs: x, one vector per row.
        baseline: b, the input that says nothing; zeros if None.
        steps: K.

    Raises:
        ValueError: as `gradient_times_input`; or steps below 1.

    Reference: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks",
    ICML 2017, eq. 1 and 3. Their sum takes the right end of each of K intervals; the
    midpoint's error is of one order less.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    inputs, baseline = _checked(inputs, baseline)
    function = _in_float32(function)
    line = inputs - baseline

    def step(total: Array, k: Array) -> tuple[Array, None]:
        at = baseline + ((k + 0.5) / steps) * line
        return total + jax.grad(function)(at), None

    total, _ = jax.lax.scan(
        step, jnp.zeros_like(inputs), jnp.arange(steps, dtype=jnp.float32)
    )
    rows = jnp.einsum("...d,...d->...", line, total) / steps
    return Attribution(rows, function(inputs), function(baseline))


def completeness(attribution: Attribution) -> Completeness:
    """Compare the sum of attributions with the difference that they explain."""
    total = attribution.rows.sum()
    difference = attribution.value - attribution.baseline_value
    gap = total - difference
    there = difference != 0
    relative = jnp.abs(gap) / jnp.where(there, jnp.abs(difference), 1.0)
    undefined = jnp.where(gap == 0, 0.0, jnp.inf)
    return Completeness(total, difference, gap, jnp.where(there, relative, undefined))


def _checked(inputs: ArrayLike, baseline: ArrayLike | None) -> tuple[Array, Array]:
    inputs = jnp.asarray(inputs, jnp.float32)
    if inputs.ndim < 1:
        raise ValueError("inputs must have a feature axis, got a single number")
    baseline = jnp.zeros_like(inputs) if baseline is None else jnp.asarray(baseline)
    if baseline.shape != inputs.shape:
        raise ValueError(
            f"baseline must have the shape {inputs.shape} of inputs, got "
            f"{baseline.shape}"
        )
    return inputs, baseline.astype(jnp.float32)


def _in_float32(function: Scalar) -> Scalar:
    return lambda inputs: function(inputs).astype(jnp.float32)
