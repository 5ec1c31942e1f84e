"""Token ids, or token vectors, to one vector per document."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.text import pooling
from labelgraph_jax.functional.text.label_attention import token_convolution
from labelgraph_jax.functional.text.recurrent import bidirectional_lstm
from labelgraph_jax.functional.text.transformer import dense
from labelgraph_jax.functional.text.transformer import dropout as drop
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.modules.block_attention import BlockAttention
from labelgraph_jax.modules.parameters import Dense, Lstm, Table, rows_by_id
from labelgraph_jax.modules.seams import COUNTED, COUNTS, at_token_seam, substitutes
from labelgraph_jax.modules.transformer import Transformer, TransformerShape

KINDS = ("bag", "cnn", "bilstm", "blocks", "transformer")
POOLINGS = {
    "cnn": ("max",),
    "bilstm": ("last", "max", "mean"),
    "transformer": ("mean", "max", "cls"),
}


class TextEncoder(nn.Module):
    """Documents to vectors, by any of the kinds of encoders.

    Where the token vectors come from: those given to the call (cached encodings), a
    `Transformer` of the given shape (parameters under `transformer`), or else a
    learned table (under `embedding`). Published values are put in by `place_params`.

    Attributes:
        kind: `bag` of embeddings, `cnn`, `bilstm`, `blocks` (block self-attention in
            both directions) or `transformer` (pooled token vectors).
        vocabulary_size: rows of the learned table.
        features: columns of the learned table, or of the token vectors given.
        hidden_features: units in each direction, channels of each CNN width, or a
            hidden layer after the bag (0: none).
        transformer: sizes of the encoder whose token vectors are read.
        first_layer: of the transformer; above 0 the call is given the vectors that the
            layers below it made.
        frozen: no gradient reaches the token vectors.
        pooling: one of `POOLINGS`; by default the first of the kind.
        damping, norm: of a bag, see `functional.bag_of_embeddings`.
        fused: a bag of two kinds of tokens, with weights `[V, 2]`: those of the first
            are a bag as said here; the mean of the others, which stay, is beside it.
        rectify: a bag's sum of embeddings goes through relu(x + bias): a wide hidden
            layer over the weighted counts (Galke and Scherp, ACL 2022).
        learn_token_weights: train the bag's `token_weight` table.
        widths: of the CNN's filters, in tokens.
        window_pooling: `mean` or `max` over the windows of a long document.
        token_level: give every token's vector, of a bag times its weight, for a head
            that does its own pooling; `pooling` and `window_pooling` are unread.
        token_dropout_rate: share of the tokens hidden while training.
        input_dropout_rate: of the token vectors that the encoder reads.
        dropout_rate: of the document vector.
        dtype: of a transformer's and a CNN's products.
        chunk_tokens, rematerialise: see `Transformer`.
    """

    kind: str = "bag"
    vocabulary_size: int = 0
    features: int = 300
    hidden_features: int = 0
    transformer: TransformerShape | None = None
    first_layer: int = 0
    frozen: bool = False
    pooling: str | None = None
    damping: str = "log"
    norm: str = "tfidf"
    fused: bool = False
    rectify: bool = False
    learn_token_weights: bool = False
    widths: tuple[int, ...] = (3, 4, 5)
    window_pooling: str = "mean"
    token_level: bool = False
    token_dropout_rate: float = 0.0
    input_dropout_rate: float = 0.0
    dropout_rate: float = 0.0
    dtype: Dtype = jnp.float32
    chunk_tokens: int = 0
    rematerialise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise ValueError(
                f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}"
            )
        if self.kind in ("cnn", "bilstm", "blocks") and self.hidden_features < 1:
            raise ValueError(
                f"a {self.kind} needs hidden_features of at least 1, "
                f"got {self.hidden_features}"
            )
        if self.fused and (self.kind != "bag" or self.transformer is not None):
            raise ValueError(f"fused must be of a bag of token ids, got a {self.kind}")
        if self.token_level and self.fused:
            raise ValueError("a fused bag has no vector for every token: token_level")
        allowed = POOLINGS.get(self.kind, ())
        if self.pooling is not None and self.pooling not in allowed:
            raise ValueError(
                f"a {self.kind} pools by {' or '.join(allowed) or 'weights alone'}, "
                f"got {self.pooling!r}"
            )

    @property
    def token_features(self) -> int:
        """Width of the token vectors."""
        return self.transformer.features if self.transformer else self.features

    def substitutes(self, vectors: Float[Array, "B *W S D"]) -> dict[str, Params]:
        """The collection that puts vectors in the place of those of token ids."""
        flat = vectors.reshape(-1, *vectors.shape[-2:])
        return substitutes(flat, ("transformer",) if self.transformer else ())

    @property
    def output_features(self) -> int:
        """Width of the document vector, or of the token vectors at `token_level`."""
        if self.kind == "cnn":
            return len(self.widths) * self.hidden_features
        if self.kind in ("bilstm", "blocks"):
            return 2 * self.hidden_features
        own = self.token_features
        if self.kind == "bag" and self.hidden_features:
            own = self.hidden_features
        return own + self.token_features * self.fused

    @nn.compact
    def __call__(
        self,
        token_ids: Int[Array, "B *W S"] | None = None,
        token_mask: Bool[Array, "B *W S"] | None = None,
        *,
        token_vectors: Float[Array, "B *W S D"] | None = None,
        token_values: Float[Array, "B *W S"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B *T D"]:
        """One float32 vector per document; zeros for one without tokens.

        With `token_level` one per token `[B, S, D]`, those of a document's windows end
        to end `[B, W S, D]`; zeros at padding and at hidden tokens.

        Args:
            token_ids: with two axes one window per document, with three several.
            token_mask: true where there is a token; all, if None.
            token_vectors: read in place of the ids.
            token_values: what each id weighs in a bag, in place of its count; with
                them `learn_token_weights` and the weights put in still count.
            deterministic: false drops out, and needs an rng named `dropout`.

        Raises:
            ValueError: neither or both of ids and vectors, or axes that do not fit;
                values that are not those of a bag's learned table.
        """
        ids, vectors, mask, windows = _flat(token_ids, token_vectors, token_mask)
        if vectors is not None and vectors.shape[-1] != self.token_features:
            raise ValueError(
                f"token_vectors must have {self.token_features} features, "
                f"got {vectors.shape[-1]}"
            )
        values = self._values(token_values, token_ids, mask)
        seen = mask
        if not deterministic and self.token_dropout_rate:
            hidden = jax.random.bernoulli(
                self.make_rng("dropout"), self.token_dropout_rate, mask.shape
            )
            seen = mask & ~hidden
        if self.kind == "bag":
            documents = self._bag(ids, vectors, seen, deterministic, values)
        else:
            vectors = self._vectors(ids, vectors, seen, deterministic)
            vectors = self._drop(vectors, self.input_dropout_rate, deterministic)
            documents = getattr(self, f"_{self.kind}")(vectors, seen)
        if self.token_level:
            documents = jnp.where(seen[..., None], documents, 0)
            if windows is not None:
                documents = documents.reshape(windows[0], -1, documents.shape[-1])
        elif windows is not None:
            documents = documents.reshape(*windows, -1)
            real = jnp.any(mask.reshape(*windows, -1), axis=-1)
            documents = pooling.pool_windows(documents, real, self.window_pooling)
        return self._drop(documents, self.dropout_rate, deterministic)

    def _drop(self, x: Array, rate: float, deterministic: bool) -> Array:
        if deterministic or not rate:
            return x
        return drop(x, rate, self.make_rng("dropout"))

    def _table(self) -> Array:
        if self.vocabulary_size < 1:
            size = self.vocabulary_size
            raise ValueError(f"token ids need a vocabulary_size >= 1, got {size}")
        deviation = self.features**-0.5  # rows of length about 1
        table = Table(
            self.vocabulary_size, self.features, deviation, name="embedding"
        )()
        return jax.lax.stop_gradient(table) if self.frozen else table

    def _vectors(
        self, ids: Array | None, vectors: Array | None, mask: Array, deterministic: bool
    ) -> Array:
        if vectors is not None and not self.first_layer:
            return vectors.astype(jnp.float32)
        if self.transformer is None:
            assert ids is not None
            return at_token_seam(self, self._table()[ids])
        tokens = vectors if self.first_layer else ids
        if tokens is None:
            raise ValueError(
                f"a transformer from layer {self.first_layer} on needs token_vectors"
            )
        # A frozen encoder is a fixed function: it drops nothing out.
        vectors = Transformer(
            self.transformer,
            self.dtype,
            self.chunk_tokens,
            self.first_layer,
            self.rematerialise,
            name="transformer",
        )(tokens, mask, deterministic=deterministic or self.frozen)
        return jax.lax.stop_gradient(vectors) if self.frozen else vectors

    def _values(
        self, values: Array | None, ids: Array | None, mask: Array
    ) -> Array | None:
        if values is None:
            return None
        if self.kind != "bag" or self.transformer is not None or ids is None:
            raise ValueError(
                "token_values weigh the learned vectors of a bag: kind must be 'bag' "
                f"and token_ids be given, got a {self.kind}"
            )
        values = jnp.asarray(values)
        if values.shape != jnp.shape(ids):
            raise ValueError(
                f"token_values must have the shape {jnp.shape(ids)} of token_ids, got "
                f"{values.shape}"
            )
        return values.reshape(mask.shape)

    def _bag(
        self,
        ids: Array | None,
        vectors: Array | None,
        mask: Array,
        deterministic: bool,
        values: Array | None,
    ) -> Array:
        if vectors is not None or self.transformer is not None:
            vectors = self._vectors(ids, vectors, mask, deterministic)
            if self.token_level:
                return vectors
            documents = pooling.masked_mean(vectors, mask)
        else:
            assert ids is not None
            table = self._table()
            shape = (self.vocabulary_size, *([2] if self.fused else []))
            weights = rows_by_id(self, "token_weight", nn.initializers.ones, shape)
            if not self.learn_token_weights:
                weights = jax.lax.stop_gradient(weights)
            if self.token_level:
                return at_token_seam(self, table[ids]) * weights[ids][..., None]
            if self.fused and not deterministic:
                # The rows of pieces stay what they imitate.
                fixed = jax.lax.stop_gradient(table)
                table = jnp.where(weights[:, 1:] > 0, fixed, table)
            counts: Array | None = self.get_variable(COUNTED, COUNTS)
            vectors = at_token_seam(self, table[ids]) if counts is None else None

            def bag(weights: Array, damping: str, norm: str) -> Array:
                options = {"damping": damping, "norm": norm}
                if counts is not None:
                    return pooling.bag_of_counts(table, counts, weights, **options)
                return pooling.bag_of_embeddings(
                    table, ids, mask, weights, values=values, vectors=vectors, **options
                )

            first = weights[:, 0] if self.fused else weights
            documents = bag(first, self.damping, self.norm)
            if self.fused:
                # A static table's mean, of length 1, is the vector it was fitted to.
                pieces = bag(weights[:, 1], "none", "l2")
        if self.rectify:
            bias = self.param("bias", nn.initializers.zeros, (self.token_features,))
            documents = jax.nn.relu(documents + bias)
        if self.hidden_features:
            layer = Dense((documents.shape[-1],), self.hidden_features, name="hidden")
            documents = jax.nn.relu(dense(documents, *layer()))
        if self.fused:
            documents = jnp.concatenate([documents, pieces], axis=-1)
        return documents

    def _cnn(self, vectors: Array, mask: Array) -> Array:
        parts = []
        for width in self.widths:
            inputs, name = (width, vectors.shape[-1]), f"convolution_{width}"
            kernel, bias = Dense(inputs, self.hidden_features, name=name)()
            convolve = pooling.text_convolution
            if self.token_level:
                convolve = token_convolution
            parts.append(convolve(vectors.astype(self.dtype), mask, kernel, bias))
        return jnp.concatenate(parts, axis=-1).astype(jnp.float32)

    def _bilstm(self, vectors: Array, mask: Array) -> Array:
        last, outputs = bidirectional_lstm(
            vectors,
            mask,
            Lstm(vectors.shape[-1], self.hidden_features, name="forward")(),
            Lstm(vectors.shape[-1], self.hidden_features, name="backward")(),
        )
        return self._pool(outputs, mask, last)

    def _blocks(self, vectors: Array, mask: Array) -> Array:
        return BlockAttention(self.hidden_features, self.token_level)(vectors, mask)

    def _transformer(self, vectors: Array, mask: Array) -> Array:
        return self._pool(vectors, mask)

    def _pool(self, vectors: Array, mask: Array, last: Array | None = None) -> Array:
        """One vector per document, or with `token_level` those of the tokens."""
        if self.token_level:
            return vectors
        how = self.pooling or POOLINGS[self.kind][0]
        if how == "max":
            return pooling.masked_max(vectors, mask)
        if how == "mean":
            return pooling.masked_mean(vectors, mask)
        return jnp.where(mask[:, :1], vectors[:, 0], 0) if last is None else last


def _flat(
    ids: Array | None, vectors: Array | None, mask: Array | None
) -> tuple[Array | None, Array | None, Array, tuple[int, int] | None]:
    """Ids, vectors and mask with windows laid end to end, and (B, W) if there are."""
    if (ids is None) == (vectors is None):
        raise ValueError("give either token_ids or token_vectors")
    ids = None if ids is None else jnp.asarray(ids)
    vectors = None if vectors is None else jnp.asarray(vectors)
    shape = ids.shape if ids is not None else vectors.shape[:-1]  # type: ignore[union-attr]
    mask = jnp.ones(shape, bool) if mask is None else jnp.asarray(mask)
    if mask.shape != shape or len(shape) not in (2, 3):
        raise ValueError(
            "token_mask must have the shape [B, S] or [B, W, S] of the tokens, got "
            f"{mask.shape} for {shape}"
        )
    if len(shape) == 2:
        return ids, vectors, mask, None
    ids = None if ids is None else ids.reshape(-1, shape[2])
    vectors = None if vectors is None else vectors.reshape(-1, *vectors.shape[2:])
    return ids, vectors, mask.reshape(-1, shape[2]), (shape[0], shape[1])


def place_params(
    params: Mapping[str, Params],
    *,
    transformer: Params | None = None,
    embedding: np.ndarray | None = None,
    token_weight: np.ndarray | None = None,
) -> dict[str, Params]:
    """Return a `TextEncoder`'s params with published or counted values put in.

    Args:
        params: the encoder's own params, as `init` made them.
        transformer: what `load_transformer` returned.
        embedding: rows of the learned table, [V, D].
        token_weight: weight of each token in a bag, [V].

    Raises:
        ValueError: the encoder has no such part, or its shapes differ.
    """
    parts = {
        "transformer": transformer,
        "embedding": None if embedding is None else {"embedding": embedding},
        "token_weight": token_weight,
    }
    placed = dict(params)
    for name, values in parts.items():
        if values is None:
            continue
        if name not in params:
            raise ValueError(f"this text encoder has no {name!r} to put values in")
        ours = jax.tree_util.tree_leaves_with_path(params[name])
        theirs = dict(jax.tree_util.tree_leaves_with_path(values))
        if {path for path, _ in ours} != set(theirs):
            raise ValueError(f"the values for {name!r} have another structure")
        for path, leaf in ours:
            if np.shape(theirs[path]) != np.shape(leaf):
                raise ValueError(
                    f"{name}{jax.tree_util.keystr(path)} must have shape "
                    f"{np.shape(leaf)}, got {np.shape(theirs[path])}"
                )
        placed[name] = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), values)
    return placed
