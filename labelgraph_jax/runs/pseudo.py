"""Answers of a language model elsewhere: a list of labels, or labels of documents."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.files import write_text
from labelgraph_jax.data.labels.new_labels import NewLabel
from labelgraph_jax.data.labels.prompts import (
    check_taxonomy,
    document_key,
    label_checker,
    plain,
    read_answers,
)
from labelgraph_jax.data.terminal import json_line
from labelgraph_jax.data.tokenizers.units import words_of

ALIKE = 0.5
"""From this likeness on two labels may be one."""
OTHER = "other"


@dataclasses.dataclass(frozen=True)
class TaxonomyReport:
    """List of labels made from answers, and its changes.

    Attributes:
        labels: names, the most often proposed first, with how often.
        added, removed: names that the list before lacked, or had.
        renamed: pairs of names with one description, before and now.
        alike: pairs of labels whose names and descriptions share their words, with
            the share.
    """

    labels: dict[str, int]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    alike: tuple[tuple[str, str, float], ...]


@dataclasses.dataclass(frozen=True)
class PseudoReport:
    """Labels of documents made from answers.

    Attributes:
        documents: in the file, and those that were answered.
        runs: files of answers.
        coverage: share of the answered ones with a label that is not "other".
        labels_each: labels of an answered document, mean.
        agreed: share of the labels given in any run that all runs gave.
        given: documents of each label.
        unused: labels that no document got.
        together: pairs of labels that stand mostly on the same documents, with the
            share of the documents of either that have both.
        alike: as in `TaxonomyReport`.
    """

    documents: tuple[int, int]
    runs: int
    coverage: float
    labels_each: float
    agreed: float | None
    given: dict[str, int]
    unused: tuple[str, ...]
    together: tuple[tuple[str, str, float], ...]
    alike: tuple[tuple[str, str, float], ...]


def read_taxonomy(
    path: str, before: Sequence[NewLabel] = ()
) -> tuple[list[NewLabel], TaxonomyReport, list[DataError]]:
    """Read the labels that answers propose: all of them, those of one name once.

    The first description of a name stays; two spellings of a name in different answers
    are a problem.

    Returns:
        Labels, what became of those before, and every problem of the file.

    Raises:
        DataError: the file cannot be read.
    """
    # Labels of all answers, in the spelling that came first.
    problems: list[DataError] = []
    answers = read_answers(path, check_taxonomy, problems.append)
    counts: Counter[str] = Counter()
    found: dict[str, NewLabel] = {}
    spelled = {plain(label.name): label.name for label in before}
    for name, labels in answers.items():
        for label in labels:
            first = spelled.setdefault(plain(label.name), label.name)
            if first != label.name:
                problems.append(
                    DataError(
                        f"{path}: {name}: {label.name!r} is spelled {first!r} elsewhere"
                    )
                )
                continue
            counts[label.name] += 1
            found.setdefault(label.name, label)
    # A label with the description of an earlier one is that one renamed.
    names = [label.name for label in before]
    described = {label.description: label.name for label in before if label.description}
    renamed = tuple(
        (described[label.description], label.name)
        for label in found.values()
        if label.description in described
        and described[label.description] != label.name
        and described[label.description] not in found
    )
    moved = {name for pair in renamed for name in pair}
    # The most frequent labels first, and what is new or gone.
    labels = [found[name] for name, _ in counts.most_common()]
    report = TaxonomyReport(
        dict(counts.most_common()),
        tuple(n for n in found if before and n not in names and n not in moved),
        tuple(n for n in names if n not in found and n not in moved),
        renamed,
        alike(labels),
    )
    return labels, report, problems


def write_labels(labels: Sequence[NewLabel], path: str) -> None:
    """Write labels as `labels add` and `weak` take them."""
    lines = [
        json_line({"name": label.name, "description": label.description}) + "\n"
        for label in labels
    ]
    try:
        write_text(Path(path), "".join(lines))
    except OSError as error:
        raise DataError(f"{path}: cannot be written; {error.strerror}") from None


def read_pseudo_labels(
    paths: Sequence[str], documents: Sequence[Document], labels: Sequence[NewLabel]
) -> tuple[list[Document], PseudoReport, list[DataError]]:
    """Read the labels of documents from the answers of several runs.

    The probability of a label is the share of the runs that gave it. It is given above
    a half; at exactly a half nothing is known of it. Documents without an answer are
    left out.

    Returns:
        Documents, what they hold, and every problem of the files.

    Raises:
        DataError: a file cannot be read.
    """
    # The answers of every run.
    problems: list[DataError] = []
    check = label_checker(labels, documents)
    runs = [read_answers(path, check, problems.append) for path in paths]
    names = tuple(label.name for label in labels)
    written: list[Document] = []
    # By share of the answers: above half is a label, half is not known.
    in_all = in_any = 0
    for row, document in enumerate(documents, 1):
        key = document_key(row, document)
        answers = [set(run[key]) for run in runs if key in run]
        if not answers:
            continue
        share = {n: sum(n in a for a in answers) / len(answers) for n in names}
        in_any += sum(p > 0 for p in share.values())
        in_all += sum(p == 1 for p in share.values())
        written.append(
            dataclasses.replace(
                document,
                labels=tuple(n for n, p in share.items() if p > 0.5),
                unannotated=tuple(n for n, p in share.items() if p == 0.5),
                probabilities={n: round(p, 4) for n, p in share.items() if p > 0},
                tasks=None,
            )
        )
    # How often labels are given, alone and together.
    given = np.array([[n in d.labels for n in names] for d in written], bool)
    given = given.reshape(len(written), len(names))
    counts = given.sum(axis=0)
    used = [n for n in range(len(names)) if names[n] != OTHER]
    report = PseudoReport(
        (len(documents), len(written)),
        len(paths),
        float(given[:, used].any(axis=1).mean()) if written else 0.0,
        float(given.sum(axis=1).mean()) if written else 0.0,
        in_all / in_any if len(paths) > 1 and in_any else None,
        {n: int(c) for n, c in zip(names, counts, strict=True) if c},
        tuple(n for n, c in zip(names, counts, strict=True) if not c),
        _together(names, given),
        alike(labels),
    )
    return written, report, problems


def alike(labels: Sequence[NewLabel]) -> tuple[tuple[str, str, float], ...]:
    """Return pairs of labels that share half of their words, the likest first."""
    words = [set(words_of(f"{la.name} {la.description}")) for la in labels]
    found = []
    for j, other in enumerate(words):
        for i in range(j):
            share = len(words[i] & other) / max(len(words[i] | other), 1)
            if share >= ALIKE:
                found.append((labels[i].name, labels[j].name, share))
    return tuple(sorted(found, key=lambda pair: -pair[2]))


def _together(
    names: Sequence[str], given: Bool[np.ndarray, "M N"]
) -> tuple[tuple[str, str, float], ...]:
    counts = given.astype(np.float64)
    both = counts.T @ counts
    either = counts.sum(axis=0)[:, None] + counts.sum(axis=0) - both
    share = np.where(either > 1, both / np.maximum(either, 1), 0.0)
    pairs = np.argwhere(np.triu(share >= ALIKE, 1))
    found = [(names[i], names[j], float(share[i, j])) for i, j in pairs.tolist()]
    return tuple(sorted(found, key=lambda pair: -pair[2]))
