"""Divergence of two predictions of the same documents, as a loss."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.losses.elementwise import LossSum, kept_cells


def symmetric_divergence(
    logits: Float[ArrayLike, "B N"],
    other: Float[ArrayLike, "B N"],
    *,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> LossSum:
    """Sum the divergence of two predictions, either way round, over every kept cell.

        sum_bn [ KL(p || q) + KL(q || p) ] / 2 = sum_bn (p - q) (z - w) / 2,
        p = sigmoid(z),  q = sigmoid(w)

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> first, second = jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 0.0]])
        >>> apart, cells = lg.functional.symmetric_divergence(first, second)
        >>> round(float(apart), 3), float(cells)
        (0.381, 2.0)

    Args:
        logits: z, scores before the sigmoid, of any float type.
        other: w, of another pass.
        target_mask: True where the label of the document is annotated.
        example_mask: True where the document is real, False where it is padding.

    Returns:
        (loss_sum, weight_sum) as of `binary_cross_entropy`: weight_sum counts cells.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Wu et al., "R-Drop: Regularized dropout for neural networks", NeurIPS
    2021, eq. 2, a Bernoulli variable per label in place of one over classes.
    """
    check_axes(logits=(logits, "B N"), other=(other, "B N"))
    nothing = jnp.zeros(jnp.shape(logits), jnp.float32)
    kept = kept_cells(logits, nothing, target_mask, example_mask)
    z, w = (jnp.where(kept, jnp.asarray(x, jnp.float32), 0.0) for x in (logits, other))
    apart = (jax.nn.sigmoid(z) - jax.nn.sigmoid(w)) * (z - w) / 2
    return jnp.sum(apart), jnp.sum(kept, dtype=jnp.float32)
