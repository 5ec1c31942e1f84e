"""Losses for a long tail of labels."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.losses.balanced import (
    class_balanced_loss,
    class_balanced_weights,
    distribution_balanced_loss,
    drawing_chance,
    negative_tolerant_loss,
    rebalancing_weights,
)
from labelgraph_jax.functional.losses.elementwise import (
    binary_cross_entropy,
    focal_loss,
)
from tests.examples import examples
from tests.reference import balanced_losses as reference

SHAPE = (3, 4)
COUNTS = np.float32([1, 40, 9, 300])
DOCUMENTS = 1000
TOLERANT = {"negative_scale": 2.0, "logit_bias": 0.05, "gamma": 2.0}
LOSSES = {
    "class-balanced": (
        class_balanced_loss,
        reference.class_balanced_loss,
        (COUNTS,),
        {"beta": 0.9, "gamma": 1.5},
    ),
    "negative-tolerant": (
        negative_tolerant_loss,
        reference.negative_tolerant_loss,
        (COUNTS, DOCUMENTS),
        TOLERANT,
    ),
    "distribution-balanced": (
        distribution_balanced_loss,
        reference.distribution_balanced_loss,
        (COUNTS, DOCUMENTS),
        {"alpha": 0.1, "map_beta": 10.0, "map_gamma": 0.9, **TOLERANT},
    ),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def example(seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, SHAPE).astype(np.float32)
    targets = np.float32([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    masks = {
        "target_mask": rng.random(SHAPE) < 0.7,
        "example_mask": np.array([True, False, True]),
    }
    return logits, targets, masks


@every_loss
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("masked", [False, True])
def test_a_loss_equals_its_loop_eager_and_jitted(name, smoothing, masked):
    loss, loop, numbers, options = LOSSES[name]
    logits, targets, masks = example()
    masks = masks if masked else {}
    expected = loop(
        logits, targets, *numbers, label_smoothing=smoothing, **masks, **options
    )

    def call(logits, targets, masks):
        return loss(
            logits, targets, *numbers, label_smoothing=smoothing, **masks, **options
        )

    arguments = jax.tree.map(jnp.asarray, (logits, targets, masks))
    for form in (call, jax.jit(call)):
        result = form(*arguments)
        np.testing.assert_allclose(result, expected, rtol=1e-5)
        assert all(part.dtype == jnp.float32 for part in result)


@every_loss
@examples(25)
@given(
    st.lists(
        st.tuples(st.floats(-40, 40, width=32), st.sampled_from([0.0, 0.3, 1.0])),
        min_size=12,
        max_size=12,
    ),
    st.lists(st.integers(0, DOCUMENTS), min_size=4, max_size=4),
)
def test_a_loss_equals_its_loop_for_any_logits_targets_and_counts(name, cells, counts):
    loss, loop, numbers, options = LOSSES[name]
    logits, targets = np.array(cells, np.float32).T.reshape(2, *SHAPE)
    numbers = (np.array(counts), *numbers[1:])
    result = loss(jnp.asarray(logits), jnp.asarray(targets), *numbers, **options)
    expected = loop(logits, targets, *numbers, **options)
    np.testing.assert_allclose(result, expected, rtol=2e-5, atol=1e-6)
    assert result[0] >= 0


@every_loss
def test_the_gradient_equals_the_slope_of_the_loop(name):
    loss, loop, numbers, options = LOSSES[name]
    logits, targets, masks = example(1)
    gradient = jax.grad(lambda x: loss(x, targets, *numbers, **masks, **options)[0])(
        jnp.asarray(logits)
    )
    slope, h = np.zeros(SHAPE), 1e-5
    for cell in np.ndindex(SHAPE):
        step = np.zeros(SHAPE)
        step[cell] = h
        above, below = (
            loop(logits.astype(float) + s, targets, *numbers, **masks, **options)[0]
            for s in (step, -step)
        )
        slope[cell] = (above - below) / (2 * h)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)


@every_loss
@pytest.mark.parametrize("logit", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("target", [np.nan, 1.0])
@pytest.mark.parametrize("mask", ["target_mask", "example_mask"])
def test_a_masked_cell_adds_nothing_whatever_it_holds(name, logit, target, mask):
    loss, _, numbers, options = LOSSES[name]
    logits, targets, _ = example()
    kept = {mask: np.ones(SHAPE if mask == "target_mask" else SHAPE[0], bool)}
    kept[mask][1] = False
    dirty_logits, dirty_targets = logits.copy(), targets.copy()
    dirty_logits[1], dirty_targets[1] = logit, target

    def value(x, y):
        return loss(x, y, *numbers, **kept, **options)

    assert value(dirty_logits, dirty_targets) == value(logits, targets)
    gradient = jax.grad(lambda x: value(x, dirty_targets)[0])(jnp.asarray(dirty_logits))
    np.testing.assert_array_equal(gradient[1], 0.0)
    assert np.isfinite(gradient).all()


def test_a_label_that_is_not_annotated_does_not_change_the_weight_of_the_others():
    logits, targets, _ = example()
    mask = np.ones(SHAPE, bool)
    mask[0, 0] = False
    _, _, numbers, options = LOSSES["distribution-balanced"]

    def gradient(targets):
        return jax.grad(
            lambda x: distribution_balanced_loss(
                x, targets, *numbers, target_mask=mask, **options
            )[0]
        )(jnp.asarray(logits))

    other = targets.copy()
    other[0, 0] = 0.0
    np.testing.assert_array_equal(gradient(targets), gradient(other))


@every_loss
@pytest.mark.parametrize("logit", [1e4, -1e4, 1e30, -1e30])
def test_extreme_logits_give_finite_losses_and_gradients(name, logit):
    loss, _, numbers, options = LOSSES[name]
    targets = jnp.asarray([[0.0, 1.0, 0.0, 1.0]])
    value, gradient = jax.value_and_grad(
        lambda x: loss(x, targets, *numbers, **options)[0]
    )(jnp.full((1, 4), logit))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@every_loss
def test_permuting_labels_changes_no_loss(name):
    loss, _, numbers, options = LOSSES[name]
    logits, targets, _ = example()
    order = [2, 0, 3, 1]
    permuted = (numbers[0][order], *numbers[1:])
    np.testing.assert_allclose(
        loss(logits[:, order], targets[:, order], *permuted, **options),
        loss(logits, targets, *numbers, **options),
        rtol=1e-6,
    )


def test_neutral_settings_give_the_plain_losses():
    logits, targets, masks = example()
    plain = binary_cross_entropy(logits, targets, **masks)
    focal = focal_loss(logits, targets, gamma=2.0, **masks)
    neutral = {"negative_scale": 1.0, "logit_bias": 0.0}
    for gamma, expected in ((0.0, plain), (2.0, focal)):
        for value in (
            class_balanced_loss(
                logits, targets, COUNTS, beta=0.0, gamma=gamma, **masks
            ),
            negative_tolerant_loss(
                logits, targets, COUNTS, DOCUMENTS, gamma=gamma, **neutral, **masks
            ),
        ):
            np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_a_rare_label_weighs_more_and_the_weights_average_to_one():
    weights = class_balanced_weights(COUNTS, beta=0.99)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] > weights[2] > weights[1] > weights[3]
    # Close to 1 the weights are those of the inverse frequency.
    nearly = class_balanced_weights(COUNTS, beta=1 - 1e-6)
    inverse = 1 / COUNTS
    np.testing.assert_allclose(nearly, inverse / inverse.mean(), rtol=1e-3)


def test_a_positive_weighs_most_where_no_frequent_label_shares_its_document():
    targets = np.float32([[1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    chance = drawing_chance(COUNTS)
    drawn = (targets * chance).sum(axis=1, keepdims=True)
    weights = rebalancing_weights(chance, drawn)
    alone, shared = weights[0, 0], weights[1, 0]
    assert alone == pytest.approx(0.1 + 1 / (1 + np.exp(-1.0)), rel=1e-6)
    assert shared < alone
    assert weights[1, 3] < weights[2, 3] == pytest.approx(alone)
    np.testing.assert_allclose(weights[3], 1.1, rtol=1e-6)


def test_a_rare_positive_must_reach_a_higher_logit_than_a_frequent_one():
    """The bias asks in training for what a fixed threshold then gives back."""
    logits, targets = jnp.zeros((1, 2)), jnp.ones((1, 2))

    def loss(x):
        return negative_tolerant_loss(
            x, targets, jnp.asarray([5.0, 400.0]), DOCUMENTS, gamma=0.0
        )[0]

    rare, frequent = -jax.grad(loss)(logits)[0]
    assert rare > frequent > 0


def test_documents_may_differ_between_labels():
    logits, targets, _ = example()
    documents = np.float32([10, 1000, 500, 1000])
    result = negative_tolerant_loss(logits, targets, COUNTS, documents, **TOLERANT)
    expected = reference.negative_tolerant_loss(
        logits, targets, COUNTS, documents, **TOLERANT
    )
    np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("class-balanced", {"beta": 1.0}, r"beta must lie in \[0, 1\), got 1"),
        ("class-balanced", {"gamma": -1.0}, "gamma must be >= 0, got -1"),
        ("negative-tolerant", {"negative_scale": 0.0}, "negative_scale must be above"),
        ("negative-tolerant", {"logit_bias": -0.1}, "logit_bias must be >= 0"),
        ("distribution-balanced", {"alpha": -1.0}, "alpha must be >= 0"),
        ("distribution-balanced", {"map_gamma": -1.0}, "map_gamma must be >= 0"),
        ("distribution-balanced", {"map_beta": 0.0}, "map_beta must be above 0"),
        ("class-balanced", {"label_smoothing": 1.0}, "label_smoothing must lie in"),
    ],
)
def test_settings_out_of_range_are_refused(name, options, message):
    loss, _, numbers, defaults = LOSSES[name]
    logits, targets, _ = example()
    with pytest.raises(ValueError, match=message):
        loss(logits, targets, *numbers, **defaults | options)


@every_loss
def test_counts_of_other_labels_are_refused(name):
    loss, _, numbers, _ = LOSSES[name]
    logits, targets, _ = example()
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=r"counts must be one number per label"):
            loss(logits, targets, COUNTS[:2], *numbers[1:])
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
