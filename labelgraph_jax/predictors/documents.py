"""Documents as a model reads them: corpus, tokenizer, ids and targets."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labelgraph_jax.config import Config, ConfigError, TextConfig
from labelgraph_jax.config.settings import short, whole_number
from labelgraph_jax.data.batches.batches import Batch, Examples
from labelgraph_jax.data.batches.shapes import MULTIPLE
from labelgraph_jax.data.documents import (
    DataError,
    Document,
    LabelSpace,
    require_unicode,
)
from labelgraph_jax.data.features.documents import reads_features
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.words import (
    Tokenizer,
    TokenizerError,
    inverse_document_frequency,
)
from labelgraph_jax.modules.encoder_settings import read_prompt
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.training.local_batches import own_batches

AnyTokenizer = Tokenizer | NgramTokenizer | FusedTokenizer | FeatureTokenizer


PART_WEIGHT = 0.5
"""Weight of a part of a word beside a word of the same rarity."""


@dataclass(frozen=True)
class Encoded:
    """The documents of one split as training and evaluation read them.

    Attributes:
        examples: token ids or token vectors, and targets.
        truncated: documents longer than the encoder reads.
        unseen: labels without a node, and how often they occurred.
    """

    examples: Examples
    truncated: int
    unseen: Counter[str]


def fingerprint(documents: Sequence[Document]) -> str:
    """SHA-256 of ids, texts or features, and labels: which data numbers belong to.

    What a document is not annotated for counts: nothing known is not "no label"; and so
    do labels that are null, and its weight.
    """
    digest = hashlib.sha256()
    for document in documents:
        missing = (f"\x1d{name}" for name in sorted(document.unannotated))
        for part in (document.id, document.text, *sorted(document.labels), *missing):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\x1f")
        if document.features is not None:
            digest.update(document.features.to_bytes())
        if not document.labelled:
            digest.update(b"\x1b")
        if document.weight != 1.0:
            digest.update(f"\x1c{document.weight!r}".encode())
        if document.probabilities:
            digest.update(f"\x1b{sorted(document.probabilities.items())}".encode())
        digest.update(b"\x1e")
    return digest.hexdigest()


def document_tokenizer(
    config: TextConfig, documents: Sequence[Document]
) -> AnyTokenizer:
    """Return the tokenizer for documents like the training documents.

    Raises:
        DataError: texts and features are mixed.
        ConfigError: settings that documents of features do not allow.
    """
    if not reads_features(documents, "training documents"):
        try:
            return make_tokenizer(config, [document.text for document in documents])
        except TokenizerError as error:
            no_count = config.vectors == "pretrained" or config.min_count == 1
            if no_count or config.vocabulary_size < 3:
                raise
            raise DataError(
                f"{error}: of {len(documents):,} training texts what stands in fewer "
                f"than text.min_count={config.min_count} is left out; give more texts, "
                "or text.min_count 1"
            ) from None
    require_bag(config)
    return FeatureTokenizer.train(documents, min_count=config.min_count)


def require_bag(config: TextConfig) -> None:
    """Refuse settings that documents of features cannot have.

    Raises:
        ConfigError: anything but a bag of vectors learned from nothing, or what is of
            texts alone.
    """
    default = TextConfig()
    for name, value, must in (
        ("encoder", config.encoder, "bag"),
        ("vectors", config.vectors, "random"),
        ("long_documents", config.long_documents, "head"),
        ("ngrams", config.ngrams or None, None),
        ("vocabulary_size", config.vocabulary_size, default.vocabulary_size),
    ):
        if value != must:
            raise ConfigError(
                f"the documents are features, which have no order and no words: "
                f"text.{name} must be {must!r}, got {value!r}"
            )


def make_tokenizer(config: TextConfig, texts: Sequence[str]) -> AnyTokenizer:
    """The pretrained encoder's tokenizer, or one made from the training texts."""
    if config.reads_ngrams:
        return NgramTokenizer.train(
            texts,
            vocabulary_size=config.vocabulary_size,
            min_count=config.min_count,
        )
    if config.vectors == "pretrained":
        folder, prompt = find_pretrained(config.pretrained), config.prompt
        prompt = {"default": read_prompt(folder), "none": ""}.get(prompt, prompt)
        return Tokenizer.from_pretrained(folder, prompt=prompt)
    return Tokenizer.train_words(
        texts,
        vocabulary_size=config.vocabulary_size,
        min_count=config.min_count,
    )


