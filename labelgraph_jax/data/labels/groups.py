"""Labels in groups by how often training has them, to be measured one by one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from labelgraph_jax.data.documents import DataError

EURLEX57K_GROUPS: Mapping[str, int] = MappingProxyType(
    {"frequent": 50, "few": 1, "zero": 0}
)
"""The groups of Chalkidis et al., ACL 2019: at least 50 training documents, 1 to 49,
and none. Of the 4,271 labels of EURLEX57K 746, 3,362 and 163."""

HEAD_MIDDLE_TAIL = ("head", "middle", "tail")


def label_groups(
    train_counts: ArrayLike, least: Mapping[str, int] = EURLEX57K_GROUPS
) -> dict[str, np.ndarray]:
    """Divide labels by their training documents.

    Args:
        train_counts: training documents with each label [N].
        least: per group, the fewest documents of a label in it; each label goes to the
            group of the largest such number that it reaches.

    Returns:
        Per group, in the order of `least`, the ids of its labels, int64, increasing;
        together each label once. A group may be empty.

    Raises:
        DataError: no group, two with the same number, a negative one or none that
            reaches down to the rarest label; or counts that are none.

    Reference: Chalkidis et al., "Large-Scale Multi-Label Text Classification on EU
    Legislation", ACL 2019, section 3.
    """
    counts = _checked(train_counts)
    bounds = sorted(least.values())
    if not bounds or bounds[0] < 0 or len(set(bounds)) < len(bounds):
        raise DataError(
            "groups must begin at differing numbers of documents from 0 on; got "
            f"{dict(least)}"
        )
    if counts.size and counts.min() < bounds[0]:
        raise DataError(
            f"a group must begin at {counts.min():g} documents or less, so that every "
            f"label has one; got {dict(least)}"
        )
    place = np.searchsorted(bounds, counts, side="right") - 1
    return {
        name: np.flatnonzero(place == bounds.index(bound))
        for name, bound in least.items()
    }


def head_middle_tail(train_counts: ArrayLike) -> dict[str, np.ndarray]:
    """Three groups that hold about a third of all training labels each.

    From the most frequent label down (of equals the first), labels are the head until
    a third of all (document, label) pairs is reached, then the middle until two thirds;
    the rest is the tail, labels without training documents among it. The tail has most
    of the labels, the head few.

    Args:
        train_counts: training documents with each label [N].

    Returns:
        Per group the ids of its labels, int64, increasing.

    Raises:
        DataError: counts that are none.
    """
    counts = _checked(train_counts)
    order = np.argsort(-counts, kind="stable")
    total = counts.sum()
    before = np.cumsum(counts[order]) - counts[order]
    third = np.full(len(counts), 2)
    if total > 0:
        third = np.minimum((3 * before / total).astype(np.int64), 2)
        third[counts[order] == 0] = 2
    return {
        name: np.sort(order[third == place])
        for place, name in enumerate(HEAD_MIDDLE_TAIL)
    }


def _checked(train_counts: ArrayLike) -> np.ndarray:
    counts = np.asarray(train_counts)
    if counts.ndim != 1 or (counts.size and not counts.min() >= 0):
        raise DataError(
            "training documents must be counted for each label, one number from 0 on; "
            f"got shape {counts.shape}"
        )
    return counts
