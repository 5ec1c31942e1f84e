"""What labelgraph predict writes."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.readers.lines import split_suffix
from labelgraph_jax.data.readers.texts import read_texts
from labelgraph_jax.data.tables.files import read_table
from labelgraph_jax.data.tables.values import category_name
from labelgraph_jax.predictors.many_labels import require_room
from labelgraph_jax.predictors.ranking import (
    ranked_rows,
)
from labelgraph_jax.predictors.table_metrics import count_unseen, unseen_lines
from labelgraph_jax.predictors.workdir import replacing

if TYPE_CHECKING:
    from labelgraph_jax.predictors.table_model import TableModel
if TYPE_CHECKING:
    pass


def write_predictions(
    model: Model,
    source: str,
    output: str,
    *,
    format: str | None = None,
    all_scores: bool = False,
    top_k: int = 0,
) -> int:
    """Predicts every document of a file and writes one JSON object a line.

    Args:
        source: a file, or `-` for one text a line on standard input; a model that
            reads features takes LIBSVM rows there, and bag-of-words files `.txt`.
        output: a file, written whole or not at all, or `-` for standard output.
        format: of the source, against its suffix, see `data.readers.read_texts`.
        all_scores: add the probability of every label.
        top_k: the k most probable labels in place of those above their threshold.

    Returns:
        How many documents were written.

    Raises:
        DataError: the file cannot be read, or no file can be made at `output`.
    """
    if output != "-" and not Path(output).parent.is_dir():
        raise DataError(f"{output}: no such folder {Path(output).parent}")
    documents = _read_source(model, source, format)
    if model.label_chunk and not all_scores:
        rows = ranked_rows(model, documents, top_k)
    else:
        require_room(
            len(documents),
            len(model.labels),
            "the scores of all labels, an array",
            "leave --scores out, or give a part of the file"
            if all_scores
            else "give a part of the file",
        )
        probabilities = model.score_documents(documents)[1]
        rows = [
            document_row(model, document, scores, all_scores, top_k)
            for document, scores in zip(documents, probabilities, strict=True)
        ]
    write_rows(rows, output)
    return len(rows)


def _read_source(model: Model, source: str, format: str | None) -> list[Document]:
    if model.reads_features and format is None:
        # Elsewhere both hold one text a line.
        plain = source == "-" or split_suffix(Path(source))[0] == ".txt"
        format = "svm" if plain else None
    return read_texts(sys.stdin.buffer if source == "-" else source, format=format)


def document_row(
    model: Model,
    document: Document,
    scores: np.ndarray,
    all_scores: bool,
    top_k: int,
) -> dict[str, Any]:
    """What `labelgraph predict` writes of a document, from its probabilities `[N]`."""
    index = model.label_space.index
    if top_k:
        best = np.argsort(-scores, kind="stable")[:top_k]
        names = [model.labels[i] for i in best]
    else:
        names = model.decide(scores)
    row: dict[str, Any] = {
        "id": document.id,
        "labels": names,
        "scores": [round(float(scores[index[name]]), 6) for name in names],
    }
    tasks = model.label_space.tasks
    if len(tasks) > 1:
        row["tasks"] = {
            task: [
                n.removeprefix(f"{task}/") for n in names if n.startswith(f"{task}/")
            ]
            for task in tasks
        }
    if all_scores:
        row["all_scores"] = {
            name: round(float(score), 6)
            for name, score in zip(model.labels, scores, strict=True)
        }
    return row


def write_rows(rows: Sequence[dict[str, Any]], output: str) -> None:
    """Writes a JSON object a line: a file, whole or not at all, or `-`."""
    if output == "-":
        _write_rows(rows, sys.stdout)
        return
    with (
        replacing(Path(output)) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        _write_rows(rows, file)


def _write_rows(rows: Sequence[dict[str, Any]], file: TextIO) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.flush()


def write_table_predictions(
    model: "TableModel",
    source: str,
    output: str,
    *,
    format: str | None = None,
    all_scores: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Predicts every row of a table and writes one JSON object a line.

    Each holds `row`, counted from 1, the row's `id` where the table has such a column,
    and an object per task, see `TableModel.predict`.

    Args:
        source: a table, or `-` for CSV on standard input.
        output: a file, written whole or not at all, or `-` for standard output.
        format: of the source, against its suffix: csv, tsv, jsonl or parquet.
        all_scores: add the probability of every class and label.
        say: takes a line for each column with values that training has not seen.

    Returns:
        How many rows were written.

    Raises:
        DataError: the table cannot be read, or no file can be made at `output`.
    """
    if output != "-" and not Path(output).parent.is_dir():
        raise DataError(f"{output}: no such folder {Path(output).parent}")
    table = read_table(source, format=format)
    encoded = model.encode(table, labelled=False)
    for line in unseen_lines(count_unseen(encoded.unseen), len(table)):
        say(line)
    ids = table.columns.get("id")
    rows = [
        {"row": number, **_id(ids, number), **found}
        for number, found in enumerate(model.predictions(encoded, all_scores), 1)
    ]
    write_rows(rows, output)
    return len(rows)


def _id(ids: np.ndarray | None, number: int) -> dict[str, Any]:
    if ids is None:
        return {}
    value = ids[number - 1]
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return {"id": None if missing else _value(category_name(value))}
