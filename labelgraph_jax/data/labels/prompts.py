"""Prompts for a language model elsewhere, and its answers, read strictly.

This program calls no language model and needs no network: it writes files of prompts,
which a person hands to whatever model there is, and reads files of answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.files import make_folder, parse_json, write_text
from labelgraph_jax.data.labels.new_labels import NewLabel, check_name
from labelgraph_jax.data.readers.fields import check_labels, json_object, shown
from labelgraph_jax.data.readers.lines import read_lines
from labelgraph_jax.data.terminal import json_line

PER_FILE = 1_000
"""Prompts of one file."""
URL = "/v1/chat/completions"
_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)
Content = TypeVar("Content")

_TAXONOMY = (
    "You name the labels that texts of a collection can carry. Answer with one JSON "
    'object and nothing else: {"labels": [{"name": "...", "description": "..."}]}. A '
    "name is short and in lower case; a description is one sentence that says which "
    "texts have the label and which do not. No two labels mean the same."
)
_LABELLING = (
    "You label texts. A text may have several labels, one, or none. Answer with one "
    'JSON object and nothing else: {"labels": ["name", ...]}, with names from the list '
    "exactly as they stand there, and an empty list where none fits."
)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A question for a language model.

    Attributes:
        id: that its answer repeats.
        system, user: the two messages.
    """

    id: str
    system: str
    user: str


def propose(documents: Sequence[Document], *, most: int, batch: int) -> list[Prompt]:
    """Return prompts that ask for the labels of some texts, a batch each.

    Args:
        documents: the texts.
        most: labels that are asked for, at most.
        batch: texts of a prompt.
    """
    return [
        Prompt(
            f"propose-{number:04d}",
            _TAXONOMY,
            f"Propose at most {most} labels for these texts.\n\n{_texts(part)}",
        )
        for number, part in enumerate(_batches(documents, batch), 1)
    ]


def update(
    labels: Sequence[NewLabel], documents: Sequence[Document], *, most: int, batch: int
) -> list[Prompt]:
    """Return prompts that ask to fit labels to further texts."""
    return [
        Prompt(
            f"update-{number:04d}",
            _TAXONOMY,
            f"These are the labels so far:\n\n{_listed(labels)}\n\nKeep those that "
            f"hold with their names; add, merge or drop what these texts need, {most} "
            f"labels at most, and answer with the whole list.\n\n{_texts(part)}",
        )
        for number, part in enumerate(_batches(documents, batch), 1)
    ]


def review(labels: Sequence[NewLabel], *, most: int) -> list[Prompt]:
    """Return the prompt that asks to tidy labels up."""
    user = (
        f"These are the labels:\n\n{_listed(labels)}\n\nMerge those that mean the "
        f"same, sharpen descriptions, keep {most} at most, and answer with the whole "
        "list."
    )
    return [Prompt("review-0001", _TAXONOMY, user)]


def ask_labels(
    labels: Sequence[NewLabel], documents: Sequence[Document]
) -> list[Prompt]:
    """Return a prompt for each document that asks for its labels."""
    listed = _listed(labels)
    return [
        Prompt(
            document_key(row, document),
            _LABELLING,
            f"The labels:\n\n{listed}\n\nThe text:\n\n{document.text}",
        )
        for row, document in enumerate(documents, 1)
    ]


def document_key(row: int, document: Document) -> str:
    """Return the id of a document's prompt: its row, and a digest of its text."""
    digest = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"text-{row:06d}-{digest[:8]}"


def write_prompts(prompts: Sequence[Prompt], folder: str, *, model: str) -> list[Path]:
    """Write prompts as numbered batch files: a request a line.

    Args:
        prompts: the questions.
        folder: is made where it is not there.
        model: named in every request; none where it is empty.

    Raises:
        DataError: the folder holds prompts already, or cannot be made.
    """
    place = Path(folder)
    try:
        make_folder(place)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made; {error.strerror}") from None
    if older := sorted(place.glob("prompts-*.jsonl")):
        raise DataError(f"{folder}: must hold no prompts yet; it holds {older[0].name}")
    written = []
    for number, part in enumerate(_batches(prompts, PER_FILE), 1):
        lines = [json_line(_request(prompt, model)) + "\n" for prompt in part]
        written.append(place / f"prompts-{number:03d}.jsonl")
        write_text(written[-1], "".join(lines))
    return written


def _request(prompt: Prompt, model: str) -> dict[str, object]:
    messages = [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": prompt.user},
    ]
    body = {"model": model} if model else {}
    return {
        "custom_id": prompt.id,
        "method": "POST",
        "url": URL,
        "body": {**body, "messages": messages},
    }


class Answer(TypedDict):
    """An answer of a language model: labels, or what it takes for some."""

    labels: list[object]


