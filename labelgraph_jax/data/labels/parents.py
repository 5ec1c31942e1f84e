"""Parents of labels where not every node of a taxonomy is a label itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

Parents = Mapping[str, tuple[str, ...]]


def parents_above(
    names: Collection[str], parents: Parents
) -> dict[str, tuple[str, ...]]:
    """The parents of some labels and of all that lies above these.

    What is kept of a taxonomy with a choice of its labels: an inner node that no
    document carries stays, with its own parents, or a label would lose what lies
    above it.

    Args:
        names: the labels, which decide the order.
        parents: for a node its parents.

    Returns:
        As `parents`, for the nodes that are reached upwards and have any.
    """
    kept: dict[str, tuple[str, ...]] = {}
    waiting = list(names)[::-1]
    while waiting:
        name = waiting.pop()
        if name in kept or not parents.get(name):
            continue
        kept[name] = tuple(parents[name])
        waiting.extend(kept[name][::-1])
    return kept


def labelled_parents(
    names: Collection[str], parents: Parents
) -> dict[str, tuple[str, ...]]:
    """The nearest labels above each label, whatever inner nodes lie between.

    One label is an ancestor of another by these exactly where it is one by
    `parents`: taking out the nodes that are no labels leaves the order as it was.

    Args:
        names: the labels.
        parents: for a node its parents; a node need not be a label.

    Returns:
        For each label that has any, its nearest labelled ancestors, each once.
    """
    labels = set(names)
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        waiting = list(parents.get(name, ()))[::-1]
        nearest: dict[str, None] = {}
        passed = {name}
        while waiting:
            above = waiting.pop()
            if above in passed:
                continue
            passed.add(above)
            if above in labels:
                nearest[above] = None
            else:
                waiting.extend(parents.get(above, ())[::-1])
        if nearest:
            found[name] = tuple(nearest)
    return found
