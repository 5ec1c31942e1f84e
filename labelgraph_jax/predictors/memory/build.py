"""A memory made from training documents, and chosen on validation documents."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from labelgraph_jax.config import MemoryConfig
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.evaluation import validation_metrics
from labelgraph_jax.predictors.memory.choice import (
    Validation,
    choose,
    fit_text_rule,
    unchosen,
)
from labelgraph_jax.predictors.memory.files import (
    copy_encoder,
    encoder_folder,
    load_memory,
    read_added,
    save_added,
    save_memory,
    stored_settings,
    with_added_labels,
)
from labelgraph_jax.predictors.memory.memory import (
    AddedLabels,
    Keys,
    Memory,
    Reader,
    unit,
)
from labelgraph_jax.predictors.memory.texts import (
    frozen_reader,
    label_vectors,
    own_reader,
    require_texts,
)
from labelgraph_jax.predictors.ranked_decisions import ranked_validation_metrics
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.training.hosts import on_first
from labelgraph_jax.training.many_labels import TopLabels

if TYPE_CHECKING:
    from labelgraph_jax.predictors.label_model import Model

Say = Callable[[str], None]
Scores = np.ndarray | TopLabels
"""Probabilities of all labels `[V, N]`, or the best labels of each document."""


def reader_of(
    place: Workdir, config: MemoryConfig, model: "Model", cache: Path | None
) -> Reader:
    """What turns documents into vectors, of a memory that stands in `place`."""
    if config.kind == "pretrained":
        return frozen_reader(config, encoder_folder(place), cache)
    return own_reader(
        model.classifier,
        model.params,
        model.label_space,
        model.tokenizer,
        model.config.text,
        model.encoder,
    )


def restore_memory(place: Workdir, model: "Model", cache: Path | None) -> Memory:
    """The memory of a work directory, beside its classifier.

    Raises:
        WorkdirError: a file of it is damaged.
    """
    reader = reader_of(place, stored_settings(place), model, cache)
    return load_memory(place, reader, model.label_space)


def learn_memory(
    place: Workdir,
    model: "Model",
    config: MemoryConfig,
    train: Sequence[Document],
    validation: tuple[Sequence[Document], Examples, Scores],
    *,
    cache: Path | None = None,
    say: Say = lambda line: None,
) -> Memory:
    """Makes, chooses and saves a memory; every process of a run makes this call.

    Args:
        place: where it goes; labels that were added there before are kept.
        model: the classifier, without a memory.
        config: what is asked for, `kind` not none.
        train: the documents to remember.
        validation: the validation documents, as the classifier reads them, and its
            probabilities of them: `[V, N]`, or the best labels of each.
        cache: folder that keeps the encoder's vectors, or None.
        say: takes one line about what is going on.

    Raises:
        ConfigError: the documents are features.
        PretrainedError: the encoder cannot be found.
    """
    require_texts(train)
    if config.kind == "pretrained":
        source = find_pretrained(config.pretrained)
        on_first(lambda: copy_encoder(source, place))
    say(f"memory: reading {len(train):,} training documents and the labels' texts")
    reader = reader_of(place, config, model, cache)
    labels = model.label_space
    keys = make_keys(reader, labels, train)
    memory = Memory(config, reader, keys, unchosen(config))
    documents, examples, scores = validation
    if len(documents):
        chosen_on = _validation(memory, model, documents, examples, scores)
        memory = _chosen(memory, chosen_on, model, examples, scores)
        rule = fit_text_rule(memory, chosen_on)
        memory = dataclasses.replace(memory, text_rule=rule)
    added = read_added(place)
    if len(added):
        memory = memory.with_added(encode_added(memory, labels, added))
    say(f"memory: {in_words(memory)}")

    def save() -> None:
        save_memory(place, memory)
        if len(added):
            save_added(place, memory.added)

    on_first(save)
    return memory


def _validation(
    memory: Memory,
    model: "Model",
    documents: Sequence[Document],
    examples: Examples,
    scores: Scores,
) -> Validation:
    """The validation documents as the choice reads them."""
    queries = memory.queries(documents, examples)
    if isinstance(scores, TopLabels):
        return Validation(
            queries,
            csr_matrix(examples.targets),
            (scores.ids, scores.probabilities),
            model.classifier_at(documents, examples),
        )
    return Validation.of_matrix(queries, examples.targets, scores, examples.target_mask)


def _chosen(
    memory: Memory,
    validation: Validation,
    model: "Model",
    examples: Examples,
    scores: Scores,
) -> Memory:
    """The memory with its choice, and what it does to the validation metrics.

    Where the metric that chose the checkpoint falls, the classifier stays alone.
    """
    choice, measured = choose(memory, validation)
    memory = dataclasses.replace(memory, choice=choice)
    if not validation.positives.nnz:
        return memory

    def metrics(beside: Memory | None) -> dict[str, float]:
        mixed: Any = scores
        if isinstance(scores, TopLabels):
            if beside is not None:
                mixed = mix_best(beside, scores, validation)
            return ranked_validation_metrics(mixed, examples.targets)
        if beside is not None:
            mixed = beside.mix(scores, validation.queries)
        return validation_metrics(mixed, examples.multi_hot, examples.target_mask)

    without, found = metrics(None), metrics(memory)
    name = model.config.training.selection_metric
    if memory.config.weight is None and found[name] < without[name]:
        alone = dataclasses.replace(choice, weight=0.0)
        memory = dataclasses.replace(memory, choice=alone)
        found = metrics(memory)
    about = {
        "documents": len(examples),
        "chosen_by": "nDCG@5",
        "ranking": measured,
        "with_memory": found,
        "without_memory": without,
    }
    return dataclasses.replace(memory, about=about)


def mix_best(memory: Memory, top: TopLabels, validation: Validation) -> TopLabels:
    """The best labels of each document with the memory's among them."""
    ids, probabilities = memory.mix_top(
        (top.ids, top.probabilities),
        validation.classifier_at,
        validation.queries,
        k=top.ids.shape[1],
    )
    return TopLabels(ids, probabilities)


