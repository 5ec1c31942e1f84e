"""Taxonomy files: which label lies above which.

A line names a parent and its children, with tabs between them:

    Root<TAB>economy<TAB>politics
    economy<TAB>trade<TAB>prices

`Root` (or ROOT) stands above everything and is no label, unless some document carries
a label of that name. A line without a tab in which `--` occurs is a path from the top
down, `economy--trade--tariffs`; where a label of the corpus has `--` in its name, that
is no longer clear and such a line is refused. Both kinds may stand in one file.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from labelgraph_jax.config.wording import counted, nearest_names, of_them
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.labels.parents import parents_above
from labelgraph_jax.data.readers.lines import read_lines
from labelgraph_jax.functional.graph.edges import Edges, make_edges

ROOTS = ("Root", "ROOT")
PATH_SEPARATOR = "--"
SHAPES = ("dag", "tree")
_EXAMPLES = 3
_MOST_OF_CYCLE = 8
"""Names of a cycle that are said, its two ends."""


@dataclasses.dataclass(frozen=True)
class Taxonomy:
    """Contents of a taxonomy file.

    Attributes:
        source: the file.
        parents: for a name its parents, in the order of the file; a name that stands
            under `Root` alone has none.
        lines: for every name but `Root` the line where it stands first.
    """

    source: str
    parents: Mapping[str, tuple[str, ...]]
    lines: Mapping[str, int]


def attach_taxonomy(corpus: Corpus, path: str | Path, *, shape: str = "dag") -> Corpus:
    """The corpus with the taxonomy of a file in place of its own, if it had one.

    An inner node needs no documents. A leaf without any is left out: a published
    taxonomy may say more than the data, but it may be misspelled too, so a note names
    it. Labels that the file does not name have no parent; a note says how many.

    Args:
        corpus: with the labels, under the names that training gives them.
        path: see `read_taxonomy`.
        shape: dag, or tree where a label with two parents is an error.

    Raises:
        DataError: as `read_taxonomy`; no name is a label.
    """
    labels = {
        label
        for documents in corpus.splits.values()
        for document in documents
        for label in document.labels
    }
    taxonomy = read_taxonomy(path, labels=labels, shape=shape)
    parents = parents_above(sorted(labels), taxonomy.parents)
    inner = {above for every in parents.values() for above in every} - labels
    unknown = _unknown_note(taxonomy, labels, labels | inner)
    outside = len(labels - taxonomy.lines.keys())
    note = (
        f"taxonomy {Path(taxonomy.source).name}: "
        + of_them(len(labels & parents.keys()), len(labels), "label", "has", "have")
        + " a parent, "
        + counted(len(inner), "inner node is no label", "inner nodes are no labels")
        + f", {counted(outside, 'label does', 'labels do')} not stand in it"
    )
    return dataclasses.replace(
        corpus, parents=parents, notes=(*corpus.notes, note, *unknown)
    )


def closed_corpus(corpus: Corpus) -> Corpus:
    """The corpus whose documents also carry whatever lies above their labels.

    Raises:
        DataError: it has no taxonomy.
    """
    require_taxonomy_of(corpus)
    closed: dict[str, Any] = {
        name: closed_documents(documents, corpus.parents)
        for name, documents in corpus.splits.items()
    }
    return dataclasses.replace(corpus, **closed)


def require_taxonomy_of(corpus: Corpus) -> None:
    """Refuse a corpus without a taxonomy (DataError)."""
    if not corpus.parents:
        raise DataError(
            f"{corpus.name}: must have a taxonomy of its own, and has none; name a "
            "file with data.taxonomy"
        )


def closed_documents(
    documents: Sequence[Document], parents: Mapping[str, tuple[str, ...]]
) -> tuple[Document, ...]:
    """Documents that also carry whatever lies above their labels, behind these."""

    @functools.cache
    def ancestors(name: str) -> tuple[str, ...]:
        above = parents_above([name], parents).values()
        return tuple(dict.fromkeys(itertools.chain.from_iterable(above)))

    def closed(document: Document) -> Document:
        more = (name for label in document.labels for name in ancestors(label))
        labels = tuple(dict.fromkeys((*document.labels, *more)))
        return dataclasses.replace(document, labels=labels)

    return tuple(map(closed, documents))


def closed_share(sets: csr_array, pairs: Int[np.ndarray, "E 2"]) -> float:
    """Return the share of documents' labels with a parent that the document carries.

    Labels without a parent are not counted; 1 where there are none with.

    Args:
        sets: labels of the documents `[M, N]`.
        pairs: (child, parent) of the taxonomy.
    """
    shape = (sets.shape[1], sets.shape[1])
    above = csr_array((np.ones(len(pairs)), pairs.T), shape=shape)
    present = (csr_array(sets) > 0).astype(np.float32)
    has_parent = np.asarray(above.sum(axis=1)).ravel() > 0
    of_children = present[:, np.flatnonzero(has_parent)]
    parents = (present @ above.T)[:, np.flatnonzero(has_parent)]
    with_parent = (of_children.multiply(parents) > 0).sum()
    return float(with_parent / of_children.sum()) if of_children.nnz else 1.0


def hierarchy_edges(pairs: Int[np.ndarray, "E 2"], sets: csr_array) -> Edges:
    """Every label receives from itself, its parents and its children.

    From a parent with P(child | parent), counted over documents that carry what lies
    above their labels too; from a child, and from itself, with 1.

    Args:
        pairs: (child, parent).
        sets: labels of the documents `[M, N]`, as they are given.
    """
    size = sets.shape[1]
    child, parent = pairs.T
    upwards = csr_array((np.ones(len(pairs)), (child, parent)), (size, size))
    closed, before = csr_array(sets > 0, dtype=np.float32), -1
    while closed.nnz > before:
        before = closed.nnz
        closed = csr_array(closed + closed @ upwards > 0, dtype=np.float32)
    count, own = np.asarray(closed.sum(axis=0)), np.arange(size)
    down = count[child] / np.maximum(count[parent], 1)
    return make_edges(
        np.concatenate([child, parent, own]),
        np.concatenate([parent, child, own]),
        np.concatenate([down, np.ones(len(pairs) + size)]),
        n=size,
    )


def read_taxonomy(
    path: str | Path, *, labels: Collection[str] = (), shape: str = "dag"
) -> Taxonomy:
    """Read the parents of labels from a file as above, plain or .gz or .xz.

    Spaces around a name are dropped, blank lines passed over; an edge may stand there
    twice.

    Args:
        path: the file, UTF-8.
        labels: the corpus's labels, which decide whether `Root` and `--` are parts of
            names.
        shape: dag, or tree where a label with two parents is an error.

    Raises:
        DataError: the file is absent, empty, no UTF-8, or a line is not as above;
            `Root` is a child; an edge closes a cycle; two parents in a tree.
    """
    if shape not in SHAPES:
        raise DataError(f"shape must be one of {', '.join(SHAPES)}; got {shape!r}")
    path = Path(path)
    builder = _Builder(str(path), [r for r in ROOTS if r not in labels], shape)
    paths = next((name for name in sorted(labels) if PATH_SEPARATOR in name), None)
    for number, line in read_lines(path):
        if line.strip():
            for parent, child in _edges(line, f"{path}:{number}", paths):
                builder.add(parent, child, number)
    builder.check_cycles()
    if not builder.lines:
        raise DataError(f"{path}: must hold at least one line parent<TAB>child")
    parents = {
        name: tuple(parent for parent in found if parent not in builder.roots)
        for name, found in builder.parents.items()
    }
    return Taxonomy(
        str(path), {n: above for n, above in parents.items() if above}, builder.lines
    )


def _edges(
    line: str, where: str, label_with_separator: str | None
) -> Iterator[tuple[str, str]]:
    """Yield (parent, child) of one line."""
    names = [name.strip() for name in line.rstrip().split("\t")]
    is_path = len(names) == 1 and PATH_SEPARATOR in names[0]
    if is_path and label_with_separator is not None:
        raise DataError(
            f"{where}: must be parent<TAB>child: whether {PATH_SEPARATOR!r} separates "
            f"names is not clear, for a label is called {label_with_separator!r}"
        )
    if is_path:
        names = [name.strip() for name in names[0].split(PATH_SEPARATOR)]
    if len(names) < 2:
        raise DataError(
            f"{where}: must be a parent and its children with tabs between them; got "
            f"{names[0]!r} without child"
        )
    if not all(names):
        between = repr(PATH_SEPARATOR) if is_path else "tab"
        raise DataError(
            f"{where}: a name must stand on either side of each {between}; got {line!r}"
        )
    if is_path:
        yield from itertools.pairwise(names)
    else:
        yield from ((names[0], child) for child in names[1:])


class _Builder:
    """The edges read so far."""

    def __init__(self, source: str, roots: list[str], shape: str):
        self.source = source
        self.roots = roots
        self.shape = shape
        self.parents: dict[str, dict[str, int]] = {}
        self.lines: dict[str, int] = {}
        self.edges: list[tuple[str, str, int]] = []

    def add(self, parent: str, child: str, number: int) -> None:
        """Add an edge that line `number` gives; a known one changes nothing."""
        where = f"{self.source}:{number}"
        if child in self.roots:
            raise DataError(
                f"{where}: {child} stands above every label and can be nobody's child; "
                f"got it under {parent!r}"
            )
        for name in (parent, child):
            if name not in self.roots:
                self.lines.setdefault(name, number)
        known = self.parents.setdefault(child, {})
        if parent in known:
            return
        if self.shape == "tree" and known:
            other, line = next(iter(known.items()))
            raise DataError(
                f"{where}: in a tree (data.taxonomy_shape) a label has one parent; "
                f"{child!r} stands under {parent!r} here and under {other!r} in line "
                f"{line}"
            )
        known[parent] = number
        self.edges.append((parent, child, number))

    def check_cycles(self) -> None:
        """Raise DataError for the first line that closes a cycle.

        All edges are looked at once, and again only to find that line: following every
        edge upwards as it comes would take the square of the depth.
        """
        if not _has_cycle(self.edges):
            return
        first, last = 0, len(self.edges)  # without a cycle, and with one
        while last - first > 1:
            middle = (first + last) // 2
            if _has_cycle(self.edges[:middle]):
                last = middle
            else:
                first = middle
        parent, child, number = self.edges[first]
        cycle = _way_up(self.edges[:first], parent, child)
        shown = [repr(name) for name in (child, *cycle)]
        if len(shown) > _MOST_OF_CYCLE:
            left_out = len(shown) - _MOST_OF_CYCLE
            shown[_MOST_OF_CYCLE // 2 : -_MOST_OF_CYCLE // 2] = [f"({left_out:,} more)"]
        raise DataError(
            f"{self.source}:{number}: a taxonomy must have no cycle; this line closes "
            f"{' < '.join(shown)} (each under the next)"
        )


def _has_cycle(edges: list[tuple[str, str, int]]) -> bool:
    """Return whether names are left when those without parents go in turn."""
    children: dict[str, list[str]] = {}
    parents: dict[str, int] = {}
    for parent, child, _ in edges:
        children.setdefault(parent, []).append(child)
        parents[child] = parents.get(child, 0) + 1
    waiting = [name for name in children if name not in parents]
    left = len(edges)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            left -= 1
            parents[child] -= 1
            if not parents[child]:
                waiting.append(child)
    return left > 0


def _way_up(edges: list[tuple[str, str, int]], start: str, goal: str) -> list[str]:
    """The names from `start` up to `goal`, to which some way leads."""
    above: dict[str, list[str]] = {}
    for parent, child, _ in edges:
        above.setdefault(child, []).append(parent)
    below = {start: start}
    waiting = [start]
    while goal not in below:
        name = waiting.pop()
        for higher in above.get(name, ()):
            if higher not in below:
                below[higher] = name
                waiting.append(higher)
    way = [goal]
    while way[-1] != start:
        way.append(below[way[-1]])
    return way[::-1]


def _unknown_note(
    taxonomy: Taxonomy, labels: Collection[str], known: Collection[str]
) -> tuple[str, ...]:
    """A note on the names that are no label and above none, where there are some.

    Raises:
        DataError: no name is a label.
    """
    unknown = [name for name in taxonomy.lines if name not in known]
    if not unknown:
        return ()
    near = nearest_names(unknown[0], sorted(labels))
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    if not labels & taxonomy.lines.keys():
        raise DataError(
            f"{taxonomy.source}: some name must be a label that some document carries; "
            f"none of {len(unknown):,} is one, such as {unknown[0]!r}{meant}"
        )
    others = "".join(f", {name!r}" for name in unknown[1 : 1 + _EXAMPLES])
    more = ", ..." if len(unknown) > 1 + _EXAMPLES else ""
    return (
        f"{taxonomy.source}:{taxonomy.lines[unknown[0]]}: {len(unknown):,} of its "
        "names are carried by no document and stand above no label, so they are left "
        f"out: {unknown[0]!r}{meant}{others}{more}",
    )
