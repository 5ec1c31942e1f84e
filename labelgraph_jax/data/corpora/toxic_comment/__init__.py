"""Jigsaw Toxic Comment Classification: Wikipedia comments with six labels."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from labelgraph_jax.data.corpora.jsonl import labelled_objects
from labelgraph_jax.data.corpora.sources import DAMAGES, Files, Layout, Source, damaged
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.readers.lines import open_bytes

LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
FIRST_ROWS, FIRST_TRAIN_ROWS = 20_000, 16_000

SOURCE = Source(
    name="toxic_comment",
    home="https://www.kaggle.com/c/jigsaw-toxic-comment-classification-challenge",
    protocols=("first20k", "kaggle"),
    layouts=(
        Layout(("train.csv", "test.csv", "test_labels.csv"), protocols=("kaggle",)),
        Layout(("train.csv",), protocols=("first20k",)),
        Layout(("first20k.jsonl",), protocols=("first20k",)),
    ),
    sizes={"first20k": (16_000, 0, 4_000), "kaggle": (159_571, 0, 63_978)},
)


def read(files: Files, protocol: str) -> Corpus:
    """The comments of a protocol; a comment without label is a clean one.

    first20k: the first 20,000 rows of train.csv; the first 16,000 are training, the
    other 4,000 test. kaggle: all of train.csv, and of test.csv the 63,978 rows that
    were scored (test_labels.csv has -1 for the others).
    """
    if protocol == "kaggle":
        train = tuple(_comments(files["train.csv"]))
        test = tuple(_scored(files["test.csv"], files["test_labels.csv"]))
        note = "test is the part of test.csv that the competition scored"
    else:
        rows = (
            _comments(files["train.csv"])
            if "train.csv" in files
            else labelled_objects(files["first20k.jsonl"], id_key="row")
        )
        first = tuple(itertools.islice(rows, FIRST_ROWS))
        train, test = first[:FIRST_TRAIN_ROWS], first[FIRST_TRAIN_ROWS:]
        note = "the first 20,000 rows of train.csv, cut 16,000 / 4,000 by row"
    return Corpus(SOURCE.name, train, test=test, notes=(note,))


def _comments(path: Path) -> Iterator[Document]:
    for line, row in _csv(path, ("id", "comment_text", *LABELS)):
        yield Document(
            id=row["id"],
            text=row["comment_text"],
            labels=_labels(row, f"{path}:{line}"),
            source=f"{path.name}:{line}",
        )


def _scored(texts: Path, labels: Path) -> Iterator[Document]:
    scored = {
        row["id"]: _labels(row, f"{labels}:{line}")
        for line, row in _csv(labels, ("id", *LABELS))
        if row["toxic"] != "-1"
    }
    for line, row in _csv(texts, ("id", "comment_text")):
        if row["id"] in scored:
            yield Document(
                id=row["id"],
                text=row["comment_text"],
                labels=scored[row["id"]],
                source=f"{texts.name}:{line}",
            )


def _labels(row: dict[str, str], where: str) -> tuple[str, ...]:
    for label in LABELS:
        if row[label] not in ("0", "1"):
            raise DataError(f"{where}: {label} must be 0 or 1; got {row[label]!r}")
    return tuple(label for label in LABELS if row[label] == "1")


def _csv(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line where the row ends, row) of a CSV file with these columns."""
    try:
        with (
            open_bytes(path) as stream,
            io.TextIOWrapper(stream, encoding="utf-8", newline="") as text,
        ):
            rows = csv.DictReader(text)
            missing = [c for c in columns if c not in (rows.fieldnames or ())]
            if missing:
                raise DataError(f"{path}:1: must have a column {missing[0]!r}")
            for row in rows:
                if None in row or None in row.values():
                    raise DataError(
                        f"{path}:{rows.line_num}: a row must have "
                        f"{len(rows.fieldnames or ())} fields"
                    )
                yield rows.line_num, row
    except (*DAMAGES, UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, error) from None
