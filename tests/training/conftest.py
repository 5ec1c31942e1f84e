"""A three-line linear model, its data, and iterators with a position."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

FEATURES, LABELS = 5, 3


def apply_linear(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
    """Logits of a linear model with dropout on its input."""
    inputs = batch["inputs"]
    if train:
        inputs *= jax.random.bernoulli(key, 0.9, inputs.shape) / 0.9
    return inputs @ params["head"]["kernel"] + params["head"]["bias"]


def apply_without_dropout(
    params: Any, batch: Any, *, key: Any, train: bool
) -> jax.Array:
    return batch["inputs"] @ params["head"]["kernel"] + params["head"]["bias"]


def logistic_loss(
    logits: jax.Array, targets: jax.Array, *, target_mask: Any, example_mask: Any
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

    def __init__(self, batch_size: int = 16, raise_at: int | None = None) -> None:
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


@pytest.fixture
def params() -> dict[str, Any]:
    return initial_params()
