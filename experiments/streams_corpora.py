"""Corpora in the order of their dates, as document vectors, for `experiments.streams`.

LSA vectors (tf-idf, truncated SVD) are fitted to the first fifth of the texts, without
a label: no later word is known. KuaiRand has rows of a table in place of texts: what is
known of user, video and moment before the video is shown, categories hashed, amounts on
the scale of the first fifth; its labels are what the user did.
"""

import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.pod import whole
from experiments.video.kuairand import (
    CATEGORICAL_COLUMNS,
    INPUT_COLUMNS,
    TASKS,
    load_kuairand,
)
from labelgraph_jax.data.corpora import load_corpus
from labelgraph_jax.data.corpora.reuters21578 import members
from labelgraph_jax.data.corpora.reuters21578.sgml import read_stories
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.tokenizers.units import words_of

CORPORA = ("reuters21578", "eurlex57k", "kuairand")
FIRST = 0.2
"""Share of the documents that are there before the stream."""
DIMENSIONS, CHARACTERS, WORDS = 256, 4_000, 20_000
MONTHS = ("FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT")
BEIJING = 8 * 3_600_000
"""Milliseconds by which the log's days begin before those of UTC."""
DATE = re.compile(r"(\d+)-([A-Z]{3})-\d{4}\s+(\d+):(\d+):(\d+)")


Dated = tuple[np.ndarray, list[tuple[str, ...]], np.ndarray]
"""Vectors, labels and periods, by date."""


class Stream(NamedTuple):
    """A corpus in the order of its dates.

    Attributes:
        vectors: float32 `[M, D]`.
        labels: columns of each document.
        periods: year, month or day of each, `[M]`, ascending.
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
        say(f"{name}: reading what it holds and making vectors")
        folder.mkdir(parents=True, exist_ok=True)
        read = _watched if name == "kuairand" else _written
        vectors, given, periods = read(name, data_dir)
        columns: dict[str, int] = {}
        for own in given:
            for label in own:
                columns.setdefault(label, len(columns))
        labels = [np.array([columns[n] for n in own], int) for own in given]
        with whole(path) as unfinished, unfinished.open("wb") as stream:
            np.savez(
                stream,
                vectors=vectors,
                labels=np.concatenate(labels).astype(np.int32),
                counts=np.array([len(own) for own in labels]),
                periods=periods,
                first=int(FIRST * len(labels)),
                names=np.array(list(columns)),
            )
    with np.load(path, allow_pickle=False) as kept:
        ends = np.cumsum(kept["counts"])[:-1]
        labels = np.split(kept["labels"], ends)
        names = tuple(map(str, kept["names"]))
        return Stream(
            kept["vectors"], labels, kept["periods"], int(kept["first"]), names
        )


def _written(name: str, data_dir: str) -> Dated:
    """Texts of a corpus by date, as vectors."""
    dated = _reuters(data_dir) if name == "reuters21578" else _eurlex(data_dir)
    dated.sort(key=lambda pair: pair[0])
    vectors = _vectors([d.text for _, d in dated], int(FIRST * len(dated)))
    labels = [d.labels for _, d in dated]
    return vectors, labels, np.array([date[0] for date, _ in dated])


def _watched(name: str, data_dir: str) -> Dated:
    """Videos that were shown, by time, with what their users did; a day a period.

    Rows that the log's days have after the next part began are left out, see
    `load_kuairand`.
    """
    log = load_kuairand(data_dir or None)
    parts = (log.train, log.validation, log.test)

    def column(name: str) -> np.ndarray:
        return np.concatenate([part.column(name) for part in parts])

    times = column("time_ms")
    first = int(FIRST * len(times))
    amounts = [name for name in INPUT_COLUMNS if name not in CATEGORICAL_COLUMNS]
    vectors = np.zeros((len(times), DIMENSIONS), np.float32)
    for place, name in enumerate(amounts):
        values = column(name).astype(np.float64)
        mean, spread = np.nanmean(values[:first]), np.nanstd(values[:first])
        vectors[:, place] = np.nan_to_num((values - mean) / (spread or 1.0))
    room = DIMENSIONS - len(amounts)
    for name in CATEGORICAL_COLUMNS:
        values, rows = np.unique(column(name).astype(str), return_inverse=True)
        codes = np.array([zlib.crc32(f"{name}={value}".encode()) for value in values])
        sign, places = 1.0 - 2.0 * (codes & 1), len(amounts) + (codes >> 1) % room
        np.add.at(vectors, (np.arange(len(rows)), places[rows]), sign[rows])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
    did = {task.name: column(task.name) > 0 for task in TASKS if task.kind == "binary"}
    held = np.stack(list(did.values()), axis=1)
    names = np.array(list(did))
    labels = [tuple(map(str, names[row])) for row in held]
    return vectors, labels, ((times + BEIJING) // 86_400_000).astype(int)


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
