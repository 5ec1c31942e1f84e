"""Linear heads on document vectors that learn under a taxonomy of their labels."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.functional.structure.hierarchy import (
    hierarchy_contrast,
    hierarchy_loss,
    recursive_regularisation,
)

RATE = 0.05
"""Step of Adam."""
DECAY = 3e-5
"""Weight of the squared weights beside the loss of a cell."""


def head_loss(kind: str, parents: Int[np.ndarray, "E 2"]) -> Callable[..., Any]:
    """Return `loss(head, x, y, mask, decay, weight, key)` of a head: a vector and a
    bias of every label.

    What is added to the loss of a cell counts as one label's, as the decay does.

    Args:
        kind: none, consistent, regularised or contrast.
        parents: (child, parent) of the labels.
    """

    def loss(
        head: Any, x: Any, y: Any, mask: Any, decay: Any, weight: Any, key: Any
    ) -> Any:
        vectors, bias = head
        own = binary_cross_entropy
        if kind == "consistent":
            own = partial(hierarchy_loss, parents=parents)
        total, cells = own(x @ vectors.T + bias, y, example_mask=mask)
        found = total / jnp.maximum(cells, 1) + decay * jnp.sum(vectors**2)
        if kind == "regularised":
            found += weight * recursive_regularisation(vectors, parents) / y.shape[1]
        if kind == "contrast":
            found += weight * hierarchy_contrast(vectors, parents, key) / y.shape[1]
        return found

    return loss


def first_head(targets: Float[np.ndarray, "M N"], features: int) -> Any:
    """Return vectors of zeros, and the log-odds of every label as its bias."""
    prior = np.clip(targets.mean(0), 1e-4, 1 - 1e-4)
    bias = np.log(prior) - np.log1p(-prior)
    size = targets.shape[1], features
    return np.zeros(size, np.float32), bias.astype(np.float32)


def hierarchy_scores(
    vectors: Float[np.ndarray, "M D"],
    targets: Float[np.ndarray, "M N"],
    fold: Int[np.ndarray, " M"],
    *,
    kind: str,
    parents: Int[np.ndarray, "E 2"],
    weight: float = 0.0,
    steps: int = 100,
) -> Float[np.ndarray, "M N"]:
    """Return the logits of every document by a head that was fitted on other folds.

    Args:
        vectors, targets: of the documents.
        fold: of each document, from 0.
        kind, parents: see `head_loss`.
        weight: of what is added to the loss.
        steps: of Adam, with all documents at a time.
    """
    loss, optimizer = head_loss(kind, parents), optax.adam(RATE)
    x, y = jnp.asarray(vectors), jnp.asarray(targets)

    @jax.jit
    def fitted(mask: Array) -> Any:
        start = jax.tree.map(jnp.asarray, first_head(targets, vectors.shape[1]))

        def step(state: Any, key: Array) -> tuple[Any, None]:
            head, moments = state
            slope = jax.grad(loss)(head, x, y, mask, DECAY, weight, key)
            updates, moments = optimizer.update(slope, moments)
            return (optax.apply_updates(head, updates), moments), None

        keys = jax.random.split(jax.random.key(0), steps)
        head, _ = jax.lax.scan(step, (start, optimizer.init(start)), keys)[0]
        return x @ head[0].T + head[1]

    scores = np.zeros(targets.shape, np.float32)
    for held in np.unique(fold):
        scores[fold == held] = np.asarray(fitted(fold != held))[fold == held]
    return scores
