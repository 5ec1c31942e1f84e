"""The roles of columns: the text, the labels, and how a field holds them.

Settled once, from the whole training file, and refused where it is not clear.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import nearest_names
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.data.readers.cells import (
    BLANK,
    WHOLE,
    check_given,
    check_no_bits,
    check_no_shares,
    check_pieces,
    check_some_zero,
    column_style,
    find_delimiter,
)
from labelgraph_jax.data.readers.columns import ABSENT, NUMBERED, NumberedRow, Rows
from labelgraph_jax.data.readers.fields import check_labels, shown, text_names

TOKENS = ("doc_token", "token", "tokens")
"""Columns that may hold the text as a list of words."""
TEXT_NAMES = ("text", "comment_text", "document", "content", "sentence", *TOKENS)
LABEL_NAMES = ("labels", "label", "cats", "accept", "doc_label")
TASKS_NAME = "tasks"
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True}
FLAGS |= {"false": False, "true": True}
_WORDS = {"yes": True, "no": False, "y": True, "n": False}
"""Flags too, where a column has nothing else: they may be names as well."""
# What pandas, R and spreadsheets write where nothing is known; -1: not scored.
NOT_ANNOTATED = {"", "na", "nan", "-1", "-1.0"}

Mode = Literal["required", "optional", "ignored"]
"""Labels of a file: it must say something about them, may, or is not asked."""

_INDEX = re.compile(r"Unnamed: \d+(\.\d+)*|index|__index_level_\d+__")
_NUMBERED_LABELS = re.compile(r"(label|labels|tag|category)[ _-]?\d+", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d]\w*")
_HEADER_WORDS = {
    *("id", "labels", "label", "tag", "tags", "category", "categories", "class"),
    *("classes", "target", "targets", "topic", "topics", "genre", "genres", "y"),
    *("title", "tweet", "review", "headline", "body", "abstract", "message"),
    *("question", "description", "index", "source", "utterance", "comment"),
}


def settle(
    parts_read: Sequence[tuple[Rows, Sequence[NumberedRow]]],
    options: ReadingConfig,
    *,
    format: str = "",
    labels: Mode = "required",
    layout: Layout | None = None,
    known: Collection[str] = (),
) -> Layout:
    """Settle how the rows of a file, or of the shards of one, are read.

    Args:
        parts_read: a file's columns, and its rows in memory.
        options: what the caller says.
        format: of the file.
        labels: see `Mode`.
        layout: the training file's, where this is a later one.
        known: the labels that were trained.

    Raises:
        DataError: no column for the text or the labels, or several readings are
            possible.
    """
    rows, content = parts_read[0]
    trained = layout or Layout()
    if trained.ask and not rows.has_header and content:
        _check_numbered(rows, cast(Any, content))
    by_name = {name.lower(): name for name in reversed(rows.header)}
    is_table = layout is None and format != "rows"
    text = _text_column(rows, content, options, trained, by_name, is_table)
    id_column = by_name.get("id", "")
    tasks = by_name.get(TASKS_NAME) if rows.nested else None
    names: tuple[str, ...] = ()  # of the label columns
    if labels != "ignored":
        taken = {*text_names(text, rows.header), id_column, tasks}
        rest = tuple(
            n for n in rows.header if n not in taken and not _INDEX.fullmatch(n)
        )
        names = _label_columns(rows, options, trained, by_name, rest, labels, tasks)
    if both := [name for name in names if name in text_names(text, rows.header)]:
        raise DataError(
            f"{rows.name}: column {both[0]!r} holds the labels and must be no part of "
            f"the text; got text_column {text!r}"
        )
    every = [row for _, found in parts_read for row in found]  # of all shards
    style: str = ""  # how those columns hold labels
    delimiter = options.label_delimiter  # what stands between labels
    if names:
        style = _style(rows, every, names, options, trained)
        if style == "flags" and len(trained.label_columns) > 1 and not rows.keyed:
            names = _with_new_flags(rows, every, names, rest, options)
    if style in ("delimited", "names") and not (delimiter or rows.nested):
        for name in names if trained.ask else ():
            check_given(_cells(rows, every, name)[0], rows.name, known)
    if style == "delimited" and not delimiter:
        cells, counts = _cells(rows, every, names[0])
        delimiter = trained.label_delimiter
        if rows.keyed and names[0].lower() == "label":
            delimiter = WHOLE  # a string under a key that is no plural
        elif not trained.ask and not rows.has_header:
            delimiter = BLANK
        elif not delimiter or names != trained.label_columns:
            delimiter = find_delimiter(
                cells,
                counts,
                rows.name,
                known=known,
                blanks=not trained.ask or names[0].lower() != "label",
                ask=trained.ask,
            )
        elif known:
            check_pieces(cells, delimiter, rows.name, known)
    kept = {*text_names(text, rows.header), id_column, tasks, *names}
    return Layout(
        format=format,
        encoding=options.encoding,
        column_delimiter=rows.delimiter,
        has_header=rows.has_header,
        text_column=text,
        id_column=id_column,
        label_columns=names,
        label_style=style,
        label_delimiter=delimiter,
        passed_over=tuple(n for n in rows.header if n not in kept),
    )


def is_flag(value: object) -> bool | None:
    """True, False, or None where nothing is known.

    Raises:
        KeyError: the value is something else.
    """
    cell = "" if value is None or value is ABSENT else str(value).strip().lower()
    return None if cell in NOT_ANNOTATED else (FLAGS | _WORDS)[cell]


def names_columns(first: str, options: ReadingConfig, layout: Layout | None) -> bool:
    """Return whether the first line of a TSV is a header.

    It is one where columns are named (and not numbered) or where a field is what a
    text column may be called.
    """
    fields = [field.strip(' "').lower() for field in first.split("\t")]
    asked = [*options.text_column.split(","), *options.label_columns]
    asked = [name for name in asked if name]
    if asked:
        return not all(name.isdecimal() for name in asked)
    trained = layout.text_column.lower().split(",") if layout else []
    texts = {*TEXT_NAMES[:5], *trained} - {""}
    if layout is not None and not layout.ask:
        known = {*TEXT_NAMES[:5], *LABEL_NAMES[:2], "id"}
        return set(fields) <= known and bool(set(fields) & texts)
    return bool(set(fields) & texts) and not re.search(r"[|;,]", first)


def _text_column(
    rows: Rows,
    content: Sequence[NumberedRow],
    options: ReadingConfig,
    trained: Layout,
    by_name: Mapping[str, str],
    is_table: bool,
) -> str:
    for column in filter(None, (options.text_column, trained.text_column)):
        wanted = set(text_names(column, rows.header))
        absent = wanted - set(rows.header)
        if column == options.text_column or absent < wanted:
            if absent and not rows.keyed:
                raise _no_column(rows, min(absent), "text")
            return column
    found = [by_name[name] for name in TEXT_NAMES if name in by_name]
    if found or rows.keyed:
        return found[0] if found else TEXT_NAMES[0]
    # Only a training file may have columns of other kinds instead.
    table = "; or learn other columns with --task COLUMN=KIND" if is_table else ""
    wordy = _wordiest(rows, content)
    looks = f", as {wordy!r}, which looks like it" if wordy else ""
    raise DataError(
        f"{rows.name}: must have a column called text (or name it with text_column"
        f"{looks}{table}); the columns are: {', '.join(rows.header)}"
    )


def _wordiest(rows: Rows, content: Sequence[NumberedRow]) -> str:
    """The column whose fields have most words, if they have several; or nothing."""
    words = {
        name: sum(len(str(get(row)).split()) for _, row in content[:1_000])
        for name in rows.header
        for get in [rows.getter(name)]
    }
    best = max(words, key=lambda name: words[name])
    return best if words[best] >= 2 * len(content[:1_000]) > 0 else ""


def _label_columns(
    rows: Rows,
    options: ReadingConfig,
    trained: Layout,
    by_name: Mapping[str, str],
    rest: tuple[str, ...],
    labels: Mode,
    tasks: str | None,
) -> tuple[str, ...]:
    # Named now, named in training, or called as label columns are called.
    header = rows.header
    if options.label_columns and not (
        rows.keyed and set(options.label_columns).isdisjoint(header)
    ):
        for name in options.label_columns:
            if name not in header and not rows.keyed:
                raise _no_column(rows, name, "label")
        return tuple(options.label_columns)
    if trained.label_columns and set(trained.label_columns) <= set(header):
        return trained.label_columns
    listed = [by_name[name] for name in LABEL_NAMES if name in by_name]
    if listed:
        return (listed[0],)
    if trained.label_style == "flags" and set(trained.label_columns) & set(header):
        missing = next(n for n in trained.label_columns if n not in header)
        raise DataError(
            f"{rows.name}: must have the label columns of the training file; "
            f"{missing!r} is missing; the columns are: {', '.join(header)}"
        )
    coded = tuple(name for name in rest if name in rows.classes)
    if len(coded) == 1:
        return coded
    if rows.keyed or labels != "required" or tasks is not None:
        return ()
    numbered = tuple(name for name in rest if _NUMBERED_LABELS.fullmatch(name))
    if not rest:
        raise DataError(
            f"{rows.name}: must have a column called labels or a 0/1 column per "
            f"label; the columns are: {', '.join(header)}"
        )
    return numbered or rest


def _no_column(rows: Rows, name: str, role: str) -> DataError:
    near = nearest_names(name, rows.header, cutoff=0.5)
    nearest = f"the nearest is {near[0]!r}; " if near else ""
    return DataError(
        f"{rows.name}: no {role} column {name!r}; {nearest}the columns are: "
        f"{', '.join(rows.header)}"
    )


def _style(
    rows: Rows,
    content: Sequence[NumberedRow],
    names: tuple[str, ...],
    options: ReadingConfig,
    trained: Layout,
) -> str:
    """Return how label columns hold labels, by the type of their fields."""
    values = (rows.getter(name)(row) for name in names for _, row in content)
    given = [v for v in values if v is not None and v is not ABSENT]
    is_coded = len(names) == 1 and names[0] in rows.classes
    # Columns named after labels, not one column of labels: flags, or names.
    if not is_coded and (len(names) > 1 or names[0].lower() not in LABEL_NAMES):
        texts = [v for v in given if isinstance(v, str) and v.strip()]
        listed = any(isinstance(v, (list, Mapping)) for v in given)
        is_flags = not listed and (
            (trained.label_columns == names and trained.label_style == "flags")
            or not texts
            or any(str(v).strip().lower() in FLAGS for v in given)
            or all(v.strip().lower() in _WORDS.keys() | NOT_ANNOTATED for v in texts)
        )
        kept = trained.label_columns == names and trained.label_style != "flags"
        chosen = (
            kept
            or bool(options.label_columns)
            or all(map(_NUMBERED_LABELS.match, names))
        )
        if (is_flags and not options.label_delimiter) or not chosen:
            for name in names:
                check_labels([name], rows.name)
            if not trained.label_columns:
                check_some_zero(given, rows.name)
            return "flags"
        if len(names) > 1:
            check_no_shares(texts, rows.name)
            return "names"
    if names[0] in rows.classes or any(isinstance(v, list) for v in given):
        pairs = any(isinstance(v, list) and v and type(v[0]) is tuple for v in given)
        if names[0] not in rows.classes:
            get = rows.getter(names[0])
            fields = ((number, get(row)) for number, row in content)
            check_no_bits((f for f in fields if isinstance(f[1], list)), rows.name)
        return "switches" if pairs else "lists"
    if any(isinstance(v, Mapping) for v in given):
        return "switches"
    if not given or any(not isinstance(v, str) for v in given):
        return "names" if given else "lists"
    cells, _ = _cells(rows, content, names[0])
    if trained.ask and options.label_delimiter != WHOLE:
        check_no_bits(((line, cell) for cell, line in cells.items()), rows.name)
    if options.label_delimiter:
        return "delimited"
    if trained.label_columns == names and trained.label_style in ("literals", "markup"):
        return trained.label_style
    return column_style(cells, rows.name)


def _with_new_flags(
    rows: Rows,
    content: Sequence[NumberedRow],
    names: tuple[str, ...],
    rest: Iterable[str],
    options: ReadingConfig,
) -> tuple[str, ...]:
    """Label columns, and 0/1 columns of a later file: labels that training lacks."""

    def is_flags(name: str) -> bool:
        get = rows.getter(name)
        try:
            return all(is_flag(get(row)) is not ABSENT for _, row in content)
        except KeyError:
            return False

    if options.label_columns:
        return names
    return (*names, *(n for n in rest if n not in names and is_flags(n)))


def _cells(
    rows: Rows, content: Sequence[NumberedRow], column: str
) -> tuple[dict[str, int], Counter[str]]:
    """The texts of a column that are not blank: their first lines and their counts."""
    get = rows.getter(column)
    lines: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for number, row in content:
        value = get(row)
        if isinstance(value, str) and (cell := value.strip()):
            lines.setdefault(cell, number)
            counts[cell] += 1
    return lines, counts


def _check_numbered(rows: Rows, content: Sequence[tuple[int, list[str]]]) -> None:
    """Refuse a TSV that seems to have a header, or whose text does not stand last.

    Raises:
        DataError: the message says how either is read.
    """
    # Compare the first row, which may be a header, with the others.
    if not 2 <= len(rows.header) <= len(NUMBERED) or rows.header[-1] != "text":
        return
    (number, first), others = content[0], [row for _, row in content[1:]]
    if not others:
        return
    words = [
        sum(len(str(row[i]).split()) for row in others) / len(others)
        for i in range(len(first))
    ]
    seen = {piece for row in others for piece in re.split(r"[\s|;,]+", row[-2])}
    fields = [re.sub(r'^"(.*)"$', r"\1", field.strip()) for field in first]
    least = min(len(row[-1].split()) for row in others)
    named = bool({field.lower() for field in fields} & _HEADER_WORDS)
    if (
        all(map(_WORD.fullmatch, fields))
        and fields[-2] not in seen
        and (named or words[-1] >= 3 or (least > 1 and len(others) > 5))
    ):
        raise DataError(
            f"{rows.name}:{number}: looks like a header ({', '.join(fields)}), and "
            "none of it names the text: say text_column and label_columns, by these "
            f"names, or text_column {len(fields)} and label_columns {len(fields) - 1} "
            "where it is a document"
        )
    last = Counter(word for row in others for word in row[-1].split())
    for i, mean in enumerate(words[:-1]):
        vocabulary = {word for row in others for word in row[i].split()}
        longer = mean >= max(3, 2 * words[-1])
        if longer and (words[-1] == 1 or len(vocabulary) > len(last)):
            place = 2 if i == 0 else 1
            raise DataError(
                f"{rows.name}:{number}: of a TSV without a header the last column is "
                f"the text, and column {i + 1} looks like it ({shown(first[i])}, not "
                f"{shown(first[-1])}): say text_column {i + 1} and label_columns "
                f"{place}, or text_column {len(first)} and label_columns "
                f"{len(first) - 1} where it is as it should be"
            )
