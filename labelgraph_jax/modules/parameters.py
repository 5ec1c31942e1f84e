"""Modules that own a few arrays and nothing else.

What is done with them is told where they are read.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float


def log_odds(prior: Float[Array, "N"]) -> Float[Array, "N"]:
    """Return the start of a label's bias, so that no step is spent on label frequency.

    Finite also for a label that no or every training document carries.
    """
    prior = jnp.clip(jnp.asarray(prior, jnp.float32), 1e-4, 1 - 1e-4)
    return jnp.log(prior) - jnp.log1p(-prior)


Initial = Callable[..., Array]
"""`initial(key, shape)` -> first values of a parameter."""


class Dense(nn.Module):
    """A kernel over the given input axes, and a bias."""

    inputs: tuple[int, ...]
    outputs: int
    initial: Initial = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        """Return kernel `[*inputs, outputs]` and bias `[outputs]`, 0 at first."""
        kernel = self.param("kernel", self.initial, (*self.inputs, self.outputs))
        return kernel, self.param("bias", nn.initializers.zeros, (self.outputs,))


class Kernel(nn.Module):
    """A kernel alone, as `Dense` gives one, with None for the bias."""

    inputs: int
    outputs: int
    initial: Initial

    @nn.compact
    def __call__(self) -> tuple[Array, None]:
        """Return the kernel, `[inputs, outputs]`, and None for the bias."""
        shape = (self.inputs, self.outputs)
        return self.param("kernel", self.initial, shape), None


class Norm(nn.Module):
    """The scale and bias of a layer normalisation; None where it has no bias."""

    features: int
    biased: bool = True

    @nn.compact
    def __call__(self) -> tuple[Array, Array | None]:
        """Return the scale, `[features]` of ones at first, and the bias or None."""
        scale = self.param("scale", nn.initializers.ones, (self.features,))
        if not self.biased:
            return scale, None
        return scale, self.param("bias", nn.initializers.zeros, (self.features,))


def rows_by_id(
    module: nn.Module, name: str, initial: Initial, shape: tuple[int, ...]
) -> Array:
    """A parameter with a row per id; a caller may give some of its rows alone.

    Training gives those that a batch reads, whose ids then count these rows.
    """
    if module.has_variable("params", name):
        given: Array = module.get_variable("params", name)
        if jnp.shape(given)[1:] == shape[1:] and len(given) < shape[0]:
            return given
    return module.param(name, initial, shape)


class Table(nn.Module):
    """An embedding table, or some of its rows, see `rows_by_id`.

    Its entries have the given standard deviation.
    """

    rows: int
    features: int
    deviation: float

    @nn.compact
    def __call__(self) -> Array:
        """Return the table `[rows, features]`, or the rows that stand in its place."""
        initial = nn.initializers.normal(self.deviation)
        return rows_by_id(self, "embedding", initial, (self.rows, self.features))


class Lstm(nn.Module):
    """One direction of an LSTM: gates in the order i, f, g, o, forget bias 1."""

    inputs: int
    units: int

    @nn.compact
    def __call__(self) -> tuple[Array, Array, Array]:
        """Return both kernels, `[D, 4 H]` and `[H, 4 H]`, and the bias `[4 H]`."""
        size = self.units

        def gates(initial: Initial) -> Initial:
            def draw(key: Array, shape: tuple[int, int]) -> Array:
                keys = jax.random.split(key, 4)
                parts = [initial(k, (shape[0], size), jnp.float32) for k in keys]
                return jnp.concatenate(parts, axis=1)

            return draw

        def open_forget_gate(key: Array, shape: tuple[int]) -> Array:
            return jnp.zeros(shape).at[size : 2 * size].set(1.0)

        glorot, orthogonal = nn.initializers.glorot_uniform, nn.initializers.orthogonal
        return (
            self.param("input_kernel", gates(glorot()), (self.inputs, 4 * size)),
            self.param("recurrent_kernel", gates(orthogonal()), (size, 4 * size)),
            self.param("bias", open_forget_gate, (4 * size,)),
        )
