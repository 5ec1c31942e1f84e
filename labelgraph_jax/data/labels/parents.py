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
    # Of every node that was passed once, so that no way is climbed twice.
    nearest: dict[str, tuple[str, ...]] = {}
    for name in names:
        waiting = [name]
        while waiting:
            node = waiting[-1]
            above = parents.get(node, ())
            missing = [
                p for p in above if p not in labels and p not in nearest and p != node
            ]
            nearest.setdefault(node, ())  # a cycle, which no reader lets in, ends here
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            ways = [(p,) if p in labels else nearest[p] for p in above if p != node]
            nearest[node] = (
                ways[0] if len(ways) == 1 else tuple(dict.fromkeys(sum(ways, ())))
            )
    found = {name: tuple(p for p in nearest[name] if p != name) for name in names}
    return {name: above for name, above in found.items() if above}
