"""The fields of one document as a file gives them, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from labelgraph_jax.data.documents import DataError, Document, require_unicode
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.readers.lines import read_lines

if TYPE_CHECKING:
    from pyarrow import Array, ChunkedArray

    Column: TypeAlias = Array | ChunkedArray

_BREAKS = re.compile(r"[\t\r\n\v\f]")


def shown(value: object) -> str:
    """A value as an error message shows it: one short line."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def plain_times(column: "Column") -> "Column":
    """Times of Arrow as Python can hold them: in microseconds, and zones as UTC.

    Args:
        column: a chunked array.
    """
    import pyarrow

    kind = column.type
    units = {
        pyarrow.types.is_timestamp: pyarrow.timestamp("us"),
        pyarrow.types.is_duration: pyarrow.duration("us"),
        pyarrow.types.is_time64: pyarrow.time64("us"),
    }
    for is_kind, wanted in units.items():
        if is_kind(kind) and kind != wanted:
            return column.cast(wanted, safe=False)
    return column


def text_names(column: str, header: Collection[str]) -> tuple[str, ...]:
    """The columns that `title,body` names; one whose own name has a comma is one."""
    if column in header or "," not in column:
        return (column,)
    return tuple(name.strip() for name in column.split(",") if name.strip())


def joined_text(values: Iterable[object], absent: object) -> object:
    """The texts of several columns as one, a blank line between them.

    Blank ones and those that are absent or null are left out; what is no text comes as
    it is.
    """
    values = list(values)
    # A data frame writes NaN where it has no text.
    given = [v for v in values if not any(v is n for n in (None, absent)) and v == v]
    texts = [value.strip() for value in given if isinstance(value, str)]
    if len(texts) < len(given) or not given:
        return next((v for v in given if not isinstance(v, str)), values[0])
    return "\n\n".join(filter(None, texts))


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSONL file, plain or compressed.

    Raises:
        DataError: a line is no JSON object, or the file cannot be read.
    """
    for number, line in read_lines(path):
        yield number, json_object(line, f"{path}:{number}")


def json_object(line: str | bytes, where: str) -> dict[str, Any]:
    """The JSON object that a line, or a file in UTF-8, is.

    Raises:
        DataError: it is something else.
    """
    try:
        fields = DECODER.decode(line if isinstance(line, str) else line.decode())
    except json.JSONDecodeError as error:
        reason = f"{error.msg.removesuffix(' at')} at column {error.colno}"
        if not line.strip():
            reason = "got a blank line"
        raise DataError(f"{where}: must be one JSON object; {reason}") from None
    except RecursionError:
        raise DataError(f"{where}: must be one JSON object; nested too deep") from None
    except ValueError as error:
        raise DataError(f"{where}: must be one JSON object; {error}") from None
    if not isinstance(fields, dict):
        raise DataError(f"{where}: must be one JSON object; got {shown(fields)}")
    return fields


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def check_string(value: object, where: str, name: str) -> str:
    """A field that is a string, perhaps a blank one.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(value, str):
        raise DataError(f'{where}: "{name}" must be a string; got {shown(value)}')
    return value


def check_text(
    value: object, where: str, name: str = "text", *, blank: bool = False
) -> str:
    """The text of a document.

    Args:
        value: what stands there.
        where: file and line, for errors.
        name: the field's, for errors.
        blank: let a blank text pass, as one that labels are predicted for.

    Raises:
        DataError: not a string, blank, or not valid Unicode.
    """
    text = check_string(value, where, name)
    if not (blank or text.strip()):
        raise DataError(f'{where}: "{name}" must not be empty; got {shown(value)}')
    require_unicode(text, f'{where}: "{name}"')
    return text


