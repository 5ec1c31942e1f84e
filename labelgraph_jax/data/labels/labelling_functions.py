"""Labelling functions: rules of words and expressions in a file, and their votes."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.labels.new_labels import check_name, read_new_labels
from labelgraph_jax.data.readers.fields import (
    check_labels,
    check_string,
    read_objects,
    shown,
)
from labelgraph_jax.data.readers.lines import split_suffix
from labelgraph_jax.data.tokenizers.units import words_of

SECONDS = 1.0
"""A regular expression may take so long over one text."""
_WORDS = ("any", "all", "not")
_KEYS = ("name", "label", *_WORDS, "regex", "vote", "else")
_VOTES = {"for": 1, "against": -1, "abstain": 0}


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule that votes on one label where its conditions hold.

    Attributes:
        name: of the rule.
        label: that it votes on.
        any, all, not_: phrases as words with a blank before and behind; at least one,
            all, or none of them must stand in the text.
        regex: that must match somewhere; None for none.
        vote: 1 for or -1 against the label, where all hold.
        other: where they do not.
        where: file and line.
    """

    name: str
    label: str
    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    not_: tuple[str, ...] = ()
    regex: re.Pattern[str] | None = None
    vote: int = 1
    other: int = 0
    where: str = ""

    def cast(self, words: str, document: Document) -> int:
        """Return the vote on a document.

        Args:
            words: its words with blanks between, before and behind.
            document: for the regular expression.

        Raises:
            DataError: the regular expression takes too long.
        """
        holds = (
            (not self.any or any(phrase in words for phrase in self.any))
            and all(phrase in words for phrase in self.all)
            and not any(phrase in words for phrase in self.not_)
            and (self.regex is None or self._matches(document))
        )
        return self.vote if holds else self.other

    def _matches(self, document: Document) -> bool:
        assert self.regex is not None
        try:
            with _time_limit(SECONDS):
                return self.regex.search(document.text) is not None
        except TimeoutError:
            raise DataError(
                f"{self.where}: the regular expression must match within {SECONDS:g} s;"
                f" it takes longer over the document {document.id!r}"
            ) from None


