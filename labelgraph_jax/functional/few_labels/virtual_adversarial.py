"""The small change of an input that changes the predictions most."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from labelgraph_jax.functional.checks import check_axes


def bernoulli_divergence(
    logits: Float[ArrayLike, "*B N"], other: Float[ArrayLike, "*B N"]
) -> Float[Array, "*B"]:
    """Return the divergence of the labels' probabilities, summed over the labels.

        sum_n KL(p_n || q_n),   p = sigmoid(logits),   q = sigmoid(other)

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> zero = jnp.zeros((1, 2))
        >>> lg.functional.bernoulli_divergence(zero, zero).tolist()
        [0.0]

    Args:
        logits: of p.
        other: logits of q.

    Returns:
        At least 0, float32, in nats.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_axes(logits=(logits, "... N"), other=(other, "... N"))
    ours = jnp.asarray(logits, jnp.float32)
    theirs = jnp.asarray(other, jnp.float32)
    p = jax.nn.sigmoid(ours)
    on = p * (jax.nn.log_sigmoid(ours) - jax.nn.log_sigmoid(theirs))
    off = (1 - p) * (jax.nn.log_sigmoid(-ours) - jax.nn.log_sigmoid(-theirs))
    return jnp.sum(on + off, axis=-1)


def virtual_adversarial_direction(
    logits: Callable[[Array], Array],
    inputs: Float[ArrayLike, "B ..."],
    key: Array,
    *,
    radius: float = 0.02,
    probe: float = 1e-3,
    steps: int = 1,
) -> Float[Array, "B ..."]:
    """Return the change of each input, of a given length, that moves its labels most.

        r = radius ||x|| g / ||g||,
        g = grad_d sum_n KL(p_n(x) || p_n(x + probe ||x|| d))

    By power iteration from a random direction d of length 1. Lengths are those of an
    example's whole input, `[S, D]` for token vectors, and relative to it, for inputs
    differ in length and scale.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> steep = jnp.array([[3.0], [0.0]])
        >>> change = lg.functional.virtual_adversarial_direction(
        ...     lambda x: x @ steep, jnp.ones((1, 2)), jax.random.key(0), steps=3
        ... )
        >>> bool(abs(change[0, 0]) > 100 * abs(change[0, 1]))
        True

    Args:
        logits: from inputs to logits `[B, N]`, one example at a time independent of the
            others, and the same in every call: dropout by a fixed key, or none.
        inputs: token or document vectors, taken in float32.
        key: of the first direction.
        radius: length of the change, as a share of the input's.
        probe: length of the step that measures curvature, as a share of the input's.
        steps: of power iteration.

    Returns:
        The change, without a gradient; zeros where nothing moves the labels. The loss
        is `bernoulli_divergence(stop_gradient(logits(x)), logits(x + change))`.

    Raises:
        ValueError: a radius below 0, or a probe or number of steps that is not
            positive.

    Reference: Miyato et al., Virtual Adversarial Training, TPAMI 2019, and Adversarial
        Training Methods for Semi-Supervised Text Classification, ICLR 2017. Their
        radius is absolute, over embeddings of unit variance.
    """
    for name, value, fits in (
        ("radius", radius, radius >= 0),
        ("probe", probe, probe > 0),
        ("steps", steps, steps >= 1),
    ):
        if not fits:
            least = "at least 0" if name == "radius" else "positive"
            raise ValueError(f"{name} must be {least}, got {value}")
    check_axes(inputs=(inputs, "... D"))
    x = jax.lax.stop_gradient(jnp.asarray(inputs, jnp.float32))
    axes = tuple(range(1, x.ndim))

    def unit(vectors: Array) -> Array:
        # By the largest entry first: the square of a small number may be no number.
        most = jnp.max(jnp.abs(vectors), axis=axes, keepdims=True, initial=0.0)
        vectors = vectors / jnp.where(most > 0, most, 1.0)
        length = jnp.sqrt(jnp.sum(jnp.square(vectors), axis=axes, keepdims=True))
        return vectors / jnp.where(length > 0, length, 1.0)

    size = jnp.sqrt(jnp.sum(jnp.square(x), axis=axes, keepdims=True))
    before = logits(x)

    def moved(direction: Array) -> Array:
        after = logits(x + probe * size * direction)
        return jnp.sum(bernoulli_divergence(before, after))

    direction = unit(jax.random.normal(key, x.shape, x.dtype))
    for _ in range(steps):
        direction = unit(jax.grad(moved)(direction))
    return jax.lax.stop_gradient(radius * size * direction)
