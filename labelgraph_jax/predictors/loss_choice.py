"""The loss that the settings name, with what it must know of the training labels."""

from collections.abc import Callable
from functools import partial

import numpy as np

from labelgraph_jax.config import LOSS_SETTINGS, LossConfig
from labelgraph_jax.functional.losses.balanced import (
    class_balanced_loss,
    distribution_balanced_loss,
    negative_tolerant_loss,
)
from labelgraph_jax.functional.losses.elementwise import (
    LossSum,
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
)
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays

LOSSES: dict[str, Callable[..., LossSum]] = {
    "binary_cross_entropy": binary_cross_entropy,
    "focal": focal_loss,
    "asymmetric": asymmetric_loss,
    "class_balanced": class_balanced_loss,
    "negative_tolerant": negative_tolerant_loss,
    "distribution_balanced": distribution_balanced_loss,
}


def choose_loss(config: LossConfig, graph: LabelGraphArrays) -> Callable[..., LossSum]:
    """`loss(logits, targets, *, target_mask, example_mask)` as the settings say.

    Args:
        config: kind and options.
        graph: training documents with each label, and the labels' priors, for the
            losses that weigh labels by how rare they are.
    """
    names = ("label_smoothing", *LOSS_SETTINGS[config.kind])
    options = {name: getattr(config, name) for name in names}
    weight = options.pop("positive_weight", 1.0)
    if weight != 1.0:
        options["positive_weight"] = np.full(len(graph.counts), weight, np.float32)
    if config.kind == "class_balanced":
        options["counts"] = graph.counts
    if config.kind in ("negative_tolerant", "distribution_balanced"):
        options |= {"counts": graph.counts, "documents": annotated_documents(graph)}
    return partial(LOSSES[config.kind], **options)


def annotated_documents(graph: LabelGraphArrays) -> np.ndarray:
    """In how many training documents each label is annotated, float32 `[N]`.

    A label of which no document was seen is taken as annotated wherever one is.
    """
    counts, prior = np.asarray(graph.counts), np.asarray(graph.prior)
    known = (counts > 0) & (prior > 0)
    documents = counts / np.where(known, prior, 1.0)
    most = documents[known].max() if known.any() else 1.0
    return np.where(known, np.round(documents), np.round(most)).astype(np.float32)
