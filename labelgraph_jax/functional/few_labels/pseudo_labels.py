"""Targets for unlabelled documents: by rank for each label, or from their neighbours.

The share of positives of a label comes from labelled documents, not from a threshold:
one threshold for all labels would flood the frequent ones and never reach the rare.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import (
    check_axes,
    check_integers,
    check_numbers,
    check_shares,
    check_targets,
    is_known,
)


class PseudoLabels(NamedTuple):
    """Targets of unlabelled documents, and which of them are sure enough to learn.

    Attributes:
        targets: 1 for a positive and 0 for a negative, float32.
        target_mask: true where the target is to be learned.
    """

    targets: Float[Array, "U N"]
    target_mask: Bool[Array, "U N"]


def shrunk_prior(
    counts: Shaped[ArrayLike, " N"],
    documents: Shaped[ArrayLike, ""],
    *,
    strength: float = 1.0,
) -> Float[Array, "N"]:
    """Return the share of documents with each label, drawn to the mean of all labels.

        g_n = (c_n + s m) / (B + s),   m = mean of c / B

    A label without a positive gets 0: nothing says that it exists at all.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> prior = lg.functional.shrunk_prior(jnp.array([8.0, 0.0]), 10)
        >>> [round(share, 2) for share in prior.tolist()]
        [0.76, 0.0]

    Args:
        counts: labelled documents that carry each label.
        documents: labelled documents in all, B.
        strength: documents that the mean weighs as much as, s.

    Returns:
        Shares between 0 and 1, float32.

    Raises:
        ValueError: a count is negative or above `documents`, or the strength is
            negative.

    Reference: the prior of Xie et al., Class-Distribution-Aware Pseudo-Labeling,
        NeurIPS 2023, there without shrinkage.
    """
    check_axes(counts=(counts, "N"), documents=(documents, ""))
    check_numbers(counts=counts, documents=documents)
    if not strength >= 0:
        raise ValueError(f"strength must be at least 0, got {strength}")
    if is_known(counts, documents):
        least, most = np.min(counts, initial=0), np.max(counts, initial=0)
        if least < 0 or most > documents:
            raise ValueError(
                f"counts must lie between 0 and documents={np.asarray(documents)}, got "
                f"{float(least):g} to {float(most):g}"
            )
    counts = jnp.asarray(counts, jnp.float32)
    documents = jnp.asarray(documents, jnp.float32)
    mean = jnp.sum(counts) / jnp.maximum(documents * counts.size, 1.0)
    share = (counts + strength * mean) / jnp.maximum(documents + strength, 1e-30)
    return jnp.where(counts > 0, share, 0.0)


def pseudo_labels(
    probabilities: Float[ArrayLike, "U N"],
    prior: Float[ArrayLike, "N"],
    *,
    positive_share: float = 0.5,
    negative_share: float = 0.95,
) -> PseudoLabels:
    """Return targets for unlabelled documents: the surest of each label by its prior.

        y_un = 1  where  rank_un <= g_n U
        m_un = 1  where  rank_un <= a g_n U  or  rank from below <= b (1 - g_n) U

    A rank counts the documents with a score at least as high (from below: as low).
    Documents with one score are taken or left together, whatever their order. A label
    with prior 0 has no positive, and none of its targets is learned.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> scores = jnp.array([[0.9], [0.6], [0.2], [0.1]])
        >>> found = lg.functional.pseudo_labels(scores, jnp.array([0.5]))
        >>> found.targets[:, 0].tolist(), found.target_mask[:, 0].tolist()
        ([1.0, 1.0, 0.0, 0.0], [True, False, False, True])

    Args:
        probabilities: scores of every label; their order within a label counts.
        prior: share of the documents that carry each label, g, between 0 and 1.
        positive_share: part of the expected positives that is learned, a.
        negative_share: part of the expected negatives that is learned, b.

    Returns:
        Targets and their mask. Both carry no gradient.

    Raises:
        ValueError: shapes that do not fit, NaN, or a share or prior outside 0..1.

    Reference: Xie et al., Class-Distribution-Aware Pseudo-Labeling for
        Semi-Supervised Multi-Label Learning, NeurIPS 2023. Their shares are 1. Where
        g U < 1 their code makes every document a positive; here none is.
    """
    check_axes(probabilities=(probabilities, "U N"), prior=(prior, "N"))
    check_numbers(probabilities=probabilities)
    check_shares(
        prior=prior, positive_share=positive_share, negative_share=negative_share
    )
    scores = jax.lax.stop_gradient(jnp.asarray(probabilities, jnp.float32))
    prior = jax.lax.stop_gradient(jnp.asarray(prior, jnp.float32))
    count = scores.shape[0]

    def ranks(column: Array) -> tuple[Array, Array]:
        ordered = jnp.sort(column)
        below = jnp.searchsorted(ordered, column, side="left")
        from_below = jnp.searchsorted(ordered, column, side="right")
        return (count - below).astype(jnp.float32), from_below.astype(jnp.float32)

    from_above, from_below = jax.vmap(ranks, in_axes=1, out_axes=1)(scores)
    # A product that is whole but for rounding counts as whole.
    expected = prior * count + 1e-4
    positive = from_above <= expected
    sure = from_above <= positive_share * prior * count + 1e-4
    sure |= ~positive & (from_below <= negative_share * (1.0 - prior) * count + 1e-4)
    return PseudoLabels(positive.astype(jnp.float32), sure & (prior > 0))


def label_spreading(
    targets: Float[ArrayLike, "U N"],
    neighbours: Int[ArrayLike, "U K"],
    similarities: Float[ArrayLike, "U K"],
    *,
    share: float = 0.9,
    steps: int = 20,
) -> Float[Array, "U N"]:
    """Spread targets over a graph of documents: near documents get like scores.

        F <- share S F + (1 - share) Y,   S = D^-1/2 W D^-1/2

    W is the symmetric graph of the nearest neighbours of each document, as
    `nearest_keys` gives them, without negative similarities and without a document's
    tie to itself.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> chain = jnp.array([[1], [0], [1]])
        >>> known = jnp.array([[1.0], [0.0], [0.0]])
        >>> found = lg.functional.label_spreading(known, chain, jnp.ones((3, 1)))
        >>> bool(found[1, 0] > found[2, 0] > 0)
        True

    Args:
        targets: Y: what is known of each document, zeros where nothing is.
        neighbours: the documents nearest to each, -1 for none.
        similarities: of them.
        share: of what comes from neighbours, from 0 to below 1.
        steps: times that scores are passed on.

    Returns:
        Scores F, float32: they order the documents of a label, and are no
        probabilities.

    Raises:
        ValueError: shapes that do not fit, a neighbour that does not exist, a share
            outside 0..1, or no step.

    Reference: Zhou et al., Learning with Local and Global Consistency, NeurIPS
        2003.
    """
    check_axes(
        targets=(targets, "U N"),
        neighbours=(neighbours, "U K"),
        similarities=(similarities, "U K"),
    )
    check_integers(neighbours=neighbours)
    check_numbers(similarities=similarities)
    check_targets(targets)
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, got {share}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    rows = jnp.asarray(neighbours)
    count = rows.shape[0]
    if is_known(rows) and rows.size and not (rows.min() >= -1 and rows.max() < count):
        raise ValueError(
            f"neighbours must be documents from 0 to {count - 1}, or -1, got "
            f"{int(rows.min())} to {int(rows.max())}"
        )
    start = jnp.asarray(targets, jnp.float32)
    return _spread(start, rows, jnp.asarray(similarities, jnp.float32), share, steps)


@partial(jax.jit, static_argnums=4)
def _spread(
    start: Array, rows: Array, weights: Array, share: Array, steps: int
) -> Array:
    count = rows.shape[0]
    alone = (rows == jnp.arange(count)[:, None]) | (rows < 0)
    weights = jnp.where(alone, 0.0, jnp.maximum(weights, 0.0)) / 2
    rows = jnp.where(alone, 0, rows)

    def passed(scores: Array) -> Array:  # W F, W = (A + A^T) / 2
        given = jnp.einsum("uk,ukn->un", weights, scores[rows])
        sent = weights[:, :, None] * scores[:, None, :]
        return given.at[rows].add(sent)

    degree = passed(jnp.ones((count, 1), jnp.float32))
    scale = jnp.where(degree > 0, jax.lax.rsqrt(jnp.where(degree > 0, degree, 1.0)), 0)

    def step(scores: Array, _: None) -> tuple[Array, None]:
        return share * scale * passed(scale * scores) + (1 - share) * start, None

    return jax.lax.scan(step, start, None, length=steps)[0]
