"""Several label sets on one document: which are learned, and what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from labelgraph_jax.config.wording import of_them
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace
from labelgraph_jax.data.labels.parents import parents_above

ALL_TASKS = "all"


def wanted_tasks(spec: str, known: Sequence[str], where: str) -> tuple[str, ...]:
    """The tasks that `topics`, or `topics,places`, or `all` stands for.

    Args:
        spec: a task, several between commas, or `all`.
        known: the tasks that there are.
        where: for the error.

    Raises:
        DataError: an empty name, an unknown one, or one twice; `all` of no task.
    """
    if spec in known:
        return (spec,)
    if spec.strip() == ALL_TASKS and known:
        return tuple(known)
    names = [name.strip() for name in spec.split(",")]
    for name in names:
        if not name:
            raise DataError(f"{where}: a task must not be empty; got {spec!r}")
        if name not in known:
            raise DataError(
                f"{where}: no task {name!r}; the tasks are: "
                f"{', '.join(known) or 'none'}"
            )
        if names.count(name) > 1:
            raise DataError(f"{where}: a task counts once; {name!r} stands there twice")
    return tuple(names)


def select_tasks(corpus: Corpus, spec: str) -> Corpus:
    """The corpus of the tasks that `spec` names, see `learn_tasks`.

    Raises:
        DataError: as `wanted_tasks` and `learn_tasks`.
    """
    where = f"corpus {corpus.name}"
    return learn_tasks(corpus, wanted_tasks(spec, corpus.tasks, where))


def learn_tasks(corpus: Corpus, tasks: Sequence[str]) -> Corpus:
    """The corpus whose labels are those of some tasks.

    The labels of one task keep their names; those of several are called
    `task/label`. A document that is annotated for none of them (null, or not named)
    is left out, and a note says how many; an annotated one without a label stays.
    One that is annotated for some keeps `task/` of the others in `unannotated`.

    Args:
        corpus: with tasks.
        tasks: at least one; one that no document is annotated for may be among them.

    Raises:
        DataError: a split has no document that is left; or, of several tasks, a name
            has a slash in it.
    """
    tasks = tuple(tasks)
    slashed = [task for task in tasks if "/" in task]
    if slashed and len(tasks) > 1:
        raise DataError(
            f"corpus {corpus.name}: labels of several tasks are called task/label, so "
            f"a task must have no slash in its name; got {slashed[0]!r}"
        )
    chosen = {
        split: tuple(documents_of(documents, tasks))
        for split, documents in corpus.splits.items()
    }
    # What is known about the labels of the other tasks goes with them.
    descriptions, parents = dict(corpus.label_descriptions), dict(corpus.parents)
    if len(tasks) > 1:
        descriptions = {
            f"{task}/{n}": text for task in tasks for n, text in descriptions.items()
        }
        parents = {
            f"{task}/{n}": tuple(f"{task}/{parent}" for parent in above)
            for task in tasks
            for n, above in parents.items()
        }
    names = {label for kept in chosen.values() for d in kept for label in d.labels}
    return dataclasses.replace(
        _with_splits(corpus, chosen, f"for {' or '.join(tasks)}"),
        name=f"{corpus.name}/{','.join(tasks)}",
        label_descriptions={n: t for n, t in descriptions.items() if n in names},
        parents=parents_above(sorted(names), parents),
        notes=corpus.notes + _notes(corpus, chosen, tasks),
        learned_tasks=tasks,
        # Which of them belong to which task is not known.
        candidate_labels=(),
    )


def documents_of(documents: Sequence[Document], tasks: Sequence[str]) -> list[Document]:
    """The documents that are annotated for one of the tasks, with its labels.

    Names and missing annotations are as in `learn_tasks`.
    """
    kept = []
    for document in documents:
        given = document.tasks or {}
        known = {t: given[t] or () for t in tasks if given.get(t) is not None}
        if not known:
            continue
        labels = [(task, label) for task in known for label in known[task]]
        names = tuple(label for _, label in labels)
        missing: tuple[str, ...] = ()
        if len(tasks) > 1:
            names = tuple(f"{task}/{label}" for task, label in labels)
            missing = tuple(f"{task}/" for task in tasks if task not in known)
        kept.append(dataclasses.replace(document, labels=names, unannotated=missing))
    return kept


def leave_out_unannotated(corpus: Corpus) -> Corpus:
    """The corpus without the documents that are annotated for none of its labels.

    Raises:
        DataError: a split has no document that is left.
    """
    every = [d for documents in corpus.splits.values() for d in documents]
    names = sorted({label for document in every for label in document.labels})
    if not names or not any(document.unannotated for document in every):
        return corpus
    space = LabelSpace(tuple(names))
    chosen = {}
    for split, documents in corpus.splits.items():
        missing = space.missing_sets(documents)
        kept = np.ones(len(documents), bool)
        if missing is not None:
            kept = np.diff(missing.indptr) < len(names)
        chosen[split] = tuple(documents[row] for row in np.flatnonzero(kept))
    left_out = len(every) - sum(map(len, chosen.values()))
    if not left_out:
        return corpus
    note = (
        of_them(left_out, len(every), "document", "is", "are")
        + " annotated for no label, and left out"
    )
    return dataclasses.replace(
        _with_splits(corpus, chosen, "for any label"), notes=(*corpus.notes, note)
    )


def _with_splits(
    corpus: Corpus, chosen: dict[str, tuple[Document, ...]], what: str
) -> Corpus:
    # An empty split would be taken for one that was not given.
    for split, documents in corpus.splits.items():
        if documents and not chosen[split]:
            raise DataError(
                f"corpus {corpus.name}: none of the {len(documents):,} {split} "
                f"documents is annotated {what}"
            )
    return dataclasses.replace(
        corpus,
        train=chosen["train"],
        validation=chosen["validation"],
        test=chosen["test"],
    )


def _notes(
    corpus: Corpus, chosen: dict[str, tuple[Document, ...]], tasks: Sequence[str]
) -> tuple[str, ...]:
    total = sum(map(len, corpus.splits.values()))
    kept = [document for documents in chosen.values() for document in documents]
    left_out, notes = total - len(kept), []
    if left_out:
        several = len(tasks) > 1
        notes.append(
            f"{'tasks' if several else 'task'} {', '.join(tasks)}: "
            + of_them(left_out, total, "document", "is", "are")
            + f" not annotated for {'any of them' if several else 'it'}, and left out"
        )
    for task in tasks:
        missing = sum(f"{task}/" in document.unannotated for document in kept)
        if missing:
            notes.append(
                f"task {task}: {of_them(missing, len(kept), 'document', 'is', 'are')} "
                "not annotated for it, so its labels count nothing there"
            )
    return tuple(notes)
