"""Documents of earlier steps and of other devices, beside those of a batch.

A loss that compares documents with each other has few pairs where batches are small: a
queue of the last documents joins them. It lies beside the optimizer's state, so that a
checkpoint holds it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.losses.elementwise import LossSum
from labelgraph_jax.functional.trees import Batch, Params, Tree
from labelgraph_jax.training.objectives import LossFn


class Partners(NamedTuple):
    """Documents that others are compared with.

    Attributes:
        vectors: of the documents.
        targets: their labels.
        real: False where there is none: padding, or a queue that is not full yet.
    """

    vectors: Float[Array, "K D"]
    targets: Bool[Array, "K N"]
    real: Bool[Array, " K"]


class OtherKeys(TypedDict, total=False):
    """Further documents that `functional.overlap_contrast` compares with."""

    keys: Float[Array, "K D"]
    key_targets: Bool[Array, "K N"]
    key_mask: Bool[Array, " K"]


class Queued(NamedTuple):
    """The state of an optimizer `with_queue`.

    Attributes:
        inner: of the optimizer itself.
        queue: the last documents, newest first.
    """

    inner: optax.OptState
    queue: Partners


@dataclass(frozen=True)
class PartnersObjective:
    """A loss that compares the documents of a batch, and may be given others.

    As a `LossFn` it is the loss of a batch alone.

    Attributes:
        losses: `losses(params, batch, key, queue, axis_name)` -> loss sum, weight sum
            and the documents of the batch; it compares with those of the queue, where
            there is one, and of the other devices of an axis.
        size: room of the queue; 0 for none.
        shape: of the vectors and of the labels of a document, D and N, by parameters.
    """

    losses: Callable[..., tuple[LossSum, Partners]]
    size: int
    shape: Callable[[Params], tuple[int, int]]

    def __call__(self, params: Params, batch: Batch, key: jax.Array) -> LossSum:
        """Return the loss of a batch whose documents are compared among themselves."""
        return self.losses(params, batch, key, None, None)[0]

    def nobody(self, params: Params) -> Partners:
        """Return a queue that nobody stands in."""
        features, labels = self.shape(params)
        return Partners(
            jnp.zeros((self.size, features)),
            jnp.zeros((self.size, labels), bool),
            jnp.zeros(self.size, bool),
        )


def with_queue(
    optimizer: optax.GradientTransformation, objective: LossFn
) -> optax.GradientTransformation:
    """Return the same optimizer, whose state also holds the queue of an objective.

    Args:
        optimizer: as it is.
        objective: any; one that has no queue leaves the optimizer alone.
    """
    if not isinstance(objective, PartnersObjective) or not objective.size:
        return optimizer

    def init(params: Params) -> Queued:
        return Queued(optimizer.init(params), objective.nobody(params))

    def update(
        updates: optax.Updates, state: Queued, params: Params = None
    ) -> tuple[optax.Updates, Queued]:
        updates, inner = optimizer.update(updates, state.inner, params)
        return updates, state._replace(inner=inner)

    return optax.GradientTransformation(init, update)


def queue_of(opt_state: optax.OptState) -> Partners | None:
    """Return the queue in an optimizer's state, however deep, where it has one."""
    if isinstance(opt_state, Queued):
        return opt_state.queue
    return queue_of(opt_state.inner) if hasattr(opt_state, "inner") else None


def joined(opt_state: optax.OptState, newest: Partners | None) -> optax.OptState:
    """The state of an optimizer with the documents of a batch at the head of its queue.

    Args:
        opt_state: as it is where it has no queue.
        newest: documents of the whole batch; the oldest ones of the queue make room.
    """
    if newest is None or queue_of(opt_state) is None:
        return opt_state
    if not isinstance(opt_state, Queued):
        return opt_state._replace(inner=joined(opt_state.inner, newest))

    def moved(new: Array, old: Array) -> Array:
        return jnp.concatenate([new, old])[: len(old)]

    return opt_state._replace(queue=jax.tree.map(moved, newest, opt_state.queue))


def all_partners(
    own: Partners, queue: Partners | None, axis_name: str | None
) -> OtherKeys:
    """Return further `keys` of `functional.overlap_contrast`, their targets and mask.

    A gradient reaches documents of other devices, and none those of the queue.

    Args:
        own: the documents of this device's part of a batch.
        queue: documents of earlier steps.
        axis_name: of the devices that share the batch, under pmap.
    """
    found = [] if queue is None else [jax.lax.stop_gradient(queue)]
    if axis_name is not None:
        every = gathered(own, axis_name)
        device = jnp.arange(len(every.real)) // len(own.real)
        others = device != jax.lax.axis_index(axis_name)
        found.append(every._replace(real=every.real & others))
    if not found:
        return {}
    keys = jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)
    return {"keys": keys[0], "key_targets": keys[1], "key_mask": keys[2]}


def gathered(own: Tree, axis_name: str | None) -> Tree:
    """Rows of all devices of an axis, in the order of the batch."""
    if axis_name is None:
        return own
    return jax.tree.map(
        lambda leaf: jax.lax.all_gather(leaf, axis_name, tiled=True), own
    )
