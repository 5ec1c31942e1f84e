"""Output of `labelgraph predict`: a JSON object for every document or row."""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat, TextIO

import numpy as np

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import of_them
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.files import replacing, standard_input
from labelgraph_jax.data.readers.lines import split_suffix
from labelgraph_jax.data.readers.texts import read_text_batches, read_texts
from labelgraph_jax.data.terminal import json_line
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions

if TYPE_CHECKING:
    from labelgraph_jax.predictors.tables.model import TableModel


def write_predictions(
    model: "Model | TableModel",
    source: str,
    output: str,
    *,
    format: str | None = None,
    reading: ReadingConfig | None = None,
    all_scores: bool = False,
    top_k: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Predict every document or row of a file and write one JSON object a line.

    Of a document its `id`, `labels` and their `scores`; of a row of a table `row`,
    counted from 1, its `id` where the table has such a column, and an object per task,
    see `TableModel.predict`.

    Args:
        model: from `load`.
        source: a file, or `-` for standard input: one text a line, or of a table CSV; a
            model that reads features takes LIBSVM rows there, and bag-of-words files
            `.txt`.
        output: a file, written whole or not at all, or `-` for standard output.
        format: of the source, against its suffix, see `read_texts` and `read_table`.
        reading: how it is read, its format included.
        all_scores: add the probability of every label or class.
        top_k: the k most probable labels in place of those above their threshold; of
            documents alone.
        say: takes a line for each column with values that training has not seen; of
            texts one about how their file was read, one about those that are empty, one
            about those that are cut off.

    Returns:
        How many documents or rows were written.

    Raises:
        DataError: the file cannot be read, or no file can be made at `output`.
    """
    if output != "-" and not Path(output).parent.is_dir():
        raise DataError(f"{output}: no such folder {Path(output).parent}")
    if output != "-" and (output.endswith("/") or Path(output).is_dir()):
        raise DataError(f"{output}: must be a file to write; it is a folder")
    reading = reading or ReadingConfig(format=format or "")
    if not isinstance(model, Model):
        rows = _table_rows(model, source, reading, all_scores, say)
        return write_rows([rows], output)
    predicted = (
        _predicted(model, documents, all_scores, top_k)
        for documents in _document_batches(model, source, reading, say)
        if documents
    )
    return write_rows(_with_remarks(model, predicted, say), output)


def _document_batches(
    model: Model, source: str, reading: ReadingConfig, say: Callable[[str], None]
) -> Iterator[Sequence[Document]]:
    """All documents of a file; those of standard input as they come, line by line."""
    layout = model.workdir.layout()
    stream = standard_input().buffer if source == "-" else source
    streamed = reading.format in ("", "txt", "jsonl") and not model.reads_features
    if not isinstance(stream, str) and streamed:
        most = model.config.training.evaluation_batch_size
        yield from read_text_batches(stream, options=reading, layout=layout, most=most)
        return
    if model.reads_features and not reading.format:
        # Elsewhere both hold one text a line.
        plain = source == "-" or split_suffix(Path(source))[0] == ".txt"
        reading = dataclasses.replace(reading, format="svm" if plain else "")
    yield read_texts(stream, options=reading, layout=layout, say=say)


def _with_remarks(
    model: Model,
    predicted: Iterable[tuple[list[dict[str, object]], int, list[str]]],
    say: Callable[[str], None],
) -> Iterator[list[dict[str, object]]]:
    """The rows of all batches; then a line each about empty and about long texts."""
    count, cut, empty = 0, 0, list[str]()
    for rows, truncated, blank in predicted:
        yield rows
        count, cut, empty = count + len(rows), cut + truncated, empty + blank
    if empty:
        shown = ", ".join(empty[:3]) + ", ..." * (len(empty) > 3)
        say(f"{of_them(len(empty), count, 'text', 'is', 'are')} empty: {shown}")
    if cut:
        say(
            f"{of_them(cut, count, 'text', 'is', 'are')} longer than the "
            f"{model.config.text.max_length:,} words or pieces that the model reads "
            "(--text.max-length and --text.long-documents of its training); the rest "
            "does not count"
        )


def _predicted(
    model: Model,
    documents: Sequence[Document],
    all_scores: bool,
    top_k: int,
) -> tuple[list[dict[str, object]], int, list[str]]:
    """The rows of documents, how many of these were cut off, the ids of empty ones."""
    fewer = "give a part of the file"
    if all_scores:
        fewer = f"leave --scores out, or {fewer}"
    elif top_k:
        model.require_k(min(top_k, len(model.labels)))
    model.require_room(len(documents), fewer, every_label=all_scores)
    encoded, predictions = model.predict_documents(documents, every_label=all_scores)
    rows = prediction_rows(
        model, documents, predictions, all_scores=all_scores, top_k=top_k
    )
    empty = [d.id for d in documents if d.features is None and not d.text.strip()]
    return rows, encoded.truncated, empty


def prediction_rows(
    model: Model,
    documents: Sequence[Document],
    predictions: Predictions,
    *,
    all_scores: bool = False,
    top_k: int = 0,
) -> list[dict[str, object]]:
    """Return the rows that `labelgraph predict` writes for documents.

    Args:
        model: whose labels and decision count.
        documents: M of them.
        predictions: of them; of all labels, if `all_scores`.
        all_scores: add the probability of every label.
        top_k: so many labels of each in place of those that are decided for; 0 for
            these. More labels than there are means all.
    """
    rows = []
    # Decisions, best labels first, and what rules changed of them.
    tasks = model.label_space.tasks
    decided = predictions.decide(model.decision)
    changes = model.decision.changes(predictions.probabilities)
    every = zip(
        documents, decided.best_first(), decided.probabilities, changes, strict=True
    )
    # A row for each document; some parts only where they were asked for.
    for document, (ids, scores, chosen), probabilities, changed in every:
        kept = slice(top_k) if top_k else chosen
        names = [model.labels[i] for i in ids[kept]]
        row: dict[str, object] = {
            "id": document.id,
            "labels": names,
            "scores": [_score(score) for score in scores[kept]],
        }
        if len(tasks) > 1:
            row["tasks"] = {
                task: [
                    n.removeprefix(f"{task}/")
                    for n in names
                    if n.startswith(f"{task}/")
                ]
                for task in tasks
            }
        if changed and not top_k:
            row["rules"] = [
                {"label": model.labels[i], "change": change, "rule": rule}
                for i, change, rule in changed
            ]
        if all_scores:
            pairs = zip(model.labels, probabilities, strict=True)
            row["all_scores"] = {name: _score(score) for name, score in pairs}
        rows.append(row)
    return rows


def _score(probability: SupportsFloat) -> float:
    return round(float(probability), 6)


def _table_rows(
    model: "TableModel",
    source: str,
    reading: ReadingConfig,
    all_scores: bool,
    say: Callable[[str], None],
) -> list[dict[str, object]]:
    from labelgraph_jax.predictors.tables.data import read_own
    from labelgraph_jax.predictors.tables.metrics import count_unseen, unseen_lines

    table = read_own(source, reading)
    encoded = model.encode(table, labelled=False)
    for line in unseen_lines(count_unseen(encoded.unseen), len(table)):
        say(line)
    for line in encoded.remarks:
        say(line)
    ids = table.columns.get("id")
    return [
        {"row": number, **_id(ids, number), **found}
        for number, found in enumerate(model.predictions(encoded, all_scores), 1)
    ]


def _id(ids: np.ndarray | None, number: int) -> dict[str, object]:
    if ids is None:
        return {}
    from labelgraph_jax.data.tables.values import category_name
    from labelgraph_jax.predictors.tables.model import json_value

    value = ids[number - 1]
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    if isinstance(value, tuple):
        return {"id": list(value)}
    if missing:
        return {"id": None}
    return {"id": json_value(category_name(value))}


def write_rows(batches: Iterable[Sequence[Mapping[str, object]]], output: str) -> int:
    """Write a JSON object a line: a file, whole or not at all, or `-`.

    Returns:
        How many were written.
    """
    if output == "-":
        if sys.stdout is None:
            raise DataError("standard output must be open; it is closed: give --output")
        return _write_rows(batches, sys.stdout)
    with (
        replacing(Path(output)) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        return _write_rows(batches, file)


def _write_rows(batches: Iterable[Sequence[Mapping[str, object]]], file: TextIO) -> int:
    # Where the output is not UTF-8, JSON has its own way to write other letters.
    ascii = (getattr(file, "encoding", "") or "utf-8").lower().replace(
        "-", ""
    ) != "utf8"
    count = 0
    for rows in batches:
        for row in rows:
            file.write(json_line(row, ascii=ascii) + "\n")
        file.flush()
        count += len(rows)
    return count
