"""Corpora with disjoint label sets as one corpus: each is a task of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from labelgraph_jax.config.text import JOIN
from labelgraph_jax.data.documents import Corpus, DataError, Document


def join_corpora(corpora: Sequence[Corpus]) -> Corpus:
    """One corpus whose tasks are the given ones.

    The labels of corpus `a` are called `a/label`, its documents `a/id`. A document is
    annotated for the labels of its own corpus alone: what it has of another's is not
    known, and masked in losses and metrics.

    Args:
        corpora: two or more, each with its splits complete.

    Raises:
        DataError: fewer than two, or two of one name; a name with a slash in it; or a
            split that some have and others have not.
    """
    # Names of corpora become tasks, and part of their labels' names.
    names = [corpus.name for corpus in corpora]
    if len(names) < 2:
        raise DataError(f"there must be two corpora or more to join; got {names}")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"a corpus counts once; {name!r} stands there twice")
        if "/" in name:
            raise DataError(
                "labels of joined corpora are called corpus/label, so a corpus must "
                f"have no slash in its name; got {name!r}"
            )
    # Every split: each corpus has it, or none does.
    splits = {}
    for split in ("train", "validation", "test"):
        given = [corpus.splits[split] for corpus in corpora]
        empty = [name for name, part in zip(names, given, strict=True) if not part]
        if empty and len(empty) < len(names):
            raise DataError(
                f"corpora {', '.join(names)}: each must have a {split} split, or "
                f"none; {empty[0]} has none"
            )
        splits[split] = tuple(
            _of_task(document, name, names)
            for name, part in zip(names, given, strict=True)
            for document in part
        )
    # All that names labels also names their corpus.
    return dataclasses.replace(
        Corpus.of_splits(JOIN.join(names), splits),
        label_descriptions={
            f"{corpus.name}/{label}": text
            for corpus in corpora
            for label, text in corpus.label_descriptions.items()
        },
        parents={
            f"{corpus.name}/{label}": tuple(f"{corpus.name}/{p}" for p in above)
            for corpus in corpora
            for label, above in corpus.parents.items()
        },
        notes=tuple(
            f"{corpus.name}: {note}" for corpus in corpora for note in corpus.notes
        ),
        learned_tasks=tuple(names),
        candidate_labels=tuple(
            f"{corpus.name}/{label}"
            for corpus in corpora
            for label in corpus.candidate_labels
        ),
    )


def _of_task(document: Document, task: str, tasks: Sequence[str]) -> Document:
    inner = {f"{task}/{name}" for name in document.unannotated}
    others = {f"{name}/" for name in tasks if name != task}
    return dataclasses.replace(
        document,
        id=f"{task}/{document.id}",
        labels=tuple(f"{task}/{label}" for label in document.labels),
        tasks={task: document.labels},
        unannotated=tuple(sorted(inner | others)),
    )
