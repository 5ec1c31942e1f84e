"""Gradients of several tasks joined by a rule, within the train step."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import labelgraph_jax as lg
from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE, Task
from labelgraph_jax.training.balance import BalancedObjective
from labelgraph_jax.training.objectives import (
    added_objective,
    multi_task_objective,
)
from labelgraph_jax.training.step import (
    init_train_state,
    make_gradient,
    make_train_step,
)

TASKS = (Task("a", "binary"), Task("b", "squared"), Task("c", "binary"))
CONSTANT = np.array([0.2, 0.0, -0.4], np.float32)


def apply(params: Any, batch: Any, *, key: Any = None, train: bool = False) -> Any:
    hidden = jnp.tanh(batch["inputs"] @ params["body"])
    return hidden @ params["towers"]


def params() -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    body, towers = rng.normal(size=(4, 5)), rng.normal(size=(5, 3))
    found = {"body": body, "towers": towers, LOG_VARIANCE: np.array([0.1, -0.2, 0.0])}
    return {n: jnp.asarray(x, jnp.float32) for n, x in found.items()}


def batch_of(seed: int, rows: int = 16) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = np.stack(
        [rng.random(rows) < 0.5, rng.normal(size=rows), rng.random(rows) < 0.3], axis=1
    )
    return {
        "inputs": rng.normal(size=(rows, 4)).astype(np.float32),
        "targets": targets.astype(np.float32),
        "target_mask": rng.random((rows, 3)) < 0.8,
        "example_mask": np.arange(rows) < rows - 3,
    }


def objective(kind: str, **options: Any) -> Any:
    return multi_task_objective(
        apply, TASKS, balance=kind, constant=CONSTANT if kind else None, **options
    )


def alone(task: int, params: Any, batch: Any) -> Any:
    """The mean loss of one task and its gradient, by itself."""
    loss_fn = multi_task_objective(apply, TASKS, task_weights=np.eye(3)[task])

    def mean(params: Any) -> Any:
        loss_sum, weight_sum = loss_fn(params, batch, jax.random.key(0))
        return loss_sum / weight_sum

    return jax.value_and_grad(mean)(params)


def gradient(kind: str, batch: Any, micro_batches: int = 1) -> Any:
    of = make_gradient(objective(kind), jax.random.key(1), micro_batches=micro_batches)
    return of(params(), batch, 0)[:2]


@pytest.mark.parametrize("kind", ["project", "gradnorm"])
def test_a_step_joins_the_gradients_of_the_tasks_taken_one_by_one(kind: str) -> None:
    batch = batch_of(0)
    found, metrics = gradient(kind, batch)
    each = [alone(task, params(), batch) for task in range(3)]
    losses = [loss for loss, _ in each]
    bodies = jnp.stack([slope["body"] for _, slope in each])
    towers = jnp.stack([slope["towers"] for _, slope in each])
    products = lg.functional.gradient_products([bodies])
    if kind == "project":
        key = jax.random.fold_in(jax.random.key(1), 0)
        weights = lg.functional.project_conflicts(products, key=key)
        own = jnp.ones(3)
        np.testing.assert_array_equal(found[LOG_VARIANCE], 0)
    else:
        weights = own = lg.functional.balanced_weights(-params()[LOG_VARIANCE])
        constant = jnp.broadcast_to(CONSTANT, (16, 3))
        first = [
            multi_task_objective(
                lambda *_, constant=constant, **__: constant,
                TASKS,
                task_weights=np.eye(3)[task],
            )(None, batch, jax.random.key(0))[0]
            / 13
            for task in range(3)
        ]
        slope = jax.grad(lg.functional.gradient_norm_loss)(
            -params()[LOG_VARIANCE],
            jnp.sqrt(jnp.diagonal(products)),
            jnp.stack(losses),
            jnp.stack(first),
        )
        np.testing.assert_allclose(found[LOG_VARIANCE], -slope, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        found["body"], jnp.tensordot(weights, bodies, 1), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(
        found["towers"], jnp.tensordot(own, towers, 1), rtol=1e-3, atol=1e-5
    )
    assert float(metrics["loss"]) == pytest.approx(float(sum(losses)), rel=1e-4)


@pytest.mark.parametrize("kind", ["project", "gradnorm"])
def test_micro_batches_jit_and_the_plain_loss_give_the_same(kind: str) -> None:
    batch = batch_of(1)
    whole, metrics = gradient(kind, batch)
    parts, other = jax.jit(lambda b: gradient(kind, b, 4))(batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, parts)
    plain = objective("")(params(), batch, jax.random.key(0))
    assert float(metrics["loss"]) == pytest.approx(float(other["loss"]), rel=1e-5)
    assert float(metrics["loss"]) == pytest.approx(float(plain[0] / plain[1]), rel=1e-5)


def test_what_conflicts_ends_lower_for_the_task_that_is_drowned() -> None:
    # The loud task wants the opposite of the quiet one along one input, and something
    # of its own along another.
    rows = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    tasks = (Task("loud", "squared"), Task("quiet", "squared"))
    targets = np.stack([-3 * rows[:, 0] + rows[:, 1], 0.5 * rows[:, 0]], axis=1)

    def apply(params: Any, batch: Any, *, key: Any = None, train: bool = False) -> Any:
        return jnp.repeat(batch["inputs"] @ params["body"], 2, axis=1)

    def quiet_after(kind: str) -> float:
        loss = multi_task_objective(
            apply, tasks, balance=kind, constant=np.zeros(2, np.float32)
        )
        step = jax.jit(make_train_step(loss, optax.sgd(0.05), jax.random.key(0)))
        body = jnp.asarray([[0.5], [0.0]])
        state = init_train_state({"body": body}, optax.sgd(0.05))
        for _ in range(20):
            state, _ = step(state, {"inputs": rows, "targets": targets})
        outputs = rows @ np.asarray(state.params["body"])
        return float(np.mean((outputs[:, 0] - targets[:, 1]) ** 2))

    assert quiet_after("project") < 0.8 * quiet_after("")


def test_balanced_tasks_take_no_other_loss() -> None:
    balanced = objective("project")
    assert isinstance(balanced, BalancedObjective)
    with pytest.raises(ValueError, match="leave unlabelled documents out, or choose"):
        added_objective(balanced, lambda *_: jnp.float32(0.0))
