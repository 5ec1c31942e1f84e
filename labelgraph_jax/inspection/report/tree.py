"""The taxonomy of the labels with the F1 of every node: rows of a tree."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.inspection.report.contents import Inapplicable

MOST_ROWS = 2_000


class TreeRow(NamedTuple):
    """A node of a taxonomy where it stands in the tree.

    Attributes:
        depth: how many nodes lie above it here.
        name: of the node.
        also: other parents, of a node that has several; it stands under the first.
        f1, support: of a label; None of a node that is none.
    """

    depth: int
    name: str
    also: tuple[str, ...]
    f1: float | None
    support: int | None


class Tree(NamedTuple):
    """Rows from the roots down, and how many nodes there are in all."""

    rows: tuple[TreeRow, ...]
    nodes: int


def taxonomy_tree(
    labels: LabelSpace, per_label: Mapping[str, Mapping[str, Any]]
) -> Tree | str:
    """The tree of the labels' taxonomy; a sentence where there is none.

    Args:
        labels: of the model.
        per_label: metrics of each label by its name.
    """
    parents = labels.parents
    if not parents:
        return Inapplicable("No label lies above another.")
    children: dict[str, list[str]] = {}
    for child, above in parents.items():
        children.setdefault(above[0], []).append(child)
    nodes = {*parents, *(name for above in parents.values() for name in above)}
    waiting = [(name, 0) for name in sorted(nodes - parents.keys(), reverse=True)]
    rows: list[TreeRow] = []
    while waiting and len(rows) < MOST_ROWS:
        name, depth = waiting.pop()
        own = per_label.get(name, {})
        also = tuple(parents.get(name, ())[1:])
        rows.append(TreeRow(depth, name, also, own.get("f1"), own.get("support")))
        below = sorted(children.get(name, ()), reverse=True)
        waiting += [(child, depth + 1) for child in below]
    return Tree(tuple(rows), len(nodes))
