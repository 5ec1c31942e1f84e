"""From a configuration to what training reads: corpus, labels, ids, label graph."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import Config, ConfigError, DataConfig, TextConfig
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.corpora.joined import JOIN, join_corpora
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace
from labelgraph_jax.data.features.documents import reads_features
from labelgraph_jax.data.labels.tasks import (
    learn_tasks,
    leave_out_unannotated,
    select_tasks,
)
from labelgraph_jax.data.labels.taxonomy import attach_taxonomy
from labelgraph_jax.data.labels.vectors import label_word_vectors
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.word_vectors import read_word_vectors
from labelgraph_jax.data.tokenizers.words import Tokenizer, inverse_document_frequency
from labelgraph_jax.functional.graph import adjacency as adjacencies
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.adjacency_file import read_adjacency
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.hierarchy import require_taxonomy
from labelgraph_jax.predictors.label_edges import starting_edges
from labelgraph_jax.predictors.many_labels import (
    needs_adjacency,
    require_room,
    uses_edges,
)
from labelgraph_jax.predictors.workdir import LabelGraphArrays

AnyTokenizer = Tokenizer | NgramTokenizer | FeatureTokenizer
_NAME_WORDS = 1_000_000
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


def read_corpus(
    config: DataConfig, *, split: bool = True, tasks: Sequence[str] = ()
) -> Corpus:
    """Reads the corpus that the settings name, missing splits cut off.

    Args:
        split: cut off missing splits; without, they stay empty.
        tasks: the label sets that a model has learned, in place of those that the
            settings name: one that no document has is then no error, but not
            annotated.

    Raises:
        DataError: a file or corpus is absent or malformed.
        ConfigError: settings that contradict each other.
    """
    if config.data:
        corpus = _own_files(config, has_tasks=bool(tasks or config.task))
    else:
        corpus = _named_corpus(config)
    reads_features([d for split in corpus.splits.values() for d in split])
    if tasks:
        corpus = learn_tasks(corpus, tasks)
    elif config.task:
        corpus = select_tasks(corpus, config.task)
    corpus = leave_out_unannotated(corpus)
    if config.taxonomy:
        corpus = attach_taxonomy(corpus, config.taxonomy, shape=config.taxonomy_shape)
    if split:
        from labelgraph_jax.data.splits import complete_splits

        corpus = complete_splits(
            corpus,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            seed=config.split_seed,
        )
    return corpus


def _named_corpus(config: DataConfig) -> Corpus:
    from labelgraph_jax.data.corpora import load_corpus
    from labelgraph_jax.data.splits import complete_splits

    if config.validation or config.test:
        raise ConfigError(
            "data.validation and data.test name files beside an own training file: "
            "give data.data too"
        )
    names = config.corpus.split(JOIN)
    if len(names) == 1:
        return load_corpus(
            config.corpus,
            data_dir=config.data_dir or None,
            protocol=config.protocol or None,
        )
    for name in ("task", "protocol"):
        if value := getattr(config, name):
            raise ConfigError(
                f"data.corpus={config.corpus!r} joins corpora, and each of them is a "
                f"task of its own: leave data.{name} out, got {value!r}"
            )
    # A split that one corpus lacks is cut off its own documents.
    return join_corpora(
        [
            complete_splits(
                load_corpus(name, data_dir=config.data_dir or None),
                validation_fraction=config.validation_fraction,
                test_fraction=config.test_fraction,
                seed=config.split_seed,
            )
            for name in names
        ]
    )


def _own_files(config: DataConfig, *, has_tasks: bool) -> Corpus:
    from labelgraph_jax.data.readers.texts import read_documents

    def read(path: str) -> tuple[Document, ...]:
        if not path:
            return ()
        return tuple(
            read_documents(
                path,
                label_delimiter=config.label_delimiter or None,
                text_column=config.text_column or None,
                label_columns=config.label_columns or None,
                require_labels=not has_tasks,
            )
        )

    if config.protocol:
        raise ConfigError(
            f"data.protocol={config.protocol!r} belongs to a named corpus, "
            "not to an own file"
        )
    if Path(config.data).is_dir():
        return _own_folder(config)
    return Corpus(
        name=Path(config.data).name,
        train=read(config.data),
        validation=read(config.validation),
        test=read(config.test),
    )


def _own_folder(config: DataConfig) -> Corpus:
    from labelgraph_jax.data.readers.xmc_folder import read_folder

    for name in ("validation", "test", "text_column", "label_columns", "task"):
        if value := getattr(config, name):
            raise ConfigError(
                f"data.data={config.data!r} is a folder, which says itself what is "
                f"where: leave data.{name} out, got {value!r}"
            )
    return read_folder(config.data)


def fingerprint(documents: Sequence[Document]) -> str:
    """SHA-256 of ids, texts or features, and labels: which data numbers belong to.

    What a document is not annotated for counts: nothing known is not "no label".
    """
    digest = hashlib.sha256()
    for document in documents:
        missing = (f"\x1d{name}" for name in sorted(document.unannotated))
        for part in (document.id, document.text, *sorted(document.labels), *missing):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\x1f")
        if document.features is not None:
            digest.update(document.features.to_bytes())
        digest.update(b"\x1e")
    return digest.hexdigest()


def document_tokenizer(
    config: TextConfig, documents: Sequence[Document]
) -> AnyTokenizer:
    """What turns documents like the training documents into ids.

    Raises:
        DataError: texts and features are mixed.
        ConfigError: settings that documents of features do not allow.
    """
    if not reads_features(documents, "training documents"):
        return make_tokenizer(config, [document.text for document in documents])
    require_bag(config)
    return FeatureTokenizer.train(documents, min_count=config.min_count)


def require_bag(config: TextConfig) -> None:
    """Refuses settings that documents of features cannot have.

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
        return Tokenizer.from_pretrained(find_pretrained(config.pretrained))
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
    targets, unseen = labels.label_sets(documents)
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
    return Encoded(examples, encoded.truncated, unseen)


