"""A linear model of many labels, its documents, and its batches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DOCUMENTS, FEATURES, WIDTH, LABELS, CHUNK, BATCH = 21, 5, 4, 30, 8, 8
GENERATOR = np.random.default_rng(1)
INPUTS = GENERATOR.normal(size=(DOCUMENTS, FEATURES)).astype(np.float32)
TARGETS = (GENERATOR.random((DOCUMENTS, LABELS)) < 0.1).astype(np.float32)
PLACES = int(TARGETS.sum(axis=1).max()) + 1
PARAMS = {
    "kernel": GENERATOR.normal(size=(FEATURES, WIDTH)).astype(np.float32),
    "label_graph": {
        "free_vectors": GENERATOR.normal(size=(LABELS, WIDTH)).astype(np.float32)
    },
    "label_bias": GENERATOR.normal(size=LABELS).astype(np.float32),
}


def document_fn(params: Any, batch: Any) -> jax.Array:
    assert "targets" not in batch
    assert "positives" not in batch
    return batch["inputs"] @ params["kernel"]


def label_fn(params: Any) -> Any:
    return jnp.tanh(params["label_graph"]["free_vectors"]), params["label_bias"]


def factors_fn(params: Any, batch: Any, *, key: Any, train: bool) -> Any:
    inputs = batch["inputs"]
    if train:
        inputs = inputs * jax.random.bernoulli(key, 0.9, inputs.shape) / 0.9
    return inputs @ params["kernel"], *label_fn(params)


def apply_fn(params: Any, batch: Any, *, key: Any, train: bool) -> Any:
    documents, labels, bias = factors_fn(params, batch, key=key, train=train)
    return documents @ labels.T + bias


def probabilities() -> np.ndarray:
    labels, bias = label_fn(PARAMS)
    return np.asarray(jax.nn.sigmoid(INPUTS @ PARAMS["kernel"] @ labels.T + bias))


def batches(size: int = BATCH) -> list[dict[str, np.ndarray]]:
    """In another order than the documents, the last one filled up."""
    order = np.random.default_rng(2).permutation(DOCUMENTS)
    positives = np.full((DOCUMENTS, PLACES), -1, np.int32)
    for row, targets in zip(positives, TARGETS, strict=True):
        found = np.flatnonzero(targets)
        row[: len(found)] = found
    made = []
    for start in range(0, DOCUMENTS, size):
        index = order[start : start + size]
        padding = size - len(index)
        columns = {
            "inputs": INPUTS[index],
            "positives": positives[index],
            "targets": TARGETS[index],
            "example_index": index,
        }
        batch = {
            name: np.pad(column, [(0, padding)] + [(0, 0)] * (column.ndim - 1))
            for name, column in columns.items()
        }
        made.append(batch | {"example_mask": np.arange(size) < len(index)})
    return made
