"""A frozen pretrained encoder: token ids -> token vectors, computed once and cached."""

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from labelgraph_jax.config import TextConfig
from labelgraph_jax.data.batches.batches import Examples, evaluation_batches
from labelgraph_jax.data.encoding_cache import (
    EncodingCache,
    EncodingCacheWriter,
    encoding_key,
)
from labelgraph_jax.data.files import digest, make_folder, replacing
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.functional.trees import Leaf, Params
from labelgraph_jax.modules.encoder_settings import MODULES, pooling_file
from labelgraph_jax.modules.pretrained import find_pretrained, load_transformer
from labelgraph_jax.modules.seams import LOOKED_UP, looked_up, substitutes
from labelgraph_jax.modules.transformer import Transformer, TransformerShape
from labelgraph_jax.predictors.pickled import Pickled
from labelgraph_jax.training.progress import track

ENCODING_BATCH_SIZE = 32
CPU_CHUNK_TOKENS = 1024
"""Tokens whose activations stay in a core's cache; measured in benchmarks/encoding."""


def chunk_tokens() -> int:
    """Return the tokens encoded at a time: a chunk on a CPU, else 0 for all at once."""
    return CPU_CHUNK_TOKENS if jax.default_backend() == "cpu" else 0


def without_layers(params: Params, layers: Iterable[int]) -> Params:
    """A transformer's parameters less some of its layers."""
    gone = {f"layer_{layer}" for layer in layers}
    return {name: value for name, value in params.items() if name not in gone}


def upper_layers(params: Params, first: int) -> Params:
    """A transformer's layers from `first` on, without what lies below."""
    below = {"token", "position", "embedding_norm", "embedding_projection"}
    below |= {f"layer_{layer}" for layer in range(first)}
    return {name: value for name, value in params.items() if name not in below}


class _MemoryStore:
    """Token vectors held in memory, float16 as the cache holds them."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        self._vectors: list[np.ndarray] = [np.zeros((0, 0), np.float16)] * len(lengths)

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._vectors[index]

    def write(self, index: int, vectors: np.ndarray) -> None:
        self._vectors[index] = vectors.astype(np.float16)


class Store(Protocol):
    """Keeps the vectors of sequences by their numbers."""

    def write(self, index: int, vectors: np.ndarray) -> None:
        """Keep the vectors of a sequence, `[S, D]`."""


class _PooledStore:
    """Keeps one vector of a sequence's tokens, scaled to length 1, in a store."""

    def __init__(self, inner: Store, pooling: str) -> None:
        self._inner, self._pooling = inner, pooling

    def write(self, index: int, vectors: np.ndarray) -> None:
        wide = vectors.astype(np.float32)
        if self._pooling == "cls":
            wide = wide[0]
        else:
            wide = getattr(wide, self._pooling)(axis=0)
        self._inner.write(index, wide[None] / np.linalg.norm(wide))


