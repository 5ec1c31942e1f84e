"""Linear heads on document vectors that learn under a taxonomy of their labels."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from scipy.sparse import csr_array

from labelgraph_jax.data.labels.taxonomy import hierarchy_edges
from labelgraph_jax.functional.graph.convolution import gated_convolution
from labelgraph_jax.functional.graph.edges import Edges
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
GatedHead = tuple[Array, Array, Array, Array]
"""Vectors and biases of labels, kernel and bias of the gates."""


def head_loss(kind: str, parents: Int[np.ndarray, "E 2"]) -> Callable[..., Array]:
    """Return `loss(head, x, y, mask, decay, weight, key, edges=None)` of a head.

    What is added to the loss of a cell counts as one label's, as the decay does.

    Args:
        kind: none, consistent, regularised, contrast or graph; the last with `edges`.
        parents: (child, parent) of the labels.
    """

    def loss(
        head: GatedHead,
        x: Array,
        y: Array,
        mask: Array,
        decay: float,
        weight: float,
        key: Array,
        edges: Edges | None = None,
    ) -> Array:
        vectors, bias = label_vectors(head, edges), head[1]
        own = binary_cross_entropy
        if kind == "consistent":
            own = partial(hierarchy_loss, parents=parents)
        total, cells = own(x @ vectors.T + bias, y, example_mask=mask)
        found = total / jnp.maximum(cells, 1) + decay * jnp.sum(head[0] ** 2)
        if kind == "regularised":
            found += weight * recursive_regularisation(vectors, parents) / y.shape[1]
        if kind == "contrast":
            found += weight * hierarchy_contrast(vectors, parents, key) / y.shape[1]
        return found

    return loss


def label_vectors(head: GatedHead, edges: Edges | None) -> Array:
    """Return the vector of every label: its own and, with edges, what it receives.

        w = v + A' G v,   G = diag(sigmoid(v g + b))

    as `functional.gated_convolution` without a kernel: relatives share what they learn.

    Args:
        head: v, the biases of the logits, and g and b of the gates.
        edges: of the labels, see `hierarchy_edges`; None for v alone.
    """
    vectors = head[0]
    if edges is None:
        return vectors
    kernel = jnp.eye(vectors.shape[1])
    return vectors + gated_convolution(vectors, kernel, edges, *head[2:])


def first_head(targets: Float[np.ndarray, "M N"], features: int) -> GatedHead:
    """Return vectors and gates of zeros, and as biases the log-odds of the labels."""
    prior = np.clip(targets.mean(0), 1e-4, 1 - 1e-4)
    bias = np.log(prior) - np.log1p(-prior)
    size = targets.shape[1], features
    gates = np.zeros(features, np.float32), np.zeros(len(bias), np.float32)
    head = np.zeros(size, np.float32), bias.astype(np.float32), *gates
    return head  # type: ignore[return-value]


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
        vectors: of the documents.
        targets: of the documents.
        fold: of each document, from 0.
        kind: see `head_loss`.
        parents: see `head_loss`.
        weight: of what is added to the loss.
        steps: of Adam, with all documents at a time.
    """
    loss, optimizer = head_loss(kind, parents), optax.adam(RATE)
    x, y = jnp.asarray(vectors), jnp.asarray(targets)

    @jax.jit
    def fitted(mask: Array, start: GatedHead, edges: Edges | None) -> Array:
        def step(
            state: tuple[GatedHead, optax.OptState], key: Array
        ) -> tuple[tuple[GatedHead, optax.OptState], None]:
            head, moments = state
            slope = jax.grad(loss)(head, x, y, mask, DECAY, weight, key, edges)
            updates, moments = optimizer.update(slope, moments)
            return (optax.apply_updates(head, updates), moments), None

        keys = jax.random.split(jax.random.key(0), steps)
        head, _ = jax.lax.scan(step, (start, optimizer.init(start)), keys)[0]
        return x @ label_vectors(head, edges).T + head[1]

    scores = np.zeros(targets.shape, np.float32)
    for held in np.unique(fold):
        learned, edges = fold != held, None
        if kind == "graph":
            edges = hierarchy_edges(parents, csr_array(targets[learned]))
        start = first_head(targets[learned], vectors.shape[1])
        scores[~learned] = np.asarray(fitted(learned, start, edges))[~learned]
    return scores