def load_tokenizer(config: TextConfig, folder: Path) -> AnyTokenizer:
    """The tokenizer that a run saved.

    Raises:
        TokenizerError: the file is missing or malformed.
    """
    if FeatureTokenizer.is_in(folder):
        return FeatureTokenizer.load(folder)
    return (NgramTokenizer if config.reads_ngrams else Tokenizer).load(folder)


def token_weights(examples: Examples, tokenizer: AnyTokenizer) -> np.ndarray:
    """Inverse document frequency of every token in training, float32 `[V]`.

    Parts of words outnumber words, so they weigh less. Of features, whose values say
    what they weigh, ones.
    """
    if isinstance(tokenizer, FeatureTokenizer):
        return np.ones(tokenizer.vocabulary_size, np.float32)
    assert examples.windows is not None
    size = tokenizer.vocabulary_size
    weights = inverse_document_frequency(examples.windows, size, pad_id=examples.pad_id)
    if isinstance(tokenizer, NgramTokenizer):
        weights[tokenizer.is_character_part] *= PART_WEIGHT
    return weights


def label_graph_arrays(
    config: Config,
    labels: LabelSpace,
    sets: csr_array,
    tokenizer: AnyTokenizer,
    encoder: FrozenEncoder | None,
    target_mask: np.ndarray | None = None,
) -> LabelGraphArrays:
    """What the label graph starts from; `sets` is the training split alone.

    Of what is not annotated (`target_mask` False) nothing is counted: the prior of a
    label is its share of the documents that are annotated for it.
    """
    support = np.asarray(sets.sum(axis=0), np.float32)
    documents, features = np.asarray(sets.shape[0]), None
    if target_mask is not None:
        support = np.asarray(sets.multiply(target_mask).sum(axis=0), np.float32)
        documents = target_mask.sum(axis=0)
    features = label_features(config, labels, tokenizer, encoder)
    return LabelGraphArrays(
        features=features,
        adjacency=_start(config, labels, sets, features, target_mask),
        prior=support / np.maximum(documents, 1).astype(np.float32),
        counts=support,
    )


def _start(
    config: Config,
    labels: LabelSpace,
    sets: csr_array,
    features: np.ndarray,
    target_mask: np.ndarray | None,
) -> np.ndarray | Edges | None:
    """The adjacency or the edges that training starts from, if there are any."""
    if uses_edges(config, len(labels)):
        return starting_edges(config, labels, sets, features, target_mask)
    if not needs_adjacency(config, len(labels)):
        return None
    require_room(
        len(labels),
        len(labels),
        "the label graph as a matrix",
        "graph.method='sparse' (a list of edges), graph.role='none' (all labels) or "
        "graph.rank (learned edge weights of a low rank) would fit",
    )
    annotated = None
    if target_mask is None:
        counts = (sets.T @ sets).toarray()
    else:
        targets = sets.toarray()
        counts = np.asarray(adjacencies.cooccurrence(targets, target_mask))
        annotated = np.asarray(adjacencies.annotated_counts(targets, target_mask))
    start = starting_adjacency(config, labels, counts, annotated, features)
    return np.asarray(start, np.float32)


