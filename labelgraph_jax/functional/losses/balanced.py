"""Losses for a long tail of labels: weighed and shifted by how often a label occurs.

They share three ideas, each of them from counts of the training documents:

- a label's *effective number* of documents, whose inverse weighs its column;
- *negative tolerance*: a rare label's many negatives pull its logit down less, by a
  bias from its prior and a flatter slope on the negative side;
- *rebalancing*: a cell counts as the label's own share in the sampling of its document,
  because documents with several labels over-represent the frequent ones.

The biases and weights act in training alone: probabilities are sigmoid(logits).
Defaults are those that Huang et al. published for Reuters-21578. A count below half a
document is taken as half a document, so that every weight is finite.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Shaped

from labelgraph_jax.functional.losses.adjustment import (
    Documents,
    check_counts,
    check_settings,
    floored,
    label_log_odds,
)
from labelgraph_jax.functional.losses.elementwise import (
    CellLosses,
    LossSum,
    TwoLosses,
    focal_cells,
    kept_cells,
    sum_over_cells,
)


def class_balanced_weights(
    counts: Shaped[ArrayLike, " N"], *, beta: float = 0.9
) -> Float[Array, " N"]:
    """Weigh labels by the inverse of their effective number of documents.

        w_n = E_n^-1 / mean_m E_m^-1,   E_n = (1 - beta^count_n) / (1 - beta)

    Args:
        counts: training documents with each label.
        beta: 0 weighs all labels equally, 1 in the limit by inverse frequency.

    Returns:
        Weights [N] whose mean is 1.

    Raises:
        ValueError: beta lies outside [0, 1), or counts is not a vector.

    Reference: Cui et al., "Class-balanced loss based on effective number of samples",
    CVPR 2019; as there, the weights sum to the number of labels.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta must lie in [0, 1), got {beta}")
    number = floored(counts)
    # In logarithms: 1 - beta^n loses its digits where beta is close to 1, and a float32
    # beta itself becomes 1 there.
    effective = -jnp.expm1(number * (math.log(beta) if beta else -math.inf))
    return (1 / effective) / jnp.mean(1 / effective)


def class_balanced_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    counts: Shaped[ArrayLike, " N"],
    *,
    beta: float = 0.9,
    gamma: float = 2.0,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    label_smoothing: float = 0.0,
) -> LossSum:
    """Sum the focal loss, each label's column weighed by `class_balanced_weights`.

        loss = -sum_bn w_n [ y (1 - p)^gamma log p + (1 - y) p^gamma log(1 - p) ]

    Args:
        logits: scores before the sigmoid, of any float type.
        targets: 0, 1 or a probability in between; of any type.
        counts: training documents with each label.
        beta: of the weights.
        gamma: focusing exponent; 0 gives the weighed cross-entropy.
        target_mask: True where the label of the document is annotated.
        example_mask: True where the document is real, False where it is padding.
        label_smoothing: e; y becomes (1 - e) y + e / 2.

    Returns:
        (loss_sum, weight_sum) as of `binary_cross_entropy`: weight_sum counts cells.

    Raises:
        ValueError: a setting is out of range, or counts is not one number per label.

    Reference: Cui et al., CVPR 2019, in the multi-label form of Huang et al.,
    "Balancing methods for multi-label text classification with long-tailed class
    distribution", EMNLP 2021 (CB; in their code CB_mode 'by_class'). They scale the
    loss by constants (10 times a focal alpha of one half) where the mean weight here
    is 1.
    """
    check_counts(logits, counts)
    return weighted_focal_loss(
        logits,
        targets,
        label_weight=class_balanced_weights(counts, beta=beta),
        gamma=gamma,
        target_mask=target_mask,
        example_mask=example_mask,
        label_smoothing=label_smoothing,
    )


def weighted_focal_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    *,
    label_weight: Float[Array, " N"],
    gamma: float = 2.0,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    label_smoothing: float = 0.0,
) -> LossSum:
    """Sum `class_balanced_loss` with weights that are given, for any of the labels."""
    check_settings(gamma=gamma)
    return sum_over_cells(
        lambda x: (focal_cells(x, gamma), focal_cells(-x, gamma)),
        logits,
        targets,
        target_mask,
        example_mask,
        None,
        label_smoothing,
        cell_weight=label_weight[None],
    )


