"""GoEmotions: Reddit comments with 27 emotions and neutral."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labelgraph_jax.data.corpora.jsonl import labelled_objects
from labelgraph_jax.data.corpora.sources import Download, Files, Layout, Source
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.readers.lines import read_lines

# The order of the published emotions.txt: label number i is EMOTIONS[i].
EMOTIONS = (
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
)
_HOME = "https://github.com/google-research/google-research/raw/master/goemotions/data/"

SOURCE = Source(
    name="goemotions",
    home="https://github.com/google-research/google-research/tree/master/goemotions",
    protocols=("published",),
    layouts=(
        Layout(("train.tsv", "dev.tsv", "test.tsv")),
        Layout(("train.jsonl", "dev.jsonl", "test.jsonl")),
    ),
    downloads=tuple(
        Download(f"{split}.tsv", f"{_HOME}{split}.tsv", sha256)
        for split, sha256 in (
            (
                "train",
                "1c254a142be5c00e80d819b9ae1bbd36d94b2eeb8f4b1271846508d57e57d9c5",
            ),
            ("dev", "575489c079c9de1097062a01738f998590d6b7ead66dd1c9fd1d2ba01fd8bc62"),
            (
                "test",
                "0587b2dd8b27b97352adbfc3fb083d46005c8946657fdc2b1ca8b1cc7f1f8be4",
            ),
        )
    ),
    sizes={"published": (43_410, 5_426, 5_427)},
)


def read(files: Files, protocol: str) -> Corpus:
    """The published splits, from the published TSV files or from JSONL."""
    suffix = "tsv" if "train.tsv" in files else "jsonl"
    read_split = _read_tsv if suffix == "tsv" else labelled_objects
    train, validation, test = (
        tuple(read_split(files[f"{split}.{suffix}"]))
        for split in ("train", "dev", "test")
    )
    return Corpus(SOURCE.name, train, validation, test)


def _read_tsv(path: Path) -> Iterator[Document]:
    for number, line in read_lines(path):
        where = f"{path.name}:{number}"
        fields = line.split("\t")
        if len(fields) != 3:
            raise DataError(
                f"{path}:{number}: must have text, label numbers and id between tabs; "
                f"got {len(fields)} fields"
            )
        text, numbers, id = fields
        try:
            labels = [EMOTIONS[int(n)] for n in numbers.split(",")]
        except (ValueError, IndexError):
            raise DataError(
                f"{path}:{number}: label numbers must be 0 to {len(EMOTIONS) - 1}, "
                f"with commas between them; got {numbers!r}"
            ) from None
        yield Document(id, text, tuple(dict.fromkeys(labels)), source=where)
