"""Cutting off splits so that every label is in each one in proportion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.documents import Corpus, DataError, Document


def iterative_stratification(
    targets: np.ndarray | csr_array, fractions: Sequence[float], seed: int
) -> list[np.ndarray]:
    """Divide documents into subsets that all hold the labels in proportion.

    The rarest label first, each of its documents goes to the subset that still
    wants the most of this label; then the next rarest label among the documents
    that are left. Documents without labels fill the subsets up.

    Args:
        targets: multi-hot [M, N], an array or a scipy sparse matrix.
        fractions: the share of each subset; they are scaled to sum to 1.
        seed: decides between equals; the same seed gives the same subsets.

    Returns:
        Per subset its rows of `targets` in increasing order. Together they are
        all rows, each once. The sizes are the fractions of M, rounded (largest
        remainder). A label with a single document goes to the first subset.

    Raises:
        DataError: no fraction, or fractions that are not positive numbers.

    Reference:
        Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data
        (ECML PKDD 2011), algorithm 1. We differ in that a full subset takes no
        further document, so sizes are exact, and in the single documents.
    """
    rows, columns = (np.asarray(part, np.int64) for part in targets.nonzero())
    count, labels = targets.shape
    sizes = _sizes(count, fractions)
    subset = _Stratifier(rows, columns, count, labels, sizes, seed).run()
    return [np.flatnonzero(subset == m) for m in range(len(sizes))]


def complete_splits(
    corpus: Corpus,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> Corpus:
    """Cut the splits that a corpus lacks off its training split.

    By iterative stratification over the labels (over those of all tasks, where
    there are tasks and not several are learned), and over what documents are not
    annotated for, as if that were a label too: each split gets its share of the
    annotations. A label with a single document stays in training. Documents
    with the same text stay together, so that no test text was trained on; the
    sizes are exact where texts differ. The corpus' notes say what was cut; a
    complete corpus comes back as it is.

    Args:
        corpus: with its validation or test split empty, or both.
        validation_fraction: of the given training split; 0 leaves a missing split
            empty.
        test_fraction: likewise.
        seed: decides which documents, and nothing else does.

    Raises:
        DataError: fractions that leave nothing to train on, or too few documents.
    """
    # Splits that are missing, and the shares they are to have.
    wanted = {
        "validation": 0.0 if corpus.validation else validation_fraction,
        "test": 0.0 if corpus.test else test_fraction,
    }
    for name, fraction in wanted.items():
        if not 0.0 <= fraction < 1.0:
            raise DataError(
                f"{name}_fraction must be at least 0 and below 1; got {fraction}"
            )
    if sum(wanted.values()) >= 1.0:
        raise DataError(
            "validation_fraction and test_fraction must leave something to train on; "
            f"got {validation_fraction} and {test_fraction}"
        )
    missing = [name for name, fraction in wanted.items() if fraction > 0]
    if not missing:
        return corpus
    # Documents of the same text go into the same split.
    texts: dict[object, int] = {}
    text_of = [texts.setdefault(d.content, len(texts)) for d in corpus.train]
    count = len(texts)
    if count <= len(missing):
        raise DataError(
            f"{corpus.name}: cutting off the {' and '.join(missing)} split needs at "
            f"least {len(missing) + 1} documents of different text; got {count}"
        )
    # Even a tiny corpus gets one document for each split that was asked for.
    cut = [max(wanted[name], 1.0 / count) for name in missing]
    several = len(corpus.learned_tasks) > 1
    rows, columns, labels = _label_cells(corpus.train, text_of, of_tasks=not several)
    sizes = _sizes(count, [max(1.0 - sum(cut), 1.0 / count), *cut])
    subset = _Stratifier(rows, columns, count, labels, sizes, seed).run()[text_of]

    def chosen(number: int) -> tuple[Document, ...]:
        return tuple(corpus.train[i] for i in np.flatnonzero(subset == number))

    # The new splits, and a note on each.
    new = {name: chosen(number) for number, name in enumerate(missing, start=1)}
    notes = tuple(
        f"no {name} split was given: {len(new[name]):,} of the {len(subset):,} "
        f"training documents {'was' if len(new[name]) == 1 else 'were'} cut off for it "
        f"(iterative stratification, seed {seed})"
        for name in missing
    )
    return dataclasses.replace(
        corpus,
        train=chosen(0),
        validation=new.get("validation", corpus.validation),
        test=new.get("test", corpus.test),
        notes=corpus.notes + notes,
    )


def _sizes(count: int, fractions: Sequence[float]) -> np.ndarray:
    """Whole numbers that sum to `count`, in proportion: the largest remainder."""
    shares = np.asarray(fractions, np.float64)
    if not shares.size or not np.all(np.isfinite(shares)) or np.any(shares <= 0):
        raise DataError(
            f"the fractions of a split must be positive numbers; got {list(fractions)}"
        )
    exact = shares / shares.sum() * count
    # Rounding first: 0.7 * 10 must count as 7, not as a bit less.
    exact = np.round(exact, 9)
    sizes = np.floor(exact).astype(np.int64)
    order = np.argsort(sizes - exact, kind="stable")
    sizes[order[: count - int(sizes.sum())]] += 1
    return sizes


def _label_cells(
    documents: Sequence[Document], row_of: Sequence[int], *, of_tasks: bool
) -> tuple[np.ndarray, np.ndarray, int]:
    """Each (row, column) of every label once; what is not annotated is one too.

    With `of_tasks` also the labels of the tasks.
    """
    index: dict[object, int] = {}
    cells: dict[tuple[int, int], None] = {}
    for row, document in zip(row_of, documents, strict=True):
        labels: list[object] = list(document.labels)
        if of_tasks:
            for task, names in (document.tasks or {}).items():
                labels.extend((task, name) for name in names or ())
        labels.extend((None, name) for name in document.unannotated)
        for label in labels:
            cells[row, index.setdefault(label, len(index))] = None
    pairs = np.asarray(list(cells), np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], len(index)


class _Ragged:
    """Numbers grouped by key: group k is values[starts[k] : starts[k + 1]]."""

    def __init__(self, keys: np.ndarray, values: np.ndarray, count: int):
        self._values = values[np.argsort(keys, kind="stable")]
        self._starts = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(keys, minlength=count), out=self._starts[1:])

    def group(self, key: int) -> np.ndarray:
        return self._values[self._starts[key] : self._starts[key + 1]]

    def groups(self, keys: np.ndarray) -> np.ndarray:
        """The groups of several keys, one after the other."""
        starts = self._starts[keys]
        lengths = self._starts[keys + 1] - starts
        ends = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(starts - ends + lengths, lengths)
        return self._values[places]


class _Stratifier:
    """The state of the algorithm: who is assigned, and what each subset wants."""

    def __init__(
        self,
        rows: np.ndarray,
        columns: np.ndarray,
        count: int,
        labels: int,
        sizes: np.ndarray,
        seed: int,
    ):
        self._generator = np.random.default_rng(seed)
        self._subset = np.full(count, -1, np.int64)
        self._room = [int(size) for size in sizes]
        # Labels are renumbered at random, so that ties between them fall at random.
        columns = self._generator.permutation(labels)[columns]
        self._labels_of = _Ragged(rows, columns, count)
        self._rows_of = _Ragged(columns, rows, labels)
        self._left = np.bincount(columns, minlength=labels)
        share = sizes / max(count, 1)
        self._wanted = share[:, None] * self._left[None, :]

    def run(self) -> np.ndarray:
        """The subset of each document: [M]."""
        single = np.flatnonzero(self._left == 1)
        rows = np.unique(self._rows_of.groups(single))
        self._assign(rows[: self._room[0]], 0)
        most = np.iinfo(np.int64).max
        order = np.where(self._left > 0, self._left, most)
        while order.size and order.min() < most:
            label = int(order.argmin())
            rows = self._rows_of.group(label)
            rows = self._generator.permutation(rows[self._subset[rows] < 0])
            sequence = self._sequence(self._wanted[:, label], len(rows))
            for m in range(len(self._room)):
                touched = self._assign(rows[sequence == m], m)
                left = self._left[touched]
                order[touched] = np.where(left > 0, left, most)
        rest = self._generator.permutation(np.flatnonzero(self._subset < 0))
        self._subset[rest] = np.repeat(np.arange(len(self._room)), self._room)
        return self._subset

    def _sequence(self, wanted: np.ndarray, count: int) -> np.ndarray:
        """Return the split of each of the next `count` documents of one label.

        Each one goes where the label is wanted most, then where there is most
        room, then at random. This asks for the counts alone, not for the
        documents, so that they can be assigned all at once.
        """
        wants, room = wanted.tolist(), list(self._room)
        ties = self._generator.permutation(len(room)).tolist()
        sequence = np.empty(count, np.int64)
        for i in range(count):
            best = max(
                (m for m in range(len(room)) if room[m] > 0),
                key=lambda m: (wants[m], room[m], ties[m]),
            )
            wants[best] -= 1.0
            room[best] -= 1
            sequence[i] = best
        return sequence

    def _assign(self, rows: np.ndarray, subset: int) -> np.ndarray:
        """Put documents into a subset; return the labels that they have."""
        self._subset[rows] = subset
        self._room[subset] -= len(rows)
        labels = self._labels_of.groups(rows)
        np.subtract.at(self._left, labels, 1)
        np.subtract.at(self._wanted[subset], labels, 1.0)
        return labels
