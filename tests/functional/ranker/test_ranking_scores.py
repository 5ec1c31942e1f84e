"""Several tasks' predictions as one score."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.ranker.scores import weighted_product, weighted_sum
from tests.examples import examples
from tests.reference import ranking_scores as reference

VALUES = np.random.default_rng(0).random((7, 3)).astype(np.float32)
WEIGHTS = np.array([1.0, 0.5, -0.25], np.float32)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("name", ["weighted_product", "weighted_sum"])
def test_scores_equal_plain_loops(name, wrap) -> None:
    score = {"weighted_product": weighted_product, "weighted_sum": weighted_sum}[name]
    got = wrap(score)(VALUES, WEIGHTS)
    expected = getattr(reference, name)(VALUES, WEIGHTS)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_allclose(wrap(score)(VALUES[2], WEIGHTS), expected[2], rtol=1e-5)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
@examples(20)
def test_the_scale_of_a_task_does_not_change_the_order_of_products(seed, scale) -> None:
    values = np.random.default_rng(seed).uniform(0.01, 1, (6, 3)).astype(np.float32)
    scaled = values * np.array([1.0, scale, 1.0], np.float32)
    ratio = weighted_product(scaled, WEIGHTS) / weighted_product(values, WEIGHTS)
    np.testing.assert_allclose(ratio, scale**0.5, rtol=1e-3)


def test_a_weight_of_zero_leaves_a_task_out_even_where_it_says_zero() -> None:
    values = jnp.array([[0.5, 0.0], [0.25, 1.0]])
    got = weighted_product(values, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(got, [0.5, 0.25], rtol=1e-6)


def test_many_small_probabilities_do_not_underflow_on_the_way() -> None:
    values = jnp.full((1, 16), 1e-6)
    got = weighted_product(values, jnp.full(16, 1 / 16))
    np.testing.assert_allclose(got, [1e-6], rtol=1e-4)


def test_a_value_of_zero_or_below_ranks_last_with_a_finite_gradient() -> None:
    values = jnp.array([[0.0, 0.9], [-3.0, 0.9], [0.1, 0.9]])
    weights = jnp.ones(2)
    scores = weighted_product(values, weights)
    assert scores[2] > scores[0] and scores[0] == scores[1]
    gradient = jax.grad(lambda v: weighted_product(v, weights).sum())(values)
    assert jnp.isfinite(gradient).all()


def test_weights_that_are_not_one_per_task_are_refused() -> None:
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        for score in (weighted_product, weighted_sum):
            with pytest.raises(
                ValueError, match=r"one for each task.*\(2,\).*\(7, 3\)"
            ):
                score(VALUES, WEIGHTS[:2])
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
