"""Corpora in the order of their dates, as document vectors, for `experiments.streams`.

LSA vectors (tf-idf, truncated SVD) are fitted to the first fifth of the texts, without
a label: no later word is known.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.pod import whole
from labelgraph_jax.data.corpora import load_corpus
from labelgraph_jax.data.corpora.reuters21578 import members
from labelgraph_jax.data.corpora.reuters21578.sgml import read_stories
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.tokenizers.units import words_of

CORPORA = ("reuters21578", "eurlex57k")
FIRST = 0.2
"""Share of the documents that are there before the stream."""
DIMENSIONS, CHARACTERS, WORDS = 256, 4_000, 20_000
MONTHS = ("FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT")
DATE = re.compile(r"(\d+)-([A-Z]{3})-\d{4}\s+(\d+):(\d+):(\d+)")


class Stream(NamedTuple):
    """A corpus in the order of its dates.

    Attributes:
        vectors: float32 `[M, D]`.
        labels: columns of each document.
        periods: year or month of each, `[M]`, ascending.
        first: documents that are there before the stream.
        names: of the columns, in the order of their first appearance.
    """

    vectors: np.ndarray
    labels: list[np.ndarray]
    periods: np.ndarray
    first: int
    names: tuple[str, ...]


def stream_of(
    name: str, folder: Path, *, data_dir: str, say: Callable[[str], None]
) -> Stream:
    """Return a corpus as a stream, from the folder if it was encoded before.

    Args:
        name: one of `CORPORA`.
        folder: where vectors are kept.
        data_dir: of the corpora's copies, see `load_corpus`.
        say: takes a line about what is going on.
    """
    path = folder / f"stream-{name}.npz"
    if not path.is_file():
        say(f"{name}: reading texts and making vectors")
        folder.mkdir(parents=True, exist_ok=True)
        dated = _reuters(data_dir) if name == "reuters21578" else _eurlex(data_dir)
        dated.sort(key=lambda pair: pair[0])
        documents = [document for _, document in dated]
        first = int(FIRST * len(documents))
        columns: dict[str, int] = {}
        for document in documents:
            for label in document.labels:
                columns.setdefault(label, len(columns))
        labels = [np.array([columns[n] for n in d.labels], int) for d in documents]
        with whole(path) as unfinished, unfinished.open("wb") as stream:
            np.savez(
                stream,
                vectors=_vectors([d.text for d in documents], first),
                labels=np.concatenate(labels).astype(np.int32),
                counts=np.array([len(own) for own in labels]),
                periods=np.array([date[0] for date, _ in dated]),
                first=first,
                names=np.array(list(columns)),
            )
    with np.load(path, allow_pickle=False) as kept:
        ends = np.cumsum(kept["counts"])[:-1]
        labels = np.split(kept["labels"], ends)
        names = tuple(map(str, kept["names"]))
        return Stream(
            kept["vectors"], labels, kept["periods"], int(kept["first"]), names
        )


def _vectors(texts: list[str], first: int) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    tfidf = TfidfVectorizer(
        analyzer=lambda text: words_of(text[:CHARACTERS].lower()),
        min_df=2,
        max_features=WORDS,
        sublinear_tf=True,
    )
    tfidf.fit(texts[:first])
    rows = tfidf.transform(texts)
    svd = TruncatedSVD(DIMENSIONS, random_state=0).fit(rows[:first])
    found = svd.transform(rows)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return (found / lengths.clip(1e-9)).astype(np.float32)


def _eurlex(data_dir: str) -> list[tuple[tuple[int, str], Document]]:
    """All laws by the year of the act, which stands in its CELEX number."""
    corpus = load_corpus("eurlex57k", data_dir=data_dir or None)
    every = corpus.train + corpus.validation + corpus.test
    return [((int(d.id[1:5]), d.id), d) for d in every]


def _reuters(data_dir: str) -> list[tuple[tuple[int, ...], Document]]:
    """All stories with a topic, by the second."""
    home = Path(data_dir or os.environ.get("LABELGRAPH_DATA", ""))
    archive = home / "reuters21578" / "reuters21578_sgml.tar.xz"
    if not archive.is_file():
        raise DataError(f"{archive} must be there: the dates of its stories are read")
    found: list[tuple[tuple[int, ...], Document]] = []
    when: tuple[int, ...] = ()
    for file, content in members({archive.name: archive}):
        if not file.endswith(".sgm"):
            continue
        dates = re.findall(r"<DATE>(.*?)</DATE>", content.decode("latin-1"), re.DOTALL)
        for story, date in zip(read_stories(file, content), dates, strict=True):
            if read := DATE.search(date.upper()):  # else that of the story before it
                day, month, *clock = read.groups()
                when = (MONTHS.index(month) + 2, int(day), *map(int, clock))
            if topics := story.categories["topics"]:
                place = (*when, int(story.id))
                found.append((place, Document(story.id, story.text, topics)))
    return found
