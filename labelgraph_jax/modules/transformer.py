"""A BERT-family encoder: token ids in, one vector per token out."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional import transformer as F  # noqa: N812


@dataclass(frozen=True)
class TransformerShape:
    """The sizes of an encoder and the settings its weights were trained with.

    Attributes:
        max_positions: the longest sequence, special tokens included.
        position_offset: rows of the position table before the first token's.
    """

    vocabulary_size: int
    features: int = 384
    layers: int = 6
    heads: int = 12
    hidden_features: int = 1536
    max_positions: int = 512
    position_offset: int = 0
    layer_norm_epsilon: float = 1e-12
    activation: str = "gelu"
    dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.1

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "features", "heads", "hidden_features"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        if self.features % self.heads:
            raise ValueError(
                f"features must be a multiple of heads, got {self.features} features "
                f"and {self.heads} heads"
            )
        if self.activation not in F.ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(F.ACTIVATIONS)}, "
                f"got {self.activation!r}"
            )


class _Dense(nn.Module):
    """Owns the kernel and bias of one dense layer."""

    inputs: int
    outputs: int

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        initial = nn.initializers.normal(0.02)
        kernel = self.param("kernel", initial, (self.inputs, self.outputs))
        return kernel, self.param("bias", nn.initializers.zeros, (self.outputs,))


class _Norm(nn.Module):
    """Owns the scale and bias of one layer normalisation."""

    features: int

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        scale = self.param("scale", nn.initializers.ones, (self.features,))
        return scale, self.param("bias", nn.initializers.zeros, (self.features,))


class _Table(nn.Module):
    """Owns one embedding table."""

    rows: int
    features: int

    @nn.compact
    def __call__(self) -> Array:
        initial = nn.initializers.normal(0.02)
        return self.param("embedding", initial, (self.rows, self.features))


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward layer, each with residual and layer norm."""

    shape: TransformerShape

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B S D"],
        token_mask: Bool[Array, "B S"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B S D"]:
        shape, size = self.shape, self.shape.features
        keys: Any = [None] * 3
        if not deterministic:
            keys = jax.random.split(self.make_rng("dropout"), 3)
        attended = F.self_attention(
            x,
            token_mask,
            *_Dense(size, 3 * size, name="query_key_value")(),
            *_Dense(size, size, name="attention_output")(),
            heads=shape.heads,
            dropout_rate=shape.attention_dropout_rate,
            key=keys[0],
        )
        x = F.layer_norm(
            x + F.dropout(attended, shape.dropout_rate, keys[1]),
            *_Norm(size, name="attention_norm")(),
            epsilon=shape.layer_norm_epsilon,
        )
        hidden = F.feed_forward(
            x,
            *_Dense(size, shape.hidden_features, name="feed_forward_input")(),
            *_Dense(shape.hidden_features, size, name="feed_forward_output")(),
            activation=shape.activation,
        )
        return F.layer_norm(
            x + F.dropout(hidden, shape.dropout_rate, keys[2]),
            *_Norm(size, name="output_norm")(),
            epsilon=shape.layer_norm_epsilon,
        )


class Transformer(nn.Module):
    """A post-norm BERT encoder over one segment of text.

    Attributes:
        shape: sizes, dropout rates, activation.
        dtype: of the products; layer norms and the softmax are in float32 always,
            and so are the parameters.

    Reference: Devlin et al., NAACL 2019. The vector of segment 0 is part of the
    position table: one text has one segment, so BERT always adds the same two rows.
    """

    shape: TransformerShape
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        token_ids: Int[Array, "B S"],
        token_mask: Bool[Array, "B S"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B S D"]:
        """One float32 vector for each token; those of padding mean nothing.

        Args:
            deterministic: false drops units out and needs an rng named `dropout`.

        Raises:
            ValueError: sequences longer than the encoder's positions.
        """
        shape = self.shape
        rows = shape.max_positions + shape.position_offset
        x = F.embed_tokens(
            token_ids,
            _Table(shape.vocabulary_size, shape.features, name="token")(),
            _Table(rows, shape.features, name="position")(),
            position_offset=shape.position_offset,
        ).astype(self.dtype)
        x = F.layer_norm(
            x,
            *_Norm(shape.features, name="embedding_norm")(),
            epsilon=shape.layer_norm_epsilon,
        )
        if not deterministic:
            x = F.dropout(x, shape.dropout_rate, self.make_rng("dropout"))
        for layer in range(shape.layers):
            x = TransformerLayer(shape, name=f"layer_{layer}")(
                x, token_mask, deterministic=deterministic
            )
        return x.astype(jnp.float32)
