"""The body of a request, read and checked by hand: each refusal says what must hold.

pydantic describes it on the page of the service; the errors of its checks do not say
what was got, and the limits of a service are none of its types.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from labelgraph_jax.config.wording import nearest_names
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.scoring import Asked

KNOWN = ("text", "texts", "top_k", "scores", "labels")
ROWS_KNOWN = ("row", "rows", "scores")


class Question(BaseModel):
    """Request body of /predict: `text` or `texts`, one of the two."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", description="One text.")
    texts: list[str] = Field([], description="Several texts.")
    top_k: int = Field(
        0, ge=0, description="So many labels of each, whether decided for or not."
    )
    scores: bool = Field(False, description="Also the probability of every label.")
    labels: list[str] = Field([], description="Also the probabilities of these.")


class ModelName(BaseModel):
    """Name and step of the model that answered."""

    name: str = Field(description="Name of the work directory.")
    step: int = Field(description="Step of its checkpoint.")


class Answer(BaseModel):
    """Labels of a document, the most probable first; as `labelgraph predict` writes."""

    id: str = Field(description="Place of the text in the request, from 0.")
    labels: list[str]
    scores: list[float] = Field(description="Their probabilities.")
    tasks: dict[str, list[str]] = Field(
        {}, description="The labels by label set, of a model of several sets."
    )
    all_scores: dict[str, float] = Field({}, description="With `scores`.")
    label_scores: dict[str, float] = Field({}, description="With `labels`.")


class Answers(BaseModel):
    """Response body of /predict."""

    model: ModelName
    documents: list[Answer]


class RowQuestion(BaseModel):
    """Body of /predict of a model over a table: `row` or `rows`, one of the two."""

    model_config = ConfigDict(extra="forbid")

    row: dict[str, Any] = Field({}, description="One row: values by column.")
    rows: list[dict[str, Any]] = Field([], description="Several rows.")
    scores: bool = Field(
        False, description="Also the probability of every class and label."
    )


class RowAnswer(BaseModel):
    """Prediction of the tasks for a row, as `labelgraph predict` writes it."""

    id: str = Field(description="Place of the row in the request, from 0.")
    tasks: dict[str, dict[str, Any]]


class RowAnswers(BaseModel):
    """Answer of /predict to rows."""

    model: ModelName
    rows: list[RowAnswer]


class Refusal(BaseModel):
    """Response body of every refusal."""

    error: str = Field(description="What must hold, and what was got.")


