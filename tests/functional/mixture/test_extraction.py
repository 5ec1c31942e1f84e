"""Which experts a gate sees, and experts of one scale."""

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


@pytest.mark.parametrize(("tasks", "own", "shared"), [(2, 1, 2), (3, 2, 1), (1, 1, 0)])
def test_access_equals_plain_loops(tasks: int, own: int, shared: int) -> None:
    expected = reference.expert_access(tasks, own, shared)
    np.testing.assert_array_equal(F.expert_access(tasks, own, shared), expected)


@examples(30)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
def test_no_task_sees_what_belongs_to_another(
    tasks: int, own: int, shared: int
) -> None:
    access = F.expert_access(tasks, own, shared)
    assert access.shape == (tasks + 1, tasks * own + shared)
    assert access[-1].all()
    assert (access[:-1].sum(axis=1) == own + shared).all()
    assert (access[:-1, : tasks * own].sum(axis=0) == 1).all()


@pytest.mark.parametrize("counts", [(0, 1, 1), (2, 0, 0), (2, -1, 3), (2, 1, -1)])
def test_a_gate_that_sees_no_expert_is_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="one expert that a gate sees; got tasks="):
        F.expert_access(*counts)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_normalised_experts_equal_plain_loops(wrap) -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(4, 3, 5)).astype(np.float32)
    scale, shift = rng.normal(size=(2, 3, 5)).astype(np.float32)
    got = wrap(F.normalise_experts)(units, scale, shift)
    expected = reference.normalise_experts(units, scale, shift)
    np.testing.assert_allclose(got, expected, atol=1e-4)


@examples(20)
@given(st.integers(0, 2**20), st.sampled_from([0.1, 1.0, 1e3]))
def test_experts_of_any_size_and_offset_come_out_alike(seed: int, size: float) -> None:
    units = np.random.default_rng(seed).normal(size=(3, 2, 8)).astype(np.float32)
    ones, zeros = np.ones((2, 8), np.float32), np.zeros((2, 8), np.float32)
    got = F.normalise_experts(units, ones, zeros)
    other = F.normalise_experts(units * size + 3 * size, ones, zeros)
    # Of small units the 1e-6 under the root is seen.
    np.testing.assert_allclose(got, other, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(got.mean(axis=-1), 0, atol=1e-4)


def test_equal_units_become_the_shift_and_have_a_finite_gradient() -> None:
    shift = jnp.full((1, 3), 0.5)

    def total(units):
        return F.normalise_experts(units, jnp.ones((1, 3)), shift).sum()

    assert float(total(jnp.ones((2, 1, 3)))) == pytest.approx(3.0)
    assert np.isfinite(jax.grad(total)(jnp.ones((2, 1, 3)))).all()


def test_scales_of_other_experts_are_refused_with_the_shapes(untyped) -> None:
    with pytest.raises(ValueError, match="shift"):
        F.normalise_experts(jnp.ones((2, 1, 3)), jnp.ones((1, 3)), jnp.ones((1, 4)))


def test_gate_dropout_leaves_every_task_an_expert_that_it_may_see() -> None:
    access = F.expert_access(3, 1, 1)[:-1]
    keep = F.draw_gate_keep(jax.random.key(0), (400, 3, 4), 0.9, access=access)
    assert keep.any(axis=-1).all()
    assert not (keep & ~access).any()
