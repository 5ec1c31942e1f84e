"""RCV1-v2: Reuters newswire of 1996 and 1997 with 103 topics."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from labelgraph_jax.data.corpora.protocols import random80
from labelgraph_jax.data.corpora.sources import Download, Files, Layout, Source
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.readers.lines import read_lines

TRAIN = "lyrl2004_tokens_train.dat"
TEST = tuple(f"lyrl2004_tokens_test_pt{part}.dat" for part in range(4))
TOPICS = "rcv1-v2.topics.qrels"
HIERARCHY = "rcv1.topics.hier.orig"
_HOME = "http://www.ai.mit.edu/projects/jmlr/papers/volume5/lewis04a/"
_NODE = re.compile(r"parent: (\S+)\s+child: (\S+)\s+child-description: (.*)")

SOURCE = Source(
    name="rcv1v2",
    home=f"{_HOME}lyrl2004_rcv1v2_README.htm",
    protocols=("lyrl2004", "random80"),
    layouts=(Layout((TRAIN, *TEST, TOPICS), optional=(HIERARCHY,)),),
    downloads=(
        *(
            Download(f"{name}.gz", f"{_HOME}a12-token-files/{name}.gz")
            for name in (TRAIN, *TEST)
        ),
        Download(f"{TOPICS}.gz", f"{_HOME}a08-topic-qrels/{TOPICS}.gz"),
        Download(HIERARCHY, f"{_HOME}a02-orig-topics-hierarchy/{HIERARCHY}"),
    ),
    sizes={"lyrl2004": (23_149, 0, 781_265), "random80": (643_531, 0, 160_883)},
)


def read(files: Files, protocol: str) -> Corpus:
    """The chronological split of LYRL2004, or all documents cut 80 to 20.

    The text is what is published: stemmed words without stop words. Descriptions and
    parents stand in the topic hierarchy, where that file is there.
    """
    topics = _read_topics(files[TOPICS])
    train = tuple(_read_tokens(files[TRAIN], topics))
    test = tuple(d for name in TEST for d in _read_tokens(files[name], topics))
    notes: tuple[str, ...] = ("text is stemmed words without stop words",)
    if protocol == "random80":
        train, test = random80(train + test)
        notes += ("all 804,414 documents cut 80 to 20 at random with a fixed seed",)
    descriptions, parents = (
        _read_hierarchy(files[HIERARCHY]) if HIERARCHY in files else ({}, {})
    )
    return Corpus(
        SOURCE.name,
        train,
        test=test,
        label_descriptions=descriptions,
        parents=parents,
        notes=notes,
    )


def _read_topics(path: Path) -> dict[str, list[str]]:
    """Document -> topics, from lines `TOPIC DOCUMENT 1`."""
    topics: dict[str, list[str]] = defaultdict(list)
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 3 or fields[2] != "1":
            raise DataError(
                f"{path}:{number}: must be a topic, a document and 1; got {line!r}"
            )
        topics[fields[1]].append(fields[0])
    return topics


def _read_tokens(path: Path, topics: Mapping[str, list[str]]) -> Iterator[Document]:
    """The documents of a token file: `.I NUMBER`, `.W`, lines of words, a blank."""
    id, start = "", 0
    words: list[str] = []

    def finished() -> Document:
        if id not in topics:
            raise DataError(f"{path}:{start}: document {id} has no topic in {TOPICS}")
        labels = tuple(dict.fromkeys(topics[id]))
        return Document(id, " ".join(words), labels, source=f"{path.name}:{start}")

    for number, line in read_lines(path):
        if line.startswith(".I "):
            if id:
                yield finished()
            id, start, words = line[3:].strip(), number, []
        elif line.strip() and line.strip() != ".W":
            if not id:
                raise DataError(f"{path}:{number}: must start with .I and a number")
            words += line.split()
    if id:
        yield finished()


def _read_hierarchy(
    path: Path,
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    descriptions: dict[str, str] = {}
    parents: dict[str, tuple[str, ...]] = {}
    for number, line in read_lines(path):
        match = _NODE.match(line.strip())
        if match is None:
            raise DataError(
                f"{path}:{number}: must say parent, child and child-description; got "
                f"{line!r}"
            )
        parent, child, description = match.groups()
        if child == "Root":
            continue
        descriptions[child] = description.strip().lower()
        if parent not in ("Root", "None"):
            parents[child] = (parent,)
    return descriptions, parents
