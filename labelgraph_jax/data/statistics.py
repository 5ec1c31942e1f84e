"""What is in a corpus, in numbers, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from labelgraph_jax.data.documents import Corpus, Document
from labelgraph_jax.data.writers import write_jsonl

__all__ = [
    "CorpusStatistics",
    "Problem",
    "SplitStatistics",
    "corpus_statistics",
    "validate",
    "write_jsonl",
]

_RAREST = 10
_EXAMPLES = 3
# Label pairs counted at a time: bounds the memory, not the result.
_PAIRS_AT_ONCE = 4_000_000


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong or suspicious.

    Attributes:
        severity: "error" (cannot be trained on, or the numbers would be void),
            "warning" (numbers are affected) or "note" (good to know).
        message: one sentence with the count and up to three examples.
    """

    severity: str
    message: str


@dataclasses.dataclass(frozen=True)
class SplitStatistics:
    """One split in numbers.

    Attributes:
        documents: how many.
        labels: distinct labels that occur.
        labels_per_document_mean, labels_per_document_max: over all documents.
        without_label_share: the share of documents that carry no label.
        words_min, words_median, words_p95, words_max: words of a text, that is
            runs of non-blank characters.
        repeated_texts: documents whose text stands earlier in the same split.
    """

    documents: int
    labels: int
    labels_per_document_mean: float
    labels_per_document_max: int
    without_label_share: float
    words_min: int
    words_median: float
    words_p95: float
    words_max: int
    repeated_texts: int