@dataclass(frozen=True)
class FrozenEncoder(Pickled):
    """A transformer whose parameters never change.

    Attributes:
        shape, params: from `load_transformer`.
        fingerprint: SHA-256 of the weights and settings.
        cache: folder that keeps encodings from one run to the next, or None.
        rows, lengths: how many texts of how many tokens are encoded at a time, the
            only shapes that are ever compiled; empty chooses them from the texts.
    """

    shape: TransformerShape
    params: Params
    fingerprint: str
    cache: Path | None = None
    rows: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        layers: int | None = None,
        cache: Path | None = None,
        pooling: str = "",
    ) -> "FrozenEncoder":
        """Read an encoder's weights and settings.

        Args:
            folder: where they lie.
            layers: keep the embeddings and so many layers above them; all by default.
            cache: see the class.
            pooling: of its shape.

        Raises:
            PretrainedError: the folder holds no readable encoder.
        """
        shape, params = load_transformer(folder)
        shape = dataclasses.replace(shape, pooling=pooling)
        settings = ""
        if layers is not None and layers < shape.layers:
            settings = f"{layers} layers"
            params = without_layers(params, range(layers, shape.layers))
            shape = shape.cut(layers)
        files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
        fingerprint = digest((("", path) for path in files), settings=settings)
        return cls(shape, params, fingerprint, cache)

    def encode(self, examples: Examples) -> Examples:
        """The same examples with token vectors `[S, D]` in place of token ids.

        Both ways give the same numbers: vectors are rounded to float16, which is what
        the cache stores, and every text is encoded among others of about its length.
        """
        assert examples.windows is not None
        sequences = [window for windows in examples.windows for window in windows]
        store: Any
        if self.cache is None:
            store = _MemoryStore([len(ids) for ids in sequences])
            self._fill(store, sequences, np.arange(len(sequences)))
        else:
            store = self._cached(sequences, self.cache)
        return dataclasses.replace(examples, token_vectors=store)

    def looked_up(self, token_ids: Leaf, token_mask: Leaf) -> jax.Array:
        """The word vectors `[W, S, D]` that token ids are looked up as."""
        # Of no layer: the vectors are all that is computed.
        module = Transformer(self.shape.cut(0))
        run = jax.jit(partial(module.apply, mutable=LOOKED_UP))
        _, left = run({"params": self.params}, token_ids, token_mask)
        return looked_up(left)

    def from_inputs(
        self, params: Params, token_ids: Leaf, token_mask: Leaf, inputs: jax.Array
    ) -> jax.Array:
        """Token vectors from word vectors in the place of those of the ids `[W, S, D]`.

        Rounded as `encode` rounds them; the gradient passes the rounding by.
        """
        variables = {"params": params, **substitutes(inputs)}
        vectors: Any = Transformer(self.shape).apply(variables, token_ids, token_mask)
        rounded = vectors.astype(np.float16).astype(np.float32)
        return vectors + jax.lax.stop_gradient(rounded - vectors)

    def sentence_vectors(
        self, texts: Sequence[str], tokenizer: Tokenizer
    ) -> np.ndarray:
        """One vector of length 1 per text, the mean of its tokens, float32 `[M, D]`."""
        longest = min(64, self.shape.max_positions // 8 * 8)
        windows = tokenizer.encode(list(texts), max_length=longest).windows
        store = _MemoryStore([len(w[0]) for w in windows])
        self._fill(store, [w[0] for w in windows], np.arange(len(windows)))
        means = np.stack(
            [store[i].astype(np.float32).mean(axis=0) for i in range(len(store))]
        )
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def document_vectors(
        self, texts: Sequence[str], tokenizer: Tokenizer, *, max_length: int
    ) -> np.ndarray:
        """One vector of length 1 per text, the mean over its head, float32 `[M, D]`.

        Kept in the cache, one vector per text; rounded to float16 in any case.

        Args:
            texts: any number of them.
            tokenizer: the encoder's own.
            max_length: tokens that are read of a text.
        """
        if not len(texts):
            return np.zeros((0, self.shape.features), np.float32)
        longest = min(max_length, self.shape.max_positions // 8 * 8)
        windows = tokenizer.encode(list(texts), max_length=longest).windows
        return self.sequence_vectors([w[0] for w in windows])

    def sequence_vectors(self, sequences: list[np.ndarray]) -> np.ndarray:
        """One vector of length 1 per sequence of token ids, as `document_vectors`.

        The pooling is that of the shape, where it has one.
        """
        ones, pooling = [1] * len(sequences), self.shape.pooling or "mean"
        store: Any = None
        settings = {"kind": "text vectors"}
        if pooling != "mean":
            settings["pooling"] = pooling
        key = encoding_key(self.fingerprint, settings, sequences)
        if self.cache is not None:
            store = EncodingCache.find(self.cache, key)
        if store is None and self.cache is not None:
            writer = EncodingCacheWriter(self.cache, key, ones, self.shape.features)
            self._fill(_PooledStore(writer, pooling), sequences, writer.missing)
            store = writer.finish()
        elif store is None:
            store = _MemoryStore(ones)
            missing = np.arange(len(sequences))
            self._fill(_PooledStore(store, pooling), sequences, missing)
        rows = [store[i] for i in range(len(sequences))]
        return np.concatenate(rows).astype(np.float32)

    def _cached(self, sequences: list[np.ndarray], root: Path) -> EncodingCache:
        settings = {"kind": "token vectors", "dtype": "float16"}
        key = encoding_key(self.fingerprint, settings, sequences)
        found = EncodingCache.find(root, key)
        if found is not None:
            return found
        lengths = [len(ids) for ids in sequences]
        writer = EncodingCacheWriter(root, key, lengths, self.shape.features)
        self._fill(writer, sequences, writer.missing)
        return writer.finish()

    def _fill(
        self, store: Store, sequences: list[np.ndarray], missing: np.ndarray
    ) -> None:
        """Encode the sequences at the indices `missing` and write them to `store`."""
        if not len(missing):
            return
        run, variables = self._compiled
        todo = Examples(
            windows=[[sequences[i]] for i in missing],
            targets=np.zeros((len(missing), 0), np.float32),
        )
        size = ENCODING_BATCH_SIZE
        if self.rows:
            enough = [rows for rows in self.rows if rows >= len(missing)]
            size = min(enough, default=max(self.rows))
        batches = evaluation_batches(
            todo, batch_size=size, length_buckets=self.lengths or None
        )
        for batch in track(batches, total=len(missing), what="encoding"):
            vectors = np.asarray(
                run(variables, batch["token_ids"], batch["token_mask"])
            )
            for row in np.flatnonzero(batch["example_mask"]):
                index = int(missing[batch["example_index"][row]])
                store.write(index, vectors[row, : len(sequences[index])])

    @cached_property
    def _compiled(self) -> tuple[Callable[..., jax.Array], Params]:
        """Return the compiled encoder of a batch, and its parameters on the device."""
        run = jax.jit(Transformer(self.shape, chunk_tokens=chunk_tokens()).apply)
        return run, {"params": jax.device_put(self.params)}

    def compile_all(self) -> None:
        """Encode one batch of every shape of `rows` and `lengths`."""
        for length in self.lengths:
            for rows in self.rows:
                sequences = [np.zeros(length, np.int32)] * rows
                self._fill(_MemoryStore([length] * rows), sequences, np.arange(rows))


def keep_encoder(text: TextConfig, folder: Path) -> None:
    """Copy into a work directory what its model needs of a pretrained encoder.

    Of one that is trained whole, the checkpoint has the weights.

    Args:
        text: settings; nothing is copied where they name no encoder.
        folder: where the copies go.
    """
    if text.vectors != "pretrained":
        return
    make_folder(folder)
    source = find_pretrained(text.pretrained)
    copied = [source / "config.json"]
    if not text.trainable or text.trained_layers:
        copied += sorted(source.glob("*.safetensors*"))
    if text.encoder == "transformer" and text.pooling == "default":
        pooled = pooling_file(source)
        copied += [source / MODULES, pooled] if pooled else []
    for path in copied:
        target = folder / path.relative_to(source)
        make_folder(target.parent)
        if not target.is_file() or target.stat().st_size != path.stat().st_size:
            with replacing(target) as unfinished:
                shutil.copyfile(path, unfinished)
