"""Gradients of several tasks: conflicts projected away, norms evened."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelgraph_jax as lg
from tests.examples import examples
from tests.reference import experts as reference

F = lg.functional


def drawn(seed: int, tasks: int = 3, size: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(tasks, size)).astype(np.float32)


def test_products_are_those_of_all_leaves_together() -> None:
    gradients = drawn(0)
    tree = {"a": gradients[:, :4].reshape(3, 2, 2), "b": {"c": gradients[:, 4:]}}
    got = jax.jit(F.gradient_products)(tree)
    expected = [[sum(x * y) for y in gradients] for x in gradients]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("tree", [{}, {"a": np.zeros((2, 3)), "b": np.zeros((3, 3))}])
def test_trees_that_hold_no_gradient_per_task_are_refused(tree) -> None:
    with pytest.raises(ValueError, match="all of the same T; got shapes"):
        F.gradient_products(tree)


@examples(30)
@given(st.integers(0, 2**20), st.integers(1, 4))
def test_projection_equals_loops_over_whole_gradients(seed: int, tasks: int) -> None:
    gradients = drawn(seed, tasks)
    weights = F.project_conflicts(F.gradient_products(gradients))
    orders = [range(tasks)] * tasks
    expected = reference.project(gradients.astype(np.float64), orders)
    np.testing.assert_allclose(weights @ gradients, expected, atol=2e-3)


@examples(30)
@given(st.integers(0, 2**20))
def test_of_two_tasks_neither_is_hurt_by_the_step(seed: int) -> None:
    # Yu et al.: a small step along the result raises no loss.
    gradients = drawn(seed, 2)
    weights = F.project_conflicts(F.gradient_products(gradients))
    step = np.asarray(weights) @ gradients
    assert (gradients @ step >= -1e-3).all()
    by_key = F.project_conflicts(
        F.gradient_products(gradients), key=jax.random.key(seed)
    )
    np.testing.assert_allclose(weights, by_key, rtol=1e-5)


def test_gradients_that_agree_are_summed_and_none_divides_by_zero() -> None:
    agreeing = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], np.float32)
    weights = F.project_conflicts(F.gradient_products(agreeing))
    np.testing.assert_array_equal(weights, 1)
    np.testing.assert_array_equal(F.project_conflicts(np.zeros((2, 2))), 1)


def test_a_planted_conflict_costs_a_task_without_projection_and_not_with_it() -> None:
    # A loud task whose slope never ends, and a quiet one at an obtuse angle to it.
    loud, quiet = np.array([-10.0, -3.0]), np.array([1.0, 0.0])

    def losses(x):
        return np.array([loud @ x, (quiet @ x) ** 2])

    def after(rule):
        x = np.array([1.0, 0.0])
        for _ in range(50):
            found = np.stack([loud, 2 * (quiet @ x) * quiet]).astype(np.float32)
            step = np.asarray(rule(F.gradient_products(found))) @ found
            x = x - 0.01 * step
        return losses(x)

    first = losses(np.array([1.0, 0.0]))
    plain, projected = after(lambda products: np.ones(2)), after(F.project_conflicts)
    assert plain[1] > 5 * first[1]  # the quiet task pays for the loud one
    assert (projected < first).all()  # both gain


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_the_loss_of_gradient_norms_equals_plain_loops(wrap) -> None:
    rng = np.random.default_rng(1)
    log_weights = rng.normal(size=3).astype(np.float32)
    norms, losses, first = rng.uniform(0.2, 2, (3, 3)).astype(np.float32)
    got = wrap(F.gradient_norm_loss)(log_weights, norms, losses, first)
    expected = reference.gradient_norm_loss(log_weights, norms, losses, first, 1.5)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_following_the_loss_evens_the_norms_and_helps_the_task_that_lags() -> None:
    def followed(norms, losses, restoring):
        weights = jnp.zeros(2)
        slope = jax.jit(jax.grad(F.gradient_norm_loss), static_argnames="restoring")
        for _ in range(3_000):
            found = slope(weights, norms, losses, jnp.ones(2), restoring=restoring)
            weights = weights - 1e-3 * found
        return np.asarray(F.balanced_weights(weights))

    norms = jnp.array([4.0, 1.0])
    weights = followed(norms, jnp.ones(2), 0.0)
    assert weights[0] * 4 == pytest.approx(weights[1], rel=0.05)
    assert weights.sum() == pytest.approx(2)
    lagging = followed(jnp.ones(2), jnp.array([0.2, 1.0]), 1.0)
    assert lagging[1] > 1.2 > lagging[0]


def test_the_norms_loss_refuses_what_does_not_fit(untyped) -> None:
    with pytest.raises(ValueError, match="norms"):
        F.gradient_norm_loss(np.zeros(2), np.ones(3), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="NaN"):
        F.project_conflicts(np.full((2, 2), np.nan))
