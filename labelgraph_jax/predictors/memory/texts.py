"""Vectors that a memory compares: of documents, and of the texts of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from labelgraph_jax.config import Config, ConfigError, MemoryConfig
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.functional.trees import Batch, Params
from labelgraph_jax.predictors.documents import (
    AnyTokenizer,
    encode_documents,
    label_text,
    longest_row,
)
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.memory.memory import Reader, unit
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.pickled import Pickled
from labelgraph_jax.predictors.static_encoder import StaticEncoder, is_static
from labelgraph_jax.training.evaluate import (
    ProbabilityFn,
    compile_probabilities,
    predict_probabilities,
)
from labelgraph_jax.training.hosts import on_first
from labelgraph_jax.training.local_batches import own_batches

BATCH_SIZE = 64


@dataclass(frozen=True)
class FrozenReader:
    """Documents as a frozen sentence encoder reads their heads.

    Attributes:
        encoder, tokenizer: of the same folder.
        max_length: tokens that are read of a document.
    """

    encoder: FrozenEncoder
    tokenizer: Tokenizer
    max_length: int

    def __call__(
        self, documents: Sequence[Document], examples: Examples | None = None
    ) -> np.ndarray:
        """Return the vectors; where there is a cache, one process computes them."""
        texts = [document.text for document in documents]

        def vectors() -> np.ndarray:
            return self.encoder.document_vectors(
                texts, self.tokenizer, max_length=self.max_length
            )

        def fill() -> None:
            vectors()

        if self.encoder.cache is not None and jax.process_count() > 1:
            on_first(fill)  # the others find them in the cache
        return vectors()


@dataclass(frozen=True)
class StaticReader:
    """Documents as a static encoder reads their heads.

    Attributes:
        encoder: with its tokenizer.
        max_length: tokens that are read of a document.
    """

    encoder: StaticEncoder
    max_length: int

    def __call__(
        self, documents: Sequence[Document], examples: Examples | None = None
    ) -> np.ndarray:
        """Return the vectors of documents from the static encoder's table."""
        texts = [document.text for document in documents]
        own = self.encoder.tokenizer
        return self.encoder.document_vectors(texts, own, max_length=self.max_length)


def frozen_reader(
    config: MemoryConfig, folder: Path, cache: Path | None
) -> FrozenReader | StaticReader:
    """Return a reader of documents with a frozen or static sentence encoder.

    Args:
        config: how much of a document is read.
        folder: the encoder with its tokenizer.
        cache: folder that keeps vectors from one run to the next, or None.

    Raises:
        PretrainedError, TokenizerError: the folder holds no readable encoder.
    """
    if is_static(folder):
        return StaticReader(StaticEncoder.load(folder), config.max_length)
    encoder = FrozenEncoder.load(folder, cache=cache)
    return FrozenReader(encoder, Tokenizer.from_pretrained(folder), config.max_length)


@dataclass(frozen=True)
class OwnReader(Pickled):
    """Documents as the classifier itself reads them: its document vectors.

    Attributes:
        classifier, params: the network.
        labels, tokenizer, config, encoder: how documents become its input.
    """

    classifier: Classifier
    params: Any
    labels: LabelSpace
    tokenizer: AnyTokenizer
    config: Config
    encoder: FrozenEncoder | None

    def __call__(
        self, documents: Sequence[Document], examples: Examples | None = None
    ) -> np.ndarray:
        """Return the classifier's vectors of documents, `[M, D]`."""
        if examples is None:
            bare = [Document(d.id, d.text, ()) for d in documents]
            own = self.labels, self.tokenizer, self.config.text, self.encoder
            examples = encode_documents(bare, *own).examples
        longest = longest_row(self.config, self.tokenizer)
        batches = own_batches(examples, batch_size=BATCH_SIZE, longest=longest)
        return predict_probabilities(self._run, self.params, batches)

    @cached_property
    def _run(self) -> ProbabilityFn:
        def side(params: Params, batch: Batch, **_: object) -> jax.Array:
            return self.classifier.document_side(params, batch)

        return compile_probabilities(side, link=lambda vectors: vectors)


def label_vectors(
    reader: Reader, labels: LabelSpace, names: Sequence[str]
) -> Float[np.ndarray, "N D"]:
    """A vector per label from its texts, float32 `[L, D]`, each of length 1.

    The mean of two where the taxonomy knows what lies above the label: of its name and
    description, and of its first name beside those of its parents.

    Args:
        reader: of documents; it reads the texts as it reads them.
        labels: descriptions and parents.
        names: which labels.
    """
    own = [own_text(labels, name) for name in names]
    family = [family_text(labels, name) for name in names]
    texts = list(dict.fromkeys([*own, *(text for text in family if text)]))
    place = {text: row for row, text in enumerate(texts)}
    vectors = unit(reader([Document(str(i), t, ()) for i, t in enumerate(texts)]))
    sums = vectors[[place[text] for text in own]]
    above = [place[text or mine] for text, mine in zip(family, own, strict=True)]
    return unit(sums + vectors[above])


def own_text(labels: LabelSpace, name: str) -> str:
    """Name and description; of a name without a letter, a number, the latter alone."""
    described = labels.descriptions.get(name, "").strip()
    if described and not any(character.isalpha() for character in name):
        return described
    return label_text(labels, name)


def family_text(labels: LabelSpace, name: str) -> str:
    """The label and what lies right above it, in words; empty without parents."""
    above = [_first_name(labels, parent) for parent in labels.parents.get(name, ())]
    known = [words for words in above if words]
    return ", ".join([_first_name(labels, name) or name, *known]) if known else ""


def _first_name(labels: LabelSpace, name: str) -> str:
    """A name in words: of a number what its description says up to `;`."""
    if any(character.isalpha() for character in name):
        return name.replace("_", " ").replace("-", " ")
    return labels.descriptions.get(name, "").split(";")[0].strip()


def require_texts(documents: Sequence[Document]) -> None:
    """Refuse documents without words.

    Raises:
        ConfigError: the documents are features.
    """
    if any(getattr(document, "features", None) is not None for document in documents):
        raise ConfigError(
            "a memory compares texts with the texts of labels, and these documents are "
            "features: memory.kind must be 'none'"
        )
