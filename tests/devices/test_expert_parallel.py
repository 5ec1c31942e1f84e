"""Experts split over devices: the same step, an eighth of the experts each."""

from typing import Any

import jax
import numpy as np
import optax
import pytest

from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import GATES, MultiTaskNetwork, gate_weights_of
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.gates import (
    GateWatch,
    collect_gate_statistics,
    compile_gate_sums,
    gate_warnings,
)
from labelgraph_jax.training.objectives import multi_task_objective
from labelgraph_jax.training.parallel import make_mesh, state_sharding
from labelgraph_jax.training.step import init_train_state, make_train_step

TASKS = (Task("click", "binary"), Task("rating", "squared"))
MODEL = MultiTaskNetwork(TASKS, kind="mmoe", experts=4, hidden=(3,), towers=(2,))
OPTIMIZER = optax.adam(0.05)


def batch_of(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(16, 5)).astype(np.float32)
    targets = np.stack([inputs[:, 0] > 0, inputs[:, 1]], axis=1).astype(np.float32)
    target_mask = generator.random(targets.shape) < 0.7
    mask = np.arange(16) < 14
    names = ("inputs", "targets", "target_mask", "example_mask")
    return dict(zip(names, (inputs, targets, target_mask, mask), strict=True))


def apply(params: Any, batch: Any, *, key: Any = None, train: bool = False) -> Any:
    return MODEL.apply({"params": params}, batch["inputs"])


def gates(params: Any, batch: Any) -> Any:
    return gate_weights_of(
        MODEL.apply({"params": params}, batch["inputs"], mutable=GATES)[1]
    )


PARAMS = MODEL.init(jax.random.key(0), batch_of(0)["inputs"])["params"]
STATE = init_train_state(PARAMS, OPTIMIZER)
STEP = make_train_step(
    multi_task_objective(apply, TASKS, task_weights=np.array([1.0, 0.5])),
    OPTIMIZER,
    jax.random.key(1),
)


def after_three_steps(mesh: Any) -> Any:
    compiled = compile_train_step(STEP, mesh, like=STATE)
    state = compiled.place_state(STATE)
    for seed in range(3):
        state, _ = compiled(state, compiled.place_batch(batch_of(seed)))
    return state


def test_experts_over_four_devices_train_as_on_one() -> None:
    one = after_three_steps(make_mesh(jax.devices()[:1]))
    mesh = make_mesh(model=4)
    assert dict(mesh.shape) == {"data": 2, "model": 4}
    split = after_three_steps(mesh)
    kernel = split.params["mixture"]["experts"]["kernel_0"]
    assert kernel.addressable_shards[0].data.shape == (5, 1, 3)
    moment = split.opt_state[0].mu["mixture"]["experts"]["bias_0"]
    assert moment.addressable_shards[0].data.shape == (1, 3)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        jax.device_get(one.params),
        jax.device_get(split.params),
    )


def test_devices_that_do_not_divide_are_refused_with_their_numbers() -> None:
    with pytest.raises(ValueError, match="8 devices do not divide into groups of 3"):
        make_mesh(model=3)
    with pytest.raises(ValueError, match="kernel_0: 4 rows do not divide by 8"):
        state_sharding(PARAMS, make_mesh(model=8))
    with pytest.raises(ValueError, match="neither experts, nor a transformer"):
        state_sharding({"kernel": np.ones(3)}, make_mesh(model=2))
    with pytest.raises(ValueError, match="needs `like`"):
        compile_train_step(STEP, make_mesh(model=2))


def test_gates_are_counted_over_all_batches_but_for_padding() -> None:
    batches = [batch_of(0), batch_of(1)]
    sums = compile_gate_sums(gates, make_mesh(model=2))
    found = collect_gate_statistics(sums, PARAMS, batches)
    rows = [np.asarray(gates(PARAMS, batch))[:14] for batch in batches]
    mean = np.concatenate(rows).mean(axis=0)
    np.testing.assert_allclose(found.mean_weights, mean, atol=1e-5)
    assert gate_warnings(found, ("click", "rating")) == []
    with pytest.raises(ValueError, match="at least one batch"):
        collect_gate_statistics(sums, PARAMS, [])


def test_a_collapsed_gate_is_said_once_and_logged_every_time() -> None:
    said: list[str] = []

    def collapsed(params: Any, batch: Any) -> Any:
        gate = jax.nn.one_hot(jax.numpy.zeros((16, 2), int), 4)
        return gate + 0 * params["mixture"]["gate_kernel"].sum()

    watch = GateWatch(collapsed, ("click", "rating"), said.append)
    first, second = (watch(PARAMS, [batch_of(0)]) for _ in range(2))
    assert first == second
    assert first["polarisation/click"] == 1.0
    assert first["least_used_expert"] == 0.0
    text = "\n".join(said)
    assert len(said) == 4
    assert "task click: its gate has polarised: expert 0 has 100% of the weight" in text
    assert "3 of 4 experts have collapsed" in text
    assert "the gates of all tasks are the same" in text