def encode_documents(
    documents: Sequence[Document],
    labels: LabelSpace,
    tokenizer: AnyTokenizer,
    config: TextConfig,
    encoder: FrozenEncoder | None = None,
    *,
    sparse_targets: bool = False,
) -> Encoded:
    """Documents as token ids, or as a frozen encoder's token vectors, and targets.

    Raises:
        ConfigError: `sparse_targets`, see `Examples`, of documents of which not all is
            annotated.
    """
    targets, unseen = labels.soft_sets(documents)
    target_mask = None
    # A label or two that are the same item as the document (`xmc_folder`) are no label
    # set: they count as absent in training, and are left out in evaluation.
    if not sparse_targets:
        target_mask = labels.target_mask(documents)
    elif any(name.endswith("/") for d in documents for name in d.unannotated):
        raise ConfigError(
            "scoring labels in chunks (head.label_chunk) needs documents that are "
            "annotated for every label: leave label sets (data.task) out that some "
            "documents lack, or score all labels at once with head.label_chunk=0"
        )
    if isinstance(tokenizer, FeatureTokenizer):
        rows = tokenizer.encode(documents, max_length=config.max_length)
        examples = Examples(
            windows=rows.windows,
            token_values=rows.values,
            targets=targets,
            target_mask=target_mask,
            sparse_targets=sparse_targets,
        )
        return Encoded(examples, rows.truncated, unseen)
    if reads_features(documents):
        raise DataError(
            f"{documents[0].source or documents[0].id}: this model reads texts, not "
            "features: give JSONL, TSV, CSV, parquet or plain text"
        )
    windows = config.max_windows if config.long_documents == "windows" else 1
    encoded = tokenizer.encode(
        [document.text for document in documents],
        max_length=config.max_length,
        max_windows=windows,
    )
    examples = Examples(
        windows=encoded.windows,
        targets=targets,
        target_mask=target_mask,
        pad_id=tokenizer.pad_id,
        sparse_targets=sparse_targets,
    )
    if encoder is not None:
        examples = encoder.encode(examples)
    weights = np.asarray([document.weight for document in documents], np.float32)
    if (weights != 1.0).any():
        examples = replace(examples, weights=weights)
    return Encoded(examples, encoded.truncated, unseen)


def load_tokenizer(config: TextConfig, folder: Path) -> AnyTokenizer:
    """The tokenizer that a run saved.

    Raises:
        TokenizerError: the file is missing or malformed.
    """
    if FeatureTokenizer.is_in(folder):
        return FeatureTokenizer.load(folder)
    if config.encoder == "bag+static":
        return FusedTokenizer.load(folder)
    return (NgramTokenizer if config.reads_ngrams else Tokenizer).load(folder)


def token_weights(examples: Examples, tokenizer: AnyTokenizer) -> np.ndarray:
    """Inverse document frequency of every token in training, float32 `[V]`.

    Parts of words outnumber words, so they weigh less. Of features, whose values say
    what they weigh, ones. Of n-grams and pieces `[V, 2]`: what each weighs among the
    former, and among the latter, where all weigh the same.
    """
    if isinstance(tokenizer, FeatureTokenizer):
        return np.ones(tokenizer.vocabulary_size, np.float32)
    assert examples.windows is not None
    size = tokenizer.vocabulary_size
    weights = inverse_document_frequency(examples.windows, size, pad_id=examples.pad_id)
    words = tokenizer.words if isinstance(tokenizer, FusedTokenizer) else tokenizer
    if isinstance(words, NgramTokenizer):
        parts = words.is_character_part
        weights[: len(parts)][parts] *= PART_WEIGHT
    if isinstance(tokenizer, FusedTokenizer):
        is_piece = np.arange(size) >= tokenizer.words.vocabulary_size
        weights = np.stack([np.where(is_piece, 0, weights), is_piece], axis=1)
    return weights.astype(np.float32)


