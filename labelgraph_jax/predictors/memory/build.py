"""A memory made from training documents, and what there is to say of it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.predictors.memory.files import with_added_labels
from labelgraph_jax.predictors.memory.memory import (
    AddedLabels,
    Keys,
    Memory,
    Reader,
    unit,
)
from labelgraph_jax.predictors.memory.texts import label_vectors


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
    """Return a one-sentence description of a memory and its chosen settings."""
    config, choice = memory.config, memory.choice
    kind: str = config.kind
    if kind == "pretrained":
        kind = f"{kind} ({Path(config.pretrained).name})"
    said = (
        f"{kind}, weight {choice.weight:g} beside the classifier, of it "
        f"{choice.share:.0%} from {counted(len(memory.keys.documents), 'document')}"
    )
    if ranking := memory.about.get("ranking"):
        said += (
            f"; nDCG@5 on validation {memory.about['with_memory']['nDCG@5']:.4f} with "
            f"it, {memory.about['without_memory']['nDCG@5']:.4f} without, "
            f"{ranking['nDCG@5_memory']:.4f} alone"
        )
    return said


def memory_results(memory: Memory) -> dict[str, object]:
    """Return the results of a memory as JSON values."""
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
