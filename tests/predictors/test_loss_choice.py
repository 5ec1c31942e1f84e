"""The loss that the settings name is that function, with that run's label counts."""

from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.config import LOSS_SETTINGS, ConfigError, LossConfig
from labelgraph_jax.functional.losses.adjustment import adjusted_logits
from labelgraph_jax.functional.losses.balanced import (
    class_balanced_loss,
    distribution_balanced_loss,
    negative_tolerant_loss,
)
from labelgraph_jax.functional.losses.elementwise import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
)
from labelgraph_jax.modules.magnet import Factors
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.loss_choice import (
    LOSSES,
    adjusted,
    adjustment,
    annotated_documents,
    choose_loss,
)

COUNTS = np.array([40.0, 5.0, 0.0], np.float32)
DOCUMENTS = np.array([80.0, 20.0, 80.0], np.float32)
GRAPH = LabelGraphArrays(
    features=np.zeros((3, 2), np.float32),
    adjacency=np.eye(3, dtype=np.float32),
    prior=COUNTS / DOCUMENTS,
    counts=COUNTS,
)
LOGITS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
TARGETS = (np.random.default_rng(1).random((6, 3)) < 0.4).astype(np.float32)

EXPECTED = {
    "binary_cross_entropy": lambda: binary_cross_entropy(LOGITS, TARGETS),
    "focal": lambda: focal_loss(LOGITS, TARGETS, gamma=1.5),
    "asymmetric": lambda: asymmetric_loss(LOGITS, TARGETS, gamma_negative=3.0),
    "class_balanced": lambda: class_balanced_loss(
        LOGITS, TARGETS, COUNTS, beta=0.7, gamma=1.5
    ),
    "negative_tolerant": lambda: negative_tolerant_loss(
        LOGITS, TARGETS, COUNTS, DOCUMENTS, gamma=1.5, negative_scale=3.0
    ),
    "distribution_balanced": lambda: distribution_balanced_loss(
        LOGITS, TARGETS, COUNTS, DOCUMENTS, gamma=1.5, negative_scale=3.0, alpha=0.2
    ),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_every_kind_is_its_function_with_its_settings(kind: str) -> None:
    settings: dict[str, Any] = {
        "gamma": 1.5,
        "gamma_negative": 3.0,
        "beta": 0.7,
        "negative_scale": 3.0,
        "alpha": 0.2,
    }
    read = {n: v for n, v in settings.items() if n in LOSS_SETTINGS[kind]}
    config = LossConfig(kind=kind, **read)  # type: ignore[arg-type]
    found = jax.jit(choose_loss(config, GRAPH))(LOGITS, TARGETS)
    for one, other in zip(found, EXPECTED[kind](), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_smoothing_and_the_weight_of_positives_are_handed_on() -> None:
    config = LossConfig(label_smoothing=0.1, positive_weight=3.0)
    found = choose_loss(config, GRAPH)(LOGITS, TARGETS)
    expected = binary_cross_entropy(
        LOGITS,
        TARGETS,
        label_smoothing=0.1,
        positive_weight=np.full(3, 3.0, np.float32),
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)


def test_documents_are_those_in_which_a_label_is_annotated() -> None:
    np.testing.assert_array_equal(annotated_documents(GRAPH), DOCUMENTS)


def test_adjusted_logits_are_the_losses_alone() -> None:
    config = LossConfig(logit_adjustment=0.5)
    network = lambda *_, **__: LOGITS  # noqa: E731
    shift = adjustment(config, GRAPH)
    expected = adjusted_logits(LOGITS, COUNTS, annotated_documents(GRAPH), strength=0.5)
    np.testing.assert_allclose(adjusted(network, config, GRAPH)(), expected, rtol=1e-5)
    factors = Factors(LOGITS[:, :2], LOGITS[:3, :2], COUNTS)  # type: ignore[arg-type]
    found = adjusted(lambda: factors, config, GRAPH)()
    np.testing.assert_allclose(found.bias, COUNTS + shift, rtol=1e-5)
    assert adjusted(network, LossConfig(), GRAPH) is network


def test_no_adjustment_or_second_pass_is_negative() -> None:
    for name in ("logit_adjustment", "r_drop"):
        with pytest.raises(ConfigError, match=f"loss.{name} must not be negative"):
            LossConfig(**{name: -1.0})
