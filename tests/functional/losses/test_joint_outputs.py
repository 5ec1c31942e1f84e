"""Conditional tasks: the logit of both having come about, learned from every row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

import labelgraph_jax as lg
from labelgraph_jax.functional.losses.tasks import Task, multi_task_loss
from tests.examples import examples

F = lg.functional
CHAIN = (
    Task("buy", "binary", given="click"),
    Task("rating", "squared"),
    Task("click", "binary", given="view"),
    Task("view", "binary"),
)


def joint_probabilities(outputs: np.ndarray) -> np.ndarray:
    """Row by row, from the definition."""
    found = []
    for buy, rating, click, view in outputs.astype(np.float64):
        p = [1 / (1 + np.exp(-x)) for x in (view, click, buy)]
        found.append([p[0] * p[1] * p[2], rating, p[0] * p[1], p[0]])
    return np.array(found)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_joint_probabilities_are_products_whatever_the_order_of_tasks(wrap) -> None:
    outputs = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32) * 3
    joint = wrap(lambda x: F.joint_outputs(x, CHAIN))(outputs)
    got = F.task_probabilities(joint, CHAIN)
    np.testing.assert_allclose(got, joint_probabilities(outputs), rtol=2e-4, atol=1e-6)
    plain = [Task("a", "binary"), Task("b", "multi_class", 3)]
    np.testing.assert_array_equal(F.joint_outputs(outputs, plain), outputs)


@examples(40)
@given(st.integers(0, 2**20), st.sampled_from([1.0, 30.0, 300.0]))
def test_a_joint_event_is_never_likelier_than_its_parent_and_stays_finite(
    seed: int, scale: float
) -> None:
    outputs = scale * np.random.default_rng(seed).normal(size=(5, 4))
    outputs = outputs.astype(np.float32)
    buy, _, click, view = F.joint_outputs(outputs, CHAIN).T
    assert (buy <= click + 1e-4).all() and (click <= view + 1e-4).all()
    slope = jax.grad(lambda x: F.joint_outputs(x, CHAIN).sum())(jnp.asarray(outputs))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([Task("a", "binary", given="b")], "conditional on b: .* b is not there"),
        (
            [Task("a", "binary", given="b"), Task("b", "squared")],
            "it is binary, b is squared",
        ),
        (
            [Task("a", "squared", given="b"), Task("b", "binary")],
            "it is squared, b is binary",
        ),
        (
            [Task("a", "binary", given="b"), Task("b", "binary", given="a")],
            "in a circle; got a on b on a",
        ),
    ],
)
def test_parents_that_there_cannot_be_are_refused(tasks, message) -> None:
    with pytest.raises(ValueError, match=message):
        F.joint_outputs(np.zeros((2, len(tasks)), np.float32), tasks)


def fitted(rows, targets, mask, tasks):
    """Weights of a linear model for each task, by the whole loss of all rows."""

    @jax.jit
    def loss(flat):
        outputs = F.joint_outputs(rows @ flat.reshape(rows.shape[1], -1), tasks)
        total, count = multi_task_loss(outputs, targets, tasks, target_mask=mask)
        return total / count

    slope = jax.jit(jax.value_and_grad(loss))

    def values(flat):
        return tuple(np.asarray(x, np.float64) for x in slope(flat.astype(np.float32)))

    start = np.zeros(rows.shape[1] * len(tasks))
    found = minimize(values, start, jac=True, method="L-BFGS-B")
    return found.x.reshape(rows.shape[1], -1)


def test_over_all_rows_a_rate_is_learned_that_the_clicked_rows_alone_get_wrong() -> (
    None
):
    # Planted: rows far from the middle are clicked, in a way that no line says, and
    # buyers lie on one side. Fitted on clicked rows, a purchase looks three times as
    # likely as it is; times the click, it still weighs rows wrongly.
    rng = np.random.default_rng(0)
    x = rng.normal(size=4_000)
    click = rng.random(len(x)) < np.where(np.abs(x) > 1, 0.8, 0.05)
    buy = click & (rng.random(len(x)) < expit(2.5 * x - 1.5))
    rows = np.stack([x, np.ones_like(x)], axis=1).astype(np.float32)
    targets = np.stack([click, buy], axis=1).astype(np.float32)
    known = np.ones(targets.shape, bool)
    esmm = (Task("click", "binary"), Task("buy", "binary", given="click"))
    apart = (Task("click", "binary"), Task("buy", "binary"))
    whole = expit(rows @ fitted(rows, targets, known, esmm)).prod(axis=1)
    naive = expit(
        rows @ fitted(rows, targets, np.stack([known[:, 0], click], axis=1), apart)
    )
    assert naive[:, 1].mean() > 2 * buy.mean()
    assert abs(whole.mean() - buy.mean()) < 0.4 * buy.mean()

    def log_loss(probability):
        return -np.mean(np.where(buy, np.log(probability), np.log1p(-probability)))

    assert log_loss(whole) < 0.9 * log_loss(naive.prod(axis=1))
