"""The loss that the settings name, with what it must know of the training labels."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import jax
import numpy as np

from labelgraph_jax.config import LOSS_SETTINGS, LossConfig
from labelgraph_jax.functional.losses.adjustment import adjusted_logits
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
from labelgraph_jax.modules.magnet import Factors
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


def adjustment(config: LossConfig, graph: LabelGraphArrays) -> np.ndarray:
    """Return what the loss adds to every label's logit, float32 `[N]`."""
    documents = annotated_documents(graph)
    zero, strength = np.zeros((1, len(documents)), np.float32), config.logit_adjustment
    found = adjusted_logits(zero, graph.counts, documents, strength=strength)
    return np.asarray(found[0])


Given = ParamSpec("Given")
Made = TypeVar("Made", jax.Array, Factors)


def adjusted(
    network: Callable[Given, Made], config: LossConfig, graph: LabelGraphArrays
) -> Callable[Given, Made]:
    """Return a network with the log-odds of its labels in its logits, for the loss.

    Args:
        network: gives logits `[B, N]`, or their `Factors`.
        config: how much of them, `logit_adjustment`; 0 for the network itself.
        graph: how often each label occurs.
    """
    if not config.logit_adjustment:
        return network
    shift = adjustment(config, graph)

    def shifted(*arguments: Given.args, **options: Given.kwargs) -> Made:
        made = network(*arguments, **options)
        if isinstance(made, Factors):
            return made._replace(bias=made.bias + shift)
        return made + shift

    return shifted


def annotated_documents(graph: LabelGraphArrays) -> np.ndarray:
    """In how many training documents each label is annotated, float32 `[N]`.

    A label of which no document was seen is taken as annotated wherever one is.
    """
    counts, prior = np.asarray(graph.counts), np.asarray(graph.prior)
    known = (counts > 0) & (prior > 0)
    documents = counts / np.where(known, prior, 1.0)
    most = documents[known].max() if known.any() else 1.0
    return np.where(known, np.round(documents), np.round(most)).astype(np.float32)