@dataclasses.dataclass(frozen=True)
class CorpusStatistics:
    """A corpus in numbers.

    Attributes:
        name: of the corpus.
        documents, labels: over all splits.
        splits: per split that has documents.
        cooccurrence_density: the share of the label pairs that some document
            carries together; 0 with fewer than two labels.
        rarest_labels: (label, documents) over all splits, the rarest first.
        unseen_labels: per split, labels that training does not have.
        shared_texts: per pair of splits ("train/test"), documents of the second
            whose text also stands in the first.
        notes: what was done to the corpus.
        problems: see `validate`.
    """

    name: str
    documents: int
    labels: int
    splits: dict[str, SplitStatistics]
    cooccurrence_density: float
    rarest_labels: tuple[tuple[str, int], ...]
    unseen_labels: dict[str, tuple[str, ...]]
    shared_texts: dict[str, int]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, strings and numbers, for `json.dumps`."""
        fields = dataclasses.asdict(self)
        fields["rarest_labels"] = [list(pair) for pair in self.rarest_labels]
        fields["unseen_labels"] = {s: list(u) for s, u in self.unseen_labels.items()}
        fields["notes"] = list(self.notes)
        fields["problems"] = list(fields["problems"])
        return fields


def corpus_statistics(corpus: Corpus) -> CorpusStatistics:
    """Counts what is in a corpus and lists its problems.

    Texts are compared exactly, but for blanks at both ends.
    """
    splits = {name: documents for name, documents in corpus.splits.items() if documents}
    every = [document for documents in splits.values() for document in documents]
    counts = Counter(label for document in every for label in document.labels)
    rarest = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    return CorpusStatistics(
        name=corpus.name,
        documents=len(every),
        labels=len(counts),
        splits={name: _split_statistics(d) for name, d in splits.items()},
        cooccurrence_density=_cooccurrence_density(every),
        rarest_labels=tuple(rarest[:_RAREST]),
        unseen_labels={
            name: tuple(sorted(labels))
            for name, labels in _unseen_labels(corpus).items()
        },
        shared_texts={
            f"{first}/{second}": len(shared)
            for first, second, shared in _shared_texts(corpus)
        },
        notes=tuple(corpus.notes),
        problems=tuple(validate(corpus)),
    )


def validate(corpus: Corpus) -> list[Problem]:
    """Lists what is wrong with a corpus, the worst first; empty when all is well.

    Errors: no training document, no label, an id twice in a split. Warnings:
    labels that training lacks, labels that no document carries, texts that stand
    in two splits or twice in one, labels that differ in case alone. Notes: labels
    with a single document, labels that all documents carry, documents without
    label, a corpus in which no two labels occur together.
    """
    found = [
        *_document_problems(corpus),
        *_label_problems(corpus),
        *_text_problems(corpus),
    ]
    order = ("error", "warning", "note")
    return sorted(found, key=lambda problem: order.index(problem.severity))


def _split_statistics(documents: Sequence[Document]) -> SplitStatistics:
    labels = np.asarray([len(document.labels) for document in documents])
    words = np.asarray([len(document.text.split()) for document in documents])
    return SplitStatistics(
        documents=len(documents),
        labels=len({label for document in documents for label in document.labels}),
        labels_per_document_mean=float(labels.mean()),
        labels_per_document_max=int(labels.max()),
        without_label_share=float((labels == 0).mean()),
        words_min=int(words.min()),
        words_median=float(np.median(words)),
        words_p95=float(np.percentile(words, 95)),
        words_max=int(words.max()),
        repeated_texts=len(documents) - len({d.text.strip() for d in documents}),
    )


def _cooccurrence_density(documents: Iterable[Document]) -> float:
    index: dict[str, int] = {}
    by_size: dict[int, list[list[int]]] = defaultdict(list)
    for document in documents:
        columns = sorted(
            {index.setdefault(label, len(index)) for label in document.labels}
        )
        if columns:
            by_size[len(columns)].append(columns)
    count = len(index)
    if count < 2:
        return 0.0
    pairs = np.empty(0, np.int64)
    for size, sets in by_size.items():
        first, second = np.triu_indices(size, 1)
        step = max(_PAIRS_AT_ONCE // max(len(first), 1), 1)
        for start in range(0, len(sets), step):
            block = np.asarray(sets[start : start + step], np.int64)
            codes = block[:, first] * count + block[:, second]
            pairs = np.union1d(pairs, codes.ravel())
    return len(pairs) / (count * (count - 1) / 2)


def _unseen_labels(corpus: Corpus) -> dict[str, Counter[str]]:
    """Per split but training, the labels that training lacks, with their counts."""
    trained = {label for document in corpus.train for label in document.labels}
    unseen: dict[str, Counter[str]] = {}
    for name, documents in corpus.splits.items():
        counts = Counter(label for d in documents for label in d.labels)
        new = Counter({n: c for n, c in counts.items() if n not in trained})
        if name != "train" and new:
            unseen[name] = new
    return unseen


def _shared_texts(corpus: Corpus) -> Iterator[tuple[str, str, list[Document]]]:
    """Pairs of splits, and the documents of the second whose text the first has."""
    splits = list(corpus.splits.items())
    for i, (first, documents) in enumerate(splits):
        texts = {document.text.strip() for document in documents}
        for second, others in splits[i + 1 :]:
            shared = [d for d in others if d.text.strip() in texts]
            if shared:
                yield first, second, shared


def _document_problems(corpus: Corpus) -> Iterator[Problem]:
    if not corpus.train:
        yield Problem("error", "there is no training document")
    for name, documents in corpus.splits.items():
        ids = Counter(document.id for document in documents)
        twice = [id for id, count in ids.items() if count > 1]
        if twice:
            yield Problem(
                "error",
                f"{name}: {_count(twice, 'id')} given more than once: {_listed(twice)}",
            )
        empty = [d.source or d.id for d in documents if not d.text.strip()]
        if empty:
            yield Problem(
                "error", f"{name}: {_count(empty, 'empty text')}: {_listed(empty)}"
            )
        bare = [d.source or d.id for d in documents if not d.labels]
        if bare and len(bare) < len(documents):
            yield Problem(
                "note",
                f"{name}: {_count(bare, 'document')} of {len(documents):,} without "
                f"label: {_listed(bare)}",
            )


def _label_problems(corpus: Corpus) -> Iterator[Problem]:
    counts = Counter(label for d in corpus.train for label in d.labels)
    if corpus.train and not counts:
        yield Problem("error", "no training document carries a label")
        return
    for name, unseen in _unseen_labels(corpus).items():
        yield Problem(
            "warning",
            f"{name}: {_count(unseen, 'label')} without training document, which "
            f"cannot be learned, on {unseen.total():,} places: "
            f"{_listed(sorted(unseen))}",
        )
    described = {*corpus.label_descriptions, *corpus.parents}
    everywhere = {
        label for s in corpus.splits.values() for d in s for label in d.labels
    }
    # Inner nodes of a taxonomy need no documents of their own.
    inner = {parent for parents in corpus.parents.values() for parent in parents}
    idle = sorted(described - everywhere - inner)
    if idle:
        yield Problem(
            "warning",
            f"{_count(idle, 'described label')} without document: {_listed(idle)}",
        )
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        spellings[label.casefold()].append(label)
    alike = [" = ".join(names) for names in spellings.values() if len(names) > 1]
    if alike:
        yield Problem(
            "warning",
            f"{_count(alike, 'label')} spelled in two ways that differ in case alone: "
            f"{_listed(alike)}",
        )
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        yield Problem(
            "note",
            f"train: {_count(single, 'label')} with a single document: "
            f"{_listed(single)}",
        )
    constant = sorted(n for n, c in counts.items() if c == len(corpus.train))
    if constant and len(corpus.train) > 1:
        yield Problem(
            "note",
            f"train: {_count(constant, 'label')} on every document, which teaches "
            f"nothing: {_listed(constant)}",
        )
    if counts and max(len(d.labels) for d in corpus.train) == 1:
        yield Problem(
            "note",
            "train: no document carries two labels, so the label graph has no edge",
        )


def _text_problems(corpus: Corpus) -> Iterator[Problem]:
    for first, second, shared in _shared_texts(corpus):
        yield Problem(
            "warning",
            f"{second}: {_count(shared, 'text')} of {len(corpus.splits[second]):,} "
            f"also in {first} (leakage): "
            f"{_listed([d.source or d.id for d in shared])}",
        )
    for name, documents in corpus.splits.items():
        labels_of: dict[str, set[frozenset[str]]] = defaultdict(set)
        repeated: list[str] = []
        for document in documents:
            text = document.text.strip()
            if text in labels_of:
                repeated.append(document.source or document.id)
            labels_of[text].add(frozenset(document.labels))
        differing = sum(len(sets) > 1 for sets in labels_of.values())
        if repeated:
            yield Problem(
                "warning",
                f"{name}: {_count(repeated, 'document')} with an earlier one's text "
                f"({_count(range(differing), 'text')} under differing labels): "
                f"{_listed(repeated)}",
            )


def _count(things: Sized, noun: str) -> str:
    """ "1 label", "1,200 labels"."""
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    """Up to three names, and that there are more."""
    shown = ", ".join(repr(name) for name in names[:_EXAMPLES])
    return f"{shown}, ..." if len(names) > _EXAMPLES else shown
