"""The embedded corpus: docstrings of the running interpreter's standard library.

Real text on every machine, with nothing to download. A document is the docstring
of a public module, class, method or function. Its labels are the chapter and the
subject of the module in `stdlib_docs.tsv` (a two-level taxonomy; the chapters follow
the library's documentation) and the kinds of object it describes, read off the object
itself.

The texts must not give the answer away by name: signature lines are cut off, and
the object's name, its class and its module are blanked wherever they stand as whole
words. An interpreter of its own reads the library (`docstrings.py`): the same Python
gives the same corpus on every machine, whatever else is installed or imported; another
version gives a slightly different one.
"""

from __future__ import annotations

import csv
import hashlib
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from labelgraph_jax.data.corpora.docstrings import documented_objects
from labelgraph_jax.data.documents import Corpus, Document

NAME = "stdlib_docs"
BLANK = "_"
MIN_CHARACTERS = 40
MIN_TRAIN_DOCUMENTS = 10
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1
NEAR_IDENTICAL = 0.8

_TABLE = Path(__file__).with_name("stdlib_docs.tsv")
_KINDS = {
    "module": "a module as a whole",
    "class": "a class",
    "exception": "an exception, raised when something fails",
    "abstract class": "an abstract class, an interface to be implemented",
    "iterator": "an iterator, which yields items one by one",
    "context manager": "a context manager, used in a with statement",
    "container": "a container, which has a length and items",
    "function": "a function of a module",
    "method": "a method of a class",
    "class method": "a method called on the class itself",
    "static method": "a method that needs neither the class nor an instance",
    "attribute": "a property or attribute of an object",
    "coroutine": "a coroutine, which is awaited",
    "generator": "a generator function, which yields",
    "compiled": "an object implemented in C",
    "deprecated": "an object whose use is discouraged",
}
_NARROWER_KINDS = {
    "class": (
        "exception",
        "abstract class",
        "iterator",
        "context manager",
        "container",
    ),
    "method": ("class method", "static method"),
}


_WORD = re.compile(r"\w+")
_BLANKED_PATH = re.compile(rf"\b{BLANK}(?:[.]{BLANK}\b)+")
# A line that shows how to call `name`: "name(a, b=(1, 2)) -> ".
_SIGNATURE = re.compile(
    r"^[ \t]*(?:class[ ]+)?(?:[\w<>-]+\.)*(\w+)"
    r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)[ \t]*(?:->|--|=>|:)?[ \t]*",
    re.MULTILINE,
)


class Subject(NamedTuple):
    """One line of the table: a subject, its chapter and its modules."""

    chapter: str
    subject: str
    modules: tuple[str, ...]
    description: str


def stdlib_docs() -> Corpus:
    """Collect the corpus from the running interpreter.

    Labels with fewer than `MIN_TRAIN_DOCUMENTS` training documents are dropped;
    documents left without a label go with them. The split is a hash of the text:
    train, validation and test hold about 70, 10 and 20 in a hundred.

    Returns:
        The corpus, with a description for every label and `parents` from subject
        to chapter and from kind to broader kind.

    Raises:
        DataError: a fresh interpreter could not read the docstrings.
    """
    # Documents, which fall into splits by their text alone.
    subjects = read_subjects()
    documents = list(_documents(subjects))
    splits: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        splits[_split_of(document.text)].append(document)
    # Labels that are rare in training leave every split, then documents without any.
    counts = Counter(label for d in splits["train"] for label in d.labels)
    rare = {label for d in documents for label in d.labels} - {
        label for label, count in counts.items() if count >= MIN_TRAIN_DOCUMENTS
    }
    kept = {
        name: tuple(_without(document, rare) for document in split)
        for name, split in splits.items()
    }
    kept = {name: tuple(d for d in split if d.labels) for name, split in kept.items()}
    # The taxonomy of the labels that are left.
    labels = {label for split in kept.values() for d in split for label in d.labels}
    descriptions, parents = _taxonomy(subjects)
    return Corpus(
        name=NAME,
        train=kept["train"],
        validation=kept["validation"],
        test=kept["test"],
        label_descriptions={n: d for n, d in descriptions.items() if n in labels},
        parents={
            child: (parent,)
            for child, parent in parents.items()
            if child in labels and parent in labels
        },
        notes=(
            "docstrings of the standard library of "
            f"{sys.implementation.name} {sys.version.split()[0]}; another version "
            "gives other counts",
            f"names blanked, near-identical texts left out; {len(rare)} labels with "
            f"fewer than {MIN_TRAIN_DOCUMENTS} training documents dropped",
        ),
    )


