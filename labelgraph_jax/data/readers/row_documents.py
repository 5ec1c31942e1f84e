"""Rows -> documents, as a layout says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.data.readers.cells import WHOLE, markup_list, written_list
from labelgraph_jax.data.readers.columns import ABSENT, NumberedRow, Row, Rows
from labelgraph_jax.data.readers.fields import (
    DocumentList,
    check_features,
    check_id,
    check_labels,
    check_probabilities,
    check_tasks,
    check_text,
    joined_text,
    shown,
    split_labels,
    text_names,
)
from labelgraph_jax.data.readers.lines import Complain, refuse
from labelgraph_jax.data.readers.roles import (
    LABEL_NAMES,
    TASKS_NAME,
    TOKENS,
    Mode,
    is_flag,
    settle,
)

Labels = Callable[[Row, str], tuple[tuple[str, ...], tuple[str, ...]]]
"""`labels(row, where)` -> a document's labels, and those it is not annotated for."""


def read_frame(
    columns: Mapping[str, Sequence[object]], options: ReadingConfig
) -> tuple[list[str], list[list[str]]]:
    """The texts and the labels of a data frame's columns.

    Raises:
        DataError: no such columns, or a document is not annotated for a label.
    """
    header = tuple(columns)
    plain = (map(_plain, cells) for cells in columns.values())
    content = enumerate(zip(*plain, strict=True), start=1)
    documents, _ = read_table_rows(
        Rows("the data frame", header, content, nested=True), options
    )
    for document in documents:
        if document.unannotated:
            raise DataError(
                f"{document.source}: must be annotated for every label; got nothing "
                f"for {document.unannotated[0]!r} (a file may leave it open)"
            )
    return [d.text for d in documents], [list(d.labels) for d in documents]


def _plain(cell: object) -> object:
    """A list where a cell is an array, a tuple or a set."""
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, (set, frozenset)):
        cell = sorted(cell, key=str)
    return list(cell) if isinstance(cell, tuple) else cell


def read_table_rows(
    rows: Rows, options: ReadingConfig, labels: Mode = "required"
) -> tuple[list[Document], Layout]:
    """The documents of rows in memory, such as a data frame's or an Arrow table's."""
    content = list(rows.rows)
    layout = settle([(rows, content)], options, format="rows", labels=labels)
    return documents_of(rows, content, layout, labels, refuse).finish(), layout


def documents_of(
    rows: Rows,
    content: Sequence[NumberedRow],
    layout: Layout,
    labels: Mode,
    complain: Complain,
    shard: str = "",
) -> DocumentList:
    """The documents of rows, as a layout says.

    Where labels are to be predicted, texts may be blank or null and ids may come twice.
    """
    blank = labels == "ignored"
    documents = DocumentList(rows.name, repeated_ids=blank)
    column = layout.text_column
    getters = [rows.getter(name) for name in text_names(column, rows.header)]
    id_of = rows.getter(layout.id_column) if layout.id_column else None
    has_tasks = rows.nested and TASKS_NAME in rows.header
    tasks_of = rows.getter(TASKS_NAME) if has_tasks else None
    labels_of = _labels_reader(rows, content, layout, labels)
    # "labels": null is no document without labels: nothing is known of it.
    column_of = None
    if rows.keyed and labels == "required" and len(layout.label_columns) == 1:
        column_of = rows.getter(layout.label_columns[0])
    # What an annotator rejected or passed over says nothing.
    judged = rows.keyed and "answer" in rows.header and labels != "ignored"
    for number, row in content:
        where = f"{rows.name}:{number}"
        fields = row if isinstance(row, Mapping) else {}
        if judged and fields.get("answer", "accept") != "accept":
            continue
        try:
            value = getters[0](row)
            if len(getters) > 1:
                value = joined_text((get(row) for get in getters), ABSENT)
            if blank and value is None:
                value = ""
            text, features = "", None
            if value is ABSENT and "features" in fields:
                features = check_features(fields, where)
            elif value is ABSENT:
                others = fields.keys() - {*layout.label_columns, "id", *LABEL_NAMES}
                raise DataError(
                    f"{where}: must have {json.dumps(column)}; the keys are: "
                    f"{', '.join(fields) or 'none'}"
                    + ("; text_column names the text's" if others else "")
                )
            else:
                if column.lower() in TOKENS and isinstance(value, list):
                    value = " ".join(map(str, value))
                # The messages of tables call every text so.
                name = column if rows.keyed else "text"
                text = check_text(value, where, name, blank=blank)
            given = tasks_of(row) if tasks_of else None
            tasks = check_tasks(None if given is ABSENT else given, where)
            labelled = column_of is None or column_of(row) is not None
            names, missing = labels_of(row, where) if labelled else ((), ())
            id = None if id_of is None else id_of(row)
            if blank and not text:
                id = id or None  # a row of nothing has no id either
            documents.add(
                number,
                text,
                names,
                id=f"{shard}line-{number}"
                if id is None or id is ABSENT
                else check_id(id, where),
                tasks=tasks,
                unannotated=missing,
                features=features,
                probabilities=check_probabilities(fields, names, where)
                if labels != "ignored"
                else None,
                labelled=labelled,
            )
        except DataError as error:
            complain(error)
    return documents