def starting_adjacency(
    config: Config,
    labels: LabelSpace,
    counts: np.ndarray,
    annotated: np.ndarray | None = None,
    features: np.ndarray | None = None,
) -> jax.Array | np.ndarray:
    """The adjacency that training starts from, `[N, N]`.

    Args:
        config: the run's settings.
        labels: which label is which row.
        counts: co-occurrence of the labels in the training split, `[N, N]`.
        annotated: where annotations are missing, `functional.annotated_counts` of it.
        features: of the labels, `[N, D]`; of initialisation `similarity` alone.

    Raises:
        ConfigError: the settings ask for a taxonomy that the labels do not have, or
            for a file that lacks labels or is none.
    """
    graph, size = config.graph, len(labels)
    key = jax.random.key(config.training.seed)
    match graph.initialisation:
        case "identity":
            return adjacencies.identity_adjacency(size)
        case "random":
            return adjacencies.random_adjacency(key, size)
        case "xavier":
            return adjacencies.xavier_adjacency(key, size)
        case "thresholded":
            return adjacencies.thresholded_adjacency(
                counts, annotated, tau=graph.tau, p=graph.p
            )
        case "taxonomy":
            require_taxonomy(config, labels)
            pairs = labels.parent_pairs()
            return adjacencies.taxonomy_adjacency(pairs, size)
        case "similarity":
            assert features is not None
            return adjacencies.similarity_adjacency(
                features, neighbours=graph.neighbours
            )
        case "file":
            return read_adjacency(graph.adjacency_file, labels.names)
        case _:
            return adjacencies.conditional_adjacency(counts, annotated)


def label_text(labels: LabelSpace, name: str) -> str:
    """What a label feature is encoded from: its description, or its name in words."""
    described = labels.descriptions.get(name, "")
    if len(labels.tasks) > 1:
        name = name.replace("/", " ", 1)
    words = name.replace("_", " ").replace("-", " ").replace(":", " ")
    return f"{words}. {described}" if described else words


def label_features(
    config: Config,
    labels: LabelSpace,
    tokenizer: AnyTokenizer,
    encoder: FrozenEncoder | None,
) -> np.ndarray:
    """What a label starts from beside its neighbours, float32 `[N, D]`.

    Args:
        config: the run's settings.
        labels: their names and descriptions.
        tokenizer: of the documents; it reads the names as it reads them.
        encoder: of the documents, where it is a pretrained one.

    Raises:
        WordVectorError: a file of word vectors is missing or malformed, or has no word
            of any label.
    """
    generator = np.random.default_rng((config.training.seed, 1))
    graph, text = config.graph, config.text
    if graph.features == "random":
        shape = (len(labels), graph.feature_dim)
        return generator.normal(0, graph.feature_dim**-0.5, shape).astype(np.float32)
    texts = [label_text(labels, name) for name in labels.names]
    if graph.features == "word_vectors":
        return label_word_vectors(graph.vectors_file, labels.names, texts)
    if text.vectors == "pretrained":
        assert encoder is not None and isinstance(tokenizer, Tokenizer)
        return encoder.sentence_vectors(texts, tokenizer)
    if isinstance(tokenizer, FeatureTokenizer):
        # Features are no words: the names get a vocabulary of their own.
        tokenizer = Tokenizer.train_words(
            texts, vocabulary_size=_NAME_WORDS, min_count=1
        )
    # One random vector per word where no trained one is given: labels whose names
    # share words still share features.
    table = generator.normal(
        0, graph.feature_dim**-0.5, (tokenizer.vocabulary_size, graph.feature_dim)
    ).astype(np.float32)
    if text.vectors == "file":
        table = read_word_vectors(text.vectors_file, tokenizer.vocabulary).table
    windows = tokenizer.encode(texts, max_length=64).windows
    means = np.stack([table[ids[0]].mean(axis=0) for ids in windows])
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.maximum(norms, 1e-6)).astype(np.float32)


def require_labels(documents: Sequence[Document], corpus: Corpus) -> None:
    """Refuses a training split without documents or labels.

    Raises:
        DataError: there is nothing to learn from.
    """
    if not documents:
        raise DataError(f"{corpus.name}: there is no training document")
    if not any(document.labels for document in documents):
        raise DataError(f"{corpus.name}: no training document carries a label")


def require_annotations(
    documents: Sequence[Document], labels: LabelSpace, what: str = "documents"
) -> None:
    """Refuses documents of which none is annotated for a label of the model.

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
