"""Losses as sums: (loss_sum, weight_sum), divided once, by the caller, at the end."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets

LossSum = tuple[Float[Array, ""], Float[Array, ""]]
TwoLosses = tuple[Float[Array, "B N"], Float[Array, "B N"]]

# logits -> (loss of a positive cell, loss of a negative cell), each [B, N]
CellLosses = Callable[[Float[Array, "B N"]], TwoLosses]


def binary_cross_entropy(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    *,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    positive_weight: Float[ArrayLike, " N"] | None = None,
    label_smoothing: float = 0.0,
) -> LossSum:
    """Sum the binary cross-entropy over every kept (document, label) cell.

        loss = -sum_bn [ w_n y_bn log p_bn + (1 - y_bn) log(1 - p_bn) ],
        p = sigmoid(logits)

    computed in float32 from the logits, so that no logit overflows. A cell that is
    masked out adds nothing, and the gradient of its logit is exactly zero, whatever
    its logit and target hold (NaN and infinity included).

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> logits = jnp.array([[0.0, 2.0], [-2.0, 0.0]])
        >>> targets = jnp.array([[1, 1], [0, 1]])
        >>> loss_sum, weight_sum = lg.functional.binary_cross_entropy(logits, targets)
        >>> float(weight_sum), round(float(loss_sum / weight_sum), 3)
        (4.0, 0.41)

    Args:
        logits: scores before the sigmoid, of any float type.
        targets: 0, 1 or a probability in between; of any type.
        target_mask: True where the label of the document is annotated.
        example_mask: True where the document is real, False where it is padding.
        positive_weight: w, how much a positive counts against a negative of the
            same label; it changes the loss, not the weight_sum.
        label_smoothing: a Python number e; y becomes (1 - e) y + e / 2.

    Returns:
        (loss_sum, weight_sum), float32 scalars: the mean loss per cell is their
        ratio, and weight_sum is the number of kept cells. Both add over batches
        and devices.

    Raises:
        ValueError: shapes do not fit together; label_smoothing lies outside [0, 1); a
            target that counts is NaN or outside 0..1 (seen only where it is known, so
            not under `jit`).
    """
    return sum_over_cells(
        lambda x: (jax.nn.softplus(-x), jax.nn.softplus(x)),
        logits,
        targets,
        target_mask,
        example_mask,
        positive_weight,
        label_smoothing,
    )


def focal_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    *,
    gamma: float = 2.0,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    positive_weight: Float[ArrayLike, " N"] | None = None,
    label_smoothing: float = 0.0,
) -> LossSum:
    """Sum the focal loss: cross-entropy in which well-classified cells fade.

        loss = -sum_bn [ w_n y (1 - p)^gamma log p + (1 - y) p^gamma log(1 - p) ]

    With gamma = 0 this is `binary_cross_entropy`; the other arguments and the
    result are its own. The paper's alpha-balance is positive_weight =
    alpha / (1 - alpha), up to the factor (1 - alpha) on the whole loss.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> logits, targets = jnp.array([[3.0, 0.0]]), jnp.array([[1, 1]])
        >>> loss_sum, _ = lg.functional.focal_loss(logits, targets, gamma=2.0)
        >>> round(float(loss_sum), 3)  # the sure one adds next to nothing
        0.173

    Raises:
        ValueError: gamma is negative, or as `binary_cross_entropy`.

    Reference: Lin et al., "Focal loss for dense object detection", ICCV 2017, eq. 4.
    """
    return asymmetric_loss(
        logits,
        targets,
        gamma_positive=gamma,
        gamma_negative=gamma,
        margin=0.0,
        target_mask=target_mask,
        example_mask=example_mask,
        positive_weight=positive_weight,
        label_smoothing=label_smoothing,
    )


def asymmetric_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    positive_weight: Float[ArrayLike, " N"] | None = None,
    label_smoothing: float = 0.0,
) -> LossSum:
    """Sum the asymmetric loss: easy negatives fade faster than easy positives.

        loss = -sum_bn [ w_n y (1 - p)^g+ log p + (1 - y) q^g- log(1 - q) ],
        q = max(p - margin, 0)

    A negative whose probability is below the margin adds nothing at all. The other
    arguments and the result are those of `binary_cross_entropy`.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> logits, targets = jnp.array([[-4.0, 0.0]]), jnp.array([[0, 1]])
        >>> loss_sum, _ = lg.functional.asymmetric_loss(logits, targets)
        >>> round(float(loss_sum), 3)  # the easy negative adds nothing
        0.693

    Raises:
        ValueError: an exponent is negative, the margin lies outside [0, 1), or as
            `binary_cross_entropy`.

    Reference: Ridnik et al., "Asymmetric loss for multi-label classification",
    ICCV 2021, eq. 7. The gradient flows through the fading factors as well.
    """
    for name, gamma in (("positive", gamma_positive), ("negative", gamma_negative)):
        if gamma < 0:
            raise ValueError(f"the {name} gamma must be >= 0, got {gamma}")
    if not 0 <= margin < 1:
        raise ValueError(f"margin must lie in [0, 1), got {margin}")

    def cell_losses(x: Float[Array, "B N"]) -> TwoLosses:
        positive = focal_cells(x, gamma_positive)
        if margin == 0:
            return positive, focal_cells(-x, gamma_negative)
        q = jax.nn.sigmoid(x) - margin
        above = q > 0
        q = jnp.where(above, q, 0.5)  # any value at which the power is smooth
        negative = q**gamma_negative * -jnp.log1p(-q)
        return positive, jnp.where(above, negative, 0.0)

    return sum_over_cells(
        cell_losses,
        logits,
        targets,
        target_mask,
        example_mask,
        positive_weight,
        label_smoothing,
    )


def focal_cells(x: Float[Array, "B N"], gamma: float) -> Float[Array, "B N"]:
    """-(1 - p)^gamma log p with p = sigmoid(x): a positive cell; -x for a negative."""
    # The power as an exponential of a logarithm: its gradient is finite at p = 1.
    return _times(jnp.exp(-gamma * jax.nn.softplus(x)), jax.nn.softplus(-x))


def kept_cells(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None,
    example_mask: Bool[ArrayLike, " B"] | None,
) -> Bool[Array, "B N"]:
    """Mask of the cells whose document is real and whose label is annotated.

    Raises:
        ValueError: shapes do not fit together, or a target of such a cell lies outside
            0..1 or is NaN.
    """
    check_axes(
        logits=(logits, "B N"),
        targets=(targets, "B N"),
        target_mask=(target_mask, "B N"),
        example_mask=(example_mask, "B"),
    )
    check_targets(targets, target_mask, example_mask)
    kept = jnp.ones(jnp.shape(logits), bool)
    if target_mask is not None:
        kept &= jnp.asarray(target_mask, bool)
    if example_mask is not None:
        kept &= jnp.asarray(example_mask, bool)[:, None]
    return kept


def sum_over_cells(
    cell_losses: CellLosses,
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None,
    example_mask: Bool[ArrayLike, " B"] | None,
    positive_weight: Float[ArrayLike, " N"] | None,
    label_smoothing: float,
    *,
    cell_weight: Float[Array, "#B N"] | None = None,
) -> LossSum:
    """Mask, smooth and weigh: what every loss over (document, label) cells shares.

    `cell_weight` weighs positives and negatives alike; like `positive_weight` it
    changes the loss and not the weight_sum.

    Raises:
        ValueError: label_smoothing lies outside [0, 1), or as `kept_cells`.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
    kept = kept_cells(logits, targets, target_mask, example_mask)
    check_axes(logits=(logits, "B N"), positive_weight=(positive_weight, "N"))
    # Masked before the arithmetic: zero times the gradient of NaN is NaN.
    x = jnp.where(kept, logits, 0).astype(jnp.float32)
    y = jnp.where(kept, targets, 0).astype(jnp.float32)
    y = (1 - label_smoothing) * y + label_smoothing / 2

    positive, negative = cell_losses(x)
    if positive_weight is not None:
        positive = positive * jnp.asarray(positive_weight, jnp.float32)
    losses = _times(y, positive) + _times(1 - y, negative)
    if cell_weight is not None:
        losses = losses * cell_weight
    loss_sum = jnp.where(kept, losses, 0.0).sum(dtype=jnp.float32)
    return loss_sum, kept.sum(dtype=jnp.float32)


def _times(
    weight: Float[Array, "B N"], loss: Float[Array, "B N"]
) -> Float[Array, "B N"]:
    """Return weight * loss, in which a weight of zero silences an infinite loss."""
    return jnp.where(weight == 0, 0.0, weight * loss)
