"""Documents of another distribution: what is measured, aligned and corrected."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.checks import check_axes, check_shares, is_known


@jax.custom_jvp
def _reversed(features: Array, scale: Array) -> Array:
    return features


@_reversed.defjvp
def _reverse(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    return primals[0], -primals[1].astype(primals[0].dtype) * tangents[0]


def gradient_reversal(
    features: Float[ArrayLike, "*axes"], scale: Float[ArrayLike, ""]
) -> Float[Array, "*axes"]:
    """Return the features as they are; their gradient is multiplied by `-scale`.

    Placed between features and a classifier of domains: the classifier learns to tell
    domains apart, while the features learn what it cannot tell apart.

    Example:
        >>> import jax
        >>> import labelgraph_jax as lg
        >>> reverse = lambda x: lg.functional.gradient_reversal(x, 0.5)
        >>> float(reverse(3.0)), float(jax.grad(reverse)(3.0))
        (3.0, -0.5)

    Args:
        features: of any shape.
        scale: of the reversed gradient, lambda; 0 passes none on. No gradient reaches
            it.

    Returns:
        The same values.

    Raises:
        ValueError: `scale` is not one number, or is negative.

    Reference: Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016.
        Written as a rule for forward mode, from which JAX derives reverse mode.
    """
    check_axes(features=(features, "..."), scale=(scale, ""))
    if is_known(scale) and not np.asarray(scale) >= 0:
        raise ValueError(f"scale must be at least 0, got {float(np.asarray(scale))}")
    return _reversed(jnp.asarray(features), jnp.asarray(scale, jnp.float32))


def coral(
    source: Float[ArrayLike, "B D"],
    target: Float[ArrayLike, "M D"],
    source_mask: Bool[ArrayLike, " B"] | None = None,
    target_mask: Bool[ArrayLike, " M"] | None = None,
) -> Float[Array, ""]:
    """Return the distance between the covariances of two sets of vectors.

        ||C_source - C_target||_F^2 / (4 D^2)

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> one = jnp.array([[0.0], [2.0]])
        >>> float(lg.functional.coral(one, 2 * one))
        9.0

    Args:
        source: vectors of one domain.
        target: of the other.
        source_mask: true for the rows of `source` that count.
        target_mask: true for the rows of `target` that count.

    Returns:
        One number, float32; the covariance of fewer than two rows is 0.

    Raises:
        ValueError: shapes that do not fit.

    Reference: Sun and Saenko, Deep CORAL, ECCV workshops 2016.
    """
    check_axes(
        source=(source, "B D"),
        target=(target, "M D"),
        source_mask=(source_mask, "B"),
        target_mask=(target_mask, "M"),
    )

    def covariance(vectors: ArrayLike, mask: ArrayLike | None) -> Array:
        rows = jnp.asarray(vectors, jnp.float32)
        keep = jnp.ones(rows.shape[0]) if mask is None else jnp.asarray(mask)
        keep = keep.astype(jnp.float32)[:, None]
        count = jnp.sum(keep)
        rows = jnp.where(keep > 0, rows, 0.0)
        centred = keep * (rows - jnp.sum(rows, axis=0) / jnp.maximum(count, 1.0))
        return centred.T @ centred / jnp.maximum(count - 1.0, 1.0)

    apart = covariance(source, source_mask) - covariance(target, target_mask)
    return jnp.sum(jnp.square(apart)) / max(4 * apart.shape[0] ** 2, 1)


class PriorShift(NamedTuple):
    """Result of expectation-maximisation on the other documents.

    Attributes:
        prior: share of them that carries each label, float32.
        probabilities: of their labels under that prior, float32.
    """

    prior: Float[Array, "N"]
    probabilities: Float[Array, "U N"]


def label_prior_shift(
    probabilities: Float[ArrayLike, "U N"],
    prior: Float[ArrayLike, "N"],
    *,
    steps: int = 100,
) -> PriorShift:
    """Estimate how frequent each label is among other documents, and correct for it.

        p'_un = p_un r_n / (p_un r_n + (1 - p_un) q_n),   g'_n = mean_u p'_un
        r_n = g'_n / g_n,   q_n = (1 - g'_n) / (1 - g_n)

    Right where a label's documents are alike in both sets and only its frequency
    differs, and the probabilities are calibrated; elsewhere it may do harm.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> scores = jnp.array([[0.9], [0.9], [0.9], [0.1]])
        >>> found = lg.functional.label_prior_shift(scores, jnp.array([0.5]))
        >>> [round(share, 2) for share in found.prior.tolist()]
        [0.81]

    Args:
        probabilities: of every label, for documents of the other distribution.
        prior: share of the training documents that carries each label, g.
        steps: of expectation-maximisation.

    Returns:
        The prior of the other documents, and their probabilities under it. A label
        whose prior is 0 or 1 stays as it is.

    Raises:
        ValueError: shapes that do not fit, no document, a value outside 0..1, or no
            step.

    Reference: Saerens et al., Adjusting the Outputs of a Classifier to New a Priori
        Probabilities, Neural Computation 2002, for each label on its own.
    """
    check_axes(probabilities=(probabilities, "U N"), prior=(prior, "N"))
    check_shares(probabilities=probabilities, prior=prior)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not jnp.shape(probabilities)[0]:
        raise ValueError("probabilities must hold a document, got none")
    scores = jnp.asarray(probabilities, jnp.float32)
    first = jnp.asarray(prior, jnp.float32)
    within = (first > 0) & (first < 1)
    safe = jnp.where(within, first, 0.5)

    def corrected(other: Array) -> Array:
        up, down = scores * (other / safe), (1 - scores) * ((1 - other) / (1 - safe))
        total = up + down
        found = up / jnp.where(total > 0, total, 1.0)
        return jnp.where(within & (total > 0), found, scores)

    def step(other: Array, _: None) -> tuple[Array, None]:
        return jnp.mean(corrected(other), axis=0), None

    found = jax.lax.scan(step, safe, None, length=steps)[0]
    return PriorShift(jnp.where(within, found, first), corrected(found))
