import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.attribution import (
    Attribution,
    completeness,
    gradient_times_input,
    integrated_gradients,
)
from tests.examples import examples
from tests.reference import attribution as reference


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


X, B, A, M = draw(0, 5, 3), draw(1, 5, 3), draw(2, 5, 3), draw(3, 3, 3)


def tanh_sum(x):
    return jnp.sum(A * jnp.tanh(x @ M))


def tanh_gradient(x: np.ndarray) -> np.ndarray:
    return (A * (1 - np.tanh(x @ M) ** 2)) @ M.T


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_both_equal_their_plain_loops_eager_and_compiled(wrap) -> None:
    single = wrap(lambda x, b: gradient_times_input(tanh_sum, x, b))(X, B)
    path = wrap(lambda x, b: integrated_gradients(tanh_sum, x, b, steps=7))(X, B)
    expected = reference.gradient_times_input(tanh_gradient, X, B)
    np.testing.assert_allclose(single.rows, expected, atol=1e-5)
    expected = reference.integrated_gradients(tanh_gradient, X, B, 7)
    np.testing.assert_allclose(path.rows, expected, atol=1e-5)
    for found in (single, path):
        np.testing.assert_allclose(found.value, tanh_sum(X), rtol=1e-6)
        np.testing.assert_allclose(found.baseline_value, tanh_sum(B), rtol=1e-6)


@given(seed=st.integers(0, 2**16), rows=st.integers(1, 6))
@examples(20)
def test_of_a_linear_function_gradient_times_input_is_exact(seed: int, rows) -> None:
    x, b, a = (draw(seed + i, rows, 3) for i in range(3))
    found = gradient_times_input(lambda at: jnp.sum(a * at) + 2.0, x, b)
    np.testing.assert_allclose(found.rows, (a * (x - b)).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(completeness(found).gap, 0, atol=1e-5)


@given(seed=st.integers(0, 2**16), steps=st.integers(1, 9))
@examples(20)
def test_of_a_quadratic_function_any_number_of_steps_is_exact(seed, steps) -> None:
    x, b, a = (draw(seed + i, 4, 3) for i in range(3))
    found = integrated_gradients(lambda at: jnp.sum(a * at**2), x, b, steps=steps)
    exact = (a * (x**2 - b**2)).sum(axis=1)
    np.testing.assert_allclose(found.rows, exact, atol=1e-4)
    np.testing.assert_allclose(completeness(found).gap, 0, atol=1e-4)


@given(seed=st.integers(0, 2**16))
@examples(15)
def test_a_row_that_the_function_does_not_read_gets_nothing(seed: int) -> None:
    x = draw(seed, 4, 3)
    found = integrated_gradients(lambda at: jnp.sum(jnp.sin(at[1:])), x, steps=5)
    assert found.rows[0] == 0
    assert np.isfinite(found.rows).all()


def test_more_steps_close_the_gap_of_a_smooth_function_quadratically() -> None:
    gaps = [
        abs(float(completeness(integrated_gradients(tanh_sum, X, B, steps=k)).gap))
        for k in (2, 8, 32)
    ]
    assert gaps[1] < gaps[0] / 4
    assert gaps[2] < 1e-3


def test_a_relu_that_opens_on_the_way_is_complete_only_on_the_path() -> None:
    def opened(at):
        return jax.nn.relu(jnp.sum(at) - 1.0)

    x = jnp.full((2, 1), 1.0)
    single = completeness(gradient_times_input(opened, x))
    assert single.total == 2.0
    assert single.difference == 1.0
    assert single.relative == 1.0
    path = completeness(integrated_gradients(opened, x, steps=64))
    np.testing.assert_allclose(path.total, 1.0, atol=0.02)


def test_a_batch_of_windows_keeps_its_axes() -> None:
    found = integrated_gradients(lambda at: jnp.sum(at**3), draw(4, 2, 5, 3), steps=4)
    assert found.rows.shape == (2, 5)


def test_nothing_to_explain_is_complete_and_something_from_nothing_is_not() -> None:
    zero = jnp.zeros(())
    same = completeness(Attribution(jnp.zeros(3), zero, zero))
    assert (same.gap, same.relative) == (0, 0)
    odd = completeness(Attribution(jnp.ones(3), zero, zero))
    assert np.isinf(odd.relative)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        integrated_gradients(tanh_sum, X, steps=0)
    with pytest.raises(ValueError, match=r"baseline must have the shape \(5, 3\)"):
        gradient_times_input(tanh_sum, X, B[:2])
