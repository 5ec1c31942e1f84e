"""A memory made from training documents, chosen on validation documents, and saved."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from labelgraph_jax.config import MemoryConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.measure import validation_metrics
from labelgraph_jax.predictors.memory.build import encode_added, in_words, make_keys
from labelgraph_jax.predictors.memory.choice import (
    Validation,
    choose,
    fit_text_rule,
    stack,
    unchosen,
)
from labelgraph_jax.predictors.memory.files import (
    copy_encoder,
    read_added,
    save_added,
    save_memory,
)
from labelgraph_jax.predictors.memory.memory import Memory
from labelgraph_jax.predictors.memory.texts import require_texts
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.restore import reader_of
from labelgraph_jax.training.hosts import on_first

Say = Callable[[str], None]


def learn_memory(
    place: Workdir,
    model: LabelModel,
    config: MemoryConfig,
    train: Sequence[Document],
    validation: tuple[Sequence[Document], Examples, Predictions],
    *,
    cache: Path | None = None,
    say: Say = lambda line: None,
) -> Memory:
    """Make, choose and save a memory; every process of a run makes this call.

    Args:
        place: where it goes; labels that were added there before are kept.
        model: the classifier, without a memory.
        config: what is asked for, `kind` not none.
        train: the documents to remember.
        validation: the validation documents, as the classifier reads them, and its
            predictions of them, with their truth.
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
    read = counted(len(train), "training document")
    say(f"memory: reading {read} and the labels' texts")
    reader = reader_of(place, config, model, cache)
    labels = model.label_space
    keys = make_keys(reader, labels, train)
    memory = Memory(config, reader, keys, unchosen(config))
    documents, examples, predictions = validation
    if len(documents):
        queries = memory.queries(documents, examples)
        chosen_on = Validation(queries, predictions)
        metric = model.config.training.selection_metric
        memory = _chosen(memory, chosen_on, metric)
        rule = fit_text_rule(memory, chosen_on)
        rule, stacked = stack(dataclasses.replace(memory, text_rule=rule), chosen_on)
        about = memory.about | ({"stacking": stacked} if stacked else {})
        memory = dataclasses.replace(memory, text_rule=rule, about=about)
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


def _chosen(memory: Memory, validation: Validation, metric: str) -> Memory:
    """The memory with its choice, and what it does to the validation metrics.

    Where the metric that chose the checkpoint falls, the classifier stays alone.
    """
    choice, measured = choose(memory, validation)
    memory = dataclasses.replace(memory, choice=choice)
    if not validation.positives.nnz:
        return memory
    classifier = validation.predictions

    def metrics(beside: Memory) -> dict[str, float]:
        mixed = beside.mix(classifier, validation.queries)
        assert classifier.truth is not None
        return validation_metrics(mixed.with_truth(classifier.truth, classifier.known))

    without, found = validation_metrics(classifier), metrics(memory)
    if memory.config.weight is None and found[metric] < without[metric]:
        alone = dataclasses.replace(choice, weight=0.0)
        memory = dataclasses.replace(memory, choice=alone)
        found = metrics(memory)
    about = {
        "documents": len(classifier),
        "chosen_by": "nDCG@5",
        "ranking": measured,
        "with_memory": found,
        "without_memory": without,
    }
    return dataclasses.replace(memory, about=about)
