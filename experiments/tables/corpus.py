"""What all cells of a table share: the corpus, encoded and pooled once."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pod import whole
from labelgraph_jax.config import Config, to_dict
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.documents import Encoded, encode_documents, fingerprint
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.runs.label_graph import label_graph_arrays
from labelgraph_jax.runs.labels import PreparedTexts, prepare

WORD_ENCODERS = ("bag", "bilstm", "blocks")
"""Encoders whose epoch is one program; a convolution in one is slow on CPUs."""
OWN_LABELS = ("taxonomy", "taxonomy_targets")
"""Settings by which a run learns labels that the table does not ask for."""
Arrays = dict[str, np.ndarray]
Say = Callable[[str], None]


class RememberingEncoder:
    """A frozen encoder that encodes the same label names once, not once per seed."""

    def __init__(self, encoder: FrozenEncoder) -> None:
        self.encoder = encoder
        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def sentence_vectors(
        self, texts: Sequence[str], tokenizer: Tokenizer
    ) -> np.ndarray:
        """As the encoder's own."""
        key = tuple(texts)
        if key not in self._known:
            self._known[key] = self.encoder.sentence_vectors(texts, tokenizer)
        return self._known[key]


@dataclass(frozen=True)
class TableCorpus:
    """A corpus read and encoded as one `data` and `text` section say.

    Attributes:
        config: resolved settings; only data and text matter.
        prepared: what `labelgraph train` reads.
        test: the test split, encoded as the others are.
        encoder: where label names are encoded, or None.
        folder: pooled vectors are kept here from one table to the next.
    """

    config: Config
    prepared: PreparedTexts
    test: Encoded
    encoder: RememberingEncoder | None
    folder: Path

    @classmethod
    def read(cls, config: Config, folder: Path, say: Say) -> "TableCorpus":
        """Reads and encodes a corpus.

        Raises:
            DataError, ConfigError: see `labelgraph_jax.runs.fit.prepare`.
        """
        prepared = prepare(config, say)
        text, encoder = config.text, None
        if text.vectors == "pretrained":
            found = find_pretrained(text.pretrained)
            encoder = FrozenEncoder.load(found, cache=cache_folder("encodings"))
        test = encode_documents(
            prepared.corpus.test,
            prepared.labels,
            prepared.tokenizer,
            text,
            None if text.trainable else encoder,
        )
        remembering = None if encoder is None else RememberingEncoder(encoder)
        return cls(config, prepared, test, remembering, folder)

    @functools.cached_property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of the documents of every split."""
        splits = self.prepared.corpus.splits
        return {name: fingerprint(documents) for name, documents in splits.items()}

    @functools.cached_property
    def arrays(self) -> dict[str, Arrays]:
        """Every split as whole arrays: pooled vectors or token ids, and targets."""
        splits = {
            "train": self.prepared.train_documents,
            "validation": self.prepared.validation_documents,
            "test": self.test,
        }
        return {name: self._arrays(name, part) for name, part in splits.items()}

    def _arrays(self, split: str, part: Encoded) -> Arrays:
        examples = part.examples
        arrays = {"targets": examples.multi_hot}
        if examples.target_mask is not None:
            arrays["target_mask"] = np.asarray(examples.target_mask)
        if examples.token_vectors is None:
            return arrays | padded_ids(examples)
        return arrays | self._pooled(split, examples)

    def _pooled(self, split: str, examples: Examples) -> Arrays:
        assert self.encoder is not None
        settings = json.dumps(to_dict(self.config)["text"], sort_keys=True)
        parts = (self.encoder.fingerprint, settings, self.fingerprints[split])
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
        path = self.folder / f"{key}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        arrays = pooled_vectors(examples)
        self.folder.mkdir(parents=True, exist_ok=True)
        save_arrays(path, arrays)
        return arrays

    def label_graph(self, config: Config) -> LabelGraphArrays:
        """What the label graph of one run starts from."""
        prepared = self.prepared
        return label_graph_arrays(
            config,
            prepared.labels,
            prepared.train_documents.examples.targets,
            prepared.tokenizer,
            self.encoder,  # type: ignore[arg-type]
            prepared.train_documents.examples.target_mask,
        )


def pooled_vectors(examples: Examples) -> Arrays:
    """The mean of each document's frozen token vectors, as a document of one token.

    The mean of that one vector is the vector itself, so a model that averages token
    vectors computes from it what it computes from them.
    """
    store = examples.token_vectors
    assert store is not None and not examples.windowed
    vectors = np.zeros((len(examples), 1, examples.features), np.float32)
    mask = np.zeros((len(examples), 1), bool)
    for row in range(len(examples)):
        tokens = store[row]
        if len(tokens):
            vectors[row, 0] = tokens.astype(np.float32).mean(axis=0)
            mask[row, 0] = True
    return {"token_vectors": vectors, "token_mask": mask}


def padded_ids(examples: Examples) -> Arrays:
    """Token ids `[M, S]` of documents of one window, and where there is a token."""
    assert examples.windows is not None and not examples.windowed
    longest = max(1, int(examples.lengths.max(initial=1)))
    ids = np.full((len(examples), longest), examples.pad_id, np.int32)
    mask = np.zeros(ids.shape, bool)
    for row, windows in enumerate(examples.windows):
        for window in windows:
            ids[row, : len(window)] = window
            mask[row, : len(window)] = True
    return {"token_ids": ids, "token_mask": mask}


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Writes an .npz whole or not at all."""
    with whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def can_train_together(config: Config) -> bool:
    """Whether runs of these settings fit in memory whole and train under one vmap.

    A text side that is the mean of frozen vectors, or that reads words; what reads a
    pretrained encoder's tokens one by one, or trains it, writes labels one after the
    other or learns a taxonomy runs seed after seed. Documents of a batch are all padded
    to the longest: dropout on words draws other numbers than `labelgraph train`.
    """
    text, training = config.text, config.training
    pooled = (
        text.vectors == "pretrained"
        and not text.trainable
        and text.encoder in ("bag", "transformer")
        and text.pooling in ("default", "mean")
        and not text.token_dropout
    )
    words = text.vectors != "pretrained" and text.encoder in WORD_ENCODERS
    return (
        (words or (pooled and config.head.kind == "product"))
        and text.long_documents == "head"
        and config.head.kind != "recurrent"
        and config.hierarchy.kind == "none"
        and config.data.taxonomy_targets == "as-given"
        and training.patience == 0
        and training.average == "none"
    )


def corpus_of(config: Config) -> Config:
    """The part of a configuration that decides what is read and encoded.

    What reads the token vectors of a pretrained encoder reads the same ones.
    """
    plain = Config()
    text = dataclasses.replace(
        config.text,
        **{name: getattr(plain.text, name) for name in ("hidden", "dim", "layers")},
        dropout=0.0,
        token_dropout=0.0,
        attention_dropout=0.0,
    )
    if text.vectors == "random" and text.encoder in ("cnn", *WORD_ENCODERS[1:]):
        text = dataclasses.replace(text, encoder="bag", ngrams=False, pooling="default")
    if text.vectors == "pretrained":
        text = dataclasses.replace(text, trainable=False, trained_layers=None)
        if text.encoder != "transformer":
            text = dataclasses.replace(text, encoder="transformer", pooling="default")
    taxonomy = {name: getattr(plain.data, name) for name in OWN_LABELS}
    data = dataclasses.replace(config.data, **taxonomy)
    graph = dataclasses.replace(
        plain.graph, features="random", initialisation="identity"
    )
    return dataclasses.replace(plain, data=data, text=text, graph=graph)
