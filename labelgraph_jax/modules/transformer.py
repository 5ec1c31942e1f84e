"""A BERT-family encoder: token ids in, one vector per token out."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.text import transformer as F  # noqa: N812
from labelgraph_jax.modules.parameters import Dense, Norm, Table
from labelgraph_jax.modules.seams import at_token_seam, is_watched


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


INITIAL = nn.initializers.normal(0.02)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward layer, each with residual and layer norm."""

    shape: TransformerShape

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B S D"],
        token_mask: Bool[Array, "B S"],
        deterministic: bool = True,
    ) -> Float[Array, "B S D"]:
        shape, size = self.shape, self.shape.features
        width = shape.hidden_features
        keys: Any = [None] * 3
        if not deterministic:
            keys = jax.random.split(self.make_rng("dropout"), 3)
        attended = F.self_attention(
            x,
            token_mask,
            *Dense((size,), 3 * size, INITIAL, name="query_key_value")(),
            *Dense((size,), size, INITIAL, name="attention_output")(),
            heads=shape.heads,
            dropout_rate=shape.attention_dropout_rate,
            key=keys[0],
        )
        x = F.layer_norm(
            x + F.dropout(attended, shape.dropout_rate, keys[1]),
            *Norm(size, name="attention_norm")(),
            epsilon=shape.layer_norm_epsilon,
        )
        hidden = F.feed_forward(
            x,
            *Dense((size,), width, INITIAL, name="feed_forward_input")(),
            *Dense((width,), size, INITIAL, name="feed_forward_output")(),
            activation=shape.activation,
        )
        return F.layer_norm(
            x + F.dropout(hidden, shape.dropout_rate, keys[2]),
            *Norm(size, name="output_norm")(),
            epsilon=shape.layer_norm_epsilon,
        )


class Transformer(nn.Module):
    """A post-norm BERT encoder over one segment of text.

    Attributes:
        shape: sizes, dropout rates, activation.
        dtype: of the products; layer norms and the softmax are in float32 always,
            and so are the parameters.
        chunk_tokens: where nothing is dropped out, run about this many tokens at a
            time (0: all at once). On a CPU 1,024 keeps a layer in the cache and
            doubles the speed of a batch of 32 x 256; not for a sharded batch.
        first_layer: layers below it are not built: the call is given their output.
        rematerialise: keep only what goes into each layer for the gradient and compute
            the rest again: every layer twice, for memory that grows with one layer's
            activations and not with all of them (Chen et al., 2016, sublinear memory).

    Reference: Devlin et al., NAACL 2019. The vector of segment 0 is part of the
    position table: one text has one segment, so BERT always adds the same two rows.
    """

    shape: TransformerShape
    dtype: Dtype = jnp.float32
    chunk_tokens: int = 0
    first_layer: int = 0
    rematerialise: bool = False

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "B S"] | Float[Array, "B S D"],
        token_mask: Bool[Array, "B S"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B S D"]:
        """One float32 vector for each token; those of padding mean nothing.

        Args:
            tokens: ids; or with a `first_layer`, the vectors that the layers below it
                gave.
            token_mask: true where there is a token.
            deterministic: false drops units out and needs an rng named `dropout`.

        Raises:
            ValueError: sequences longer than the encoder's positions.
        """
        shape = self.shape
        tokens, token_mask = jnp.asarray(tokens), jnp.asarray(token_mask)
        in_chunks = deterministic and not is_watched(self)
        if self.chunk_tokens and in_chunks and not self.is_initializing():
            batch, length = token_mask.shape
            rows = _chunk_rows(batch, length, self.chunk_tokens)
            if rows < batch:
                return self._in_chunks(tokens, token_mask, rows)
        if self.first_layer:
            x = tokens.astype(self.dtype)
        else:
            x = self._embed(tokens, deterministic)
        layer_class: Any = TransformerLayer
        if self.rematerialise and not deterministic:
            layer_class = nn.remat(TransformerLayer, static_argnums=(3,))
        for layer in range(self.first_layer, shape.layers):
            x = layer_class(shape, name=f"layer_{layer}")(x, token_mask, deterministic)
        return x.astype(jnp.float32)

    def _embed(self, token_ids: Array, deterministic: bool) -> Array:
        shape = self.shape
        rows = shape.max_positions + shape.position_offset
        table = Table(shape.vocabulary_size, shape.features, 0.02, name="token")()
        x = F.add_positions(
            at_token_seam(self, table[token_ids]),
            Table(rows, shape.features, 0.02, name="position")(),
            position_offset=shape.position_offset,
        ).astype(self.dtype)
        x = F.layer_norm(
            x,
            *Norm(shape.features, name="embedding_norm")(),
            epsilon=shape.layer_norm_epsilon,
        )
        if not deterministic:
            x = F.dropout(x, shape.dropout_rate, self.make_rng("dropout"))
        return x

    def _in_chunks(self, tokens: Array, token_mask: Array, rows: int) -> Array:
        batch = len(tokens)
        whole = self.clone(parent=None, name=None, chunk_tokens=0)
        params = {"params": self.variables["params"]}
        chunks = tuple(
            jnp.pad(x, [(0, -batch % rows)] + [(0, 0)] * (x.ndim - 1)).reshape(
                -1, rows, *x.shape[1:]
            )
            for x in (tokens, token_mask)
        )
        vectors = jax.lax.map(lambda chunk: whole.apply(params, *chunk), chunks)
        return vectors.reshape(-1, *vectors.shape[2:])[:batch]


def _chunk_rows(batch: int, length: int, tokens: int) -> int:
    """Choose the rows to run at a time: about `tokens`, with few rows of padding."""
    most = max(1, min(batch, tokens // length))
    candidates = range(most, most // 2, -1)
    return min(candidates, key=lambda rows: -batch % rows)
