"""Losses of documents without labels, to be added to that of the labelled ones.

Each is the mean over the cells (document, label) of a batch. What is left out counts
in, places that only fill up too: few sure cells weigh little beside the labelled
documents, and a device's mean is its part of the whole batch's.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from labelgraph_jax.data.batches.unlabelled import (
    PROGRESS,
    UNLABELLED,
    unlabelled_part,
)
from labelgraph_jax.functional.few_labels.virtual_adversarial import (
    bernoulli_divergence,
    virtual_adversarial_direction,
)
from labelgraph_jax.functional.trees import Leaf
from labelgraph_jax.training.objectives import ApplyFn, Batch, Params

ExtraFn = Callable[[Params, Batch, jax.Array], Float[Array, ""]]

SURE_NEGATIVE, SURE_POSITIVE = 0.05, 0.8
"""Probabilities from which on the average of the parameters is learned from."""
RAMP = 0.3
"""Share of the steps after which what the model itself says counts fully."""
RADIUS = 0.02
"""Of a moved text's vectors, as a share of their length."""


def pseudo_label_loss(apply_fn: ApplyFn) -> ExtraFn:
    """Return the loss against targets that documents are thought to have.

        sum_un w_un (log(1 + exp z_un) - y_un z_un) / (U N)

    Args:
        apply_fn: the model; its dropout is the strong view of a document.

    Returns:
        `extra(params, batch, key)`. The unlabelled documents of the batch have targets
        y `[U, N]` and weights w `[U, N]`, `target_weight`.
    """

    def extra(params: Params, batch: Batch, key: jax.Array) -> Float[Array, ""]:
        rows = unlabelled_part(batch)
        logits = apply_fn(params, rows, key=key, train=True).astype(jnp.float32)
        cells = jax.nn.softplus(logits) - rows["targets"] * logits
        return _mean(jnp.sum(rows["target_weight"] * cells, axis=-1), rows, logits)

    return extra


def teacher_targets(
    apply_fn: ApplyFn, learned: Bool[np.ndarray, " N"]
) -> Callable[[Params, Batch], dict[str, Leaf]]:
    """Return what puts the probabilities of other parameters into a batch, as targets.

    They are read without dropout, the weak view, and count where they are sure on
    either side: at most 0.05 or at least 0.8; less at the beginning of the run, by
    exp(-5 (1 - min(t / 0.3, 1))^2) of its progress t.

    Args:
        apply_fn: the model.
        learned: labels that labelled documents carry; of others nothing is learned.
    """

    def put(teacher: Params, batch: Batch) -> dict[str, Leaf]:
        rows = unlabelled_part(batch)
        logits = apply_fn(teacher, rows, key=None, train=False)
        said = jax.lax.stop_gradient(jax.nn.sigmoid(logits.astype(jnp.float32)))
        sure = (said <= SURE_NEGATIVE) | (said >= SURE_POSITIVE)
        shape = (*jnp.shape(batch[f"{UNLABELLED}example_mask"]), said.shape[-1])
        weight = (sure & jnp.asarray(learned)).astype(jnp.float32).reshape(shape)
        weight = weight * ramp(jnp.asarray(batch[PROGRESS]))[:, None, None]
        return {
            **batch,
            f"{UNLABELLED}targets": said.reshape(shape),
            f"{UNLABELLED}target_weight": weight,
        }

    return put


def ramp(progress: Float[Array, " B"]) -> Float[Array, " B"]:
    """Return exp(-5 (1 - min(t / 0.3, 1))^2) of the progress t of a run."""
    return jnp.exp(-5.0 * jnp.square(1.0 - jnp.minimum(progress / RAMP, 1.0)))


def adversarial_loss(
    apply_fn: ApplyFn,
    looked_up: Callable[[Params, Batch], Array],
    input_name: str,
    learned: Bool[np.ndarray, " N"],
) -> ExtraFn:
    """Return how far labels change when a document is moved where they change most.

    Dropout is the same before and after, or it would be measured in their place.

    Args:
        apply_fn: the model.
        looked_up: the token vectors `[U, ..., S, D]` of token ids.
        input_name: under which the model reads vectors in their place.
        learned: labels that count.
    """

    def extra(params: Params, batch: Batch, key: jax.Array) -> Float[Array, ""]:
        rows, name = unlabelled_part(batch), "token_vectors"
        if name not in rows:
            rows, name = {**rows, input_name: looked_up(params, rows)}, input_name
        vectors = jnp.asarray(rows[name] * rows["token_mask"][..., None])
        counted = jnp.asarray(learned)

        def logits(inputs: Array) -> Array:
            found = apply_fn(params, {**rows, name: inputs}, key=key, train=True)
            return jnp.where(counted, found.astype(jnp.float32), 0.0)

        direction = jax.random.fold_in(key, 1)
        change = virtual_adversarial_direction(
            logits, vectors, direction, radius=RADIUS
        )
        before = jax.lax.stop_gradient(logits(vectors))
        moved = bernoulli_divergence(before, logits(vectors + change))
        return _mean(moved * ramp(jnp.asarray(batch[PROGRESS]))[0], rows, before)

    return extra


def _mean(of_rows: Array, rows: Batch, logits: Array) -> Float[Array, ""]:
    real = rows["example_mask"].astype(jnp.float32)
    return jnp.sum(of_rows * real) / logits.size