def check_id(value: object, where: str) -> str:
    """The id of a document, as a string.

    Raises:
        DataError: neither a string with something in it nor an integer.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f'{where}: "id" must be a non-empty string or an integer; '
            f"got {shown(value)}"
        )
    require_unicode(value, f'{where}: "id"')
    return value


def check_labels(value: object, where: str, name: str = "labels") -> tuple[str, ...]:
    """The labels of a document, in order; a repeated one is kept once.

    Raises:
        DataError: not a list of strings, or a label that is empty, has spaces
            around it, or has a tab or line break in it.
    """
    if not isinstance(value, list):
        raise DataError(
            f'{where}: "{name}" must be a list of strings; got {shown(value)}'
        )
    for label in value:
        if not isinstance(label, str):
            raise DataError(
                f'{where}: "{name}" must be a list of strings; it holds {shown(label)}'
            )
        for is_wrong, must in (
            (not label.strip(), "not be empty"),
            (label != label.strip(), "have no spaces around it"),
            (_BREAKS.search(label), "have no tab or line break in it"),
        ):
            if is_wrong:
                raise DataError(f"{where}: a label must {must}; got {shown(label)}")
        require_unicode(label, f'{where}: "labels"')
    return tuple(dict.fromkeys(value))


def check_features(fields: Mapping[str, Any], where: str) -> Features:
    """The features of a document, `{"ids": [...], "values": [...]}`.

    Raises:
        DataError: no such object.
    """
    value = fields["features"]
    try:
        ids = np.asarray(value["ids"], None if value["ids"] else np.int64)
        return Features(ids, np.asarray(value["values"], np.float32))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f'{where}: "features" must be {{"ids": [...], "values": [...]}}; {error}'
        ) from None


def check_probabilities(
    fields: Mapping[str, object], labels: Collection[str], where: str
) -> dict[str, float] | None:
    """The probabilities of labels, `{"grain": 0.8}`; None where there are none.

    Raises:
        DataError: no object of numbers from 0 to 1, or 0 for one of `labels`.
    """
    value = fields.get("probabilities")
    if value is None:
        return None
    if not isinstance(value, dict) or not all(
        isinstance(p, (int, float)) and not isinstance(p, bool) and 0 <= p <= 1
        for p in value.values()
    ):
        raise DataError(
            f'{where}: "probabilities" must be {{label: 0 to 1}}; got {shown(value)}'
        )
    for label in labels:
        if value.get(label, 1) == 0:
            raise DataError(
                f'{where}: a label must not stand in "labels" with the probability 0; '
                f"got {shown(label)}"
            )
    return {label: float(p) for label, p in value.items()}


def check_tasks(value: object, where: str) -> dict[str, tuple[str, ...] | None] | None:
    """The labels per task of a document; null stands for not annotated.

    Raises:
        DataError: not an object of lists of strings and nulls.
    """
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(v, tuple) for v in value):
        value = dict(value)  # a parquet map
    if not isinstance(value, Mapping):
        raise DataError(
            f'{where}: "tasks" must be an object of label lists; got {shown(value)}'
        )
    return {
        str(task): None
        if labels is None
        else check_labels(labels, where, f"tasks.{task}")
        for task, labels in value.items()
    }


def split_labels(cell: str, delimiter: str | None, where: str) -> tuple[str, ...]:
    """The labels of one delimited field; spaces around a label are dropped.

    Args:
        cell: the field; blank means no label.
        delimiter: what stands between labels; None or a blank stand for spaces.
        where: for the error.

    Raises:
        DataError: nothing between two delimiters.
    """
    if not cell.strip():
        return ()
    if delimiter is None or not delimiter.strip(" "):
        return check_labels(cell.split(), where)
    parts = [part.strip() for part in cell.split(delimiter)]
    if not all(parts):
        raise DataError(
            f"{where}: a label must stand on either side of each {delimiter!r}; "
            f"got {shown(cell)}"
        )
    return check_labels(parts, where)


class DocumentList:
    """Collects the documents of one file and keeps their ids apart.

    Attributes:
        documents: those that were added.
    """

    def __init__(self, name: str, *, repeated_ids: bool = False):
        self._name, self._repeated_ids = name, repeated_ids
        self._lines: dict[str, int] = {}
        self.documents: list[Document] = []

    def add(
        self,
        line: int,
        text: str,
        labels: tuple[str, ...],
        *,
        id: str | None = None,
        tasks: Mapping[str, tuple[str, ...] | None] | None = None,
        unannotated: tuple[str, ...] = (),
        features: Features | None = None,
        probabilities: Mapping[str, float] | None = None,
        labelled: bool = True,
    ) -> None:
        """Add a document; without an id it is called after its line.

        Raises:
            DataError: another document has the id; a label is not annotated.
        """
        id = f"line-{line}" if id is None else id
        where = f"{self._name}:{line}"
        if id in self._lines and not self._repeated_ids:
            raise DataError(
                f"{where}: ids must differ; line {self._lines[id]} has {id!r} too"
            )
        self._lines[id] = line
        document = Document(
            id,
            text,
            labels,
            tasks,
            where,
            unannotated,
            features,
            probabilities=probabilities,
            labelled=labelled,
        )
        both = [label for label in labels if not document.is_annotated(label)]
        if both:
            raise DataError(
                f'{where}: a label must not stand in "labels" and in "unannotated"; '
                f"got {shown(both[0])} in both"
            )
        self.documents.append(document)

    def finish(self) -> list[Document]:
        """The documents.

        Raises:
            DataError: there are none.
        """
        if not self.documents:
            raise DataError(f"{self._name}: must hold at least one document; got none")
        return self.documents
