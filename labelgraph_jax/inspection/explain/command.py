"""Input and output of `labelgraph explain`."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.files import cache_folder, standard_input, write_text
from labelgraph_jax.data.readers.texts import read_texts
from labelgraph_jax.data.terminal import visible
from labelgraph_jax.inspection.explain.explainer import ExplainError, explain
from labelgraph_jax.inspection.explain.explanation import Explanation
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.restore import load_model

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model


def explain_command(
    workdir: str,
    text: str,
    *,
    file: str,
    id: str,
    html: str,
    reading: ReadingConfig | None = None,
    **options: Any,
) -> Explanation:
    """Explain one document, and write the page if one is asked for.

    Args:
        workdir: what `labelgraph train` left.
        text: the document; `-` reads standard input.
        file: in place of `text`, a file of documents.
        id: of the document of the file.
        html: where the page goes, or empty.
        reading: how `file` is read.
        **options: of `explain`.

    Raises:
        ExplainError: no single document, a run over a table, or no folder to write to.
        WorkdirError, DataError: the run or the file cannot be read.
    """
    place = Workdir.existing(workdir)
    if place.is_table:
        raise ExplainError(
            f"{workdir}: a run over a table reads columns, and has no words to mark; "
            "`labelgraph predict --scores` gives its probabilities, `labelgraph gates` "
            "its gates"
        )
    if file and text != "-":
        raise ExplainError("give a text or --file, not both")
    if id and not file:
        raise ExplainError("--id names a document of --file; there is no --file")
    if html and not Path(html).parent.is_dir():
        raise ExplainError(f"{html}: no such folder {Path(html).parent}")
    if html.endswith("/"):
        raise ExplainError(f"{html}: must be a file to write; it is a folder")
    model = load_model(workdir, cache=cache_folder("encodings"))
    document = _document(model, text, file, id, reading)
    found = explain(model, document, options.pop("labels") or None, **options)
    if html:
        write_text(Path(html), visible(found.to_html(), keep="\n\r\t"))
    return found


def _document(
    model: "Model", text: str, file: str, id: str, reading: ReadingConfig | None
) -> Document | str:
    """The one document that is meant, as `explain` takes it."""
    if file:
        layout = model.workdir.layout()
        one = _of_file(read_texts(file, options=reading, layout=layout), file, id)
        return one if one.features is not None else one.text
    if text == "-":
        text = standard_input().read()
    if not model.reads_features:
        return text
    rows = read_texts(io.BytesIO(text.encode()), format="svm")
    if len(rows) != 1:
        raise ExplainError(f"one row of features is explained, got {len(rows)}")
    return rows[0]


def _of_file(documents: list[Document], file: str, id: str) -> Document:
    if id:
        named = [document for document in documents if document.id == id]
        if not named:
            raise ExplainError(f"{file}: has no document {id!r}")
        return named[0]
    if len(documents) != 1:
        raise ExplainError(
            f"{file}: one document is explained at a time, and it holds "
            f"{len(documents):,}; name one with --id"
        )
    return documents[0]
