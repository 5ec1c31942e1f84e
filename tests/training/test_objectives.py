"""A model and a loss make one objective."""

from typing import Any

import jax
import numpy as np

from labelgraph_jax.training.objectives import multi_label_objective

from .conftest import Batches, apply_without_dropout, initial_params


def test_masks_and_options_reach_the_loss() -> None:
    seen: dict[str, Any] = {}

    def loss(logits: jax.Array, targets: jax.Array, **options: Any) -> Any:
        seen.update(options, logits=logits, targets=targets)
        return logits.sum(), targets.sum()

    batch = next(Batches())
    loss_fn = multi_label_objective(apply_without_dropout, loss, label_smoothing=0.1)
    loss_sum, weight_sum = loss_fn(initial_params(), batch, jax.random.key(0))
    assert seen["label_smoothing"] == 0.1
    assert seen["target_mask"] is None
    np.testing.assert_array_equal(seen["example_mask"], batch["example_mask"])
    assert (loss_sum, weight_sum) == (seen["logits"].sum(), batch["targets"].sum())
