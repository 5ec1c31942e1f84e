"""Rows of a table -> outputs of several tasks."""

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
    """

    encoder: TableEncoder
    network: MultiTaskNetwork
    learn_weights: bool = False

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
        return outputs
