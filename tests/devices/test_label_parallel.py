"""Labels split over devices: the same step, whatever shares the labels or the rows."""

import functools
import math
import re
from typing import Any

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import PartitionSpec

from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.many_labels import many_label_objective
from labelgraph_jax.training.parallel import make_mesh, state_sharding
from labelgraph_jax.training.step import (
    TrainState,
    init_train_state,
    make_train_step,
)

FEATURES, WIDTH, CHUNK = 3, 16, 24
DEVICES = {"data=8": {}, "data=2,model=4": {"model": 4}, "model=8": {"model": 8}}
SGD = optax.sgd(1.0)  # parameters move by the gradient


class Scorer(nn.Module):
    """A linear text encoder beside a complete label graph."""

    rank: int = 0
    layers: int = 1

    @nn.compact
    def __call__(self, features: jax.Array, inputs: jax.Array) -> Any:
        graph = LabelGraph(
            WIDTH,
            layers=self.layers,
            heads=2,
            role="additive" if self.rank else "none",
            rank=self.rank,
            method="complete",
            name="label_graph",
        )
        bias = self.param("label_bias", nn.initializers.normal(), (len(features),))
        return nn.Dense(WIDTH)(inputs), graph(features, None), bias


@functools.cache
def problem(
    labels: int, rank: int = 0, layers: int = 1
) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """Initial state, train step and batch."""
    rng = np.random.default_rng(labels)
    features = rng.normal(size=(labels, 5)).astype(np.float32)
    batch = {
        "inputs": rng.normal(size=(16, FEATURES)).astype(np.float32),
        "positives": np.stack([rng.permutation(labels)[:3] for _ in range(16)]),
        "example_mask": np.arange(16) < 13,
    }
    batch["positives"] = batch["positives"].astype(np.int32)
    batch["positives"][3:6, 1:] = -1
    model = Scorer(rank, layers)
    start = jax.jit(model.init)(jax.random.key(0), features, batch["inputs"])
    params = start["params"]

    def factors(params: Any, batch: Any, *, key: Any, train: bool) -> Any:
        return model.apply({"params": params}, features, batch["inputs"])

    objective = many_label_objective(factors, binary_cross_entropy, chunk=CHUNK)
    step = make_train_step(objective, SGD, jax.random.key(1))
    return init_train_state(params, SGD), step, batch


def one_step(mesh: Any, state: TrainState, step: Any, batch: Any) -> Any:
    compiled = compile_train_step(step, mesh, like=state)
    placed = compiled.place_batch(batch)
    return jax.device_get(compiled(compiled.place_state(state), placed))


@functools.cache
def on_one_device(labels: int) -> Any:
    return one_step(make_mesh(jax.devices()[:1]), *problem(labels))


@pytest.mark.parametrize(
    ("labels", "axes"),
    [(96, "data=8"), (96, "data=2,model=4"), (96, "model=8"), (101, "data=2,model=4")],
)
def test_one_step_is_the_same_however_devices_share_it(labels: int, axes: str) -> None:
    expected, metrics = on_one_device(labels)
    found, own = one_step(make_mesh(**DEVICES[axes]), *problem(labels))
    np.testing.assert_allclose(own["loss"], metrics["loss"], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        found.params,
        expected.params,
    )


def layout_of(labels: int, rank: int = 0) -> Any:
    state, *_ = problem(labels, rank)
    found = state_sharding(state.params, make_mesh(model=8))
    return jax.tree.map(lambda sharding: sharding.spec, found)


def test_labels_are_split_by_labels_and_messages_by_features() -> None:
    by_labels = PartitionSpec("model")
    specs = layout_of(96, 2)
    graph = specs["label_graph"]
    assert specs["label_bias"] == by_labels
    for name in ("free_vectors", "receiver_factors", "sender_factors"):
        assert graph[name] == by_labels, name
    assert graph["features"] == PartitionSpec()
    assert graph["kernel_0"] == PartitionSpec(None, None, "model")
    for name in ("receiver_0", "sender_0"):
        assert graph[name] == PartitionSpec(None, "model"), name
    assert graph["message_scale"] == PartitionSpec()


def test_labels_that_do_not_divide_are_whole_on_every_device() -> None:
    specs = layout_of(101)
    assert specs["label_bias"] == PartitionSpec()
    assert specs["label_graph"]["free_vectors"] == PartitionSpec()
    assert specs["label_graph"]["kernel_0"] == PartitionSpec(None, None, "model")


def test_devices_share_every_chunk_and_attention_gathers_no_features() -> None:
    state, step, batch = problem(96)
    layout = state_sharding(state, make_mesh(model=8))
    jitted = jax.jit(step, in_shardings=(layout, None), out_shardings=(layout, None))
    program = jitted.lower(state, batch).compile().as_text()
    # 24 labels at a time are 3 a device, and 16 features of a message 2.
    assert "f32[16,3]" in program
    assert "f32[16,24]" not in program
    # What is gathered are numbers per head and label, such as their order.
    gathered = re.findall(r"\w\d+\[([\d,]+)\]\S* all-gather\(", program)
    sizes = [math.prod(map(int, shape.split(","))) for shape in gathered]
    assert max(sizes, default=0) < 96 * WIDTH, sizes
