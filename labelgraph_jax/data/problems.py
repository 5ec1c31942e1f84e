"""Faults and suspicious properties of a corpus: one sentence each."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Sized

import numpy as np

from labelgraph_jax.config.wording import counted, of_them
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace

_EXAMPLES = 3
MOST_LINES = 20


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


def validate(corpus: Corpus) -> list[Problem]:
    """Lists what is wrong with a corpus, the worst first; empty when all is well.

    Errors: no training document, no label, an id twice in a split. Warnings:
    labels that training lacks, labels that no document carries, texts that stand
    in two splits or twice in one, labels that differ in case alone, labels or tasks
    that no document of a split is annotated for. Notes: labels with a single
    document, labels on all documents, documents without label, documents that are
    not annotated for every label, a corpus in which no two labels occur together.
    """
    found = [
        *_document_problems(corpus),
        *_label_problems(corpus),
        *_annotation_problems(corpus),
        *_text_problems(corpus),
    ]
    order = ("error", "warning", "note")
    return sorted(found, key=lambda problem: order.index(problem.severity))


def unreadable(errors: Sequence[DataError], what: str = "document") -> list[Problem]:
    """Problems that could not be read, with their number: the first of them."""
    told = [Problem("error", str(e)) for e in sorted(errors, key=_line)[:MOST_LINES]]
    if len(errors) > 1:
        first = f"; the first {MOST_LINES}" if len(errors) > MOST_LINES else ""
        message = f"{_count(errors, what)} cannot be read{first}:"
        told.insert(0, Problem("error", message))
    return told


def _line(error: DataError) -> int:
    found = re.search(r":(\d+): ", str(error))
    return int(found[1]) if found else 0


def unseen_labels(corpus: Corpus) -> dict[str, Counter[str]]:
    """Per split but training, the labels that training lacks, with their counts."""
    trained = {label for document in corpus.train for label in document.labels}
    unseen: dict[str, Counter[str]] = {}
    for name, documents in corpus.splits.items():
        counts = Counter(label for d in documents for label in d.labels)
        new = Counter({n: c for n, c in counts.items() if n not in trained})
        if name != "train" and new:
            unseen[name] = new
    return unseen


def shared_lines(corpus: Corpus) -> list[str]:
    """Say which splits share texts, a line each: numbers of later ones then flatter."""
    return [
        f"{corpus.name}: {_count(shared, f'{second} text')} of "
        f"{len(corpus.splits[second]):,} also in {first}, which flatters what is "
        f"measured on {second}: {_listed(_places(shared))}"
        for first, second, shared in shared_texts(corpus)
    ]


def shared_texts(corpus: Corpus) -> Iterator[tuple[str, str, list[Document]]]:
    """Pairs of splits, and the documents of the second whose text the first has."""
    splits = list(corpus.splits.items())
    for i, (first, documents) in enumerate(splits):
        texts = {document.content for document in documents}
        for second, others in splits[i + 1 :]:
            shared = [d for d in others if d.content in texts]
            if shared:
                yield first, second, shared


def _document_problems(corpus: Corpus) -> Iterator[Problem]:
    if not corpus.train:
        yield Problem("error", "there is no training document")
    for name, documents in corpus.splits.items():
        ids = Counter(document.id for document in documents)
        twice = [id for id, count in ids.items() if count > 1]
        yield from _about("error", f"{name}: ", twice, "id", " given more than once")
        empty = [d for d in documents if not d.content]
        for severity, what, found in (
            ("error", "empty text", [d for d in empty if d.features is None]),
            ("note", "featureless row", [d for d in empty if d.features is not None]),
        ):
            yield from _about(severity, f"{name}: ", _places(found), what)
        bare = _places(d for d in documents if not d.labels)
        if len(bare) < len(documents):
            where = f" of {len(documents):,} without label"
            yield from _about("note", f"{name}: ", bare, "document", where)


def _label_problems(corpus: Corpus) -> Iterator[Problem]:
    counts = Counter(label for d in corpus.train for label in d.labels)
    if corpus.train and not counts:
        yield Problem("error", "no training document carries a label")
        return
    # Labels without training documents, and labels without any document.
    for name, unseen in unseen_labels(corpus).items():
        what = " without training document, which cannot be learned, on "
        what += counted(unseen.total(), "place")
        yield from _about("warning", f"{name}: ", sorted(unseen), "label", what)
    described = {*corpus.label_descriptions, *corpus.parents}
    everywhere = {
        label for s in corpus.splits.values() for d in s for label in d.labels
    }
    # Inner nodes of a taxonomy need no documents of their own.
    inner = {parent for parents in corpus.parents.values() for parent in parents}
    idle = sorted(described - everywhere - inner)
    yield from _about("warning", "", idle, "described label", " without document")
    # Labels that differ in case alone.
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        spellings[label.casefold()].append(label)
    alike = [" = ".join(names) for names in spellings.values() if len(names) > 1]
    what = " spelled in two ways that differ in case alone"
    yield from _about("warning", "", alike, "label", what)
    # Labels on a single document or on all; no two labels on any document.
    single = sorted(label for label, count in counts.items() if count == 1)
    yield from _about("note", "train: ", single, "label", " with a single document")
    missing = _unannotated_counts(corpus.train, counts)
    total = len(corpus.train)
    constant = sorted(n for n, c in counts.items() if c == total - missing[n])
    if total > 1:
        what = " on every document, which teaches nothing"
        yield from _about("note", "train: ", constant, "label", what)
    if counts and max(len(d.labels) for d in corpus.train) == 1:
        yield Problem(
            "note",
            "train: no document carries two labels, so the label graph has no edge",
        )


def _unannotated_counts(
    documents: Sequence[Document], labels: Iterable[str]
) -> Counter[str]:
    """Return for each label the number of documents that are not annotated for it."""
    names = tuple(labels)
    missing = LabelSpace(names).missing_sets(documents) if names else None
    if missing is None:
        return Counter()
    counts = np.bincount(missing.indices, minlength=len(names))
    return Counter(dict(zip(names, counts.tolist(), strict=True)))


def _annotation_problems(corpus: Corpus) -> Iterator[Problem]:
    for split, documents in corpus.splits.items():
        counts = Counter(name for d in documents for name in d.unannotated)
        never = [name for name, count in counts.items() if count == len(documents)]
        if never:
            yield Problem(
                "warning",
                f"{split}: no document is annotated for {_listed(sorted(never))}",
            )
        some = sum(bool(document.unannotated) for document in documents)
        if some:
            most = [f"{name} ({n:,})" for name, n in counts.most_common(_EXAMPLES)]
            more = ", ..." if len(counts) > _EXAMPLES else ""
            yield Problem(
                "note",
                f"{split}: {of_them(some, len(documents), 'document', 'is', 'are')} "
                f"not annotated for every label: {', '.join(most)}{more}",
            )


def _text_problems(corpus: Corpus) -> Iterator[Problem]:
    for first, second, shared in shared_texts(corpus):
        what = f" of {len(corpus.splits[second]):,} also in {first} (leakage)"
        yield from _about("warning", f"{second}: ", _places(shared), "text", what)
    for name, documents in corpus.splits.items():
        versions: dict[object, dict[object, Document]] = defaultdict(dict)
        repeated: list[str] = []
        for document in documents:
            text = document.content
            if text in versions:
                repeated.append(document.source or document.id)
            said = frozenset(document.labels), frozenset(document.unannotated)
            versions[text].setdefault(said, document)
        differing = sum(
            any(_contradict(a, b) for a, b in itertools.combinations(v.values(), 2))
            for v in versions.values()
        )
        what = f" with an earlier one's text ({_count(range(differing), 'text')} "
        what += "under differing labels)"
        yield from _about("warning", f"{name}: ", repeated, "document", what)


def _contradict(a: Document, b: Document) -> bool:
    """Return True if one document has a label that the other is known to lack."""
    differing = set(a.labels).symmetric_difference(b.labels)
    return any(a.is_annotated(n) and b.is_annotated(n) for n in differing)


def _about(
    severity: str, where: str, names: Sequence[str], noun: str, what: str = ""
) -> Iterator[Problem]:
    """Say how many things there are, and name some; nothing where there is none."""
    if names:
        message = f"{where}{_count(names, noun)}{what}: {_listed(names)}"
        yield Problem(severity, message)


def _places(documents: Iterable[Document]) -> list[str]:
    return [document.source or document.id for document in documents]


def _count(things: Sized, noun: str) -> str:
    """Number and noun, as in "1 label" and "1,200 labels"."""
    return counted(len(things), noun)


def _listed(names: Sequence[str]) -> str:
    """Up to three names, and that there are more."""
    shown = ", ".join(repr(name) for name in names[:_EXAMPLES])
    return f"{shown}, ..." if len(names) > _EXAMPLES else shown
