"""Positions of the nodes of a graph in a picture: a force-directed layout."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from labelgraph_jax.functional.graph.edges import as_square

GOLDEN_ANGLE = 2.399963229728653
CENTRE = 0.1
"""Pull towards the centre, in spring constants: unconnected parts do not drift off."""


@partial(jax.jit, static_argnames="steps")
def node_positions(
    weights: Float[ArrayLike, "N N"], *, steps: int = 300
) -> Float[Array, "N 2"]:
    """Place nodes so that strongly connected ones stand together.

    Every pair repels with k^2 / d, every edge attracts with w d^2 / k, where
    k = 1 / sqrt(N) and w is the mean of both directions' weights over the largest; a
    node moves along the sum of its forces, at every step by less. The start is a
    sunflower in the order of the nodes, so that equal weights give equal positions.

    Args:
        weights: of the edges, not negative; the diagonal is passed over.
        steps: how often every node moves.

    Returns:
        Coordinates in [-1, 1].

    Raises:
        ValueError: the weights are not square.

    Reference: Fruchterman and Reingold, "Graph Drawing by Force-directed Placement",
    Software: Practice and Experience 21 (1991), with a pull towards the centre.
    """
    given = jnp.asarray(as_square("weights", weights), jnp.float32)
    count = given.shape[0]
    spring = (given + given.T) / 2 * (1 - jnp.eye(count, dtype=jnp.float32))
    spring /= jnp.maximum(spring.max(initial=0.0), 1e-9)
    ideal = 1.0 / jnp.sqrt(jnp.float32(max(count, 1)))
    place = jnp.arange(count, dtype=jnp.float32)
    radius = jnp.sqrt((place + 0.5) / max(count, 1))
    angle = place * GOLDEN_ANGLE
    start = radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)

    def move(step: ArrayLike, positions: Float[Array, "N 2"]) -> Float[Array, "N 2"]:
        apart = positions[:, None] - positions[None]  # [N, N, 2]
        # At least so much before the root, whose slope at 0 is infinite.
        distance = jnp.sqrt(jnp.maximum(jnp.square(apart).sum(-1), 1e-6))
        strength = ideal**2 / distance**2 - spring * distance / ideal
        force = (apart * strength[..., None]).sum(1) - CENTRE * positions / ideal
        squared = jnp.square(force).sum(-1, keepdims=True)
        length = jnp.sqrt(jnp.maximum(squared, 1e-18))
        most = 0.2 * (1.0 - jnp.asarray(step, jnp.float32) / steps)
        return positions + force / length * jnp.minimum(length, most)

    found = jax.lax.fori_loop(0, steps, move, start)
    found -= found.mean(0)
    return found / jnp.maximum(jnp.abs(found).max(initial=0.0), 1e-9)
