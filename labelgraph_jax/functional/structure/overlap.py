"""Documents whose label sets overlap, drawn together the more the more they share."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets, is_positive
from labelgraph_jax.functional.losses.elementwise import LossSum

Overlap = Literal["jaccard", "proportional"]


def label_overlap(
    targets: Shaped[ArrayLike, "B N"],
    others: Shaped[ArrayLike, "K N"],
    *,
    kind: Overlap = "jaccard",
) -> Float[Array, "B K"]:
    """Return how much the label sets of pairs of documents overlap, 0 to 1.

        jaccard:       |Y_i and Y_j| / |Y_i or Y_j|
        proportional:  |Y_i and Y_j| / |Y_i|

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> sets = jnp.array([[1, 1, 0, 0], [0, 1, 0, 0]])
        >>> lg.functional.label_overlap(sets, sets).tolist()
        [[1.0, 0.5], [0.5, 1.0]]

    Args:
        targets: positive where > 0.
        others: what they are compared with.
        kind: of which labels the share is.

    Returns:
        Float32; 0 where a set is empty.

    Raises:
        ValueError: shapes do not fit together, another kind.
    """
    check_axes(targets=(targets, "B N"), others=(others, "K N"))
    if kind not in ("jaccard", "proportional"):
        raise ValueError(f"kind must be jaccard or proportional, got {kind!r}")
    one = is_positive(targets).astype(jnp.float32)
    two = is_positive(others).astype(jnp.float32)
    shared = one @ two.T
    size = jnp.sum(one, axis=1, keepdims=True)
    if kind == "jaccard":
        size = size + jnp.sum(two, axis=1) - shared
    return shared / jnp.maximum(size, 1.0)


def overlap_contrast(
    vectors: Float[ArrayLike, "B D"],
    targets: Shaped[ArrayLike, "B N"],
    *,
    keys: Float[ArrayLike, "K D"] | None = None,
    key_targets: Shaped[ArrayLike, "K N"] | None = None,
    key_mask: Bool[ArrayLike, " K"] | None = None,
    label_vectors: Float[ArrayLike, "N D"] | None = None,
    label_products: Float[ArrayLike, "B N"] | None = None,
    temperature: float = 0.1,
    kind: Overlap = "jaccard",
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> LossSum:
    """Sum a contrast in which a pair of documents counts by the overlap of its labels.

        s_ij = cos(z_i, z_j) / t,   w_ij = `label_overlap`
        loss = -sum_i 1/W_i sum_{j != i} w_ij (s_ij - log sum_{k != i} exp s_ik)

    with W_i = sum_j w_ij; a document that overlaps with no other adds nothing. Of two
    others that are as near, the one with more shared labels is drawn nearer; what
    shares none is pushed away. Label vectors are further others, each with its label
    alone: a document is drawn to its labels. Further `keys` are documents of earlier
    batches, where a batch has few pairs.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> near = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> sets = jnp.array([[1, 1], [1, 0], [0, 0]])
        >>> loss_sum, documents = lg.functional.overlap_contrast(near, sets)
        >>> round(float(loss_sum), 4), float(documents)
        (0.0001, 2.0)

    Args:
        vectors: of documents, z; their length counts nothing.
        targets: positive where > 0.
        keys: of further documents; a gradient reaches them, unless the caller stops it.
        key_targets: their labels, positive where > 0.
        key_mask: True where such a document is there.
        label_vectors: of every label.
        label_products: `vectors @ label_vectors.T`, where a model has it already.
        temperature: t; a Python number.
        kind: of overlap.
        example_mask: True where the document is real, False where it is padding.

    Returns:
        (loss_sum, weight_sum), float32 scalars; the weight is the number of documents
        that overlap with another.

    Raises:
        ValueError: shapes do not fit together; keys without targets, or the reverse;
            a mask of keys without keys; products without label vectors;
            the temperature is not above 0; a target is NaN or outside 0..1 (seen only
            where it is known).

    Reference: after the abstract of UCLAF (Zhu et al., IJCAI 2025, pp. 8420-8428), "a
        contrastive loss that accounts for the proportional overlap of labels"; its
        formula is not public, so this one is ours. Relative: MulSupCon, Zhang and Wu,
        AAAI 2024, one positive set per label.
    """
    check_axes(
        vectors=(vectors, "B D"),
        targets=(targets, "B N"),
        keys=(keys, "K D"),
        key_targets=(key_targets, "K N"),
        key_mask=(key_mask, "K"),
        label_vectors=(label_vectors, "N D"),
        label_products=(label_products, "B N"),
        example_mask=(example_mask, "B"),
    )
    if (keys is None) != (key_targets is None):
        raise ValueError("keys and key_targets must be given together, got one of them")
    if key_mask is not None and keys is None:
        raise ValueError("key_mask must be given with keys, got neither")
    if label_products is not None and label_vectors is None:
        raise ValueError("label_products must be given with label_vectors, got neither")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    check_targets(targets, None, example_mask)
    own = jnp.asarray(vectors, jnp.float32)
    positive = is_positive(targets).astype(jnp.float32)
    real = jnp.ones(len(own), bool)
    if example_mask is not None:
        real = jnp.asarray(example_mask, bool)
        own = jnp.where(real[:, None], own, 0.0)
        positive = jnp.where(real[:, None], positive, 0.0)
    # Others: the batch, earlier documents, labels; never the document itself.
    others = [own]
    products = [own @ own.T]
    weights = [label_overlap(positive, positive, kind=kind)]
    allowed = [real & ~jnp.eye(len(own), dtype=bool)]
    if keys is not None and key_targets is not None:
        there = jnp.ones(len(jnp.asarray(keys)), bool)
        if key_mask is not None:
            there = jnp.asarray(key_mask, bool)
        others.append(jnp.where(there[:, None], jnp.asarray(keys, jnp.float32), 0.0))
        products.append(own @ others[-1].T)
        weights.append(label_overlap(positive, key_targets, kind=kind))
        allowed.append(jnp.broadcast_to(there, weights[-1].shape))
    if label_vectors is not None:
        others.append(jnp.asarray(label_vectors, jnp.float32))
        found = own @ others[-1].T if label_products is None else label_products
        found = jnp.asarray(found, jnp.float32)
        products.append(jnp.where(real[:, None], found, 0.0))
        count = jnp.sum(positive, axis=1, keepdims=True)
        weights.append(positive / jnp.maximum(count, 1.0))
        allowed.append(jnp.ones(positive.shape, bool))
    mask = jnp.concatenate(allowed, axis=1)
    weight = jnp.where(mask, jnp.concatenate(weights, axis=1), 0.0)
    size = jnp.concatenate([_inverse_length(part) for part in others])
    score = jnp.concatenate(products, axis=1) * size / temperature
    score = score * size[: len(own), None]
    # A document alone has nobody to be compared with.
    score = jnp.where(mask, score, -1e30)
    log_share = jax.nn.log_softmax(score, axis=1)
    total = jnp.sum(weight, axis=1)
    each = jnp.sum(weight * jnp.where(mask, log_share, 0.0), axis=1)
    counts = real & (total > 0)
    each = jnp.where(counts, each / jnp.where(counts, total, 1.0), 0.0)
    return -jnp.sum(each), jnp.sum(counts, dtype=jnp.float32)


def _inverse_length(vectors: Float[Array, "K D"]) -> Float[Array, " K"]:
    return jax.lax.rsqrt(jnp.maximum(jnp.sum(vectors**2, axis=1), 1e-24))
