"""A static encoder: a table of token vectors whose mean is a document's vector.

    config.json         what it was distilled from, and how well it imitates that
    model.safetensors   `embedding`, float16 [V, D]
    tokenizer.json      what cuts text into its tokens

A document is encoded by looking its tokens up: no network, no device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from scipy.sparse import csr_array

from labelgraph_jax.data.files import make_folder, read_json, replacing, write_json
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.modules.pretrained import PretrainedError

MODEL_TYPE = "labelgraph-static"
SETTINGS, TABLE = "config.json", "model.safetensors"


def is_static(folder: Path) -> bool:
    """Return whether a folder holds a static encoder, and not a transformer."""
    path = folder / SETTINGS
    if not path.is_file():
        return False
    settings = read_json(path, error=PretrainedError)
    return isinstance(settings, dict) and settings.get("model_type") == MODEL_TYPE


def token_shares(sequences: Sequence[np.ndarray], vocabulary_size: int) -> csr_array:
    """Return each token's share of each sequence, float32 `[M, V]`; rows sum to 1."""
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    ends = np.concatenate([[0], lengths.cumsum()])
    ids = np.concatenate([*sequences, np.zeros(0, np.int32)])
    shares = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    found = csr_array((shares, ids, ends), (len(sequences), vocabulary_size))
    found.sum_duplicates()
    return found


def of_length_one(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)


@dataclass(frozen=True)
class StaticEncoder:
    """Documents to vectors by lookup.

    Attributes:
        table: a row per token, float16 `[V, D]`.
        tokenizer: whose ids name the rows.
        about: what config.json says beside them.
    """

    table: np.ndarray
    tokenizer: Tokenizer
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "StaticEncoder":
        """Read what `save` wrote.

        Raises:
            PretrainedError: the folder holds no readable static encoder.
            TokenizerError: its tokenizer is missing or malformed.
        """
        if not is_static(folder):
            raise PretrainedError(
                f"{folder} must be a folder that `labelgraph distil` left: its "
                f"{SETTINGS} must say model_type {MODEL_TYPE!r}"
            )
        about = read_json(folder / SETTINGS, error=PretrainedError)
        try:
            table = load_file(folder / TABLE)["embedding"]
        except (SafetensorError, OSError, KeyError) as error:
            raise PretrainedError(
                f"{folder / TABLE} must hold the array 'embedding': {error}"
            ) from error
        tokenizer = Tokenizer.from_pretrained(folder)
        if table.ndim != 2 or len(table) != tokenizer.vocabulary_size:
            raise PretrainedError(
                f"{folder / TABLE}: 'embedding' must have a row for each of the "
                f"{tokenizer.vocabulary_size:,} tokens, got {list(table.shape)}"
            )
        return cls(table, tokenizer, about)

    def save(self, folder: Path) -> None:
        """Write table, tokenizer and settings; config.json, which names them, last."""
        make_folder(folder)
        with replacing(folder / TABLE) as unfinished:
            unfinished.write_bytes(save({"embedding": self.table}))
        self.tokenizer.save(folder)
        pad = self.tokenizer.vocabulary[self.tokenizer.pad_id]
        write_json(folder / "tokenizer_config.json", {"pad_token": pad})
        write_json(folder / SETTINGS, {"model_type": MODEL_TYPE, **self.about})

    def sequence_vectors(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """One vector of length 1 per sequence of token ids, float32 `[M, D]`."""
        return of_length_one(token_shares(sequences, len(self.table)) @ self._wide)

    def document_vectors(
        self, texts: Sequence[str], tokenizer: Tokenizer, *, max_length: int
    ) -> np.ndarray:
        """One vector of length 1 per text, of its head, float32 `[M, D]`."""
        windows = tokenizer.encode(list(texts), max_length=max_length).windows
        return self.sequence_vectors([window[0] for window in windows])

    def sentence_vectors(
        self, texts: Sequence[str], tokenizer: Tokenizer
    ) -> np.ndarray:
        """The same of names and descriptions."""
        return self.document_vectors(texts, tokenizer, max_length=64)

    @cached_property
    def _wide(self) -> np.ndarray:
        return self.table.astype(np.float32)
