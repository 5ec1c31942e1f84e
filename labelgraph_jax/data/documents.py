"""Documents, their labels and splits, and the label space of a corpus."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.labels.parents import labelled_parents, parents_above
from labelgraph_jax.data.layout import Layout

Tasks = Mapping[str, "tuple[str, ...] | None"]


class DataError(ValueError):
    """A data file, or what stands in it, is not what it must be.

    The message is one line: where (`file:line` where known), what must hold,
    and what was got.
    """


def require_unicode(value: str, where: str) -> None:
    """Refuse a text that no file can hold.

    Args:
        value: the text.
        where: its name, or its place and name.

    Raises:
        DataError: half of a surrogate pair stands in it.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} must be valid Unicode; character {error.start + 1} is half of a "
            "surrogate pair"
        ) from None


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One text, or one row of features, and the labels it carries.

    Args:
        id: unique within its split.
        text: the raw text.
        labels: label names, in the order of the file, none twice.
        tasks: labels per task where the corpus has several; None under a
            task's name means that the document was not annotated for it.
        source: where it was read, `file:line`; empty where there is no file.
        unannotated: labels of which nothing is known, neither that the document
            has them nor that it does not; `places/` stands for every label whose
            name begins so. Their targets are masked.
        features: what it has of a fixed set of features, in place of a text, which
            is empty then.
        weight: how much it counts in the loss, against 1 of any other.
        probabilities: how probable labels are where nobody is sure: training aims at
            those of its `labels`, above 0 and at most 1, in place of at 1.
        labelled: False where its labels are null: nothing at all is known of them.
    """

    id: str
    text: str
    labels: tuple[str, ...]
    tasks: Tasks | None = None
    source: str = ""
    unannotated: tuple[str, ...] = ()
    features: Features | None = None
    weight: float = 1.0
    probabilities: Mapping[str, float] | None = None
    labelled: bool = True

    @property
    def content(self) -> str | Features:
        """Text or features, by which duplicate documents are recognised."""
        return self.text.strip() if self.features is None else self.features

    def is_annotated(self, label: str) -> bool:
        """Return True if the document is known to have the label, or to lack it."""
        return not any(
            label == name or (name.endswith("/") and label.startswith(name))
            for name in self.unannotated
        )


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Three splits of documents, with what is known about their labels.

    Args:
        name: what reports call it.
        train, validation, test: the splits; an empty one is missing.
        label_descriptions: a sentence or so per label, for label features.
        parents: for a label its parents in the taxonomy.
        notes: one sentence each on what was done to the corpus after it was
            read (splits cut off, documents left out), for the report.
        learned_tasks: the tasks whose labels the documents' labels are, see
            `labels.tasks.select_tasks`; none where nothing was selected.
        candidate_labels: every label that was published with the corpus, in training
            or not, where that is known: what zero-shot labels are drawn from.
        layout: how own files were read, see `readers.roles`.
        unlabelled: documents without labels, to learn from beside `train`.
        target: texts of another distribution, which a model will read.
    """

    name: str
    train: tuple[Document, ...]
    validation: tuple[Document, ...] = ()
    test: tuple[Document, ...] = ()
    label_descriptions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    parents: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    learned_tasks: tuple[str, ...] = ()
    candidate_labels: tuple[str, ...] = ()
    layout: Layout | None = None
    unlabelled: tuple[Document, ...] = ()
    target: tuple[Document, ...] = ()

    @classmethod
    def of_splits(
        cls,
        name: str,
        splits: Mapping[str, tuple[Document, ...]],
        layout: Layout | None = None,
    ) -> Corpus:
        """A corpus of splits under their names; a split that is not there is empty."""
        train, validation, test = (
            splits.get(split, ()) for split in ("train", "validation", "test")
        )
        return cls(name, train, validation, test, layout=layout)

    @property
    def splits(self) -> dict[str, tuple[Document, ...]]:
        """The splits by name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task names that occur in any document, in order of appearance."""
        return task_names(self.train + self.validation + self.test)


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """The labels of a model: label i is column i of the targets and node i.

    Args:
        names: distinct and non-empty.
        descriptions: text for some or all of the labels.
        parents: for a label its parents; a parent that is no label itself
            (an inner node that no document carries) is allowed.
        tasks: the label sets that the labels come from, where they were
            selected; of several sets, labels are called `task/label`.

    Raises:
        DataError: no label, an empty name, or a name twice.
    """

    names: tuple[str, ...]
    descriptions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    parents: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise DataError("a label space must have at least one label; got none")
        for name in self.names:
            if not isinstance(name, str) or not name:
                raise DataError(f"a label must be a non-empty string; got {name!r}")
        repeated = [name for name, n in Counter(self.names).items() if n > 1]
        if repeated:
            raise DataError(
                f"labels must be distinct; {repeated[0]!r} stands there more than once"
            )

    @classmethod
    def from_documents(
        cls,
        train_documents: Iterable[Document],
        descriptions: Mapping[str, str] = MappingProxyType({}),
        parents: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        tasks: tuple[str, ...] = (),
        also: Iterable[str] = (),
    ) -> LabelSpace:
        """Collect the labels of the training documents, sorted by name.

        Args:
            train_documents: the training split alone: a label that only the
                test split carries cannot be learned and gets no node.
            descriptions: kept for the labels that occur.
            parents: kept for the labels that occur and for what lies above them.
            tasks: where the labels come from.
            also: labels that get a node whether a training document carries them or
                not, such as `Corpus.candidate_labels`.

        Raises:
            DataError: no document carries a label.
        """
        count = 0
        found: set[str] = set()
        for document in train_documents:
            count += 1
            found.update(document.labels)
        if not found:
            raise DataError(
                f"training needs labels; none of the {count} training documents "
                "carries one"
            )
        names = tuple(sorted(found.union(also)))
        return cls(
            names=names,
            descriptions={n: descriptions[n] for n in names if n in descriptions},
            parents=parents_above(names, parents),
            tasks=tasks,
        )

    def __len__(self) -> int:
        return len(self.names)

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Label name -> column."""
        return {name: column for column, name in enumerate(self.names)}

    def label_sets(
        self, documents: Sequence[Document]
    ) -> tuple[csr_array, Counter[str]]:
        """Write labels as a sparse matrix: what no document has takes no memory.

        Returns:
            float32 [M, N] of ones, the columns of a row in increasing order; and how
            often each label that is not in this label space occurred: such labels
            have no column, so they are counted and must be reported.
        """
        index = self.index
        columns: list[int] = []
        ends = np.zeros(len(documents) + 1, np.int64)
        unseen: Counter[str] = Counter()
        for row, document in enumerate(documents):
            found = {index[label] for label in document.labels if label in index}
            unseen.update(label for label in document.labels if label not in index)
            columns.extend(sorted(found))
            ends[row + 1] = len(columns)
        ones = np.ones(len(columns), np.float32)
        ids = np.asarray(columns, np.int32)
        shape = (len(documents), len(self.names))
        return csr_array((ones, ids, ends), shape=shape), unseen

    def targets(self, documents: Sequence[Document]) -> tuple[np.ndarray, Counter[str]]:
        """`label_sets` as a multi-hot matrix, for labels that are few.

        Returns:
            float32 [M, N], and the labels without a column.
        """
        found, unseen = self.label_sets(documents)
        return found.toarray(), unseen

    def soft_sets(
        self, documents: Sequence[Document]
    ) -> tuple[csr_array, Counter[str]]:
        """`label_sets` with the documents' probabilities in place of ones."""
        found, unseen = self.label_sets(documents)
        for row, document in enumerate(documents):
            if document.probabilities:
                cells = slice(found.indptr[row], found.indptr[row + 1])
                found.data[cells] = [
                    document.probabilities.get(self.names[column], 1.0)
                    for column in found.indices[cells]
                ]
        return found, unseen

    def target_mask(self, documents: Sequence[Document]) -> np.ndarray | None:
        """Return the mask of the annotated cells of the targets.

        Returns:
            bool [M, N], False where the document's label is not annotated; None,
            at no cost, where every cell is.
        """
        missing = self.missing_sets(documents)
        return None if missing is None or not missing.nnz else ~missing.toarray()

    def missing_sets(self, documents: Sequence[Document]) -> csr_array | None:
        """The cells that are not annotated, as sparse rows: no array `[M, N]`.

        Returns:
            bool [M, N], True where the document's label is not annotated; None, at no
            cost, where every cell is annotated.
        """
        if not any(document.unannotated for document in documents):
            return None
        columns: dict[str, np.ndarray] = {}
        rows: list[np.ndarray] = []
        for document in documents:
            for name in document.unannotated:
                if name not in columns:
                    columns[name] = self._columns(name)
            found = [columns[name] for name in document.unannotated]
            rows.append(np.unique(np.concatenate([np.zeros(0, np.int64), *found])))
        indices = np.concatenate(rows).astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        shape = (len(documents), len(self.names))
        return csr_array((np.ones(len(indices), bool), indices, indptr), shape=shape)

    def _columns(self, name: str) -> np.ndarray:
        """Those of a label, or of every label that begins with `name/`."""
        if name in self.index:
            return np.asarray([self.index[name]])
        if not name.endswith("/"):
            return np.zeros(0, np.int64)
        found = [i for i, label in enumerate(self.names) if label.startswith(name)]
        return np.asarray(found, np.int64)

    @property
    def task_columns(self) -> dict[str, np.ndarray]:
        """The columns of each task, where there are several; empty otherwise."""
        if len(self.tasks) < 2:
            return {}
        return {task: self._columns(f"{task}/") for task in self.tasks}

    def parent_pairs(self) -> np.ndarray:
        """The taxonomy among the labels: int32 [E, 2], (child, parent).

        A label's parents are the nearest labels above it, whatever inner nodes lie
        between.
        """
        index = self.index
        pairs = [
            (index[child], index[parent])
            for child, above in labelled_parents(self.names, self.parents).items()
            for parent in above
        ]
        return np.asarray(pairs, np.int32).reshape(-1, 2)

    def to_json(self) -> str:
        """The label space as the text of `labels.json`."""
        return json.dumps(
            {
                "names": list(self.names),
                "descriptions": dict(self.descriptions),
                "parents": {n: list(p) for n, p in self.parents.items()},
                "tasks": list(self.tasks),
            },
            ensure_ascii=False,
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> LabelSpace:
        """Read what `to_json` wrote.

        Raises:
            DataError: `text` is not such a JSON object.
        """
        try:
            fields = parse_json(text)
        except ValueError as error:
            raise DataError(f"labels must be a JSON object; {error}") from None
        if not isinstance(fields, dict) or not isinstance(fields.get("names"), list):
            raise DataError('labels must be a JSON object with a list "names"')
        descriptions = fields.get("descriptions", {})
        parents = fields.get("parents", {})
        if not isinstance(descriptions, dict) or not isinstance(parents, dict):
            raise DataError('"descriptions" and "parents" of labels must be objects')
        tasks = fields.get("tasks", [])
        if not isinstance(tasks, list):
            raise DataError('"tasks" of labels must be a list')
        return cls(
            names=tuple(fields["names"]),
            descriptions={str(n): str(d) for n, d in descriptions.items()},
            parents={str(n): tuple(p) for n, p in parents.items()},
            tasks=tuple(str(task) for task in tasks),
        )


def task_names(documents: Iterable[Document]) -> tuple[str, ...]:
    """The names of the tasks that occur in `documents`, in order of appearance."""
    names: dict[str, None] = {}
    for document in documents:
        if document.tasks:
            names.update(dict.fromkeys(document.tasks))
    return tuple(names)