def read_json(body: bytes) -> object:
    """A JSON value.

    Raises:
        RefusedError: 400, it is none, or no UTF-8.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(
            400,
            f"the body must be UTF-8; byte {error.start} is {body[error.start]:#04x}",
            "bad_utf8",
        ) from None
    try:
        return parse_json(text)
    except ValueError as error:
        raise RefusedError(
            400, f"the body must be one JSON object; {error}", "bad_json"
        ) from None


def read_question(
    body: bytes, limits: Limits
) -> tuple[list[str], Asked, tuple[str, ...]]:
    """The texts, what is asked of them, and the labels that are named.

    Raises:
        RefusedError: 400 for what is no JSON, 422 for anything else.
    """
    fields = _fields(body, KNOWN)
    texts, several = _one_or_several(fields, "text", "strings", limits)
    read = [
        _text(text, f"text {i}" if several else "text", limits)
        for i, text in enumerate(texts)
    ]
    asked = Asked(top_k=_top_k(fields, limits), scores=_scores(fields))
    return read, asked, _names(fields, limits)


def read_row_question(
    body: bytes, limits: Limits
) -> tuple[list[dict[str, object]], Asked]:
    """The rows of a table, and what is asked of them.

    Raises:
        RefusedError: 400 for what is no JSON, 422 for anything else.
    """
    fields = _fields(body, ROWS_KNOWN)
    rows, _ = _one_or_several(fields, "row", "objects", limits)
    read = []
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or not row:
            got = "an empty one" if row == {} else _kind(row)
            raise _wrong(
                f"row {place} must be an object of values by column; got {got}"
            )
        read.append(row)
    return read, Asked(scores=_scores(fields))


def _fields(body: bytes, known: tuple[str, ...]) -> dict[str, object]:
    fields = read_json(body)
    if not isinstance(fields, dict):
        raise _wrong(f"the body must be a JSON object; got {_kind(fields)}")
    for name in fields:
        if name not in known:
            near = nearest_names(name, known)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise _wrong(
                f"the fields must be among {', '.join(known)}; got {_short(name)}{hint}"
            )
    return fields


def _scores(fields: Mapping[str, object]) -> bool:
    scores = fields.get("scores", False)
    if not isinstance(scores, bool):
        raise _wrong(f"scores must be true or false; got {_kind(scores)}")
    return scores


def _one_or_several(
    fields: Mapping[str, object], one: str, kind: str, limits: Limits
) -> tuple[list[object], bool]:
    """Values under `text` or `texts`, `row` or `rows`; whether under the latter.

    Args:
        fields: of the body.
        one: the singular.
        kind: what a list of them holds, in words.
        limits: of the service.
    """
    several = f"{one}s"
    if (one in fields) == (several in fields):
        got = "both" if one in fields else "neither"
        raise _wrong(f"there must be either {one} or {several}; got {got}")
    if one in fields:
        return [fields[one]], False
    values = fields[several]
    if not isinstance(values, list):
        raise _wrong(f"{several} must be a list of {kind}; got {_kind(values)}")
    if not values:
        raise _wrong(f"{several} must hold at least one {one}; got an empty list")
    if len(values) > limits.max_texts:
        raise _wrong(
            f"a request may hold at most {limits.max_texts:,} {several}; got "
            f"{len(values):,}",
            f"too_many_{several}",
        )
    return values, True


def _text(text: object, where: str, limits: Limits) -> str:
    if not isinstance(text, str):
        raise _wrong(f"{where} must be a string; got {_kind(text)}")
    if len(text) > limits.max_characters:
        raise _wrong(
            f"{where} must have at most {limits.max_characters:,} characters; got "
            f"{len(text):,}",
            "too_long",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _wrong(
            f"{where} must be Unicode text; character {error.start} is half of a "
            f"surrogate pair, \\u{ord(text[error.start]):04x}"
        ) from None
    return text


def _top_k(fields: Mapping[str, object], limits: Limits) -> int:
    top_k = fields.get("top_k", 0)
    if type(top_k) is not int:
        raise _wrong(f"top_k must be an integer; got {_kind(top_k)}")
    if not 0 <= top_k <= limits.max_top_k:
        raise _wrong(f"top_k must lie in 0..{limits.max_top_k:,}; got {top_k:,}")
    return top_k


def _names(fields: Mapping[str, object], limits: Limits) -> tuple[str, ...]:
    names = fields.get("labels", [])
    if not isinstance(names, list):
        raise _wrong(f"labels must be a list of names; got {_kind(names)}")
    if len(names) > limits.max_labels:
        raise _wrong(
            f"a request may name at most {limits.max_labels:,} labels; got "
            f"{len(names):,}",
            "too_many_labels",
        )
    for place, name in enumerate(names):
        if not isinstance(name, str):
            raise _wrong(f"label {place} must be a name; got {_kind(name)}")
    return tuple(names)


def columns_of(names: tuple[str, ...], labels: LabelSpace) -> tuple[int, ...]:
    """The columns of some labels.

    Raises:
        RefusedError: 422, the model has no such label; the nearest one is named.
    """
    for name in names:
        if name not in labels.index:
            near = nearest_names(name, labels.names, cutoff=0.0)
            raise _wrong(
                f"labels must be among the model's; {_short(name)} is none: the "
                f"nearest is {near[0]!r}",
                "unknown_label",
            )
    return tuple(labels.index[name] for name in names)


def _wrong(reason: str, kind: str = "bad_request") -> RefusedError:
    return RefusedError(422, reason, kind)


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...")


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "an integer",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
