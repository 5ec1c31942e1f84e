"""Files -> documents: JSONL, TSV, CSV, parquet and LIBSVM, plain or .gz or .xz.

Whatever a file gets wrong is a `DataError` of one line: file and line, what must
hold, what was got. Reading a file executes nothing that stands in it.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from labelgraph_jax.data.documents import DataError, Document, task_names
from labelgraph_jax.data.labels.tasks import documents_of, wanted_tasks
from labelgraph_jax.data.readers.columns import (
    LABEL_NAMES,
    TEXT_NAMES,
    TableOptions,
    csv_table,
    parquet_table,
    table_documents,
)
from labelgraph_jax.data.readers.fields import (
    DocumentList,
    check_features,
    check_id,
    check_labels,
    check_tasks,
    check_text,
    json_object,
    split_labels,
)
from labelgraph_jax.data.readers.lines import (
    Line,
    decoded_lines,
    is_text_stream,
    read_lines,
    split_suffix,
)
from labelgraph_jax.data.readers.sparse_rows import labelled_rows

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tsv": "tsv",
    ".csv": "csv",
    ".parquet": "parquet",
    ".svm": "svm",
    ".libsvm": "svm",
    ".txt": "svm",
}
TEXT_FORMATS = FORMATS | {".txt": "txt"}


def read_documents(
    path: str | Path,
    *,
    format: str | None = None,
    label_delimiter: str | None = None,
    text_column: str | None = None,
    label_columns: Sequence[str] | None = None,
    task: str | None = None,
    require_labels: bool = True,
) -> list[Document]:
    """Reads the labelled documents of a file.

    JSONL: `{"id", "text", "labels": [...]}` a line, or "tasks": {name: [...]} in
    place of or beside "labels", null under a task that the document is not annotated
    for; `"features": {"ids": [...], "values": [...]}` in place of "text"; perhaps
    "unannotated": [...], labels of which nothing is known (see `Document`); other
    keys are passed over. TSV without a header:
    `[id<TAB>]label label<TAB>text`, no quoting; with a header that has a column
    called text, or with `text_column`, as CSV. CSV and parquet: a text column;
    perhaps an id column; and either one column called labels or label, or a 0/1
    column for each label, in which an empty field, NA or -1 stand for not annotated.
    LIBSVM: `label,label id:value id:value` a line, features in place of a text; a .txt
    begins with `rows features labels`, see `sparse_rows`.
    A label given twice to a document is kept once. Without an id, a document is
    called after its line: `line-12`.

    Args:
        path: the file; the suffix says the format, .gz or .xz after it compression.
        format: jsonl, tsv, csv, parquet or svm, against the suffix.
        label_delimiter: what stands between the labels of one field. None: spaces
            in a TSV; in a CSV or parquet column, that one of | ; , which occurs
            in the column, spaces where none does.
        text_column: default: text, comment_text, document, content or sentence.
        label_columns: default: labels or label, or else every other column.
        task: takes the labels of this task, of several between commas, or of
            `all`, named as in `labels.tasks.learn_tasks`; documents that are annotated
            for none of them (null) are left out.
        require_labels: False allows documents that say nothing about labels.

    Raises:
        DataError: the file, or a line of it, is not as above; no document; a
            blank text; an id twice; nothing said about the labels; no such task.
    """
    path = Path(path)
    documents = _read(
        path,
        _format_of(path, format, FORMATS),
        TableOptions(
            text_column=text_column,
            label_columns=None if label_columns is None else tuple(label_columns),
            label_delimiter=label_delimiter,
            labels="required" if require_labels and task is None else "optional",
        ),
    )
    return documents if task is None else _of_task(documents, task, str(path))


def read_texts(
    path_or_stream: str | Path | IO[str] | IO[bytes],
    *,
    format: str | None = None,
    text_column: str | None = None,
) -> list[Document]:
    """Reads documents to predict labels for: labels are passed over.

    Args:
        path_or_stream: a file as for `read_documents`, or a .txt with one text a
            line; "-" or an open stream, which holds one text a line unless
            `format` says otherwise.
        format: jsonl, tsv, csv, parquet, svm or txt, against the suffix.
        text_column: as in `read_documents`.

    Raises:
        DataError: as `read_documents`.
    """
    options = TableOptions(text_column=text_column, labels="ignored")
    if isinstance(path_or_stream, (str, Path)) and str(path_or_stream) != "-":
        path = Path(path_or_stream)
        return _read(path, _format_of(path, format, TEXT_FORMATS), options)
    if is_text_stream(path_or_stream):
        stream: Any = path_or_stream
        name = str(getattr(stream, "name", "stream"))
    else:
        stream, name = sys.stdin.buffer, "stdin"
    format = format or "txt"
    if format == "parquet" or format not in TEXT_FORMATS.values():
        raise DataError(
            f"{name}: a stream must be jsonl, tsv, csv, svm or txt; got {format!r}"
        )
    lines = decoded_lines(stream, name, keep_blank=format == "svm")
    return _parse(lines, name, format, options)


def _format_of(path: Path, format: str | None, known: dict[str, str]) -> str:
    names = list(dict.fromkeys(known.values()))
    if format is not None:
        if format not in names:
            raise DataError(f"format must be one of {', '.join(names)}; got {format!r}")
        return format
    suffix = split_suffix(path)[0]
    if suffix in (".bz2", ".zip", ".npz"):
        raise DataError(
            f"{path}: must be plain, .gz or .xz: unpack it first"
            if suffix != ".npz"
            else f"{path}: a matrix alone has no labels: give the folder that holds it"
        )
    if suffix not in known:
        if not suffix and not path.exists():
            raise DataError(f"{path}: no such file or folder")
        raise DataError(
            f"{path}: the name must end in one of {', '.join(known)} (perhaps with "
            f".gz or .xz after it), or say format; got {suffix or 'no suffix'!r}"
        )
    return known[suffix]


def _read(path: Path, format: str, options: TableOptions) -> list[Document]:
    if format == "parquet":
        return table_documents(parquet_table(path), options)
    return _parse(
        read_lines(path, keep_blank=format == "svm"), str(path), format, options
    )


def _parse(
    lines: Iterator[Line], name: str, format: str, options: TableOptions
) -> list[Document]:
    if format == "csv":
        return table_documents(csv_table(lines, name), options)
    if format == "svm":
        return labelled_rows(
            lines,
            name,
            need_header=split_suffix(Path(name))[0] == ".txt",
            ignore_labels=options.labels == "ignored",
        )
    if format == "tsv":
        return _tsv_documents(lines, name, options)
    if format == "txt":
        texts = DocumentList(name)
        for number, line in lines:
            texts.add(number, check_text(line, f"{name}:{number}"), ())
        return texts.finish()
    return _json_documents(lines, name, options)


def _of_task(documents: list[Document], task: str, name: str) -> list[Document]:
    return documents_of(documents, wanted_tasks(task, task_names(documents), name))


def _json_documents(
    lines: Iterator[Line], name: str, options: TableOptions
) -> list[Document]:
    documents = DocumentList(name)
    text_key = options.text_column or "text"
    for number, line in lines:
        where = f"{name}:{number}"
        fields = json_object(line, where)
        text, features = "", None
        if text_key in fields:
            text = check_text(fields[text_key], where, text_key)
        elif "features" in fields:
            features = check_features(fields, where)
        else:
            raise DataError(
                f"{where}: must have {json.dumps(text_key)}; the keys are: "
                f"{', '.join(fields) or 'none'}"
            )
        tasks = check_tasks(fields.get("tasks"), where)
        labels: tuple[str, ...] = ()
        if options.labels == "required" and "labels" not in fields:
            raise DataError(_no_labels(fields, where))
        given = fields.get("labels")
        if options.labels == "required" or (
            options.labels == "optional" and given is not None
        ):
            labels = check_labels(given, where)
        missing: tuple[str, ...] = ()
        if options.labels != "ignored" and "unannotated" in fields:
            missing = check_labels(fields["unannotated"], where, "unannotated")
        id = check_id(fields["id"], where) if "id" in fields else None
        documents.add(
            number,
            text,
            labels,
            id=id,
            tasks=tasks,
            unannotated=missing,
            features=features,
        )
    return documents.finish()


def _no_labels(fields: dict[str, Any], where: str) -> str:
    tasks = fields.get("tasks")
    if tasks:
        return (
            f'{where}: must have "labels", or one of its tasks must be chosen; the '
            f"tasks are: {', '.join(tasks)}"
        )
    return (
        f'{where}: must have "labels", a list of strings ([] for none); the keys '
        f"are: {', '.join(fields)}"
    )


def _tsv_documents(
    lines: Iterator[Line], name: str, options: TableOptions
) -> list[Document]:
    first = next(lines, None)
    if first is None:
        raise DataError(f"{name}: must hold at least one document; the file is empty")
    lines = itertools.chain([first], lines)
    header = [field.strip().lower() for field in first[1].split("\t")]
    known = {*TEXT_NAMES, *LABEL_NAMES, "id"}
    if (
        options.text_column is not None
        or options.label_columns is not None
        or (set(header) <= known and set(header) & set(TEXT_NAMES))
    ):
        return table_documents(csv_table(lines, name, delimiter="\t"), options)
    width = len(header)
    least = 1 if options.labels == "ignored" else 2
    documents = DocumentList(name)
    for number, line in lines:
        where = f"{name}:{number}"
        fields = line.split("\t")
        if len(fields) != width or not least <= width <= 3:
            must = f"{width} fields, as line {first[0]} has"
            if not least <= width <= 3:
                must = "2 or 3 fields between tabs: [id,] labels, text"
            raise DataError(
                f"{where}: must have {must}; got {len(fields)} (labels with tabs or "
                "texts with tabs or line breaks need JSONL)"
            )
        labels: tuple[str, ...] = ()
        if options.labels != "ignored":
            labels = split_labels(fields[-2], options.label_delimiter, where)
        id = check_id(fields[0], where) if width == 3 else None
        documents.add(number, check_text(fields[-1], where), labels, id=id)
    return documents.finish()
