"""Random cuts, for results that were measured on one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

RANDOM80_SEED = 0


def random80(items: Sequence[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Cut items 80 to 20 at random, always in the same way, keeping their order.

    MAGNET (Pal, Selvakumar, Sankarasubbu 2020) measures on such cuts of every one of
    its corpora. Its own were never published, only their sizes; ours have those
    sizes.
    """
    order = np.random.default_rng(RANDOM80_SEED).permutation(len(items))
    cut = round(0.8 * len(items))
    train, test = np.sort(order[:cut]), np.sort(order[cut:])
    return tuple(items[i] for i in train), tuple(items[i] for i in test)
