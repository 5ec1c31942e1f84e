"""Labels added to a trained work directory, and its memory: no training is done."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from labelgraph_jax.config import MemoryConfig
from labelgraph_jax.config.memory import check_memory
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError, LabelSpace
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.data.labels.new_labels import NewLabel
from labelgraph_jax.predictors.manifest import require_unchanged, seal
from labelgraph_jax.predictors.memory.build import encode_added, memory_results
from labelgraph_jax.predictors.memory.files import (
    has_memory,
    read_added,
    remove_memory,
    save_added,
)
from labelgraph_jax.predictors.memory.memory import AddedLabels
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.calibrate import calibrate, evaluate_test
from labelgraph_jax.runs.lock import WorkdirLock
from labelgraph_jax.runs.records import corpus_of_run
from labelgraph_jax.runs.restore import restore, restore_network

Say = Callable[[str], None]


def make_memory(
    workdir: str | Path, config: MemoryConfig, *, say: Say = lambda line: None
) -> dict[str, Any]:
    """Put a memory beside the classifier of a finished run, or take it away.

    What it is chosen by and what its thresholds are fitted on are the run's own
    validation documents; the test split is measured again. Labels that were added keep
    their place, with new vectors.

    Args:
        workdir: of the run.
        config: the memory; `kind` none takes it away.
        say: takes one line about what is going on.

    Returns:
        What `results.json` now holds.

    Raises:
        WorkdirError: no finished run of texts stands there, its documents have changed,
            or labels that were added would lose the memory they live in.
        ConfigError: the run cannot have this memory.
    """
    with _at_work(workdir, "memory/", "thresholds.json") as place:
        run = place.config()
        check_memory(dataclasses.replace(run, memory=config))
        if config.kind == "none" and len(read_added(place)):
            added = counted(len(read_added(place)), "label was", "labels were")
            raise WorkdirError(
                f"{workdir}: {added} added, which "
                "nothing but a memory knows; remove what was added first, with "
                f"`labelgraph labels remove {workdir} NAME`"
            )
        corpus = corpus_of_run(place)
        results = place.results()
        model = restore_network(place, cache=cache_folder("encodings"))
        examples = model.encode(corpus.validation).examples
        if config.kind == "none":
            remove_memory(place)
        fitted = calibrate(place, model, config, corpus, examples, say=say)
        results["memory"] = memory_results(fitted.memory) if fitted.memory else None
        results["test"] = evaluate_test(place, fitted, corpus.test)
        place.save_results(results)
    return results


def add_labels(workdir: str | Path, labels: Sequence[NewLabel]) -> AddedLabels:
    """Add labels that training never saw; they are known by their text from now on.

    All of them, or none where one cannot be added.

    Args:
        workdir: of a finished run with a memory.
        labels: names, descriptions, parents.

    Returns:
        All labels that were added so far.

    Raises:
        WorkdirError: there is no memory; says which command makes one.
        DataError: a label is there already, or a parent is not.
    """
    with _at_work(workdir) as place:
        _require_memory(place)
        before, trained = read_added(place), place.labels()
        _check_new(place, trained, before, labels)
        model = restore(place)
        assert model.memory is not None
        new = AddedLabels(
            names=tuple(label.name for label in labels),
            descriptions=tuple(label.description for label in labels),
            parents=tuple(label.parents for label in labels),
            keys=np.zeros((len(labels), model.memory.keys.labels.shape[1]), np.float32),
        )
        # Those before them are known as parents; their own vectors stay.
        every = encode_added(model.memory, trained, _joined(before, new))
        keys = every.keys.copy()
        if len(before):
            keys[: len(before)] = before.keys
        added = dataclasses.replace(every, keys=keys)
        save_added(place, added)
    return added


def remove_labels(workdir: str | Path, names: Sequence[str]) -> AddedLabels:
    """Take added labels away again; return those that are left.

    Raises:
        DataError: a label was not added; one that was trained cannot be removed, nor
            one that lies above an added label which stays.
    """
    with _at_work(workdir) as place:
        _require_memory(place)
        added = read_added(place)
        # Only labels that were added can go.
        for name in names:
            if name in added.names:
                continue
            if name in place.labels().index:
                raise DataError(
                    f"{workdir}: the label {name!r} was trained; only labels that were "
                    "added can be removed"
                )
            raise DataError(
                f"{workdir}: no label {name!r} was added; added were: "
                f"{', '.join(added.names[:10]) or 'none'}"
            )
        # No label that stays may lie below one that goes.
        gone = set(names)
        kept = [row for row, name in enumerate(added.names) if name not in gone]
        for row in kept:
            if above := gone.intersection(added.parents[row]):
                raise DataError(
                    f"{workdir}: the label {min(above)!r} lies above "
                    f"{added.names[row]!r}, which was added: remove both"
                )
        left = AddedLabels(
            names=tuple(added.names[row] for row in kept),
            descriptions=tuple(added.descriptions[row] for row in kept),
            parents=tuple(added.parents[row] for row in kept),
            keys=added.keys[kept],
        )
        save_added(place, left)
    return left


class LabelRow(TypedDict):
    """A label of a model; `added` after training or not."""

    name: str
    description: str
    parents: list[str]
    added: bool


def list_labels(workdir: str | Path) -> list[LabelRow]:
    """Every label of a model: its name, description, parents, and whether it was added.

    Raises:
        WorkdirError: no run of labelled texts stands there.
    """
    place = Workdir.existing(workdir)
    _require_texts(place)
    trained, added = place.labels(), read_added(place)
    rows: list[LabelRow] = [
        {
            "name": name,
            "description": trained.descriptions.get(name, ""),
            "parents": list(trained.parents.get(name, ())),
            "added": False,
        }
        for name in trained.names
    ]
    texts = zip(added.names, added.descriptions, added.parents, strict=True)
    rows += [
        {"name": name, "description": text, "parents": list(above), "added": True}
        for name, text, above in texts
    ]
    return rows


def _check_new(
    place: Workdir,
    trained: LabelSpace,
    before: AddedLabels,
    labels: Sequence[NewLabel],
) -> None:
    """Refuse labels that are there already, or whose parents are not."""
    for label in labels:
        if label.name in before.names:
            raise DataError(f"{place.path}: the label {label.name!r} was added before")
        if label.name in trained.index:
            raise DataError(
                f"{place.path}: the model has the label {label.name!r} already"
            )
        if len(trained.tasks) > 1 and not label.name.startswith(
            tuple(f"{task}/" for task in trained.tasks)
        ):
            raise DataError(
                f"{place.path}: the model has several label sets, so a label must be "
                f"called {' or '.join(f'{t}/...' for t in trained.tasks)}; got "
                f"{label.name!r}"
            )
    above = {*trained.names, *before.names, *(label.name for label in labels)}
    above.update(trained.parents, *trained.parents.values())
    for label in labels:
        for parent in label.parents:
            if parent == label.name:
                raise DataError(
                    f"{place.path}: a label cannot lie above itself; {parent!r} names "
                    "itself as its parent"
                )
            if parent not in above:
                raise DataError(
                    f"{place.path}: the parent {parent!r} of {label.name!r} is no "
                    "label of the model"
                )


def _joined(one: AddedLabels, other: AddedLabels) -> AddedLabels:
    return AddedLabels(
        names=one.names + other.names,
        descriptions=one.descriptions + other.descriptions,
        parents=one.parents + other.parents,
    )


@contextmanager
def _at_work(workdir: str | Path, *remade: str) -> Iterator[Workdir]:
    """A finished run's work directory, locked, and sealed anew at the end.

    Args:
        workdir: of the run.
        remade: files that need not be as they were left, as they are made anew.

    Raises:
        WorkdirError: none stands there, or another process is at work in it.
    """
    place = Workdir.existing(workdir)
    _require_texts(place)
    if not place.is_finished:
        raise WorkdirError(f"{workdir}: its training has not finished")
    with WorkdirLock(place.path):
        require_unchanged(place, remade=remade)
        yield place
        seal(place)


def _require_texts(place: Workdir) -> None:
    if place.is_table:
        raise WorkdirError(f"{place.path}: a run over a table has no labels to add")
    if place.is_ensemble:
        raise WorkdirError(
            f"{place.path}: an ensemble has no memory of its own; its members, which "
            "are runs, can have one before they are joined"
        )


def _require_memory(place: Workdir) -> None:
    if not has_memory(place):
        raise WorkdirError(
            f"{place.path}: has no memory, and a label that was never trained is known "
            "by nothing else; `labelgraph memory "
            f"{place.path}` makes one"
        )
