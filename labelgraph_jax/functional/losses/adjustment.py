"""Logits moved by how often their labels occur, and checks of such counts."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

Documents = Shaped[ArrayLike, ""] | Shaped[ArrayLike, " N"]
HALF_DOCUMENT = 0.5


def label_log_odds(
    counts: Shaped[ArrayLike, " N"], documents: Documents
) -> Float[Array, " N"]:
    """Return log(count_n / (documents_n - count_n)), finite for every count."""
    positives = floored(counts)
    total = jnp.asarray(documents, jnp.float32)
    return jnp.log(positives / jnp.maximum(total - positives, HALF_DOCUMENT))


def adjusted_logits(
    logits: Float[ArrayLike, "B N"],
    counts: Shaped[ArrayLike, " N"],
    documents: Documents,
    *,
    strength: float = 1.0,
) -> Float[Array, "B N"]:
    """Add the log-odds of every label's frequency to its logits, for a loss.

        z_bn + tau log(prior_n / (1 - prior_n)),   prior_n = count_n / documents_n

    A loss of these learns what a document says beyond how frequent its labels are, so
    that logits without them rank rare labels higher: with tau = 1 they are the
    log-likelihood ratio of the label.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> found = lg.functional.adjusted_logits(
        ...     jnp.zeros((1, 2)), jnp.array([50, 1]), 100
        ... )
        >>> [round(float(z), 2) for z in found[0]]
        [0.0, -4.6]

    Args:
        logits: z, scores before the sigmoid, of any float type.
        counts: training documents with each label.
        documents: training documents, one number or one per label (of those in which
            it is annotated).
        strength: tau; 0 changes nothing.

    Raises:
        ValueError: counts is not one number per label, or the strength is negative.

    Reference: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, eq.
    10, a Bernoulli variable per label in place of one over classes.
    """
    check_counts(logits, counts, strength=strength)
    shift = strength * label_log_odds(counts, documents)
    return jnp.asarray(logits, jnp.float32) + shift


def floored(counts: Shaped[ArrayLike, " N"]) -> Float[Array, " N"]:
    """Return counts of at least half a document, so that every weight is finite."""
    return jnp.maximum(jnp.asarray(counts, jnp.float32), HALF_DOCUMENT)


def check_counts(
    cells: Shaped[ArrayLike, "B N"], counts: Shaped[ArrayLike, " N"], **at_least: float
) -> None:
    """Refuse counts that are not one per label, and settings that are negative.

    Raises:
        ValueError: names what is wrong, and what was given.
    """
    if jnp.shape(counts) != jnp.shape(cells)[1:]:
        raise ValueError(
            "counts must be one number per label, got the shape "
            f"{jnp.shape(counts)} for cells of shape {jnp.shape(cells)}"
        )
    check_settings(**at_least)


def check_settings(**at_least: float) -> None:
    """Refuse settings that are negative.

    Raises:
        ValueError: names the setting and its value.
    """
    for name, value in at_least.items():
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0, got {value}")
