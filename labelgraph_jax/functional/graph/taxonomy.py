"""Taxonomies over labels: who is above whom, and decisions that agree with it.

Everywhere a taxonomy is a directed acyclic graph of (child, parent) pairs, and
`ancestors[i, j]` says that label j is a proper ancestor of label i. Where one label is
true, so are all its ancestors.

The functions on documents work on the host (NumPy in, NumPy out) and, jitted or not,
on a device. On the host they cost documents times pairs of a label and an ancestor,
which a taxonomy has few of; on a device documents times labels squared.
"""

from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import (
    check_axes,
    check_targets,
    is_known,
    is_positive,
)
from labelgraph_jax.functional.graph.edges import check_parents

AnyArray = TypeVar("AnyArray", Array, np.ndarray)
HostOrDevice = Array | np.ndarray
MOST_OF_CYCLE = 8
"""Labels of a cycle that are said, its two ends."""


class HierarchicalCounts(NamedTuple):
    """Counts that the hierarchical metrics divide; every field is an integer scalar.

    `a + b` adds the counts of two batches.
    """

    tp: Int[HostOrDevice, ""]
    """Pairs of a document and a label in both ancestor-augmented sets."""
    predicted: Int[HostOrDevice, ""]
    """Pairs in the augmented predictions."""
    positives: Int[HostOrDevice, ""]
    """Pairs in the augmented truth."""
    violations: Int[HostOrDevice, ""]
    """Documents with a predicted label one of whose ancestors is not predicted."""
    target_violations: Int[HostOrDevice, ""]
    """Documents that carry a label without one of its ancestors."""
    documents: Int[HostOrDevice, ""]

    def __add__(  # type: ignore[override]
        self, other: "HierarchicalCounts"
    ) -> "HierarchicalCounts":
        return HierarchicalCounts(*(a + b for a, b in zip(self, other, strict=True)))


def ancestor_matrix(parents: Int[ArrayLike, "E 2"], n: int) -> Bool[Array, "N N"]:
    """Find the ancestors of every label: the transitive closure of its parents.

    R[i] = OR over parents p of i of (e_p OR R[p])

    Where values are known, labels are taken from the top down, on the host, each once:
    edges times labels, however deep. Under `jit` all are taken together until nothing
    changes, which takes as many such rounds as the taxonomy is deep.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> pairs = np.array([[1, 0], [2, 1]])  # (child, parent)
        >>> lg.functional.ancestor_matrix(pairs, 3).astype(int).tolist()
        [[0, 0, 0], [1, 0, 0], [1, 1, 0]]

    Args:
        parents: one row (child, parent) of label indices per edge; there may be none,
            and an edge may stand there twice.
        n: the number of labels.

    Returns:
        `[N, N]`, entry (i, j) true where j is a proper ancestor of i. Under `jit`,
        where a cycle cannot be refused, its labels are their own ancestors.

    Raises:
        ValueError: `n` is below 1, `parents` is not `[E, 2]`, names a label outside
            0..n-1, or closes a cycle (the last two seen only where its values are
            known, so not under `jit`).
    """
    if n < 1:
        raise ValueError(f"a taxonomy must have at least 1 label, got n = {n}")
    parents = jnp.asarray(parents)
    check_parents(parents, n)
    if not is_known(parents):
        return _closure(parents, n)
    return jnp.asarray(_from_the_top(np.asarray(parents, np.int64), n))


def _from_the_top(parents: Int[np.ndarray, "E 2"], n: int) -> Bool[np.ndarray, "N N"]:
    """The ancestors of every label, each label after its parents.

    Raises:
        ValueError: a cycle, of which the labels are named.
    """
    pairs = np.unique(parents, axis=0).tolist()
    above: list[list[int]] = [[] for _ in range(n)]
    below: list[list[int]] = [[] for _ in range(n)]
    for child, parent in pairs:
        above[child].append(parent)
        below[parent].append(child)
    missing = [len(ends) for ends in above]
    ready = [label for label in range(n) if not missing[label]]
    reached = np.zeros((n, n), bool)
    for label in ready:  # grows
        for parent in above[label]:
            reached[label] |= reached[parent]
            reached[label, parent] = True
        for child in below[label]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    if len(ready) < n:
        raise ValueError(f"parents must hold no cycle; {_cycle(above, missing)}")
    return reached


