"""The documents or rows that a run was made with, or those of a file."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import Corpus, Document
from labelgraph_jax.data.labels.taxonomy import closed_documents
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.predictors.documents import fingerprint
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.tables.data import read_own, read_splits, split_files
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.predictors.workdir import RunDataChangedError, Workdir
from labelgraph_jax.runs.corpus import layout_lines, read_corpus

USE_DATA = "name the file to evaluate with --data"


def documents_of_run(
    model: Model,
    *,
    data: str = "",
    data_dir: str = "",
    reading: ReadingConfig | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[str, tuple[Document, ...]]:
    """The documents of a file, or of the test split that a run was trained with.

    Args:
        model: the run's; its labels say which label sets are read.
        data: a file in any format that training reads.
        data_dir: where the local corpus copies lie now, if they have moved.
        reading: how `data` is read, against the layout that the run kept.
        say: takes a line about how `data` was read.

    Returns:
        What reports call them, and the documents.

    Raises:
        DataError: a document or file is malformed.
    """
    # The model knows its taxonomy; the file may have moved, or say more than `data`.
    source = dataclasses.replace(
        model.config.data, taxonomy="", taxonomy_targets="as-given"
    )
    closes = model.config.data.taxonomy_targets == "closed"

    def own(documents: tuple[Document, ...]) -> tuple[Document, ...]:
        above = model.label_space.parents
        return closed_documents(documents, above) if closes else documents

    layout = model.workdir.layout()
    if data:
        source = dataclasses.replace(
            source,
            data=data,
            validation="",
            test="",
            unlabelled="",
            protocol="",
            **_given(reading, ReadingConfig() if layout.ask else source),
        )
        corpus = read_corpus(
            source,
            split=False,
            tasks=model.label_space.tasks,
            layout=layout,
            known=frozenset(model.labels),
        )
        for line in layout_lines(corpus)[:1]:
            say(line)
        # A folder holds both splits.
        return corpus.name, own(corpus.test or corpus.train)
    if data_dir:
        source = dataclasses.replace(source, data_dir=data_dir)
    corpus = read_corpus(dataclasses.replace(source, unlabelled=""), layout=layout)
    return corpus.name, own(corpus.test)


def _given(reading: ReadingConfig | None, otherwise: ReadingConfig) -> dict[str, Any]:
    """The options of reading that are given, or else those of the run."""
    reading = reading or ReadingConfig()
    found = {}
    for field in dataclasses.fields(ReadingConfig):
        value = getattr(reading, field.name)
        is_given = value != field.default
        found[field.name] = value if is_given else getattr(otherwise, field.name)
    return found


def rows_of_run(
    model: TableModel, data: str = "", reading: ReadingConfig | None = None
) -> tuple[str, Table]:
    """The rows of a table, by default those of the run's own test split."""
    if data:
        own = split_files(data)  # a folder holds both splits
        source = own.get("test") or own["train"]
        return Path(data).name, read_own(source, reading or ReadingConfig())
    splits = read_splits(model.config)
    test = splits.tables["test"]
    assert test is not None  # a split is cut off where no file gives it
    return splits.name, test


def fingerprints(corpus: Corpus) -> dict[str, str]:
    """The fingerprint of each split, and of documents without labels."""
    found = {name: fingerprint(split) for name, split in corpus.splits.items()}
    if corpus.unlabelled:
        found["unlabelled"] = fingerprint(corpus.unlabelled)
    if corpus.target:
        found["target"] = fingerprint(corpus.target)
    return found


def require_same_records(
    path: str | Path,
    split: str,
    found: str | None,
    known: str | None,
    *,
    what: str = "documents",
    instead: str = "",
) -> None:
    """Refuse records that are not those of a run.

    Args:
        path: the run's work directory.
        split: their name.
        found: their fingerprint.
        known: the fingerprint of the run's.
        what: "documents" or "rows".
        instead: what to do then.

    Raises:
        RunDataChangedError: they differ.
    """
    if found != known:
        raise RunDataChangedError(path, split, what, instead=instead)


def corpus_of_run(place: Workdir) -> Corpus:
    """The corpus that a run of texts was trained with.

    Raises:
        RunDataChangedError: a split has changed.
        DataError: a document or file is malformed.
    """
    data = dataclasses.replace(place.config().data, unlabelled="")
    corpus = read_corpus(data, layout=place.layout())
    known: Mapping[str, str] = place.data()
    for name in corpus.splits:
        own = fingerprint(corpus.splits[name])
        require_same_records(place.path, name, own, known.get(name))
    return corpus
