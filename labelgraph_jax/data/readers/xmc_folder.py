"""Folders of the Extreme Classification Repository and of PECOS -> a corpus.

Files are found by their names, each plain, .gz or .xz (an .npz as it is):

    texts           trn_X.txt, X.trn.txt; for the test split tst in place of trn
    or features     trn_X_Xf.txt, X.trn.npz
    labels          trn_X_Y.txt, Y.trn.npz
    their names     Y.txt, lbl.txt, output-labels.txt, output-items.txt, one a line

or `train.txt` and `test.txt`, bag-of-words files with a header; or `trn.json`,
`tst.json` and `lbl.json`, a line an object with uid, title, content and target_ind.
Texts are taken before features, and a note says what was not read.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.readers.fields import check_text
from labelgraph_jax.data.readers.lines import find_file, read_lines
from labelgraph_jax.data.readers.matrices import label_rows, read_matrix, read_pairs
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.data.readers.xmc_json import read_json_labels, read_json_split

LABEL_FILES = ("Y.txt", "lbl.txt", "output-labels.txt", "output-items.txt")
MOST_NUMBERED = 1 << 23
"""Labels that get numbers for names; the largest public collections have 3 million."""
_SPLITS = {"train": "trn", "test": "tst"}


def read_folder(path: str | Path) -> Corpus:
    """The corpus that lies in a folder.

    Pairs of `filter_labels_train.txt` and `filter_labels_test.txt` (a document and a
    label that is the same item) become missing annotations: neither a hit nor a miss.

    Raises:
        DataError: no such layout, files that do not fit together (both numbers are
            said), or a row that is wrong (file and line are said).
    """
    folder = Path(path)
    if find_file(folder, "trn.json"):
        return _json_corpus(folder)
    if find_file(folder, "train.txt"):
        return _bag_corpus(folder)
    return _matrix_corpus(folder)


def is_xmc_folder(folder: Path) -> bool:
    """Return True if a folder has the training split of one of the layouts."""
    if find_file(folder, "trn.json", "train.txt") is not None:
        return True
    return _labels_of(folder, "trn") is not None


def unique_names(names: Sequence[str]) -> list[str]:
    """Names of which none stands there twice: a repeated one gets its number."""
    counts = Counter(names)
    made = [
        name if name and counts[name] == 1 else f"{name} (label {i})".strip()
        for i, name in enumerate(names)
    ]
    again = Counter(made)  # somebody may have called a label so
    return [n if again[n] == 1 else f"{n} #{i}" for i, n in enumerate(made)]


def _bag_corpus(folder: Path) -> Corpus:
    train, test = find_file(folder, "train.txt"), find_file(folder, "test.txt")
    assert train is not None
    return Corpus(
        name=folder.name,
        train=tuple(read_documents(train)),
        test=tuple(read_documents(test)) if test else (),
        notes=() if test else ("the folder has no test.txt",),
    )


def _matrix_corpus(folder: Path) -> Corpus:
    if _labels_of(folder, "trn") is None:
        listed = ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
        raise DataError(
            f"{folder}: a folder must hold train.txt, or trn.json and lbl.json, or "
            f"trn_X_Y.txt or Y.trn.npz beside trn_X.txt or X.trn.txt; it holds {listed}"
        )
    # Names of the labels; numbers stand for them where there are none.
    known = _label_names(folder)
    notes: list[str] = []
    names: list[str] | None = None
    if known is not None:
        label_path, written = known
        names = unique_names(written)
        changed = sum(a != b for a, b in zip(written, names, strict=True))
        if changed:
            notes.append(
                f"{label_path.name}: {changed:,} of {len(names):,} names are blank or "
                "stand there more than once; they got their number"
            )
    else:
        notes.append(
            f"no names of labels ({', '.join(LABEL_FILES)}): numbers in their place"
        )
    # Every split: a label matrix, and a document for each of its rows.
    splits: dict[str, tuple[Document, ...]] = {}
    for split, short in _SPLITS.items():
        path = _labels_of(folder, short)
        if path is None:
            notes.append(f"the folder has no {split} split")
            continue
        matrix = read_matrix(path, what="label", increasing=False)
        if names is None:
            if matrix.shape[1] > MOST_NUMBERED:
                raise DataError(
                    f"{path}: must have at most {MOST_NUMBERED:,} columns where no "
                    f"file names the labels; got {matrix.shape[1]:,}"
                )
            names = [str(i) for i in range(matrix.shape[1])]
        if matrix.shape[1] != len(names):
            other = known[0] if known else _labels_of(folder, "trn")
            raise DataError(
                f"{path}: must have a column for each label; it has "
                f"{matrix.shape[1]:,} columns, {other} has {len(names):,} labels"
            )
        rows = _rows(folder, short, notes)
        if len(rows) != matrix.shape[0]:
            raise DataError(
                f"{path}: must have a row for each document; it has "
                f"{matrix.shape[0]:,} rows for {len(rows):,} documents"
            )
        labels = label_rows(path, matrix, names)
        documents = [
            dataclasses.replace(row, labels=named)
            for row, named in zip(rows, labels, strict=True)
        ]
        splits[split] = _filtered(folder, split, documents, names, notes)
    assert names is not None
    return Corpus(
        name=folder.name,
        train=splits["train"],
        test=splits.get("test", ()),
        notes=tuple(notes),
        candidate_labels=tuple(names),
    )


def _labels_of(folder: Path, short: str) -> Path | None:
    return find_file(folder, f"{short}_X_Y.txt", f"Y.{short}.npz", f"Y.{short}.txt")


def _label_names(folder: Path) -> tuple[Path, list[str]] | None:
    path = find_file(folder, *LABEL_FILES)
    if path is None:
        return None
    lines = read_lines(path, keep_blank=True)
    return path, [" ".join(line.split()) for _, line in lines]


def _rows(folder: Path, short: str, notes: list[str]) -> list[Document]:
    """The documents of a split, without labels."""
    # Texts, where the folder has them.
    text = find_file(folder, f"{short}_X.txt", f"X.{short}.txt")
    matrix = find_file(folder, f"{short}_X_Xf.txt", f"X.{short}.npz")
    if text is not None:
        if matrix is not None:
            notes.append(f"{text.name} was read, the features of {matrix.name} not")
        return [
            Document(
                f"line-{n}", check_text(line, f"{text}:{n}"), (), None, f"{text}:{n}"
            )
            for n, line in read_lines(text)
        ]
    # Else features, a row for each document.
    if matrix is None:
        raise DataError(
            f"{folder}: must hold the documents of {_labels_of(folder, short)}: "
            f"{short}_X.txt, X.{short}.txt, {short}_X_Xf.txt or X.{short}.npz"
        )
    values = read_matrix(matrix, what="feature", increasing=True)
    # A text has a header before its first row.
    first = 1 if matrix.suffix == ".npz" else 2
    return [
        Document(
            f"line-{n}",
            "",
            (),
            None,
            f"{matrix}:{n}",
            features=Features(values.indices[start:end], values.data[start:end]),
        )
        for n, (start, end) in enumerate(
            zip(values.indptr[:-1], values.indptr[1:], strict=True), start=first
        )
    ]


def _json_corpus(folder: Path) -> Corpus:
    label_path = find_file(folder, "lbl.json")
    if label_path is None:
        raise DataError(f"{folder}: trn.json needs lbl.json, which names the labels")
    titles, contents = read_json_labels(label_path)
    names = unique_names(titles)
    notes: list[str] = []
    splits: dict[str, tuple[Document, ...]] = {}
    for split, short in _SPLITS.items():
        path = find_file(folder, f"{short}.json")
        if path is None:
            notes.append(f"the folder has no {split} split")
            continue
        documents = read_json_split(path, names)
        splits[split] = _filtered(folder, split, documents, names, notes)
    return Corpus(
        name=folder.name,
        train=splits["train"],
        test=splits.get("test", ()),
        label_descriptions={
            name: text for name, text in zip(names, contents, strict=True) if text
        },
        notes=tuple(notes),
        candidate_labels=tuple(names),
    )


def _filtered(
    folder: Path,
    split: str,
    documents: Sequence[Document],
    names: Sequence[str],
    notes: list[str],
) -> tuple[Document, ...]:
    """The documents, not annotated for the labels that are the same item."""
    path = find_file(folder, f"filter_labels_{split}.txt")
    if path is None:
        return tuple(documents)
    pairs = read_pairs(path, len(documents), len(names))
    notes.append(
        f"{path.name}: {len(pairs):,} pairs of a {split} document and the label that "
        "is the same item count neither as a hit nor as a miss"
    )
    found = list(documents)
    for row, group in _by_row(pairs):
        same = tuple(names[label] for label in group)
        kept = tuple(n for n in found[row].labels if n not in same)
        found[row] = dataclasses.replace(found[row], labels=kept, unannotated=same)
    return tuple(found)


def _by_row(pairs: np.ndarray) -> Iterable[tuple[int, list[int]]]:
    groups: dict[int, list[int]] = {}
    for row, label in np.unique(pairs, axis=0).tolist():
        groups.setdefault(row, []).append(label)
    return groups.items()
