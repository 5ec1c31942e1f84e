"""Labelled texts as training reads them, in memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from labelgraph_jax.config import Config, ConfigError, TextConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import Corpus, Document, LabelSpace
from labelgraph_jax.data.labels.label_rules import LabelRules
from labelgraph_jax.data.problems import shared_lines
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.word_vectors import read_word_vectors
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.predictors.adapted import AdaptChoice
from labelgraph_jax.predictors.building import build_classifier
from labelgraph_jax.predictors.documents import (
    AnyTokenizer,
    Encoded,
    document_tokenizer,
    encode_documents,
    load_tokenizer,
    require_annotations,
    token_weights,
)
from labelgraph_jax.predictors.frozen_encoder import upper_layers
from labelgraph_jax.predictors.hierarchy import require_every_label, require_taxonomy
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.many_labels import label_chunk
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.rules import shield_rules_of
from labelgraph_jax.predictors.static_encoder import StaticEncoder
from labelgraph_jax.predictors.structure import HierarchyChoice, with_hierarchy
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.adapt import Adaptation, adaptation
from labelgraph_jax.runs.corpus import (
    layout_lines,
    read_corpus,
    require_labels,
    require_plain_loss,
)
from labelgraph_jax.runs.encoders import pretrained_encoders, static_encoder
from labelgraph_jax.runs.label_graph import label_graph_arrays
from labelgraph_jax.runs.problem import Prepared, Say
from labelgraph_jax.runs.records import fingerprints
from labelgraph_jax.runs.semi import (
    Semi,
    document_vectors,
    learn_unlabelled,
    usable_documents,
)
from labelgraph_jax.runs.structure import hierarchy_of_run, structure_notes


@dataclass(frozen=True, kw_only=True)
class PreparedTexts(Prepared):
    """Documents, labels and network of a run, see `Prepared`."""

    corpus: Corpus
    labels: LabelSpace
    tokenizer: AnyTokenizer
    train_documents: Encoded
    validation_documents: Encoded
    graph: LabelGraphArrays
    classifier: Classifier
    initial_values: dict[str, Any]
    semi: Semi | None = None
    adaptation: Adaptation | None = None
    hierarchy: HierarchyChoice | None = None
    shield: LabelRules | None = None


def prepare(
    config: Config,
    say: Say = lambda line: None,
    corpus: Corpus | None = None,
    origin: Workdir | None = None,
    adapted: AdaptChoice | None = None,
    hierarchy: HierarchyChoice | None = None,
) -> PreparedTexts:
    """Read the corpus, or take one, and build what training needs, in memory.

    Args:
        config: resolved settings.
        say: takes what there is to know about the documents.
        corpus: documents in memory, in place of those that the settings name.
        origin: a run whose tokenizer is taken.
        adapted: how the run adapts to target documents, where that was chosen.
        hierarchy: what it makes of its taxonomy, where that was chosen.

    Raises:
        DataError: the documents are malformed, or carry no label.
        ConfigError: settings that these documents do not allow.
    """
    # Labels: those of the training documents.
    corpus = corpus or read_corpus(config.data)
    unlabelled, labels = _labels_of(config, corpus, say)
    shield = shield_rules_of(config, labels.names)

    # Tokens, and what a frozen encoder makes of them.
    in_chunks = label_chunk(config, len(labels)) > 0
    text = config.text
    static = static_encoder(text, (*corpus.train, *unlabelled), origin, say)
    tokenizer = _tokenizer(text, corpus, origin, static)
    encoder, frozen, first_layer = pretrained_encoders(config)
    if frozen is not None:
        say("encoding the documents once with the frozen layers (cached)")
    train, validation = (
        encode_documents(
            documents, labels, tokenizer, text, frozen, sparse_targets=in_chunks
        )
        for documents in (corpus.train, corpus.validation)
    )

    values = _first_values(config, train, tokenizer, static, say)
    if encoder is not None and text.trainable:
        values["transformer"] = (
            upper_layers(encoder.params, first_layer) if first_layer else encoder.params
        )

    # The label graph and the network.
    names_by = static.tokenizer if static is not None else tokenizer
    if config.hierarchy.kind == "auto" and hierarchy is None:

        def vectors() -> np.ndarray:
            own = static or encoder
            return document_vectors(config, own, names_by, corpus, ())[0]

        hierarchy = hierarchy_of_run(config, vectors, train.examples, labels, say)
    config = with_hierarchy(config, hierarchy)
    sets, mask = train.examples.targets, train.examples.target_mask
    alone = not (unlabelled or corpus.target)
    for note in structure_notes(config, labels, train.examples, alone=alone):
        say(f"{corpus.name}: {note}")
    graph = label_graph_arrays(config, labels, sets, names_by, static or encoder, mask)
    classifier = build_classifier(
        config,
        graph,
        vocabulary_size=tokenizer.vocabulary_size,
        transformer=encoder.shape if encoder else None,
        features=values["embedding"].shape[1] if "embedding" in values else None,
        tasks=labels.task_columns,
        parents=labels.parent_pairs(),
        shield=None if shield is None else shield.clauses,
    )

    # Documents without labels beside the labelled ones, and what there is to say.
    semi = how = None
    if corpus.target:
        if unlabelled:
            raise ConfigError(
                f"{corpus.name}: a run learns from unlabelled documents or adapts to "
                f"data.target, and not both; {len(unlabelled):,} documents have null "
                "for labels"
            )
        target = encode_documents(corpus.target, labels, tokenizer, text, frozen)
        how = adaptation(config, corpus, train.examples, target.examples, adapted, say)
    if unlabelled:
        beside = encode_documents(
            unlabelled, labels, tokenizer, text, frozen, sparse_targets=in_chunks
        )
        semi = learn_unlabelled(
            config,
            corpus,
            unlabelled,
            labels,
            beside.examples,
            lambda: document_vectors(
                config, static or encoder, names_by, corpus, unlabelled
            ),
            say,
        )
    _say_counts(corpus, labels, train, validation, text.max_length, say)
    return PreparedTexts(
        fingerprints=fingerprints(corpus),
        train=train.examples,
        validation=validation.examples,
        batch_size=config.training.batch_size,
        tasks=tuple(labels.tasks),
        corpus=corpus,
        labels=labels,
        tokenizer=tokenizer,
        train_documents=train,
        validation_documents=validation,
        graph=graph,
        classifier=classifier,
        initial_values=values,
        unlabelled=semi.stream if semi else how.second if how else None,
        unlabelled_ratio=1 if how else config.semi.ratio,
        teacher=None if semi is None else semi.teacher(classifier),
        semi=semi,
        adaptation=how,
        hierarchy=hierarchy,
        shield=shield,
    )


def _labels_of(
    config: Config, corpus: Corpus, say: Say
) -> tuple[tuple[Document, ...], LabelSpace]:
    """The documents without labels that are read, and the labels of the others.

    Raises:
        DataError: the documents are malformed, or carry no label.
        ConfigError: settings that these documents do not allow.
    """
    require_labels(corpus.train, corpus)
    if any(document.weight != 1.0 for document in corpus.train):
        require_plain_loss(config, corpus)
    for line in (*layout_lines(corpus), *shared_lines(corpus)):
        say(line)
    for note in corpus.notes:
        say(f"{corpus.name}: {note}")
    # A label that no training document carries is known by its text alone.
    also = corpus.candidate_labels if config.memory.kind != "none" else ()
    unlabelled = usable_documents(config, corpus, say)
    labels = LabelSpace.from_documents(
        corpus.train,
        corpus.label_descriptions,
        corpus.parents,
        corpus.learned_tasks,
        also=also,
    )
    for split in ("validation", "test"):
        require_annotations(corpus.splits[split], labels, f"{split} documents")
    require_taxonomy(config, labels)
    require_every_label(config, labels)
    return unlabelled, labels


def _say_counts(
    corpus: Corpus,
    labels: LabelSpace,
    train: Encoded,
    validation: Encoded,
    longest: int,
    say: Say,
) -> None:
    """Tell how many documents and labels there are, and what of them is not read."""
    if validation.unseen:
        say(
            f"{corpus.name}: left out in validation: "
            f"{counted(validation.unseen.total(), 'occurrence')} of "
            f"{counted(len(validation.unseen), 'label')} without a training document"
        )
    documents = "training document is", "training documents are"
    longer = counted(train.truncated, *documents)
    say(
        f"{corpus.name}: {counted(len(corpus.train), 'document')} to train on, "
        f"{len(corpus.validation):,} for validation, {len(corpus.test):,} for the "
        f"test, {counted(len(labels), 'label')}; {longer} longer than the "
        f"{counted(longest, 'token')} read of a window"
    )


def _tokenizer(
    text: TextConfig,
    corpus: Corpus,
    origin: Workdir | None,
    static: StaticEncoder | None,
) -> AnyTokenizer:
    """The tokenizer of a static encoder, of the origin, or of the training documents.

    The origin is the run that this one begins from; `bag+static` has both kinds.
    """
    if static is not None and text.vectors == "static":
        return static.tokenizer
    if origin is not None:
        return load_tokenizer(text, origin.tokenizer)
    tokenizer = document_tokenizer(text, corpus.train)
    if static is None:
        return tokenizer
    assert isinstance(tokenizer, NgramTokenizer)
    return FusedTokenizer(tokenizer, static.tokenizer)


def _first_values(
    config: Config,
    train: Encoded,
    tokenizer: AnyTokenizer,
    static: StaticEncoder | None,
    say: Say,
) -> dict[str, Params]:
    """Parameters of the text encoder that do not start at random.

    They are `embedding` and `token_weight`, where it has them; a transformer's are not
    among them.
    """
    text, values = config.text, dict[str, Params]()
    if text.encoder in ("bag", "bag+static") and text.vectors in ("random", "file"):
        values["token_weight"] = token_weights(train.examples, tokenizer)
    if static is not None:
        values["embedding"] = static.table.astype(np.float32)
    if isinstance(tokenizer, FusedTokenizer):
        table = values["embedding"]
        shape = tokenizer.words.vocabulary_size, table.shape[1]
        random = np.random.default_rng((config.training.seed, 2)).normal(size=shape)
        both = random * shape[1] ** -0.5, table
        values["embedding"] = np.concatenate(both, dtype=np.float32)
    if text.vectors == "file":
        assert not isinstance(tokenizer, FeatureTokenizer)  # see require_bag
        vectors = read_word_vectors(text.vectors_file, tokenizer.vocabulary)
        say(f"{text.vectors_file}: {vectors.coverage:.1%} of the vocabulary found")
        values["embedding"] = vectors.table
    return values
