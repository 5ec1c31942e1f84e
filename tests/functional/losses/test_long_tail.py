"""Logits adjusted by label frequency, and two passes that are to agree."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import labelgraph_jax as lg
from labelgraph_jax.training.objectives import (
    multi_label_objective,
    two_pass_objective,
)

F = lg.functional
COUNTS = np.array([40.0, 5.0, 0.0], np.float32)
DOCUMENTS = np.array([80.0, 20.0, 80.0], np.float32)
RNG = np.random.default_rng(0)
LOGITS, OTHER = (RNG.normal(size=(6, 3)).astype(np.float32) for _ in "ab")
TARGETS = (RNG.random((6, 3)) < 0.4).astype(np.float32)
KNOWN = RNG.random((6, 3)) < 0.7
REAL = np.arange(6) < 5
finite = arrays.arrays(np.float32, (2, 3), elements=st.floats(-50, 50, width=32))


@pytest.mark.parametrize("documents", [80, DOCUMENTS])
def test_adjusted_logits_are_moved_by_the_log_odds_of_their_labels(
    documents: Any,
) -> None:
    found = F.adjusted_logits(LOGITS, COUNTS, documents, strength=0.5)
    for b, n in np.ndindex(LOGITS.shape):
        count = max(float(COUNTS[n]), 0.5)
        rest = max(float(np.broadcast_to(documents, 3)[n]) - count, 0.5)
        moved = float(LOGITS[b, n]) + 0.5 * math.log(count / rest)
        assert float(found[b, n]) == pytest.approx(moved, abs=1e-5)


def test_adjusted_logits_are_those_of_a_negative_tolerant_loss_without_its_slope() -> (
    None
):
    adjusted = F.adjusted_logits(LOGITS, COUNTS, DOCUMENTS, strength=0.3)
    options = {"negative_scale": 1.0, "logit_bias": 0.3, "gamma": 2.0}
    expected = F.negative_tolerant_loss(LOGITS, TARGETS, COUNTS, DOCUMENTS, **options)
    np.testing.assert_allclose(
        F.focal_loss(adjusted, TARGETS, gamma=2.0), expected, rtol=1e-5
    )
    np.testing.assert_array_equal(
        F.adjusted_logits(LOGITS, COUNTS, DOCUMENTS, strength=0.0), LOGITS
    )


@given(finite, st.floats(0, 2))
def test_every_adjustment_is_finite_and_the_same_for_all_documents(
    logits: np.ndarray, strength: float
) -> None:
    found = np.asarray(F.adjusted_logits(logits, COUNTS, 80, strength=strength))
    assert np.isfinite(found).all()
    moved = found - logits
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-4)


def test_what_cannot_be_adjusted_is_told() -> None:
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match="counts must be one number per label"):
            F.adjusted_logits(LOGITS, COUNTS[:2], 80)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    with pytest.raises(ValueError, match=r"strength must be >= 0, got -1\.0"):
        F.adjusted_logits(LOGITS, COUNTS, 80, strength=-1.0)


def test_the_divergence_of_two_passes_is_the_mean_of_both_ways() -> None:
    masks = {"target_mask": KNOWN, "example_mask": REAL}
    apart, cells = F.symmetric_divergence(LOGITS, OTHER, **masks)
    total, count = 0.0, 0
    for b, n in np.ndindex(LOGITS.shape):
        if not (KNOWN[b, n] and REAL[b]):
            continue
        p, q = (1 / (1 + math.exp(-float(x[b, n]))) for x in (LOGITS, OTHER))
        for one, two in ((p, q), (q, p)):
            total += one * math.log(one / two) / 2
            total += (1 - one) * math.log((1 - one) / (1 - two)) / 2
        count += 1
    assert float(apart) == pytest.approx(total, rel=1e-4)
    assert float(cells) == count
    compiled = jax.jit(F.symmetric_divergence)(LOGITS, OTHER, **masks)
    np.testing.assert_allclose(compiled[0], apart, rtol=1e-6)


@given(finite, finite)
def test_a_divergence_is_symmetric_at_least_zero_and_finite(
    one: np.ndarray, other: np.ndarray
) -> None:
    apart = float(F.symmetric_divergence(one, other)[0])
    assert 0 <= apart < math.inf
    assert apart == pytest.approx(float(F.symmetric_divergence(other, one)[0]))
    assert float(F.symmetric_divergence(one, one)[0]) == 0


def test_a_masked_cell_has_no_gradient_whatever_it_holds() -> None:
    logits = LOGITS.copy()
    logits[~KNOWN] = np.nan

    def apart(z: jax.Array) -> jax.Array:
        return F.symmetric_divergence(z, OTHER, target_mask=KNOWN)[0]

    slope = np.asarray(jax.grad(apart)(jnp.asarray(logits)))
    assert np.isfinite(slope).all() and not slope[~KNOWN].any()
    none, cells = F.symmetric_divergence(np.zeros((0, 3)), np.zeros((0, 3)))
    assert float(none) == float(cells) == 0


def dropped(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
    """A linear model with dropout."""
    inputs = jnp.asarray(batch["inputs"])
    if train:
        inputs = inputs * jax.random.bernoulli(key, 0.5, inputs.shape)
    return inputs @ params


@pytest.mark.parametrize("weighed", [False, True])
def test_two_passes_are_learned_alike_and_drawn_together(weighed: bool) -> None:
    params = RNG.normal(size=(4, 3)).astype(np.float32)
    inputs = RNG.normal(size=(6, 4)).astype(np.float32)
    batch = {"inputs": inputs, "targets": TARGETS, "target_mask": KNOWN}
    batch |= {"example_mask": REAL}
    rows = np.arange(6, dtype=np.float32) if weighed else np.ones(6, np.float32)
    if weighed:
        batch["example_weight"] = rows
    key = jax.random.key(0)
    found, cells = two_pass_objective(dropped, F.binary_cross_entropy, 0.7)(
        params, batch, key
    )
    keys = key, jax.random.fold_in(key, 2)
    passes = [dropped(params, batch, key=each, train=True) for each in keys]
    once = multi_label_objective(
        lambda *_, key, **__: passes[0], F.binary_cross_entropy
    )(params, batch, key)
    total = 0.0
    for b in range(6):
        mask = KNOWN[b : b + 1] & REAL[b]
        one, two = (np.asarray(z[b : b + 1]) for z in passes)
        for z in (one, two):
            loss = F.binary_cross_entropy(z, TARGETS[b : b + 1], target_mask=mask)[0]
            total += rows[b] * float(loss) / 2
        apart = F.symmetric_divergence(one, two, target_mask=mask)[0]
        total += rows[b] * 0.7 * float(apart)
    assert float(found) == pytest.approx(total, rel=1e-5)
    assert float(cells) == pytest.approx(float(once[1]))