def _cycle(above: list[list[int]], missing: list[int]) -> str:
    """A sentence on one cycle: every label left has a parent that is left too."""
    way = [next(label for label, count in enumerate(missing) if count)]
    place = {way[0]: 0}
    while True:
        way.append(next(p for p in above[way[-1]] if missing[p]))
        if way[-1] in place:
            break
        place[way[-1]] = len(way) - 1
    cycle = way[place[way[-1]] : -1]
    first = cycle.index(min(cycle))
    cycle = [*cycle[first:], *cycle[: first + 1]]
    shown = [str(label) for label in cycle]
    if len(shown) > MOST_OF_CYCLE:
        shown[MOST_OF_CYCLE // 2 : -MOST_OF_CYCLE // 2] = ["..."]
    return (
        f"label {cycle[0]} is its own ancestor: {' < '.join(shown)} (each under the "
        "next)"
    )


@partial(jax.jit, static_argnames="n")
def _closure(parents: Int[Array, "E 2"], n: int) -> Bool[Array, "N N"]:
    child, parent = parents[:, 0], parents[:, 1]
    direct = jnp.zeros((n, n), bool).at[child, parent].set(True)

    def climb(
        state: tuple[Bool[Array, "N N"], Bool[Array, ""]],
    ) -> tuple[Bool[Array, "N N"], Bool[Array, ""]]:
        reached, _ = state
        further = reached.at[child].max(reached[parent])
        return further, (further != reached).any()

    closed, _ = jax.lax.while_loop(
        lambda state: state[1], climb, (direct, jnp.asarray(True))
    )
    return closed


def imply_ancestors(
    decisions: Bool[AnyArray, "M N"], ancestors: Bool[HostOrDevice, "N N"]
) -> Bool[AnyArray, "M N"]:
    """Decide every ancestor of a decided label too.

    out[m, j] = decisions[m, j] OR any over i of (decisions[m, i] AND ancestors[i, j])

    Args:
        decisions: True where the label is predicted.
        ancestors: what `ancestor_matrix` returns.

    Returns:
        Decisions that never name a label without its ancestors; nothing is taken
        away, and applying it twice changes nothing.
    """
    check_axes(decisions=(decisions, "M N"), ancestors=(ancestors, "N N"))
    if isinstance(decisions, jax.Array):
        weight = decisions.astype(jnp.float32)
        above = jnp.asarray(ancestors).astype(jnp.float32)
        return decisions | (weight @ above > 0)
    implied = np.array(decisions.T, order="C")
    for label, below in _descendants(ancestors):
        implied[label] |= decisions.T[below].any(axis=0)
    return np.ascontiguousarray(implied.T)


def ancestor_probabilities(
    probabilities: Float[AnyArray, "M N"], ancestors: Bool[HostOrDevice, "N N"]
) -> Float[AnyArray, "M N"]:
    """Raise every label to the most probable of itself and its descendants.

    out[m, j] = max(p[m, j], max over i with ancestors[i, j] of p[m, i])

    A parent is then at least as probable as its child, so that one threshold for all
    labels gives decisions that agree with the taxonomy.

    Args:
        probabilities: one score per document and label, any number but NaN.
        ancestors: what `ancestor_matrix` returns.
    """
    check_axes(probabilities=(probabilities, "M N"), ancestors=(ancestors, "N N"))
    if isinstance(probabilities, jax.Array):
        return _raised(probabilities, jnp.asarray(ancestors))
    raised = np.array(probabilities.T, order="C")
    for label, below in _descendants(ancestors):
        highest = probabilities.T[below].max(axis=0)
        np.maximum(raised[label], highest, out=raised[label])
    return np.ascontiguousarray(raised.T)


@jax.jit
def _raised(
    probabilities: Float[Array, "M N"], ancestors: Bool[Array, "N N"]
) -> Float[Array, "M N"]:
    """`ancestor_probabilities` label by label: no array larger than the arguments."""

    def raise_ancestors(
        raised: Float[Array, "M N"], label: tuple[Bool[Array, " N"], Float[Array, " M"]]
    ) -> tuple[Float[Array, "M N"], None]:
        above, scores = label
        higher = jnp.maximum(raised, scores[:, None])
        return jnp.where(above, higher, raised), None

    return jax.lax.scan(raise_ancestors, probabilities, (ancestors, probabilities.T))[0]


def _descendants(
    ancestors: Bool[HostOrDevice, "N N"],
) -> list[tuple[int, Int[np.ndarray, " D"]]]:
    """The labels that have descendants, each with these."""
    above, below = np.nonzero(np.asarray(ancestors).T)
    labels, starts = np.unique(above, return_index=True)
    groups = np.split(below, starts[1:])
    return list(zip(labels.tolist(), groups, strict=False))


def hierarchical_counts(
    decisions: Bool[AnyArray, "M N"],
    targets: Shaped[HostOrDevice, "M N"],
    ancestors: Bool[HostOrDevice, "N N"],
    example_mask: Bool[HostOrDevice, " M"] | None = None,
    target_mask: Bool[HostOrDevice, "M N"] | None = None,
) -> HierarchicalCounts:
    """Count hits and misses after adding the ancestors to predictions and truth.

    Args:
        decisions: True where the label is predicted.
        targets: positive where > 0.
        ancestors: what `ancestor_matrix` returns.
        example_mask: True where the document is real, False where it is padding.
        target_mask: True where the label of the document is annotated; the others
            count nowhere, whatever the target holds.

    Returns:
        Integer scalars, which add over batches and devices.

    Raises:
        ValueError: shapes do not fit together; or a target that counts is NaN or
            outside 0..1 (seen only where it is known, so not under `jit`).
    """
    check_axes(
        decisions=(decisions, "M N"),
        targets=(targets, "M N"),
        ancestors=(ancestors, "N N"),
        example_mask=(example_mask, "M"),
        target_mask=(target_mask, "M N"),
    )
    check_targets(targets, target_mask, example_mask)
    xp = jnp if isinstance(decisions, jax.Array) else np
    positive = is_positive(targets) if xp is jnp else np.asarray(targets) > 0
    real = xp.ones(len(decisions), bool) if example_mask is None else example_mask
    counted = real = xp.asarray(real)[:, None]
    if target_mask is not None:
        counted = real & xp.asarray(target_mask)
        real = counted.any(axis=1, keepdims=True)
    positive = positive & counted
    decided = imply_ancestors(decisions, ancestors) & real
    true = imply_ancestors(positive, ancestors) & counted
    predicted = decided & counted
    return HierarchicalCounts(
        tp=(predicted & true).sum(),
        predicted=predicted.sum(),
        positives=true.sum(),
        violations=(decided & ~decisions).any(axis=1).sum(),
        target_violations=(true & ~positive).any(axis=1).sum(),
        documents=real.sum(),
    )


def summarise_hierarchical_counts(counts: HierarchicalCounts) -> dict[str, float]:
    """Hierarchical precision, recall and F1 from counts, in float64; 0 / 0 is 0.

        hP = sum |P^ and T^| / sum |P^|,  hR = sum |P^ and T^| / sum |T^|

    with P^ and T^ a document's predicted and true labels and all their ancestors, the
    sums over documents; hF1 is their harmonic mean.

    Returns:
        hierarchical_precision, hierarchical_recall, hierarchical_f1, and
        taxonomy_violations, the share of the documents whose predictions lack an
        ancestor of a predicted label; taxonomy_violations_in_truth, the same of the
        targets: where it is high, the documents name the lowest labels alone, and
        predictions that imply ancestors are further from such a truth.

    Reference: Kiritchenko, Matwin and Famili, "Functional Annotation of Genes Using
    Hierarchical Text Categorization", BioLINK SIG 2005. As there, the root counts
    nothing; nor does an inner node that is no label.
    """
    tp, predicted, positives, violations, in_truth, documents = map(int, counts)
    return {
        "hierarchical_precision": tp / max(predicted, 1),
        "hierarchical_recall": tp / max(positives, 1),
        "hierarchical_f1": 2 * tp / max(predicted + positives, 1),
        "taxonomy_violations": violations / max(documents, 1),
        "taxonomy_violations_in_truth": in_truth / max(documents, 1),
    }