def make_keys(reader: Reader, labels: LabelSpace, train: Sequence[Document]) -> Keys:
    """Vectors of the training documents and of the label texts, centred.

    The mean is taken off: all laws begin alike, and so does every vector of one; what
    is left tells them apart. Rounded to float16, as they are stored.
    """
    vectors = reader(train)
    centre = vectors.mean(axis=0)
    texts = label_vectors(reader, labels, labels.names)
    label_centre = texts.mean(axis=0)
    index = labels.index
    held = [[index[name] for name in d.labels if name in index] for d in train]
    ids = np.full((len(train), max([1, *map(len, held)])), -1, np.int32)
    for row, own in zip(ids, held, strict=True):
        row[: len(own)] = own
    seen = np.bincount(ids[ids >= 0], minlength=len(labels)) > 0
    return Keys(
        centre=centre,
        label_centre=label_centre,
        documents=_rounded(unit(vectors - centre)),
        document_labels=ids,
        labels=_rounded(unit(texts - label_centre)),
        seen=seen,
    )


def _rounded(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float16).astype(np.float32)


def encode_added(memory: Memory, labels: LabelSpace, added: AddedLabels) -> AddedLabels:
    """Added labels with the vectors of their texts.

    Args:
        memory: it reads them as it read the classifier's labels.
        labels: the classifier's, whose names a parent may be.
        added: names, descriptions and parents.
    """
    space = with_added_labels(labels, added)
    vectors = label_vectors(memory.reader, space, added.names)
    keys = unit(vectors - memory.keys.label_centre)
    return dataclasses.replace(added, keys=keys)


def in_words(memory: Memory) -> str:
    """What it is and what validation chose, in one sentence."""
    config, choice = memory.config, memory.choice
    kind: str = config.kind
    if kind == "pretrained":
        kind = f"{kind} ({Path(config.pretrained).name})"
    said = (
        f"{kind}, weight {choice.weight:g} beside the classifier, of it "
        f"{choice.share:.0%} from {len(memory.keys.documents):,} documents"
    )
    if ranking := memory.about.get("ranking"):
        said += (
            f"; nDCG@5 on validation {memory.about['with_memory']['nDCG@5']:.4f} with "
            f"it, {memory.about['without_memory']['nDCG@5']:.4f} without, "
            f"{ranking['nDCG@5_memory']:.4f} alone"
        )
    return said


def memory_results(memory: Memory) -> dict[str, Any]:
    """What results say of a memory, JSON values."""
    return {
        "kind": memory.config.kind,
        "pretrained": memory.config.pretrained
        if memory.config.kind == "pretrained"
        else "",
        "documents": len(memory.keys.documents),
        "labels": len(memory.keys.labels),
        "added_labels": len(memory.added),
        "choice": dataclasses.asdict(memory.choice),
        "text_rule": dataclasses.asdict(memory.text_rule),
        "validation": memory.about,
        "summary": in_words(memory),
    }
