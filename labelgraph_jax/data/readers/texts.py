"""Files -> documents: JSON, TSV, CSV, parquet, fastText and LIBSVM, plain or packed.

Whatever a file gets wrong is a `DataError` of one line: file and line, what must
hold, what was got. Reading a file executes nothing that stands in it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import DataError, Document, task_names
from labelgraph_jax.data.files import standard_input
from labelgraph_jax.data.labels import tasks as label_sets
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.data.readers.columns import (
    FORMATS,
    NumberedRow,
    Rows,
    format_of,
    numbered_table,
    read_rows,
)
from labelgraph_jax.data.readers.fields import DocumentList, check_labels, check_text
from labelgraph_jax.data.readers.limits import within
from labelgraph_jax.data.readers.lines import (
    Complain,
    Line,
    arriving,
    is_text_stream,
    refuse,
    split_suffix,
)
from labelgraph_jax.data.readers.request import LINES, Request
from labelgraph_jax.data.readers.roles import Mode, names_columns, settle
from labelgraph_jax.data.readers.row_documents import documents_of
from labelgraph_jax.data.readers.sparse_rows import labelled_rows

LABELLED = FORMATS | {
    ".svm": "svm",
    ".libsvm": "svm",
    ".txt": "svm",
    ".ft": "fasttext",
}
TEXTS = LABELLED | {".txt": "txt"}
_PREFIX = "__label__"


def read_documents(
    path: str | Path,
    *,
    format: str | None = None,
    encoding: str | None = None,
    column_delimiter: str | None = None,
    label_delimiter: str | None = None,
    text_column: str | None = None,
    label_columns: Sequence[str] | None = None,
    task: str | None = None,
    require_labels: bool = True,
) -> list[Document]:
    """Read the labelled documents of a file.

    JSON lines, or an array of objects: `{"id", "text", "labels": [...]}`, or "tasks":
    {name: [...]} in place of or beside "labels", null under a task that the document
    is not annotated for; `"features": {"ids": [...], "values": [...]}` in place of
    "text"; perhaps "unannotated": [...], labels of which nothing is known, and
    "probabilities": {label: 0 to 1} (see `Document`); other keys are passed over.
    In place of "labels" also "label" (a name), "cats" (spaCy: 0 or 1 for each),
    "accept" (Prodigy) or "doc_label", and of "text" a list of words under "doc_token"
    or "token". TSV without a header:
    `[id<TAB>]label label<TAB>text`, no quoting; with a header that has a column
    called text, or with `text_column`, as CSV. CSV and parquet: a text column;
    perhaps an id column; and either one column called as above, or a 0/1
    column for each label, in which an empty field, NA or -1 stand for not annotated.
    fastText: `__label__a __label__b text` a line. LIBSVM: `label,label id:value` a
    line, features in place of a text; a .txt that is not fastText's
    begins with `rows features labels`, see `sparse_rows`.
    A label given twice to a document is kept once. Without an id, a document is
    called after its line: `line-12`.

    Args:
        path: the file; the suffix says the format, .gz, .bz2, .xz or .zip after it
            compression.
        format: jsonl, json, tsv, csv, parquet, svm or fasttext, against the suffix.
        encoding: UTF-8 by default, or what the byte order mark says.
        column_delimiter: of a CSV; by default the comma, or what the header has.
        label_delimiter: what stands between the labels of one field; `none` where a
            field is one label. By default the whole column says it, see
            `cells.find_delimiter`.
        text_column: default: text, comment_text, document, content or sentence. Of a
            TSV without a header columns are numbers, from 1.
        label_columns: default: labels or label, or else every other column.
        task: takes the labels of this task, of several between commas, or of
            `all`, named as in `labels.tasks.learn_tasks`; documents that are annotated
            for none of them (null) are left out.
        require_labels: False allows documents that say nothing about labels.

    Raises:
        DataError: the file, or a line of it, is not as above; no document; a
            blank text; an id twice; nothing said about the labels; no such task.
    """
    options = ReadingConfig(
        format=format or "",
        encoding=encoding or "",
        column_delimiter=column_delimiter or "",
        text_column=text_column or "",
        label_columns=tuple(label_columns or ()),
        label_delimiter=label_delimiter or "",
    )
    labels: Mode = "required" if require_labels and task is None else "optional"
    documents, _ = read_files([Path(path)], options, labels=labels)
    if task is None:
        return documents
    wanted = label_sets.wanted_tasks(task, task_names(documents), str(path))
    return label_sets.documents_of(documents, wanted)


def read_files(
    paths: Sequence[Path],
    options: ReadingConfig,
    *,
    labels: Mode = "required",
    layout: Layout | None = None,
    known: Collection[str] = (),
    complain: Complain = refuse,
) -> tuple[list[Document], Layout]:
    """Read the documents of a file, or of several that are shards of one.

    Args:
        paths: the files, of one format.
        options: what the caller says about them.
        labels: see `Mode`.
        layout: the training file's, where these are later ones.
        known: the labels that were trained.
        complain: is told of a document that cannot be read.

    Returns:
        The documents, and how they were read.

    Raises:
        DataError: as `read_documents`.
    """
    formats = TEXTS if labels == "ignored" else LABELLED
    format = options.format
    if not format and layout and split_suffix(paths[0])[0] not in formats:
        format = layout.format
    format = format_of(paths[0], format, formats)
    request = Request(format, options, labels, layout, known, complain)
    with within(options, array=format == "json"):
        return _read(
            [(str(path), path, request.lines(path, "")) for path in paths], request
        )


def read_texts(
    path_or_stream: str | Path | IO[str] | IO[bytes],
    *,
    format: str | None = None,
    text_column: str | None = None,
    options: ReadingConfig | None = None,
    layout: Layout | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Document]:
    """Read documents to predict labels for: labels are passed over.

    Args:
        path_or_stream: a file as for `read_documents`, or a .txt with one text a
            line; "-" or an open stream, which holds one text a line unless
            `format` says otherwise.
        format: as in `read_documents`, or txt; against the suffix.
        text_column: as in `read_documents`.
        options: in place of both.
        layout: of the training file.
        say: takes a line about how a file was read.

    Raises:
        DataError: as `read_documents`.
    """
    options = options or ReadingConfig(
        format=format or "", text_column=text_column or ""
    )
    if isinstance(path_or_stream, (str, Path)) and str(path_or_stream) != "-":
        path = Path(path_or_stream)
        found, read = read_files([path], options, labels="ignored", layout=layout)
        if read.format != "txt":
            say(read.describe(path.name, "", ())[0])
        return found
    if is_text_stream(path_or_stream):
        stream: Any = path_or_stream
        name = str(getattr(stream, "name", "stream"))
    else:
        stream, name = standard_input().buffer, "stdin"
    format = options.format or "txt"
    if format == "parquet" or format not in TEXTS.values():
        raise DataError(
            f"{name}: a stream must be jsonl, tsv, csv, svm or txt; got {format!r}"
        )
    request = Request(format, options, "ignored", layout)
    with within(options, array=format == "json"):
        return _read([(name, stream, request.lines(stream, name))], request)[0]


def read_text_batches(
    stream: IO[bytes],
    *,
    options: ReadingConfig,
    layout: Layout | None = None,
    most: int = 64,
) -> Iterator[list[Document]]:
    """Documents to predict labels for, as soon as their lines arrive.

    Args:
        stream: of bytes.
        options: their format, txt by default or jsonl, among others.
        layout: of the training file.
        most: so many documents at once at most.

    Raises:
        DataError: as `read_texts`; that two ids are the same is seen within a batch.
    """
    name, empty = str(getattr(stream, "name", "stream")), True
    request = Request(options.format or "txt", options, "ignored", layout)
    with within(options):
        lines = request.lines(stream, name)
    for arrived in arriving(lines, most):
        empty = False
        yield _read([(name, stream, iter(arrived))], request)[0]
    if empty:
        _read([(name, stream, iter(()))], request)


def _read(
    sources: Sequence[tuple[str, Path | IO[bytes] | IO[str], Iterator[Line]]],
    request: Request,
) -> tuple[list[Document], Layout]:
    """The documents of sources: what each is called, it itself, and its lines."""
    found: list[Document] = []
    tables: list[tuple[Rows, list[NumberedRow]]] = []
    format, labels = request.format, request.labels
    for name, source, lines in sources:
        # The first line with content may show that a file is fastText's.
        ahead: list[Line] = []
        while format != "parquet" and not (ahead and ahead[-1][1].strip()):
            if (line := next(lines, None)) is None:
                break
            ahead.append(line)
        if format in (*LINES, "tsv") and ahead and ahead[-1][1].startswith(_PREFIX):
            format = "fasttext"
        # The blank lines before it count only where a line may be a blank document.
        if format in ("csv", "json", "fasttext") or (
            format in ("tsv", "jsonl") and labels != "ignored"
        ):
            ahead = ahead[-1:]
        lines = itertools.chain(ahead, lines)
        # Tables wait for the layout of all shards; others give documents at once.
        if format in FORMATS.values():
            path = source if isinstance(source, Path) else Path(name)
            rows = _rows(path, format, lines, request)
            tables.append((rows, list(rows.rows)))
        elif format == "svm":
            found += labelled_rows(
                lines,
                name,
                need_header=split_suffix(Path(name))[0] == ".txt",
                ignore_labels=labels == "ignored",
                complain=request.complain,
            )
        else:
            found += _lines_of_text(lines, name, format, request)
    if not tables:
        return found, Layout(format=format, encoding=request.options.encoding)
    # Settle the layout, and read the tables by it.
    settled = settle(
        tables,
        request.options,
        format=format,
        labels=labels,
        layout=request.layout,
        known=request.known,
    )
    for rows, content in tables:
        shard = f"{Path(rows.name).name}:" if len(tables) > 1 else ""
        documents = documents_of(
            rows, content, settled, labels, request.complain, shard
        )
        found += request.finish(documents)
    return found, settled


def _rows(path: Path, format: str, lines: Iterator[Line], request: Request) -> Rows:
    options, layout = request.options, request.layout
    if format == "tsv":
        first = next(lines, None)
        if first is None:
            raise DataError(
                f"{path}: must hold at least one document; the file is empty"
            )
        lines = itertools.chain([first], lines)
        if not names_columns(first[1], options, layout):
            chosen = [*options.text_column.split(","), *options.label_columns]
            if layout and "\t" in first[1]:  # a text alone has no number
                chosen += layout.text_column.split(",")
            numbers = any(column.isdecimal() for column in chosen)
            return _numbered(lines, str(path), first, numbers, request)
    if format == "jsonl" and request.labels == "ignored":
        # A blank line is a document without a word, as it is in a .txt.
        column = options.text_column or (layout.text_column if layout else "")
        blank = json.dumps({column.partition(",")[0] or "text": ""})
        lines = ((n, line if line.strip() else blank) for n, line in lines)
    return read_rows(
        path,
        format,
        lines=lines,
        encoding=options.encoding,
        delimiter=options.column_delimiter,
        complain=request.complain,
        blank=request.labels == "ignored",
    )


def _numbered(
    lines: Iterator[Line], name: str, first: Line, by_number: bool, request: Request
) -> Rows:
    """Rows of a TSV without a header."""
    width = len(first[1].split("\t"))
    least = 1 if request.labels == "ignored" else 2
    if not by_number and not least <= width <= 3:
        header = "; a header is named with text_column" if width > 3 else ""
        if width == 1 and re.search(r"\w[,;|]\w", first[1]):
            header = "; a CSV is read with --format csv"
        raise DataError(
            f"{name}:{first[0]}: must have 2 or 3 fields between tabs: [id,] labels, "
            f"text; got {width} (labels with tabs or texts with tabs or line breaks "
            f"need JSONL{header})"
        )
    blank = request.labels == "ignored"
    rows = numbered_table(lines, name, width, first[0], request.complain, blank)
    if by_number:
        rows = dataclasses.replace(rows, header=tuple(map(str, range(1, width + 1))))
    return rows


def _lines_of_text(
    lines: Iterator[Line], name: str, format: str, request: Request
) -> list[Document]:
    """A document a line; of fastText with the labels that stand before it."""
    texts, labels = DocumentList(name), request.labels
    for number, line in lines:
        names: list[str] = []
        if format == "fasttext":
            words = line.replace(f",{_PREFIX}", f" {_PREFIX}").split()
            names = [w.removeprefix(_PREFIX) for w in words if w.startswith(_PREFIX)]
            line = " ".join(w for w in words if not w.startswith(_PREFIX))
        where = f"{name}:{number}"
        try:
            kept = () if labels == "ignored" else check_labels(names, where)
            blank = labels == "ignored"
            texts.add(number, check_text(line, where, blank=blank), kept)
        except DataError as error:
            request.complain(error)
    return request.finish(texts)
