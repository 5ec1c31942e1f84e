"""Ranking metrics within a group of labels, such as the zero-shot labels.

Every other label is left out of the ranking and of the truth, and the mean is over the
documents that carry at least one label of the group: what a rare label's documents get
is not drowned by what all documents get of frequent labels.

Reference: Chalkidis et al., "Large-Scale Multi-Label Text Classification on EU
Legislation", ACL 2019, section 4 (R@K, RP@K and nDCG@K for frequent, few- and zero-shot
labels), as their published code measures it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import (
    check_axes,
    check_integers,
    check_numbers,
    check_targets,
    is_known,
    is_positive,
)
from labelgraph_jax.functional.metrics.ranked import ranked_hits
from labelgraph_jax.functional.metrics.ranking import (
    hits_at_k,
    ndcg_from_hits,
    r_precision_from_hits,
    recall_from_hits,
)

Host = np.ndarray


class GroupHits(NamedTuple):
    """Hits among the first labels of a group, for each document.

    Attributes:
        hits: whether the label of the group at each of the K first ranks is a true one.
        positives: how many labels of the group the document carries.
    """

    hits: Bool[Array, "B K"]
    positives: Int[Array, " B"]


def group_hits(
    scores: Float[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    group: Int[ArrayLike, " G"],
    k: int,
) -> GroupHits:
    """Rank the labels of a group by themselves.

    Args:
        scores: to rank by; ties by label index.
        targets: positive where > 0.
        group: ids of its labels, none twice, one at least.
        k: ranks looked at, K = min(k, G).

    Raises:
        ValueError: k < 1, a group without labels, shapes that differ; or, where values
            are known, an id that is no label, a score that is NaN, or a target that is
            NaN or outside 0..1.
    """
    if not jnp.size(group):
        raise ValueError("a group must have at least one label to be ranked; got none")
    check_axes(scores=(scores, "B N"), targets=(targets, "B N"), group=(group, "G"))
    check_targets(targets)
    check_numbers(scores=scores)
    check_integers(group=group)
    if is_known(group):
        _check("group", np.asarray(group), jnp.shape(scores)[1])
    group = jnp.asarray(group)
    inside, truth = jnp.asarray(scores)[:, group], is_positive(targets)[:, group]
    return GroupHits(hits_at_k(inside, truth, k), truth.sum(-1))


def group_ranking_metrics(
    scores: Float[ArrayLike, "M N"],
    targets: Shaped[ArrayLike, "M N"],
    groups: Mapping[str, Shaped[Host, " G"]],
    *,
    ks: Sequence[int] = (1, 5),
) -> dict[str, dict[str, float]]:
    """R@k, RP@k and nDCG@k of each group, from the scores of all labels.

    Args:
        scores: to rank by.
        targets: positive where > 0.
        groups: per name the ids of its labels; each is measured by itself.
        ks: ranks looked at.

    Returns:
        Per group `labels`, `documents` (those with a label of the group, which the
        means are over), and `R@k`, `RP@k`, `nDCG@k` for every k; the latter are NaN
        for a group without such a document.

    Raises:
        ValueError: k < 1, an id that is no label, or as `group_hits`.

    Reference: see the module.
    """
    labels = jnp.shape(scores)[1]
    found = {}
    for name, group in groups.items():
        _check(name, group, labels)
        if not len(group):
            found[name] = _means(np.zeros((0, 1), bool), np.zeros(0, int), 0, ks)
            continue
        ranked = group_hits(scores, targets, group, max(ks, default=1))
        hits, positives = (np.asarray(part) for part in ranked)
        found[name] = _means(hits, positives, len(group), ks)
    return found


def ranked_group_metrics(
    ids: Int[Host, "M K"],
    indptr: Int[Host, "M1"],
    indices: Int[Host, "P"],
    groups: Mapping[str, Shaped[Host, " G"]],
    *,
    labels: int,
    ks: Sequence[int] = (1, 5),
) -> dict[str, dict[str, float]]:
    """Return `group_ranking_metrics` computed from the best labels of each document.

    Labels outside the group are passed over. A list that runs out before k labels of
    the group have been seen counts the rest as misses, so that the values are lower
    bounds there; `complete@k` is the share of the documents whose list did not. It is 1
    where the lists were made of the group's labels alone.

    Args:
        ids: label ids, best first, none of them twice in a row; -1 for no label.
        indptr: the truth as the rows of a CSR matrix: where each row ends.
        indices: the truth: the labels of all rows.
        groups: per name the ids of its labels.
        labels: how many there are in all.
        ks: ranks looked at.

    Returns:
        As `group_ranking_metrics`, and `complete@k`.

    Raises:
        ValueError: k < 1, an id that is no label, or truth that is no such matrix.
    """
    named = ids >= 0
    if max(ids.max(initial=-1), indices.max(initial=-1)) >= labels:
        raise ValueError(f"label ids must be below {labels}")
    hits = ranked_hits(np.where(named, ids, 0), indptr, indices) & named
    rows = np.repeat(np.arange(len(ids)), np.diff(indptr))
    found = {}
    for name, group in groups.items():
        member = _members(name, group, labels)
        inside = member[np.where(named, ids, 0)] & named
        # The group's own labels first, in their order.
        order = np.argsort(~inside, axis=1, kind="stable")
        own = np.take_along_axis(hits & inside, order, axis=1)
        positives = np.bincount(rows[member[indices]], minlength=len(ids))
        found[name] = _means(own, positives, len(group), ks)
        counted = positives > 0
        for k in ks:
            enough = inside.sum(1)[counted] >= min(k, len(group))
            found[name][f"complete@{k}"] = _mean(enough)
    return found


def competing_r_precision(
    ids: Int[Host, "M K"],
    indptr: Int[Host, "M1"],
    indices: Int[Host, "P"],
    groups: Mapping[str, Shaped[Host, " G"]],
    *,
    labels: int,
    k: int = 5,
) -> dict[str, float]:
    """Return RP@k of the labels of each group while all labels compete, and their mean.

        RP@k(group) = mean over documents of
                      (labels of the group among the k best) / min(k, its positives)

    The harmonic mean of the groups is low where one of them is: with labels that have
    training documents and labels that have none, it is how generalised zero-shot
    classification is measured.

    Args:
        ids: label ids, best first, of all labels; -1 for no label.
        indptr: the truth as the rows of a CSR matrix: where each row ends.
        indices: the truth: the labels of all rows.
        groups: per name the ids of its labels.
        labels: how many there are in all.
        k: ranks looked at, at most K.

    Returns:
        The value of each group, over the documents that carry one of its labels, and
        `harmonic_mean`; NaN for a group without such a document, and of it then.

    Raises:
        ValueError: k < 1 or above K, or as `ranked_group_metrics`.

    Reference: Xian et al., "Zero-Shot Learning - A Comprehensive Evaluation", TPAMI
    2019, section 4.3 (harmonic mean of seen and unseen classes).

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> ids = np.array([[0, 2]])
        >>> groups = {"seen": np.array([0, 1]), "unseen": np.array([2])}
        >>> truth = np.array([0, 3]), np.array([0, 1, 2])  # one document with all three
        >>> found = lg.functional.competing_r_precision(
        ...     ids, *truth, groups, labels=3, k=2
        ... )
        >>> {name: round(value, 3) for name, value in found.items()}
        {'seen': 0.5, 'unseen': 1.0, 'harmonic_mean': 0.667}
    """
    if not 1 <= k <= ids.shape[1]:
        raise ValueError(f"k must lie from 1 to {ids.shape[1]}, got {k}")
    if max(ids.max(initial=-1), indices.max(initial=-1)) >= labels:
        raise ValueError(f"label ids must be below {labels}")
    best = np.maximum(ids[:, :k], 0)
    hits = ranked_hits(best, indptr, indices) & (ids[:, :k] >= 0)
    rows = np.repeat(np.arange(len(ids)), np.diff(indptr))
    found = {}
    for name, group in groups.items():
        member = _members(name, group, labels)
        positives = np.bincount(rows[member[indices]], minlength=len(ids))
        own = (hits & member[best]).sum(axis=1) / np.clip(positives, 1, k)
        found[name] = _mean(own[positives > 0])
    values = np.asarray(list(found.values()))
    with np.errstate(divide="ignore"):
        harmonic = float(1.0 / np.mean(1.0 / values)) if len(values) else float("nan")
    return found | {"harmonic_mean": harmonic}


def _means(
    hits: Bool[Host, "M K"],
    positives: Shaped[Host, " M"],
    labels: int,
    ks: Sequence[int],
) -> dict[str, float]:
    counted = positives > 0
    hits, positives = hits[counted], positives[counted]
    found = {"labels": float(labels), "documents": float(len(hits))}
    for k in ks:
        if k < 1:
            raise ValueError(f"k must be >= 1, got {k}")
        first = hits[:, :k]
        found[f"R@{k}"] = _mean(recall_from_hits(first, positives))
        found[f"RP@{k}"] = _mean(r_precision_from_hits(first, positives, k))
        found[f"nDCG@{k}"] = _mean(_ndcg(first, positives, k))
    return found


def _ndcg(
    hits: Bool[Host, "M K"], positives: Shaped[Host, " M"], k: int
) -> Float[Host, " M"]:
    # The ideal has k ranks, however many labels of the group there are.
    return ndcg_from_hits(
        np.pad(hits, ((0, 0), (0, max(k - hits.shape[1], 0)))), positives
    )


def _mean(values: Shaped[Host, " M"]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _members(name: str, group: Shaped[Host, " G"], labels: int) -> Bool[Host, " N"]:
    """A mask of the labels of a group."""
    _check(name, group, labels)
    member = np.zeros(labels, bool)
    member[np.asarray(group, np.int64)] = True
    return member


def _check(name: str, group: Shaped[Host, " G"], labels: int) -> None:
    group = np.asarray(group)
    if group.size and not (group.min() >= 0 and group.max() < labels):
        raise ValueError(
            f"the labels of group {name!r} must lie from 0 to {labels - 1}; got "
            f"{group.min()} to {group.max()}"
        )
    if len(np.unique(group)) < group.size:
        raise ValueError(f"a label stands in group {name!r} once; got one twice")