def negative_tolerant_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    counts: Shaped[ArrayLike, " N"],
    documents: Documents,
    *,
    negative_scale: float = 2.0,
    logit_bias: float = 0.05,
    gamma: float = 2.0,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    label_smoothing: float = 0.0,
) -> LossSum:
    """Sum the focal loss with negative-tolerant regularisation (NTR-FL).

        loss = -sum_bn [ y (1 - p)^gamma log p + (1 - y) / lambda q^gamma log(1 - q) ]
        p = sigmoid(z - nu),  q = sigmoid(lambda (z - nu)),
        nu_n = kappa log(1 / prior_n - 1),  prior_n = count_n / documents_n

    A positive of a rare label is asked for a logit nu above that of a frequent one,
    and a negative once far enough below costs little: its slope fades lambda times
    sooner.

    Args:
        logits: z, scores before the sigmoid, of any float type.
        targets: 0, 1 or a probability in between; of any type.
        counts: training documents with each label.
        documents: training documents, one number or one per label (of those in which
            it is annotated).
        negative_scale: lambda; 1 treats negatives as positives.
        logit_bias: kappa; 0 shifts nothing.
        gamma: focusing exponent; 0 gives the cross-entropy.
        target_mask: as of `class_balanced_loss`.
        example_mask: as of `class_balanced_loss`.
        label_smoothing: as of `class_balanced_loss`.

    Returns:
        (loss_sum, weight_sum) as of `binary_cross_entropy`: weight_sum counts cells.

    Raises:
        ValueError: a setting is out of range, or counts is not one number per label.

    Reference: Wu et al., "Distribution-balanced loss for multi-label classification in
    long-tailed datasets", ECCV 2020, the negative-tolerant regularisation; with the
    focal factors of Huang et al., EMNLP 2021 (NTR-FL). Their code leaves out the factor
    1 / lambda where there are no rebalancing weights; here it stands as in the
    formula.
    """
    check_counts(logits, counts, gamma=gamma)
    return sum_over_cells(
        negative_tolerant_cells(counts, documents, negative_scale, logit_bias, gamma),
        logits,
        targets,
        target_mask,
        example_mask,
        None,
        label_smoothing,
    )


def drawing_chance(counts: Shaped[ArrayLike, " N"]) -> Float[Array, " N"]:
    """1 / count: how often one document is drawn for a label, up to a constant."""
    return 1 / floored(counts)


def rebalancing_weights(
    chance: Float[Array, " N"],
    drawn: Float[Array, "B 1"],
    *,
    alpha: float = 0.1,
    map_beta: float = 10.0,
    map_gamma: float = 0.9,
) -> Float[Array, "B N"]:
    """Weigh cells by how much a document is sampled for the label, not for its others.

        w_bn = alpha + sigmoid(map_beta (r_bn - map_gamma)),
        r_bn = P_C / P_I = (1 / count_n) / sum_m y_bm / count_m

    P_C is the chance of drawing the document for label n alone when labels are drawn
    uniformly, and P_I that of drawing it for any of its labels. Of a document without
    labels, which is never drawn, every cell weighs alpha + 1, the limit.

    Args:
        chance: `drawing_chance` of the labels, which may be a slice of all.
        drawn: its sum over all the labels of each document.
        alpha: the weight that every cell has.
        map_beta: slope of the map.
        map_gamma: the ratio at which the map is half-way.

    Raises:
        ValueError: alpha or map_gamma is negative, or map_beta is not above 0.

    Reference: Wu et al., ECCV 2020, the rebalanced weighting; map_gamma is mu there.
    """
    check_settings(alpha=alpha, map_gamma=map_gamma)
    if not map_beta > 0:
        raise ValueError(f"map_beta must be above 0, got {map_beta}")
    ratio = jnp.where(drawn > 0, chance / jnp.where(drawn > 0, drawn, 1.0), jnp.inf)
    return alpha + jax.nn.sigmoid(map_beta * (ratio - map_gamma))


