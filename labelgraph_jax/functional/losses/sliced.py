"""Losses over (document, label) cells, taken for some of the labels at a time.

Every loss of `elementwise.py` and `balanced.py` is a sum over cells. Cut into slices
of labels it stays the same sum, once what a slice cannot know is computed beforehand:
the mean weight of all labels, or the sum over a document's labels.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Shaped

from labelgraph_jax.functional.losses.balanced import (
    class_balanced_loss,
    class_balanced_weights,
    distribution_balanced_loss,
    drawing_chance,
    rebalanced_loss,
    weighted_focal_loss,
)
from labelgraph_jax.functional.losses.elementwise import LossSum


class SlicedLoss(NamedTuple):
    """A loss and what it must know, taken apart by what is cut with the labels.

    Attributes:
        loss: `loss(logits, targets, *, target_mask, example_mask, **...)` with the
            three below as keywords, those `of_labels` cut to the slice.
        options: pairs of a name and a Python value.
        of_labels: arrays [N].
        of_documents: arrays [B, 1].
    """

    loss: Callable[..., LossSum]
    options: tuple[tuple[str, Any], ...]
    of_labels: dict[str, Array]
    of_documents: dict[str, Array]


def slice_loss(
    loss: Callable[..., LossSum],
    options: Mapping[str, Any],
    positives: Int[ArrayLike, "B P"],
    labels: int,
) -> SlicedLoss:
    """Prepare a loss for slices of the labels; their sum is the loss of all.

    Args:
        loss: one of `elementwise.py` or `balanced.py`, whole or a `partial` of it; or
            another sum over (document, label) cells with the same arguments, in which
            no label's cells depend on another label.
        options: its keywords. Arrays must be one number per label, and are cut with
            the labels; all else must be plain Python values.
        positives: ids of every document's labels, -1 where there is none.
        labels: N.

    Raises:
        ValueError: an array is not one number per label, or the loss lacks the counts
            that it weighs by.
    """
    # Unwrap partial losses into one function and its keywords.
    keywords = dict(options)
    while isinstance(loss, partial):
        if loss.args:
            raise ValueError("a loss that is cut by labels takes keywords alone")
        keywords = {**loss.keywords, **keywords}
        loss = loss.func
    # Keywords with a value for every label are cut with the labels.
    of_labels: dict[str, Array] = {}
    plain: dict[str, Any] = {}
    for name, value in keywords.items():
        if np.ndim(value) == 0:
            plain[name] = value.item() if isinstance(value, np.generic) else value
        elif np.shape(value) == (labels,):
            of_labels[name] = jnp.asarray(value)
        else:
            raise ValueError(
                f"{name} must be one number per label, got the shape "
                f"{np.shape(value)} for {labels} labels"
            )
    # What a balanced loss computes over all labels, once and before the cut.
    of_documents: dict[str, Array] = {}
    if loss in (class_balanced_loss, distribution_balanced_loss):
        if "counts" not in of_labels:
            raise ValueError(f"{loss.__name__} needs counts, one for every label")
        if loss is class_balanced_loss:
            beta = {"beta": plain.pop("beta")} if "beta" in plain else {}
            counts = of_labels.pop("counts")
            of_labels["label_weight"] = class_balanced_weights(counts, **beta)
            loss = weighted_focal_loss
        else:
            of_documents["drawn"] = _drawn(positives, of_labels["counts"])
            loss = rebalanced_loss
    return SlicedLoss(loss, tuple(sorted(plain.items())), of_labels, of_documents)


def _drawn(
    positives: Int[ArrayLike, "B P"], counts: Shaped[Array, " N"]
) -> Float[Array, "B 1"]:
    """The chance, up to a constant, of drawing a document for any of its labels."""
    ids = jnp.asarray(positives)
    chance = drawing_chance(counts)[jnp.maximum(ids, 0)]
    return jnp.where(ids >= 0, chance, 0.0).sum(axis=1, keepdims=True)