def read_answers(
    path: str | Path,
    check: Callable[[str, Answer, str], Content],
    complain: Callable[[DataError], None],
) -> dict[str, Content]:
    """Read the answers of a language model, each strictly or not at all.

    A line is `{"custom_id": ..., "answer": text}`, or what batch services write:
    `{"custom_id": ..., "response": {"body": {"choices": [{"message": {"content":
    text}}]}}}`. The text is one JSON object, perhaps between fences of Markdown.

    Args:
        path: JSONL.
        check: takes an id, the object of its answer and its place, and returns what
            the answer says, or raises DataError.
        complain: is told of every line that is not as it must be.

    Returns:
        By id, in the order of the file.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    found: dict[str, Content] = {}
    lines: dict[str, int] = {}
    number = 0
    for number, line in read_lines(Path(path)):
        where = f"{path}:{number}"
        try:
            fields = json_object(line, where)
            name = fields.get("custom_id")
            if not isinstance(name, str) or not name:
                raise DataError(f'{where}: must have a "custom_id"; got {shown(name)}')
            if name in lines:
                raise DataError(
                    f"{where}: {name!r} is answered in line {lines[name]} already"
                )
            lines[name] = number
            found[name] = check(name, _content(fields, where), where)
        except DataError as error:
            complain(error)
    if not number:
        raise DataError(f"{path}: must hold at least one answer; it is empty")
    return found


def _content(fields: Mapping[str, Any], where: str) -> Answer:
    # The text of the answer, as it was written down or as batch services write it.
    text = fields.get("answer")
    if text is None:
        if fields.get("error"):
            raise DataError(f"{where}: the request failed; {shown(fields['error'])}")
        try:
            choice = fields["response"]["body"]["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise DataError(
                f'{where}: must have an "answer", or a "response" as batch services '
                f"write it; got {shown(sorted(fields))}"
            ) from None
        if choice.get("finish_reason") == "length":
            raise DataError(f"{where}: the answer was cut off; allow it to be longer")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: the answer must be a text; got {shown(text)}")
    # One JSON object, perhaps within a fence.
    fenced = _FENCE.fullmatch(text.strip())
    try:
        value = parse_json(fenced[1] if fenced else text, strictly=True)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{where}: the answer must be one JSON object; {reason}"
        ) from None
    if not isinstance(value, dict):
        raise DataError(
            f"{where}: the answer must be one JSON object; got {shown(value)}"
        )
    # Nothing but a list of labels.
    if set(value) != {"labels"} or not isinstance(value["labels"], list):
        raise DataError(
            f'{where}: the answer must be {{"labels": [...]}}; got {shown(value)}'
        )
    return {"labels": value["labels"]}


def check_taxonomy(name: str, answer: Answer, where: str) -> list[NewLabel]:
    """Return the labels that an answer proposes.

    Raises:
        DataError: it was asked something else, or a label is not as it must be.
    """
    if not re.fullmatch(r"(propose|update|review)-\d{4}", name):
        raise DataError(f"{where}: answers no prompt about labels; got {name!r}")
    found: dict[str, NewLabel] = {}
    spelled: dict[str, str] = {}
    for entry in answer["labels"]:
        if not isinstance(entry, dict) or set(entry) != {"name", "description"}:
            raise DataError(
                f"{where}: a label must be a name and a description; got {shown(entry)}"
            )
        label = check_name(entry["name"], where)
        description = entry["description"]
        if not isinstance(description, str) or not description.strip():
            raise DataError(
                f"{where}: the label {label!r} must have a description; got "
                f"{shown(description)}"
            )
        if (other := spelled.setdefault(plain(label), label)) != label:
            raise DataError(f"{where}: {label!r} and {other!r} are one label")
        if label in found:
            raise DataError(f"{where}: the label {label!r} stands there twice")
        found[label] = NewLabel(label, " ".join(description.split()))
    if not found:
        raise DataError(f"{where}: must name at least one label; got none")
    return list(found.values())


def label_checker(
    labels: Sequence[NewLabel], documents: Sequence[Document]
) -> Callable[[str, Answer, str], tuple[str, ...]]:
    """Return the check of answers to `ask_labels`."""
    names = {label.name for label in labels}
    spelled = {plain(name): name for name in names}
    keys = {document_key(row, d) for row, d in enumerate(documents, 1)}
    rows = {key[:11] for key in keys}

    def check(name: str, answer: Answer, where: str) -> tuple[str, ...]:
        if name not in keys:
            other = "another text" if name[:11] in rows else "no text of the file"
            raise DataError(f"{where}: is about {other}; got {name!r}")
        given = answer["labels"]
        found = check_labels(given, where)
        if len(found) < len(given):
            raise DataError(f"{where}: a label stands there twice; got {shown(given)}")
        for label in found:
            if label not in names:
                near = spelled.get(plain(label))
                meant = f", which is spelled {near!r}" if near else ""
                raise DataError(f"{where}: {label!r} is no label of the list{meant}")
        return found

    return check


def plain(name: str) -> str:
    """Return a name as it is compared: letters and digits in lower case."""
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def _texts(documents: Sequence[Document]) -> str:
    return "\n".join(json.dumps(d.text, ensure_ascii=False) for d in documents)


def _listed(labels: Sequence[NewLabel]) -> str:
    return "\n".join(
        f"- {label.name}: {label.description}"
        if label.description
        else f"- {label.name}"
        for label in labels
    )


def _batches(items: Sequence[Content], size: int) -> list[Sequence[Content]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
