"""From a configuration to what training reads: corpus, labels, ids, label graph."""

import jax
import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.labels.vectors import label_word_vectors
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.word_vectors import read_word_vectors
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.functional.graph import adjacency as adjacencies
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.predictors.documents import AnyTokenizer, label_text
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.hierarchy import require_taxonomy
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.many_labels import (
    needs_adjacency,
    require_room,
    uses_edges,
)
from labelgraph_jax.predictors.static_encoder import StaticEncoder
from labelgraph_jax.runs.adjacency_file import read_adjacency
from labelgraph_jax.runs.label_edges import starting_edges

_NAME_WORDS = 1_000_000


def label_graph_arrays(
    config: Config,
    labels: LabelSpace,
    sets: csr_array,
    tokenizer: AnyTokenizer,
    encoder: FrozenEncoder | StaticEncoder | None,
    target_mask: np.ndarray | None = None,
) -> LabelGraphArrays:
    """Return the start of the label graph; `sets` is the training split alone.

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


def label_features(
    config: Config,
    labels: LabelSpace,
    tokenizer: AnyTokenizer,
    encoder: FrozenEncoder | StaticEncoder | None,
) -> np.ndarray:
    """Return the features that labels start from, float32 `[N, D]`.

    Args:
        config: the run's settings.
        labels: their names and descriptions.
        tokenizer: of the documents; it reads the names as it reads them.
        encoder: of the documents, where it is a pretrained or a static one.

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
    if text.vectors == "pretrained" or text.reads_static:
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