@dataclasses.dataclass(frozen=True)
class Votes:
    """Votes of labelling functions on documents.

    Attributes:
        names: of the functions.
        labels: that each votes on.
        votes: 1 for, -1 against, 0 for an abstention.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    votes: Int8[np.ndarray, "M F"]


Cast = Callable[[Sequence[Document]], Votes]
"""Function that a file of labelling functions is compiled to."""


def read_rules(path: str | Path, *, allow_python: bool = False) -> Cast:
    """Read labelling functions from a file.

    JSONL, a rule a line: `{"label": "wheat", "any": ["wheat", "durum"], "not":
    ["buckwheat"], "vote": "for", "else": "abstain", "name": "..."}`; `any`, `all` and
    `not` are words or phrases, whole and in any case, `regex` one of Python's.

    Label names alone, as JSONL of `{"name": ...}` or as TSV, see `read_new_labels`: a
    document that says the words of a name has a vote for it, any other one against.

    A .py file, if allowed: every public function takes a text and returns
    `{label: 1 or -1}`, or nothing. It is executed.

    Raises:
        DataError: no such file, or a line is not as above; says where.
    """
    path = Path(path)
    kind = split_suffix(path)[0]
    # A Python file, where that may be executed.
    if kind == ".py":
        if not allow_python:
            raise DataError(
                f"{path}: is Python, which would be executed: --allow-python allows it"
            )
        return _python(path)
    if kind not in (".jsonl", ".ndjson", ".tsv", ".txt"):
        raise DataError(
            f"{path}: labelling functions must stand in a .jsonl or .py file, or names "
            f"of labels in a .jsonl or .tsv; got {kind or 'a name without suffix'}"
        )
    # Names of labels: the words of a name are its rule.
    are_rules = kind in (".jsonl", ".ndjson") and any(
        "label" in fields for _, fields in read_objects(path)
    )
    if not are_rules:
        rules = [_of_name(label.name, str(path)) for label in read_new_labels(path)]
        return lambda documents: cast_rules(rules, documents)
    # Rules, whose names must differ.
    rules = [
        _rule(fields, f"{path}:{number}", number)
        for number, fields in read_objects(path)
    ]
    first: dict[str, str] = {}
    for rule in rules:
        if first.setdefault(rule.name, rule.where) != rule.where:
            raise DataError(
                f"{rule.where}: names of rules must differ; {first[rule.name]} has "
                f"{rule.name!r} too"
            )
    return lambda documents: cast_rules(rules, documents)


def _of_name(name: str, where: str) -> Rule:
    words = as_phrase(re.sub(r"[_/:-]+", " ", name), where, "name")
    return Rule(name, name, any=(words,), other=-1, where=where)


def _rule(fields: Mapping[str, object], where: str, number: int) -> Rule:
    # The label voted on, and the rule's name.
    for key in fields:
        if key not in _KEYS:
            raise DataError(f"{where}: a rule has {', '.join(_KEYS)}; got {shown(key)}")
    if "label" not in fields:
        raise DataError(f'{where}: a rule must have a "label"; got {shown(fields)}')
    label = check_string(fields["label"], where, "label")
    label = check_labels([label], where, "label")[0]
    name = check_name(fields.get("name", f"{label}:{number}"), where)
    # What is looked for in a text.
    phrases = {
        key: tuple(
            as_phrase(text, where, key)
            for text in check_labels(fields.get(key) or [], where, key)
        )
        for key in _WORDS
    }
    regex = None
    if fields.get("regex") is not None:
        try:
            regex = re.compile(check_string(fields["regex"], where, "regex"))
        except (re.error, OverflowError, RecursionError) as error:
            raise DataError(
                f'{where}: "regex" must be a regular expression; {error}'
            ) from None
    if regex is None and not any(phrases.values()):
        raise DataError(
            f"{where}: a rule must have any, all, not or regex; got {shown(fields)}"
        )
    # What a match votes, and what no match does.
    votes = {}
    for key, default in (("vote", "for"), ("else", "abstain")):
        given = fields.get(key, default)
        if not isinstance(given, str) or given not in _VOTES:
            raise DataError(
                f'{where}: "{key}" must be one of {", ".join(_VOTES)}; got '
                f"{shown(given)}"
            )
        votes[key] = _VOTES[given]
    if votes["vote"] == votes["else"]:
        raise DataError(
            f'{where}: "vote" and "else" must differ; both are {fields.get("vote")!r}'
        )
    return Rule(
        name,
        label,
        phrases["any"],
        phrases["all"],
        phrases["not"],
        regex,
        votes["vote"],
        votes["else"],
        where,
    )


def as_phrase(text: str, where: str = "", key: str = "any") -> str:
    """Return a phrase as a rule holds it.

    Raises:
        DataError: no word stands in it.
    """
    words = words_of(text)
    if not words:
        raise DataError(f'{where}: "{key}" must hold words; got {shown(text)}')
    return f" {' '.join(words)} "


def cast_rules(rules: Sequence[Rule], documents: Sequence[Document]) -> Votes:
    """Return the votes of rules on documents."""
    votes = np.zeros((len(documents), len(rules)), np.int8)
    # Most rules need a word that most texts lack.
    by_word: dict[str, list[int]] = {}
    always: list[int] = []
    for column, rule in enumerate(rules):
        votes[:, column] = rule.other
        needed = rule.all[:1] or rule.any
        for phrase in needed:
            by_word.setdefault(phrase.split()[0], []).append(column)
        if not needed:
            always.append(column)
    for row, document in enumerate(documents):
        found = words_of(document.text)
        words = f" {' '.join(found)} "
        columns = {column for word in set(found) for column in by_word.get(word, ())}
        for column in (*columns, *always):
            votes[row, column] = rules[column].cast(words, document)
    return Votes(
        tuple(rule.name for rule in rules), tuple(rule.label for rule in rules), votes
    )


def _python(path: Path) -> Cast:
    # Run the file, whatever it raises.
    spec = importlib.util.spec_from_file_location("labelling_functions", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise DataError(f"{path}: no such file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a person's code raises
        raise DataError(f"{path}: cannot be executed; {error!r}") from None
    # Its own public functions, without those it imports.
    functions = {
        name: function
        for name, function in vars(module).items()
        if not name.startswith("_")
        and callable(function)
        and getattr(function, "__module__", "") == module.__name__
    }
    if not functions:
        raise DataError(f"{path}: must hold at least one function; got none")

    # The votes on all documents, in a column for every function and label.
    def cast(documents: Sequence[Document]) -> Votes:
        columns: dict[tuple[str, str], int] = {}
        cells: dict[tuple[int, int], int] = {}
        for row, document in enumerate(documents):
            for name, function in functions.items():
                for label, vote in _answer(path, name, function, document).items():
                    column = columns.setdefault((name, label), len(columns))
                    cells[row, column] = vote
        votes = np.zeros((len(documents), len(columns)), np.int8)
        for place, vote in cells.items():
            votes[place] = vote
        # A function of several labels names its columns after them too.
        alone = {
            name: sum(other == name for other, _ in columns) == 1 for name in functions
        }
        names = [name if alone[name] else f"{name}:{label}" for name, label in columns]
        return Votes(tuple(names), tuple(label for _, label in columns), votes)

    return cast


def _answer(
    path: Path, name: str, function: Callable[[str], object], document: Document
) -> dict[str, int]:
    where = f"{path}: {name} of the document {document.id!r}"
    try:
        answer = function(document.text)
    except (Exception, SystemExit) as error:  # whatever a person's code raises
        raise DataError(f"{where} failed; {error!r}") from None
    answer = {} if answer is None else answer
    if not isinstance(answer, dict) or not all(
        np.ndim(vote) == 0 and vote in (-1, 0, 1) for vote in answer.values()
    ):
        raise DataError(
            f"{where} must give {{label: 1 or -1}} or None; got {shown(answer)}"
        )
    labels = check_labels(list(answer), where)
    return {label: int(answer[label]) for label in labels}


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after some seconds.

    Python's expressions look at signals as they go. In another thread than the main
    one, where no signal can be set, there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
