"""A three-line linear model, its data, and an iterator with a position."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.compiled_step import (
    CompiledStep,
    compile_train_step,
    compile_train_step_pmap,
)
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.loop import TrainResult, train_loop
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.optimizer import make_optimizer
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import TrainStep, init_train_state, make_train_step

FEATURES, LABELS = 5, 3
TOTAL_STEPS, STEPS_PER_EPOCH = 13, 5


def apply_linear(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
    """Logits of a linear model with dropout on its input."""
    inputs = batch["inputs"]
    if train:
        inputs = inputs * jax.random.bernoulli(key, 0.9, inputs.shape) / 0.9
    return inputs @ params["head"]["kernel"] + params["head"]["bias"]


def apply_without_dropout(
    params: Any, batch: Any, *, key: Any, train: bool
) -> jax.Array:
    return batch["inputs"] @ params["head"]["kernel"] + params["head"]["bias"]


def logistic_loss(
    logits: jax.Array,
    targets: jax.Array,
    *,
    target_mask: Any = None,
    example_mask: Any = None,
) -> tuple[jax.Array, jax.Array]:
    losses = jnp.logaddexp(0.0, logits) - logits * targets
    weights = jnp.ones_like(losses)
    if example_mask is not None:
        weights *= example_mask[:, None]
    return jnp.sum(losses * weights), jnp.sum(weights)


def initial_params() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "head": {
            "kernel": rng.normal(size=(FEATURES, LABELS)).astype(np.float32),
            "bias": np.zeros(LABELS, np.float32),
        }
    }


class Batches:
    """An endless, seeded stream of batches with a position, as Grain's iterators."""

    def __init__(self, batch_size: int = 16, *, raise_at: int | None = None) -> None:
        self.position = 0
        self.batch_size = batch_size
        self.raise_at = raise_at

    def __next__(self) -> dict[str, np.ndarray]:
        if self.position == self.raise_at:
            raise RuntimeError("pulled the plug")
        rng = np.random.default_rng(self.position)
        self.position += 1
        inputs = rng.normal(size=(self.batch_size, FEATURES)).astype(np.float32)
        targets = (inputs[:, :LABELS] > 0).astype(np.float32)
        mask = np.arange(self.batch_size) < self.batch_size - self.position % 4
        return {"inputs": inputs, "targets": targets, "example_mask": mask}

    def get_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


@functools.cache
def optimizer() -> optax.GradientTransformation:
    return make_optimizer(learning_rate=0.05, warmup_steps=3, total_steps=TOTAL_STEPS)


def train_step() -> TrainStep:
    """The pure step of the linear model, with dropout."""
    return make_train_step(
        multi_label_objective(apply_linear, logistic_loss),
        optimizer(),
        jax.random.key(7),
    )


@functools.cache
def compiled_step(device_count: int = 1, parallel: str = "jit") -> CompiledStep:
    step = train_step()
    devices = jax.devices()[:device_count]
    if parallel == "pmap":
        return compile_train_step_pmap(step, devices)
    return compile_train_step(step, make_mesh(devices))


def accuracy(params: Any) -> dict[str, float]:
    batch = next(Batches(64))
    head = jax.device_get(params["head"])
    logits = batch["inputs"] @ head["kernel"] + head["bias"]
    return {"accuracy": float(np.mean((logits > 0) == batch["targets"]))}


def train(workdir: Path, batches: Any = None, **options: Any) -> TrainResult:
    """Train the linear model for two epochs and a half, or go on doing so."""
    settings: dict[str, Any] = {
        "total_steps": TOTAL_STEPS,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "evaluate_fn": accuracy,
        "metric": "accuracy",
        "progress": False,
        "log_every": 2,
        "compiled": compiled_step(),
    }
    settings |= options
    with (
        CheckpointStore(
            workdir / "checkpoints",
            metric="accuracy",
            seconds_between=settings.pop("seconds_between", 0.0),
        ) as store,
        MetricsLog(workdir, tensorboard=False) as log,
    ):
        return train_loop(
            settings.pop("state", None)
            or init_train_state(initial_params(), optimizer()),
            settings.pop("compiled"),
            batches or Batches(),
            store=store,
            log=log,
            **settings,
        )


def assert_same_bits(left: Any, right: Any) -> None:
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
