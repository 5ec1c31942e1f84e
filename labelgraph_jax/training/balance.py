"""Several tasks whose gradients are joined by a rule, not summed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import KeyPath
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from labelgraph_jax.functional.losses.elementwise import LossSum
from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE
from labelgraph_jax.functional.mixture.balance import (
    balanced_weights,
    gradient_norm_loss,
    gradient_products,
    project_conflicts,
)
from labelgraph_jax.functional.trees import Batch, Params

OWN_PARTS = ("towers", "wide", "label_graph", "label_bias", LOG_VARIANCE)
"""Parts of paths of parameters that are one task's alone."""


@dataclass(frozen=True)
class BalancedObjective:
    """A loss of several tasks whose gradients are joined by a rule, not summed.

    As a `LossFn` it is the plain sum of the tasks' losses, which is what is reported.

    Attributes:
        losses: `losses(params, batch, key)` -> the tasks' loss sums `[T]`, those of the
            constant prediction on the same rows `[T]`, and the weight of the rows.
        kind: `project` (`functional.project_conflicts`) or `gradnorm`
            (`functional.gradient_norm_loss`, whose weights are the parameter
            `LOG_VARIANCE`).
    """

    losses: Callable[[Params, Batch, jax.Array], tuple[Array, Array, Array]]
    kind: str

    def __call__(self, params: Params, batch: Batch, key: jax.Array) -> LossSum:
        """Return the sum of the tasks' losses and their weight sum."""
        loss_sums, _, weight_sum = self.losses(params, batch, key)
        return loss_sums.sum(), weight_sum

    def join(
        self,
        gradients: Params,
        losses: Float[Array, " T"],
        first_losses: Float[Array, " T"],
        params: Params,
        key: jax.Array,
    ) -> Params:
        """The gradient of a step.

        Args:
            gradients: of every task's loss over the global batch, leaves `[T, ...]`.
            losses: of the tasks.
            first_losses: those of the constant prediction.
            params: of the model.
            key: the same on all devices.
        """

        def is_own(path: KeyPath) -> bool:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            return any(part in name for part in OWN_PARTS)

        leaves = jax.tree_util.tree_leaves_with_path(gradients)
        products = gradient_products([x for path, x in leaves if not is_own(path)])
        count = len(losses)

        def summed(weights: Array, leaf: Array) -> Array:
            total = jnp.tensordot(weights, leaf.astype(jnp.float32), 1)
            return total.astype(leaf.dtype)

        if self.kind == "project":
            weights = project_conflicts(products, key=key)
            return jax.tree_util.tree_map_with_path(
                lambda path, leaf: summed(
                    jnp.ones(count) if is_own(path) else weights, leaf
                ),
                gradients,
            )
        variance = params[LOG_VARIANCE]
        norms = jnp.sqrt(jnp.maximum(jnp.diagonal(products), 0.0))
        slope = jax.grad(gradient_norm_loss)(-variance, norms, losses, first_losses)
        weights = balanced_weights(-variance)
        joined = jax.tree.map(partial(summed, weights), gradients)
        return {**joined, LOG_VARIANCE: -slope.astype(variance.dtype)}


def balanced_objective(
    weighed: Callable[..., LossSum],
    apply_fn: Callable[..., Array],
    task_weights: Array,
    kind: str,
    constant: Float[ArrayLike, " O"],
) -> BalancedObjective:
    """Make an objective whose tasks are balanced by their gradients.

    Args:
        weighed: `weighed(outputs, params, batch, task_weights)` -> the loss of all
            tasks.
        apply_fn: an `objectives.ApplyFn`.
        task_weights: of the tasks, `[T]`.
        kind: see `BalancedObjective`.
        constant: outputs of a constant prediction.
    """

    def losses(
        params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Array, Array, Array]:
        outputs = apply_fn(params, batch, key=key, train=True)

        def each(outputs: Array) -> LossSum:
            def alone(weights: Array) -> LossSum:
                return weighed(outputs, params, batch, weights)

            return jax.vmap(alone, out_axes=(0, None))(jnp.diag(task_weights))

        # What a constant loses on the same rows: whose targets are missing, whose
        # weights are large, is then the same in both.
        first, _ = each(jnp.broadcast_to(jnp.asarray(constant), outputs.shape))
        loss_sums, weight_sum = each(outputs)
        return loss_sums, jax.lax.stop_gradient(first), weight_sum

    return BalancedObjective(losses, kind)