def label_text(labels: LabelSpace, name: str) -> str:
    """Return the text that encodes a label: its name in words, and its description."""
    described = labels.descriptions.get(name, "")
    if len(labels.tasks) > 1:
        name = name.replace("/", " ", 1)
    words = name.replace("_", " ").replace("-", " ").replace(":", " ")
    return f"{words}. {described}" if described else words


def require_annotations(
    documents: Sequence[Document], labels: LabelSpace, what: str = "documents"
) -> None:
    """Refuse documents of which none is annotated for a label of the model.

    Args:
        documents: to measure; none at all is no error.
        labels: what the model has learned, or will.
        what: they are, for the error.

    Raises:
        DataError: there is nothing to measure.
    """
    missing = labels.missing_sets(documents)
    everything = len(documents) * len(labels)
    if missing is not None and missing.nnz == everything > 0:
        raise DataError(
            f"none of the {len(documents):,} {what} is annotated for a label that "
            "training has"
        )


Texts = str | Iterable[str] | Iterable[Features | Document]
"""Texts, or rows of features, that a model predicts for."""


def as_texts(texts: Texts) -> list[str]:
    """One text or several, as a list.

    Raises:
        DataError: they are no strings.
    """
    if isinstance(texts, str):
        texts = [texts]
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise DataError(
            "texts must be strings in a list, array or Series, got a "
            f"{type(texts).__name__}; of a frame or mapping give one column"
        )
    try:
        every = list(texts)
    except TypeError:
        raise DataError(
            f"texts must be strings in a list, array or Series, got {short(texts)}"
        ) from None
    found = []
    for position, text in enumerate(every):
        if not isinstance(text, str):
            raise DataError(
                f"text {position} must be a string, got {type(text).__name__}"
            )
        require_unicode(text, f"text {position}")
        found.append(text)
    return found


def as_documents(
    documents: Iterable[Document], purpose: str = ""
) -> Sequence[Document]:
    """Documents as a list or tuple.

    Args:
        documents: what was given.
        purpose: why there must be one, as "to evaluate"; empty where none is right.

    Raises:
        DataError: they are no `Document`s, or there is none.
    """
    if not isinstance(documents, (list, tuple)):
        try:
            documents = list(documents)
        except TypeError:
            raise DataError(
                f"documents must be `Document`s in a list, got {short(documents)}"
            ) from None
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            raise DataError(
                f"document {position} must be a `Document`, got "
                f"{type(document).__name__}; texts alone are of `model.predict`"
            )
    if purpose and not documents:
        raise DataError(f"there is no document {purpose}")
    return documents


def batch_rows(config: Config, batch_size: int | None) -> int:
    """Documents at a time: as many as were asked for, or as the settings say.

    Raises:
        ConfigError: it is no whole number of at least 1.
    """
    if batch_size is None:
        return config.training.evaluation_batch_size
    return whole_number(batch_size, "batch_size")


def longest_row(config: Config, tokenizer: AnyTokenizer) -> int:
    """Tokens of the longest row that a text can have; 0 of features."""
    if isinstance(tokenizer, FeatureTokenizer):
        return 0
    return -(-config.text.max_length // MULTIPLE) * MULTIPLE


def prediction_batches(
    config: Config, tokenizer: AnyTokenizer, examples: Examples, batch_size: int | None
) -> Iterator[Batch]:
    """The batches in which a model of texts predicts, of few shapes; see `own_batches`.

    Raises:
        ConfigError: as `batch_rows`.
    """
    size, longest = batch_rows(config, batch_size), longest_row(config, tokenizer)
    return own_batches(examples, batch_size=size, longest=longest)
