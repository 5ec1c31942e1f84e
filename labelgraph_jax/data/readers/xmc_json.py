"""Raw texts of the Extreme Classification Repository (LF-* sets) as JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.readers.fields import (
    DocumentList,
    check_id,
    check_string,
    check_text,
    read_objects,
    shown,
)


def read_json_labels(path: Path) -> tuple[list[str], list[str]]:
    """The titles and the contents of the labels, in order; either may be blank.

    Raises:
        DataError: a line is not an object with a string under "title".
    """
    titles, contents = [], []
    for number, fields in read_objects(path):
        where = f"{path}:{number}"
        titles.append(
            " ".join(check_string(fields.get("title"), where, "title").split())
        )
        content = check_string(fields.get("content", ""), where, "content")
        contents.append(content.strip())
    return titles, contents


def read_json_split(path: Path, names: Sequence[str]) -> list[Document]:
    """The documents of a split: title and, after a blank line, content.

    Args:
        path: `trn.json` or `tst.json`, perhaps compressed.
        names: of the labels; "target_ind" numbers them from 0.

    Raises:
        DataError: a line is not an object with a text and "target_ind".
    """
    documents = DocumentList(str(path))
    for number, fields in read_objects(path):
        where = f"{path}:{number}"
        title = check_string(fields.get("title"), where, "title").strip()
        content = check_string(fields.get("content", ""), where, "content").strip()
        text = check_text("\n\n".join(p for p in (title, content) if p), where, "title")
        id = check_id(fields["uid"], where) if "uid" in fields else None
        labels = tuple(names[i] for i in _targets(fields, where, len(names)))
        documents.add(number, text, labels, id=id)
    return documents.finish()


def _targets(fields: dict[str, object], where: str, count: int) -> list[int]:
    targets = fields.get("target_ind")
    if not isinstance(targets, list) or not all(type(t) is int for t in targets):
        raise DataError(
            f'{where}: "target_ind" must be a list of whole numbers; '
            f"got {shown(targets)}"
        )
    for target in targets:
        if not 0 <= target < count:
            raise DataError(
                f"{where}: a label must be from 0 to {count - 1:,}, as lbl.json has "
                f"them; got {target}"
            )
        if targets.count(target) > 1:
            raise DataError(
                f"{where}: a label must stand in a row once; got {target} twice"
            )
    return targets
