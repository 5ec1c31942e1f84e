"""Rows that come and go end where dense AdamW takes them."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.training.optimizer import SCHEDULES, make_schedule
from labelgraph_jax.training.row_optimizer import RowAdamW, TableRows

STEPS, ROWS, WIDTH = 200, 24, 3
VALUES = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)


def rule_of(schedule: str = "cosine", weight_decay: float = 0.01) -> RowAdamW:
    rate = make_schedule(0.01, warmup_steps=20, total_steps=STEPS, schedule=schedule)
    return RowAdamW(rate, STEPS, weight_decay)


def gradients(scale: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every step the rows that come, five of them often, and their gradients."""
    random = np.random.default_rng(1)
    steps = []
    for step in range(STEPS):
        often = step % 3 == 0
        rows = np.arange(5) if often else np.sort(random.choice(ROWS - 2, 5, False))
        steps.append((rows, scale * random.normal(size=(5, WIDTH)).astype(np.float32)))
    return steps


def dense(rule: RowAdamW, steps: list[Any]) -> tuple[np.ndarray, ...]:
    """Every row at every step, by optax."""
    adamw = optax.adamw(rule.schedule, weight_decay=rule.weight_decay)
    update = jax.jit(adamw.update)
    values, state = VALUES, adamw.init(VALUES)
    for rows, some in steps:
        gradient = np.zeros_like(VALUES)
        gradient[rows] = some
        updates, state = update(gradient, state, values)
        values = np.asarray(optax.apply_updates(values, updates))
    return values, np.asarray(state[0].mu), np.asarray(state[0].nu)


def lazy(rule: RowAdamW, steps: list[Any]) -> TableRows:
    """The rows that come, each brought to the present first; at last all of them."""
    skipped = rule.skipped()

    @jax.jit
    def move(table: TableRows, rows: Any, gradient: Any, step: Any) -> TableRows:
        some = jax.tree.map(lambda array: array[rows], table)
        some = rule.catch_up(some, step, skipped)
        some = rule.update(some, gradient, step, skipped)
        return jax.tree.map(lambda old, new: old.at[rows].set(new), table, some)

    table = rule.init(VALUES)
    for step, (rows, gradient) in enumerate(steps):
        table = move(table, rows, gradient, step)
    return jax.device_get(jax.jit(rule.catch_up)(table, len(steps), skipped))


@pytest.mark.parametrize(
    ("schedule", "weight_decay", "scale", "atol"),
    [
        *((schedule, 0.01, 1.0, 1e-5) for schedule in SCHEDULES),
        ("cosine", 0.0, 1.0, 1e-5),
        ("cosine", 4.0, 1.0, 1e-5),
        ("cosine", 0.01, 1e-3, 1e-5),
        # Where gradients are as small as Adam's epsilon, its mean stands for it.
        ("cosine", 0.01, 1e-6, 1e-3),
    ],
)
def test_rows_that_come_and_go_end_as_under_dense_adamw(
    schedule: str, weight_decay: float, scale: float, atol: float
) -> None:
    rule, steps = rule_of(schedule, weight_decay), gradients(scale)
    values, mu, nu = dense(rule, steps)
    rows = lazy(rule, steps)
    np.testing.assert_allclose(rows.values, values, rtol=0, atol=atol)
    np.testing.assert_allclose(rows.mu, mu, rtol=1e-4, atol=1e-6 * scale)
    np.testing.assert_allclose(rows.nu, nu, rtol=1e-4, atol=1e-6 * scale**2)
    assert set(rows.last_step.tolist()) == {STEPS}


def loop(rule: RowAdamW, rows: TableRows, step: int, origin: int) -> np.ndarray:
    """Each step that the rows sat out, one after the other, in float64."""
    values, mu, nu = (np.asarray(x, np.float64) for x in rows[:3])
    for row, last in enumerate(np.asarray(rows.last_step)):
        for number in range(int(last) + 1, step + 1):
            rate, count = float(rule.schedule(number - 1)), number - origin
            mu[row], nu[row] = mu[row] * rule.b1, nu[row] * rule.b2
            size = np.sqrt(nu[row] / (1 - rule.b2**count)) + rule.eps
            move = mu[row] / (1 - rule.b1**count) / size
            values[row] -= rate * (move + rule.weight_decay * values[row])
    return values


CATCH_UP: dict[float, Callable[..., TableRows]] = {
    decay: jax.jit(rule_of(weight_decay=decay).catch_up) for decay in (0.0, 0.1)
}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    step=st.integers(1, STEPS),
    origin=st.integers(0, 50),
    decay=st.sampled_from([0.0, 0.1]),
)
def test_catching_up_at_once_is_catching_up_step_by_step(
    seed: int, step: int, origin: int, decay: float
) -> None:
    random, rule = np.random.default_rng(seed), rule_of(weight_decay=decay)
    origin = min(origin, step - 1)
    last = random.integers(origin + 1, step + 1, ROWS).astype(np.int32)
    rows = TableRows(
        VALUES,
        random.normal(size=VALUES.shape).astype(np.float32),
        random.uniform(0.01, 2, VALUES.shape).astype(np.float32),
        last,
    )
    skipped = rule.skipped(origin)
    whole = CATCH_UP[decay](rows, step, skipped)
    np.testing.assert_allclose(
        whole.values, loop(rule, rows, step, origin), rtol=1e-4, atol=1e-5
    )
    # Half of the way and then the rest is the same way.
    half = CATCH_UP[decay](rows, int(last.max()), skipped)
    np.testing.assert_allclose(
        CATCH_UP[decay](half, step, skipped).values, whole.values, rtol=1e-4, atol=1e-5
    )


def test_rows_of_the_present_stay_as_they_are() -> None:
    rule = rule_of()
    rows = lazy(rule, gradients(1.0))
    again = jax.jit(rule.catch_up)(rows, STEPS, rule.skipped())
    for one, other in zip(rows, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_row_that_never_comes_only_decays() -> None:
    rule = rule_of(weight_decay=0.5)
    rows = rule.catch_up(rule.init(VALUES), STEPS, rule.skipped())
    rates = np.asarray([float(rule.schedule(step)) for step in range(STEPS)])
    np.testing.assert_allclose(
        rows.values, VALUES * np.prod(1 - 0.5 * rates), rtol=1e-5
    )
    np.testing.assert_array_equal(rows.mu, 0)


def test_a_decay_below_what_float32_can_hold_is_no_nan() -> None:
    rule = RowAdamW(lambda step: 0.04, 5000, weight_decay=1.0)  # 1e-89 in the end
    rows, skipped = rule.init(VALUES), rule.skipped()
    np.testing.assert_array_equal(rule.catch_up(rows, 5000, skipped).values, 0)
    late = rows._replace(last_step=np.full(ROWS, 4998, np.int32))
    np.testing.assert_allclose(
        rule.catch_up(late, 5000, skipped).values, VALUES * 0.96**2, rtol=1e-6
    )


def test_a_decay_too_large_to_catch_up_with_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be at most 0\.05 .* got 1\.5"):
        RowAdamW(lambda step: 0.5, 10, weight_decay=3.0)
