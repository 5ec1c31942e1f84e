"""Objectives: a model and a loss joined into one function of the parameters."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
from jaxtyping import Array, Float

Params = Any
Batch = Mapping[str, Any]
LossSum = tuple[Float[Array, ""], Float[Array, ""]]
LossFn = Callable[[Params, Batch, jax.Array], LossSum]


class ApplyFn(Protocol):
    """Logits of one batch: `apply_fn(params, batch, *, key, train)` -> `[B, N]`."""

    def __call__(
        self, params: Params, batch: Batch, *, key: jax.Array | None, train: bool
    ) -> Float[Array, "B N"]: ...


def multi_label_objective(
    apply_fn: ApplyFn, loss: Callable[..., LossSum], **options: Any
) -> LossFn:
    """Join a model and a multi-label loss into `loss_fn(params, batch, key)`.

    Args:
      apply_fn: `apply_fn(params, batch, *, key, train)` -> logits `[B, N]`.
      loss: `loss(logits, targets, *, target_mask, example_mask, **options)` ->
        `(loss_sum, weight_sum)`, for example
        `labelgraph_jax.functional.binary_cross_entropy`.
      **options: handed to `loss` at every call.

    Returns:
      A function of the parameters, a batch with `targets` `[B, N]` (and, where they
      exist, `target_mask` `[B, N]` and `example_mask` `[B]`) and the dropout key,
      giving the loss as `(loss_sum, weight_sum)`, both float32 scalars.
    """

    def loss_fn(params: Params, batch: Batch, key: jax.Array) -> LossSum:
        logits = apply_fn(params, batch, key=key, train=True)
        return loss(
            logits,
            batch["targets"],
            target_mask=batch.get("target_mask"),
            example_mask=batch.get("example_mask"),
            **options,
        )

    return loss_fn
