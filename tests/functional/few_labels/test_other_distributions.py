"""Reversed gradients, covariances and priors of another distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import labelgraph_jax as lg

F = lg.functional


@pytest.mark.parametrize("scale", [0.0, 1.0, 0.3])
def test_the_gradient_is_reversed_exactly_and_the_value_is_kept(scale):
    x = jnp.array([0.1, -2.0, 3.7])

    def loss(x, reverse):
        return jnp.sum(jnp.sin(F.gradient_reversal(x, scale) if reverse else x))

    value, found = jax.value_and_grad(loss)(x, True)
    assert value == loss(x, False)
    plain = jax.grad(loss)(x, False)
    np.testing.assert_array_equal(found, -jnp.float32(scale) * plain)


def test_the_scale_may_be_traced_and_gets_no_gradient():
    def loss(x, scale):
        return jnp.sum(F.gradient_reversal(x, scale) ** 2)

    found = jax.jit(jax.grad(loss, argnums=(0, 1)))(jnp.array([3.0]), 0.5)
    assert found[0] == -3.0
    assert found[1] == 0.0


def test_a_discriminator_behind_it_learns_while_the_features_unlearn():
    x, y = jnp.array([[1.0, 0.2], [-1.0, 0.1]]), jnp.array([1.0, 0.0])

    def loss(features, weights):
        logits = F.gradient_reversal(x @ features, 1.0) @ weights
        return jnp.mean(jax.nn.softplus(logits) - y * logits)

    features, weights = jnp.eye(2), jnp.array([0.5, 0.0])
    up, down = jax.grad(loss, argnums=(0, 1))(features, weights)
    assert loss(features - 0.1 * up, weights) > loss(features, weights)
    assert loss(features, weights - 0.1 * down) < loss(features, weights)


def test_coral_is_that_of_numpy_and_reads_the_rows_of_its_mask():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(9, 4)), 2 * rng.normal(size=(7, 4)) + 1
    apart = np.cov(source[:6], rowvar=False) - np.cov(target[2:], rowvar=False)
    source[6:] = np.nan
    found = F.coral(source, target, np.arange(9) < 6, np.arange(7) >= 2)
    np.testing.assert_allclose(found, (apart**2).sum() / (4 * 4**2), rtol=1e-5)
    assert F.coral(target, target) == 0
    assert F.coral(target[:1], target[1:2]) == 0


def test_the_prior_of_other_documents_is_found_where_scores_are_calibrated():
    rng = np.random.default_rng(0)
    first, other = 0.3, 0.1
    truth = rng.random(20_000) < other
    x = rng.normal(size=truth.shape) + 1.5 * truth

    def scores(prior):
        odds = prior / (1 - prior) * np.exp(1.5 * x - 1.5**2 / 2)
        return odds / (1 + odds)

    found = F.label_prior_shift(scores(first)[:, None], np.array([first]), steps=300)
    assert abs(float(found.prior[0]) - other) < 0.01
    np.testing.assert_allclose(found.probabilities[:, 0], scores(other), atol=0.02)


def test_a_prior_of_none_or_all_stays():
    scores = np.array([[0.2, 0.9], [0.4, 0.8]], np.float32)
    found = F.label_prior_shift(scores, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(found.probabilities, scores)
    np.testing.assert_array_equal(found.prior, [0.0, 1.0])


HALF = np.array([0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.gradient_reversal(np.ones(2), -1.0), "scale must be at least 0"),
        (
            lambda: F.label_prior_shift(np.zeros((0, 1)), HALF),
            "must hold a document, got none",
        ),
        (
            lambda: F.label_prior_shift(np.full((1, 1), 1.5), HALF),
            "probabilities must be between 0 and 1, got 1.5 to 1.5",
        ),
        (
            lambda: F.label_prior_shift(np.ones((1, 1)), HALF, steps=0),
            "steps must be at least 1",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