def read_subjects() -> list[Subject]:
    """The table of chapters, subjects and their modules."""
    with _TABLE.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return [
            Subject(
                row["chapter"],
                row["subject"],
                tuple(row["modules"].split()),
                row["description"],
            )
            for row in rows
        ]


def clean_text(docstring: str, module: str, qualified_name: str) -> str:
    """The docstring without signature lines, with the object's names blanked.

    Blanked as whole words, whatever the case: the object's name, the names of the
    classes around it, the module's dotted name and each of its parts.
    """
    text = inspect.cleandoc(docstring)
    parts = [part for part in qualified_name.split(".") if part]
    if parts:
        text = _SIGNATURE.sub(
            lambda match: "" if match[1] == parts[-1] else match[0], text
        )
    names = {part.lower() for part in parts + module.split(".")}
    names |= {name.strip("_") for name in names}
    text = _WORD.sub(
        lambda match: BLANK if match[0].lower() in names else match[0], text
    )
    text = _BLANKED_PATH.sub(BLANK, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _documents(subjects: list[Subject]) -> Iterator[Document]:
    """The distinct cleaned documents with all their labels, in a fixed order."""
    place = {module: row for row in subjects for module in row.modules}
    subjects_of = Counter(row.chapter for row in subjects)
    candidates: dict[str, Document] = {}
    for found in documented_objects(tuple(sorted(place))):
        text = clean_text(found.docstring, found.module, found.qualified_name)
        if len(text) < MIN_CHARACTERS:
            continue
        key = " ".join(_words(text))
        row = place[found.module]
        # The only subject of its chapter would be the same label twice.
        both = subjects_of[row.chapter] > 1
        candidates.setdefault(
            key,
            Document(
                id=f"{found.module}:{found.qualified_name}".rstrip(":"),
                text=text,
                labels=(
                    f"chapter: {row.chapter}",
                    *((f"subject: {row.subject}",) if both else ()),
                    *(f"kind: {kind}" for kind in found.kinds),
                ),
            ),
        )
    yield from _without_near_identical(list(candidates.values()))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _without_near_identical(documents: list[Document]) -> list[Document]:
    """Leave out each text whose word triples nearly equal an earlier text's.

    Two texts are near-identical when the Jaccard similarity of their sets of word
    triples reaches `NEAR_IDENTICAL`. Sets that similar must share one of their
    rarest few triples, so only texts that share one of those are compared.
    """
    triples = []
    for document in documents:
        words = _words(document.text)
        triples.append(frozenset(zip(words, words[1:], words[2:], strict=False)))
    frequency = Counter(triple for one in triples for triple in one)
    by_rare_triple: dict[tuple[str, ...], list[int]] = {}
    kept: list[int] = []
    for number, mine in enumerate(triples):
        rarest = sorted(mine, key=lambda triple: (frequency[triple], triple))
        rarest = rarest[: len(mine) - int(NEAR_IDENTICAL * len(mine)) + 1]
        earlier = {n for triple in rarest for n in by_rare_triple.get(triple, ())}
        if any(
            len(mine & triples[n]) >= NEAR_IDENTICAL * len(mine | triples[n])
            for n in earlier
        ):
            continue
        kept.append(number)
        for triple in rarest:
            by_rare_triple.setdefault(triple, []).append(number)
    return [documents[number] for number in kept]


def _split_of(text: str) -> str:
    """The split a text belongs to, decided by nothing but the text."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < TRAIN_SHARE:
        return "train"
    return "validation" if share < TRAIN_SHARE + VALIDATION_SHARE else "test"


def _without(document: Document, labels: set[str]) -> Document:
    kept = tuple(label for label in document.labels if label not in labels)
    return Document(document.id, document.text, kept)


def _taxonomy(subjects: list[Subject]) -> tuple[dict[str, str], dict[str, str]]:
    """Label descriptions, and for each child label its parent."""
    descriptions: dict[str, str] = {}
    parents: dict[str, str] = {}
    for row in subjects:
        chapter, subject = f"chapter: {row.chapter}", f"subject: {row.subject}"
        descriptions[subject] = f"{row.subject}: {row.description}"
        parents[subject] = chapter
        earlier = descriptions.get(chapter, f"{row.chapter}:")
        comma = "" if earlier.endswith(":") else ","
        descriptions[chapter] = f"{earlier}{comma} {row.subject}"
    for kind, description in _KINDS.items():
        descriptions[f"kind: {kind}"] = f"{kind}: {description}"
    for parent, kinds in _NARROWER_KINDS.items():
        parents |= dict.fromkeys((f"kind: {kind}" for kind in kinds), f"kind: {parent}")
    return descriptions, parents
