"""Tokens to tokens, or to one vector, by block self-attention in both directions."""

from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.text.block_attention import (
    BlockWeights,
    attention_pooling,
    block_self_attention,
)
from labelgraph_jax.functional.text.transformer import dense
from labelgraph_jax.modules.parameters import Dense, Kernel


class BlockAttention(nn.Module):
    """Bi-BloSAN: a dense layer and block self-attention in each direction, pooled.

    Attributes:
        units: of each direction.
        token_level: give every token's vector, for a head that pools.
    """

    units: int
    token_level: bool = False

    @nn.compact
    def __call__(
        self, vectors: Float[Array, "B S D"], mask: Bool[Array, "B S"]
    ) -> Float[Array, "B *S U"]:
        """Both directions side by side, float32; zeros where there is no token.

        Args:
            vectors: of the tokens.
            mask: true where there is a token.
        """
        both = []
        for direction in ("forward", "backward"):
            layer = Dense((vectors.shape[-1],), self.units, name=f"{direction}_input")
            x = nn.relu(dense(vectors, *layer()))
            weights = self._direction(direction)
            reverse = direction == "backward"
            both.append(block_self_attention(x, mask, weights, reverse=reverse))
        tokens = jnp.concatenate(both, axis=-1)
        if self.token_level:
            return tokens
        return attention_pooling(tokens, mask, *self._square(2 * self.units, "pooling"))

    def _direction(self, name: str) -> BlockWeights:
        units, inner = self.units, f"{name}_pooling"
        return BlockWeights(
            self._scores(f"{name}_near"),
            self._square(units, inner),
            self._scores(f"{name}_far"),
            Dense((2 * units,), units, name=f"{name}_gate")(),
            Dense((3 * units,), 2 * units, name=f"{name}_fusion")(),
        )

    def _scores(self, name: str) -> tuple[Array, Array, Array]:
        units, initial = self.units, nn.initializers.glorot_uniform()
        receiver, _ = Kernel(units, units, initial, name=f"{name}_receiver")()
        return receiver, *Dense((units,), units, name=f"{name}_sender")()

    def _square(self, units: int, name: str) -> tuple[Array, Array, Array, Array]:
        hidden = Dense((units,), units, name=f"{name}_hidden")()
        return *hidden, *Dense((units,), units, name=f"{name}_score")()