def distribution_balanced_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    counts: Shaped[ArrayLike, " N"],
    documents: Documents,
    *,
    alpha: float = 0.1,
    map_beta: float = 10.0,
    map_gamma: float = 0.9,
    negative_scale: float = 2.0,
    logit_bias: float = 0.05,
    gamma: float = 2.0,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    label_smoothing: float = 0.0,
) -> LossSum:
    """Sum the negative-tolerant focal loss, every cell weighed by rebalancing (DB).

        loss = -sum_bn w_bn [ y (1 - p)^gamma log p
                              + (1 - y) / lambda q^gamma log(1 - q) ]

    with p and q of `negative_tolerant_loss` and w of `rebalancing_weights`, which are
    taken from the annotated targets before smoothing and pass no gradient.

    Args:
        logits: as of `negative_tolerant_loss`.
        targets: as of `negative_tolerant_loss`.
        counts: as of `negative_tolerant_loss`.
        documents: as of `negative_tolerant_loss`.
        alpha: of the weights, see `rebalancing_weights`.
        map_beta: of the weights.
        map_gamma: of the weights.
        negative_scale: of the loss of a cell, see `negative_tolerant_loss`.
        logit_bias: of the loss of a cell.
        gamma: of the loss of a cell.
        target_mask: as of `class_balanced_loss`.
        example_mask: as of `class_balanced_loss`.
        label_smoothing: as of `class_balanced_loss`.

    Returns:
        (loss_sum, weight_sum) as of `binary_cross_entropy`: weight_sum counts cells.

    Raises:
        ValueError: a setting is out of range, or counts is not one number per label.

    Reference: Wu et al., ECCV 2020 (DB loss); Huang et al., EMNLP 2021, whose Reuters
    settings are the defaults. Their constant focal alpha of one half is left out.
    """
    check_counts(logits, counts)
    kept = kept_cells(logits, targets, target_mask, example_mask)
    known = jnp.where(kept, targets, 0).astype(jnp.float32)
    return rebalanced_loss(
        logits,
        targets,
        counts=counts,
        documents=documents,
        drawn=(known * drawing_chance(counts)).sum(axis=1, keepdims=True),
        alpha=alpha,
        map_beta=map_beta,
        map_gamma=map_gamma,
        negative_scale=negative_scale,
        logit_bias=logit_bias,
        gamma=gamma,
        target_mask=target_mask,
        example_mask=example_mask,
        label_smoothing=label_smoothing,
    )


def rebalanced_loss(
    logits: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    *,
    counts: Shaped[ArrayLike, " N"],
    documents: Documents,
    drawn: Float[Array, "B 1"],
    negative_scale: float = 2.0,
    logit_bias: float = 0.05,
    gamma: float = 2.0,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    label_smoothing: float = 0.0,
    **weighting: float,
) -> LossSum:
    """Sum `distribution_balanced_loss` over any of the labels.

    Args:
        logits: as there, of these labels.
        targets: as there, of these labels.
        counts: as there, of these labels.
        documents: as there, of these labels.
        drawn: `drawing_chance` summed over all the labels of each document.
        negative_scale: as there.
        logit_bias: as there.
        gamma: as there.
        target_mask: as there, of these labels.
        example_mask: as there.
        label_smoothing: as there.
        weighting: alpha, map_beta and map_gamma of `rebalancing_weights`.
    """
    check_settings(gamma=gamma)
    return sum_over_cells(
        negative_tolerant_cells(counts, documents, negative_scale, logit_bias, gamma),
        logits,
        targets,
        target_mask,
        example_mask,
        None,
        label_smoothing,
        cell_weight=rebalancing_weights(drawing_chance(counts), drawn, **weighting),
    )


def negative_tolerant_cells(
    counts: Shaped[ArrayLike, " N"],
    documents: Documents,
    negative_scale: float,
    logit_bias: float,
    gamma: float,
) -> CellLosses:
    """The cells of `negative_tolerant_loss`.

    Raises:
        ValueError: negative_scale is not above 0, or logit_bias is negative.
    """
    if not negative_scale > 0:
        raise ValueError(f"negative_scale must be above 0, got {negative_scale}")
    if not logit_bias >= 0:
        raise ValueError(f"logit_bias must be >= 0, got {logit_bias}")
    shift = -logit_bias * label_log_odds(counts, documents)

    def cell_losses(x: Float[Array, "B N"]) -> TwoLosses:
        shifted = x - shift
        negative = focal_cells(-negative_scale * shifted, gamma) / negative_scale
        return focal_cells(shifted, gamma), negative

    return cell_losses
