"""Reuters-21578, Distribution 1.0: newswire of 1987 with five sets of categories.

For research use only; to be called "Reuters-21578, Distribution 1.0".
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

from labelgraph_jax.data.corpora.protocols import random80
from labelgraph_jax.data.corpora.reuters21578 import topics
from labelgraph_jax.data.corpora.reuters21578.sgml import (
    CATEGORY_SETS,
    Story,
    read_stories,
    select,
)
from labelgraph_jax.data.corpora.sources import (
    DAMAGES,
    Download,
    Files,
    Layout,
    Source,
    damaged,
)
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.readers.lines import open_bytes

STORIES = 21_578
TASKS = CATEGORY_SETS
SGML_FILES = tuple(f"reut2-{number:03d}.sgm" for number in range(22))

SOURCE = Source(
    name="reuters21578",
    home="https://archive.ics.uci.edu/dataset/137",
    protocols=("modapte", "random80"),
    layouts=(
        Layout(("reuters21578.tar",)),
        Layout(("reuters21578_sgml.tar",)),
        Layout(SGML_FILES, optional=(topics.FILE,)),
    ),
    downloads=(
        Download(
            "reuters21578.tar.gz",
            "https://archive.ics.uci.edu/ml/machine-learning-databases/"
            "reuters21578-mld/reuters21578.tar.gz",
            "3bae43c9b14e387f76a61b6d82bf98a4fb5d3ef99ef7e7075ff2ccbcf59f9d30",
        ),
    ),
    sizes={"modapte": (7_769, 0, 3_019), "random80": (8_630, 0, 2_158)},
)


def read(files: Files, protocol: str) -> Corpus:
    """The stories of a protocol; its labels are the 90 topics.

    The tasks are the five category sets: topics is the labels again, places, people,
    orgs and exchanges are whatever the story carries. The topics are described, and
    grouped, as the distribution's list of categories has them.

    Raises:
        DataError: the archive or a file is damaged, or stories are missing.
    """
    stories: dict[str, Story] = {}
    descriptions: dict[str, str] = {}
    parents: dict[str, tuple[str, ...]] = {}
    for name, content in members(files):
        if name == topics.FILE:
            descriptions, parents = topics.read_descriptions(content.decode("latin-1"))
        else:
            _add(stories, read_stories(name, content))
    if len(stories) != STORIES:
        raise DataError(
            f"Reuters-21578 must have {STORIES:,} stories; got {len(stories):,}"
        )
    train, test, labels = select(stories.values())
    if protocol == "random80":
        train, test = random80((*train, *test))
    return Corpus(
        name=SOURCE.name,
        train=tuple(_document(story, labels) for story in train),
        test=tuple(_document(story, labels) for story in test),
        label_descriptions={n: d for n, d in descriptions.items() if n in labels},
        parents={n: p for n, p in parents.items() if n in labels},
        notes=_NOTES[protocol],
    )


_TEXT_NOTE = "text is title and body; the closing line 'Reuter' is taken off"
_NOTES = {
    "modapte": (
        "ModApte split, the 90 topics that occur in both parts; document 1199 is left "
        "out, as in the ApteMod list of 10,788",
        _TEXT_NOTE,
    ),
    "random80": (
        "the 10,788 ModApte documents cut 80 to 20 at random with a fixed seed: "
        "MAGNET's sizes, not its unpublished cut",
        _TEXT_NOTE,
    ),
}


def _add(stories: dict[str, Story], more: Iterable[Story]) -> None:
    for story in more:
        if story.id in stories:
            raise DataError(
                f"{story.source}: story numbers must differ; {story.id} stands in "
                f"{stories[story.id].source} too"
            )
        stories[story.id] = story


def _document(story: Story, known: frozenset[str]) -> Document:
    labels = tuple(topic for topic in story.categories["topics"] if topic in known)
    return Document(
        id=story.id,
        text=story.text,
        labels=labels,
        tasks={**story.categories, "topics": labels},
        source=story.source,
    )


def members(files: Files) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the SGML files and the list of topics."""
    if SGML_FILES[0] in files:
        for name, path in files.items():
            with open_bytes(path) as stream:
                yield name, stream.read()
        return
    (path,) = files.values()
    try:
        with (
            open_bytes(path) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            for member in archive:
                name = member.name.rpartition("/")[2]
                content = archive.extractfile(member)
                if content is not None and name in (*SGML_FILES, topics.FILE):
                    yield name, content.read()
    except DAMAGES as error:
        raise damaged(path, error) from None
