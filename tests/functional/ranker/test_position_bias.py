"""What a place adds to a logit, and forgetting the place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.ranker.position_bias import (
    NO_POSITION,
    add_position_logits,
    drop_positions,
    position_logits,
)
from tests.examples import examples
from tests.reference import ranking_scores as reference

TABLE = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 2)), jnp.float32)
POSITIONS = jnp.array([0, 1, 4, 9, 2, 3])
GROUPS = jnp.array([0, 1, 0, 1, 1, 0])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_position_logits_are_added_where_a_plain_loop_adds_them(wrap) -> None:
    outputs = jnp.asarray(np.random.default_rng(1).normal(size=(6, 4)), jnp.float32)

    def added(outputs, table):
        return add_position_logits(
            outputs, position_logits(table, POSITIONS, GROUPS), (3, 1)
        )

    expected = reference.add_position_logits(
        *(outputs, np.asarray(TABLE), np.asarray(POSITIONS), np.asarray(GROUPS)),
        (3, 1),
    )
    np.testing.assert_allclose(wrap(added)(outputs, TABLE), expected, rtol=1e-5)


def test_a_place_beyond_the_last_counts_as_the_last_and_no_group_is_the_first() -> None:
    far = position_logits(TABLE, jnp.array([7, -2]))
    np.testing.assert_array_equal(far, TABLE[0, jnp.array([4, NO_POSITION])])


def test_only_the_columns_of_biased_tasks_and_their_places_get_a_gradient() -> None:
    def loss(table):
        logits = position_logits(table, jnp.array([2, 2, 3]), jnp.array([0, 0, 1]))
        return add_position_logits(jnp.zeros((3, 3)), logits, (0, 2)).sum()

    expected = np.zeros(TABLE.shape)
    expected[0, 2], expected[1, 3] = 2, 1
    np.testing.assert_array_equal(jax.grad(loss)(TABLE), expected)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9))
@examples(20)
def test_dropped_positions_are_none_and_the_others_stay(seed, rate) -> None:
    positions = np.arange(1, 2001)
    dropped = np.asarray(drop_positions(jax.random.key(seed), positions, rate))
    assert ((dropped == positions) | (dropped == NO_POSITION)).all()
    share = (dropped == NO_POSITION).mean()
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / 2000) + 1e-9


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_its_range_is_refused(rate) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        drop_positions(jax.random.key(0), POSITIONS, rate)


@pytest.mark.parametrize("columns", [(0,), (1, 1), (0, 1, 2)])
def test_columns_that_do_not_fit_the_logits_are_refused(columns) -> None:
    with pytest.raises(ValueError, match="each of the 2 position logits"):
        add_position_logits(jnp.zeros((6, 4)), jnp.zeros((6, 2)), columns)
