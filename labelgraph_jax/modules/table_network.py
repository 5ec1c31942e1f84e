"""Rows of a table -> outputs of several tasks."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from labelgraph_jax.modules.magnet import LOG_VARIANCE
from labelgraph_jax.modules.mixture import MultiTaskNetwork
from labelgraph_jax.modules.table_encoder import TableEncoder


class TableNetwork(nn.Module):
    """An encoder of categories and numbers, a mixture, and a tower per task.

    Attributes:
        encoder: categories and numbers -> one vector per row.
        network: that vector -> outputs of all tasks.
        learn_weights: own a log-variance per task, which the loss weighs it by.
        wide: add to the outputs a linear model of every category and number, which
            starts at zero and is shared with nobody: what a rare category says of one
            task need not pass through the experts.

    Reference: Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016;
    ours has no crossed columns, and one optimiser for both parts.
    """

    encoder: TableEncoder
    network: MultiTaskNetwork
    learn_weights: bool = False
    wide: bool = False

    @nn.compact
    def __call__(
        self,
        categories: Int[Array, "B C"],
        numbers: Float[Array, "B Q"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B O"]:
        """Logits, or standardised values, of all tasks side by side."""
        if self.learn_weights:
            zeros = nn.initializers.zeros
            self.param(LOG_VARIANCE, zeros, (len(self.network.tasks),))
        vectors = self.encoder(categories, numbers)
        outputs: Array = self.network(vectors, deterministic=deterministic)
        if not self.wide:
            return outputs
        sizes = self.encoder.cardinalities
        count = outputs.shape[-1]
        if sizes:
            offsets = np.cumsum([0, *sizes[:-1]])
            weights = self.param(
                "wide_categories", nn.initializers.zeros, (sum(sizes), count)
            )
            outputs = outputs + jnp.take(weights, categories + offsets, axis=0).sum(1)
        kernel = self.param(
            "wide_numbers", nn.initializers.zeros, (numbers.shape[-1], count)
        )
        return outputs + numbers @ kernel
