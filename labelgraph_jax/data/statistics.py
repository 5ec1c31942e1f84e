"""Statistics of a corpus."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from labelgraph_jax.data.documents import Corpus, Document, LabelSpace
from labelgraph_jax.data.labels.cooccurrence import label_pairs
from labelgraph_jax.data.problems import (
    Problem,
    shared_texts,
    unseen_labels,
    validate,
)
from labelgraph_jax.data.writing import CutText, cut_text, scripts

_RAREST = 10
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class SplitStatistics:
    """One split in numbers.

    Attributes:
        documents: how many.
        labels: distinct labels that occur.
        labels_per_document_mean, labels_per_document_max: over all documents.
        without_label_share: the share of documents that carry no label.
        annotated_share: the share of the (document, label) pairs that are
            annotated, over the labels of all splits.
        words_min, words_median, words_p95, words_max: words of a text, that is
            runs of non-blank characters; or features of a row.
        repeated_texts: documents whose text stands earlier in the same split.
    """

    documents: int
    labels: int
    labels_per_document_mean: float
    labels_per_document_max: int
    without_label_share: float
    annotated_share: float
    words_min: int
    words_median: float
    words_p95: float
    words_max: int
    repeated_texts: int


@dataclasses.dataclass(frozen=True)
class TaskStatistics:
    """One of several label sets, in one split.

    Attributes:
        annotated: documents that are annotated for it.
        labels: distinct labels of the set that occur.
        labels_per_document_mean: over the annotated documents; 0 without any.
    """

    annotated: int
    labels: int
    labels_per_document_mean: float


@dataclasses.dataclass(frozen=True)
class CorpusStatistics:
    """A corpus in numbers.

    Attributes:
        name: of the corpus.
        documents, labels: over all splits.
        splits: per split that has documents.
        tasks: per task, where several are learned, and split that has documents.
        cooccurrence_density: the share of the label pairs that some document
            carries together; 0 with fewer than two labels.
        rarest_labels: (label, documents) over all splits, the rarest first.
        unseen_labels: per split, labels that training does not have.
        shared_texts: per pair of splits ("train/test"), documents of the second
            whose text also stands in the first.
        scripts: writing systems of the texts, and their share of the letters.
        cut: how three of the documents are cut into words.
        notes: what was done to the corpus.
        problems: see `validate`.
    """

    name: str
    documents: int
    labels: int
    splits: dict[str, SplitStatistics]
    tasks: dict[str, dict[str, TaskStatistics]]
    cooccurrence_density: float
    rarest_labels: tuple[tuple[str, int], ...]
    unseen_labels: dict[str, tuple[str, ...]]
    shared_texts: dict[str, int]
    scripts: dict[str, float]
    cut: tuple[CutText, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, object]:
        """The same as plain dicts, lists, strings and numbers, for `json.dumps`."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def corpus_statistics(corpus: Corpus) -> CorpusStatistics:
    """Counts what is in a corpus and lists its problems.

    Texts are compared exactly, but for blanks at both ends.
    """
    splits = {name: documents for name, documents in corpus.splits.items() if documents}
    every = [document for documents in splits.values() for document in documents]
    counts = Counter(label for document in every for label in document.labels)
    space = LabelSpace(tuple(sorted(counts))) if counts else None
    tasks = corpus.learned_tasks if len(corpus.learned_tasks) > 1 else ()
    rarest = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    return CorpusStatistics(
        name=corpus.name,
        documents=len(every),
        labels=len(counts),
        splits={name: split_statistics(d, space) for name, d in splits.items()},
        tasks={
            task: {name: _task_statistics(d, task) for name, d in splits.items()}
            for task in tasks
        },
        cooccurrence_density=_cooccurrence_density(every, space),
        rarest_labels=tuple(rarest[:_RAREST]),
        unseen_labels={
            name: tuple(sorted(labels))
            for name, labels in unseen_labels(corpus).items()
        },
        shared_texts={
            f"{first}/{second}": len(shared)
            for first, second, shared in shared_texts(corpus)
        },
        scripts=scripts(document.text for document in every),
        cut=tuple(cut_text(d.id, d.text) for d in every[:_SHOWN] if d.text),
        notes=tuple(corpus.notes),
        problems=tuple(validate(corpus)),
    )


def split_statistics(
    documents: Sequence[Document], space: LabelSpace | None = None
) -> SplitStatistics:
    """One split in numbers.

    Args:
        documents: one or more.
        space: the labels of all splits; without them every pair counts as annotated.
    """
    missing = space.missing_sets(documents) if space else None
    cells = len(documents) * len(space) if space else 1
    labels = np.asarray([len(document.labels) for document in documents])
    words = np.asarray([_length(document) for document in documents])
    return SplitStatistics(
        documents=len(documents),
        labels=len({label for document in documents for label in document.labels}),
        labels_per_document_mean=float(labels.mean()),
        labels_per_document_max=int(labels.max()),
        without_label_share=float((labels == 0).mean()),
        annotated_share=1.0 if missing is None else 1.0 - missing.nnz / cells,
        words_min=int(words.min()),
        words_median=float(np.median(words)),
        words_p95=float(np.percentile(words, 95)),
        words_max=int(words.max()),
        repeated_texts=len(documents) - len({d.content for d in documents}),
    )


def _length(document: Document) -> int:
    if document.features is not None:
        return len(document.features)
    return len(document.text.split())


def _task_statistics(documents: Sequence[Document], task: str) -> TaskStatistics:
    prefix = f"{task}/"
    sets = [
        [label for label in document.labels if label.startswith(prefix)]
        for document in documents
        if prefix not in document.unannotated
    ]
    return TaskStatistics(
        annotated=len(sets),
        labels=len({label for labels in sets for label in labels}),
        labels_per_document_mean=sum(map(len, sets)) / max(len(sets), 1),
    )


def _cooccurrence_density(
    documents: Sequence[Document], space: LabelSpace | None
) -> float:
    if space is None or len(space) < 2:
        return 0.0
    # Both orders of a pair, and every label with itself.
    pairs = label_pairs(documents, space).nnz - len(space)
    return pairs / (len(space) * (len(space) - 1))
