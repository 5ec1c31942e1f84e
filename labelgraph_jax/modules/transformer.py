"""A published text encoder: token ids in, one vector per token out."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.text import transformer as F  # noqa: N812
from labelgraph_jax.modules.parameters import Dense, Kernel, Norm, Table
from labelgraph_jax.modules.seams import at_token_seam, is_watched


@dataclass(frozen=True)
class TransformerShape:
    """The sizes of an encoder and the settings its weights were trained with.

    Attributes:
        max_positions: the longest sequence, special tokens included.
        position_offset: rows of the position table before the first token's.
        embedding_features: width of the tables, which a dense layer brings to
            `features` (ELECTRA); 0: they have it.
        position_buckets: rows of a table of what each head adds to the score of two
            tokens for their distance, shared by all layers (MPNet); 0: none.
        rotary_bases: of every layer, by which its queries and keys are turned. With
            them the encoder is ModernBERT's: no table of positions and no bias, the
            norm before each half of a layer, gated feed-forward layers, a norm at the
            end.
        windows: of every layer, how far away a token is that it still receives from; 0:
            it receives from all.
        final_norm: of such an encoder; false where its last layers are cut off.
        pooling: how its authors make one vector of a text: mean, max or cls; "" where
            they do not say or are not asked.
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
    embedding_features: int = 0
    position_buckets: int = 0
    rotary_bases: tuple[float, ...] = ()
    windows: tuple[int, ...] = ()
    final_norm: bool = True
    pooling: str = ""

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
        if self.rotary_bases and self.features // self.heads % 2:
            raise ValueError(
                "rotary positions need an even number of features in a head, got "
                f"{self.features} features and {self.heads} heads"
            )
        for name in ("rotary_bases", "windows"):
            found = len(getattr(self, name))
            if 0 < found < self.layers:
                raise ValueError(
                    f"{name} must have one number for each of the {self.layers} "
                    f"layers, got {found}"
                )

    @property
    def is_modern(self) -> bool:
        """True if the layers are ModernBERT's rather than BERT's."""
        return bool(self.rotary_bases)

    @property
    def table_features(self) -> int:
        """Width of the tables of tokens and positions."""
        return self.embedding_features or self.features

    def cut(self, layers: int) -> "TransformerShape":
        """The same encoder without the layers above so many of them."""
        whole = self.final_norm and layers == self.layers
        return dataclasses.replace(self, layers=layers, final_norm=whole)


INITIAL = nn.initializers.normal(0.02)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward layer, each with residual and layer norm.

    Attributes:
        shape: of the encoder.
        index: which of its layers this is.
    """

    shape: TransformerShape
    index: int = 0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B S D"],
        token_mask: Bool[Array, "B S"],
        deterministic: bool = True,
        position_bias: Float[Array, "H S S"] | None = None,
    ) -> Float[Array, "B S D"]:
        """Return the tokens' next vectors; dropout draws from the stream `dropout`."""
        shape = self.shape
        keys: Any = [None] * 3
        if not deterministic:
            keys = jax.random.split(self.make_rng("dropout"), 3)
        if shape.is_modern:
            # The first layer's input has just been through the embeddings' norm.
            normal = self._norm(x, "attention_norm") if self.index else x
            attended = self._attend(normal, token_mask, None, keys[0])
            x = x + F.dropout(attended, shape.dropout_rate, keys[1])
            hidden = self._feed_forward(self._norm(x, "output_norm"))
            return x + F.dropout(hidden, shape.dropout_rate, keys[2])
        attended = self._attend(x, token_mask, position_bias, keys[0])
        x = x + F.dropout(attended, shape.dropout_rate, keys[1])
        x = self._norm(x, "attention_norm")
        hidden = self._feed_forward(x)
        x = x + F.dropout(hidden, shape.dropout_rate, keys[2])
        return self._norm(x, "output_norm")

    def _norm(self, x: Array, name: str) -> Array:
        return normed(self.shape, name, x)

    def _dense(
        self, name: str, inputs: int, outputs: int
    ) -> tuple[Array, Array | None]:
        if self.shape.is_modern:
            return Kernel(inputs, outputs, INITIAL, name=name)()
        return Dense((inputs,), outputs, INITIAL, name=name)()

    def _attend(
        self, x: Array, token_mask: Array, bias: Array | None, key: Array | None
    ) -> Array:
        shape, size = self.shape, self.shape.features
        return F.self_attention(
            x,
            token_mask,
            *self._dense("query_key_value", size, 3 * size),
            *self._dense("attention_output", size, size),
            heads=shape.heads,
            position_bias=bias,
            rotary_base=shape.rotary_bases[self.index] if shape.is_modern else 0.0,
            window=shape.windows[self.index] if shape.windows else 0,
            dropout_rate=shape.attention_dropout_rate,
            key=key,
        )

    def _feed_forward(self, x: Array) -> Array:
        shape, width = self.shape, self.shape.hidden_features
        between = 2 * width if shape.is_modern else width
        return F.feed_forward(
            x,
            *self._dense("feed_forward_input", shape.features, between),
            *self._dense("feed_forward_output", width, shape.features),
            activation=shape.activation,
            gated=shape.is_modern,
        )


def normed(shape: TransformerShape, name: str, x: Array) -> Array:
    """Layer norm with parameters of that name in the module being called."""
    norm = Norm(x.shape[-1], biased=not shape.is_modern, name=name)
    return F.layer_norm(x, *norm(), epsilon=shape.layer_norm_epsilon)


class Transformer(nn.Module):
    """A BERT encoder over one segment of text, or another of the kinds in its shape.

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
        bias = None
        if shape.position_buckets:
            buckets = Table(
                shape.position_buckets, shape.heads, 0.02, name="relative_position"
            )()
            bias = F.relative_position_bias(buckets, tokens.shape[1])
        for layer in range(self.first_layer, shape.layers):
            run = layer_class(shape, layer, name=f"layer_{layer}")
            x = run(x, token_mask, deterministic, bias)
        if shape.is_modern and shape.final_norm:
            x = normed(shape, "final_norm", x)
        return x.astype(jnp.float32)

    def _embed(self, token_ids: Array, deterministic: bool) -> Array:
        shape, width = self.shape, self.shape.table_features
        table = Table(shape.vocabulary_size, width, 0.02, name="token")()
        x = at_token_seam(self, table[token_ids])
        if not shape.is_modern:
            rows = shape.max_positions + shape.position_offset
            positions = Table(rows, width, 0.02, name="position")()
            offset = shape.position_offset
            x = F.add_positions(x, positions, position_offset=offset)
        x = normed(shape, "embedding_norm", x.astype(self.dtype))
        if not deterministic:
            x = F.dropout(x, shape.dropout_rate, self.make_rng("dropout"))
        if shape.embedding_features:
            projection = Dense(
                (width,), shape.features, INITIAL, name="embedding_projection"
            )
            x = F.dense(x, *projection())
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