def _labels_reader(
    rows: Rows, content: Sequence[NumberedRow], layout: Layout, labels: Mode
) -> Labels:
    columns, style = layout.label_columns, layout.label_style
    if labels == "ignored":
        return lambda row, where: ((), ())
    if not columns:
        return lambda row, where: (_absent(row, labels, where), _unannotated(row, rows))
    getters = {name: rows.getter(name) for name in columns}
    if style == "flags":

        def flags(row: Row, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
            read = {name: _flag(get(row), name, where) for name, get in getters.items()}
            names = tuple(name for name, flag in read.items() if flag)
            return names, tuple(name for name, flag in read.items() if flag is None)

        return flags
    if style == "names":

        def named(row: Row, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
            given = (get(row) for get in getters.values())
            kept = [v for v in given if v is not None and v is not ABSENT and v != ""]
            if not kept and len(columns) == 1 and labels == "required":
                check_labels(None, where)
            return check_labels([_name(v) for v in kept], where), ()

        return named
    name = columns[0]
    get, classes = getters[name], rows.classes.get(name, ())
    if style == "switches":
        return _switches(get, name, content, rows.keyed)

    def listed(row: Row, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        value = get(row)
        if value is ABSENT and labels == "required":
            return _absent(row, labels, where), ()
        if value is ABSENT or (value is None and labels == "optional"):
            return (), _unannotated(row, rows)
        if classes:
            every = value if isinstance(value, list) else [value]
            value = [_class(v, classes, where) for v in every if v is not None]
        elif isinstance(value, str) and style != "lists":
            value = _divided(value, layout, where)
        elif not rows.keyed and isinstance(value, list):
            # Of JSON a number is more likely an error than a name.
            value = [str(v) if type(v) is int else v for v in value]
        # The messages of tables call every label column so.
        return check_labels(value, where, name if rows.keyed else "labels"), (
            _unannotated(row, rows)
        )

    return listed


def _name(value: object) -> str:
    """A label that is a text or a number; a whole number is written as one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _divided(cell: str, layout: Layout, where: str) -> list[str]:
    """The labels in a text of a label column."""
    if layout.label_style == "delimited":
        mark = layout.label_delimiter
        if mark in ("", WHOLE):
            return [cell.strip()] if cell.strip() else []
        inner = cell.strip()
        if mark.strip() and len(inner) > 2 and inner[0] == inner[-1] == mark:
            cell = inner[1:-1]
        return list(split_labels(cell, mark, where))
    read = markup_list if layout.label_style == "markup" else written_list
    names = read(cell) if cell.strip() else []
    if names is None:
        raise DataError(
            f"{where}: labels must be written as in the other rows, a list or markup; "
            f"got {shown(cell)}"
        )
    return names


def _switches(
    get: Callable[[Row], object],
    name: str,
    content: Sequence[NumberedRow],
    keyed: bool,
) -> Labels:
    """Labels of objects `{label: 0 or 1}`.

    Where some of them say 0, a label that one lacks is not annotated, and so is one
    that is null (of structs every key is).
    """

    def items(row: Row) -> Mapping[str, object] | None:
        value = get(row)
        if isinstance(value, list) and all(isinstance(v, tuple) for v in value):
            value = dict(value)  # a parquet map
        return value if isinstance(value, Mapping) else None

    every: dict[str, None] = {}
    denies = False
    for _, row in content:
        for key, value in (items(row) or {}).items():
            every.setdefault(key)
            denies = denies or (not value and value is not None)

    def read(row: Row, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = items(row)
        if found is None:
            raise DataError(
                f'{where}: "{name}" must be an object of labels and 0 or 1; got '
                f"{shown(get(row))}"
            )
        flags = {key: _flag(value, key, where) for key, value in found.items()}
        names = check_labels([key for key, flag in flags.items() if flag], where)
        if not denies:
            nulls = (key for key, flag in flags.items() if flag is None and keyed)
            return names, tuple(nulls)
        return names, tuple(key for key in every if flags.get(key) is None)

    return read


def _flag(value: object, column: str, where: str) -> bool | None:
    """True, False, or None where the document is not annotated for the label."""
    try:
        return is_flag(value)
    except KeyError:
        raise DataError(
            f"{where}: column {column!r} must hold 0 or 1; got {shown(value)} "
            "(name the label columns with label_columns); an empty field, NA or -1 "
            "where the document is not annotated for the label"
        ) from None


def _class(value: object, classes: Sequence[str], where: str) -> str:
    if isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    raise DataError(
        f"{where}: a class must be a number below {len(classes)}, as the file names "
        f"its classes; got {shown(value)}"
    )


def _unannotated(row: Row, rows: Rows) -> tuple[str, ...]:
    if not isinstance(row, Mapping) or "unannotated" not in row:
        return ()
    return check_labels(row["unannotated"], rows.name, "unannotated")


def _absent(row: Row, labels: Mode, where: str) -> tuple[str, ...]:
    """No labels, where a document may say nothing about them.

    Raises:
        DataError: it may not.
    """
    if labels != "required" or not isinstance(row, Mapping):
        return ()
    tasks = row.get(TASKS_NAME)
    if tasks and isinstance(tasks, Mapping):
        raise DataError(
            f'{where}: must have "labels", or one of its tasks must be chosen; the '
            f"tasks are: {', '.join(tasks)}"
        )
    raise DataError(
        f'{where}: must have "labels", a list of strings ([] for none); the keys '
        f"are: {', '.join(row)}"
    )
