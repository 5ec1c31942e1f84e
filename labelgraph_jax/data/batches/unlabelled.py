"""A second stream of documents beside the labelled ones of every batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from labelgraph_jax.data.batches.examples import Examples
from labelgraph_jax.data.batches.plan import BatchPlan, choose_length_buckets
from labelgraph_jax.functional.trees import Batch, Leaf

UNLABELLED = "unlabelled_"
"""Prefix of the batch entries of the unlabelled documents, `[B, R, ...]`."""
PROGRESS = f"{UNLABELLED}progress"
"""Batch entry: the share of all steps that are done before it, float32 `[B]`."""
LENGTHS = 2
"""Lengths of unlabelled rows: with each a program is compiled for every length of the
labelled ones."""


class Unlabelled:
    """R unlabelled documents beside each labelled one, by the number of the batch.

    They are gone through in an order and number of epochs of their own.

    Args:
        examples: the documents; their targets are what they are thought to have, and
            may have no column.
        ratio: R.
        batch_size: labelled rows of a batch over all hosts.
        seed: of the order.

    Raises:
        ValueError: no document, or a ratio that is not positive.
    """

    def __init__(
        self, examples: Examples, ratio: int, *, batch_size: int, seed: int
    ) -> None:
        if ratio < 1:
            raise ValueError(f"ratio must be at least 1; got {ratio}")
        self.examples, self.ratio = examples, ratio
        self.plan = BatchPlan(
            examples,
            batch_size=batch_size * ratio,
            seed=seed,
            length_buckets=choose_length_buckets(examples.lengths, count=LENGTHS),
        )

    def own_rows(self, labelled: slice) -> slice:
        """Return the batch rows of unlabelled documents beside labelled ones."""
        return slice(labelled.start * self.ratio, labelled.stop * self.ratio)

    def put(self, batch: dict[str, np.ndarray], rows: Mapping[str, np.ndarray]) -> None:
        """Put rows `[B R, ...]` beside the labelled ones of a batch."""
        for name, array in rows.items():
            split = (len(array) // self.ratio, self.ratio, *array.shape[1:])
            batch[UNLABELLED + name] = array.reshape(split)


def unlabelled_part(batch: Batch) -> dict[str, Leaf]:
    """The unlabelled documents of a batch as a batch of their own, `[B R, ...]`.

    The order within a labelled row's R documents stays, so that the rows of a device
    are those of its labelled rows.
    """
    return {
        name.removeprefix(UNLABELLED): array.reshape(
            math.prod(array.shape[:2]), *array.shape[2:]
        )
        for name, array in batch.items()
        if name.startswith(UNLABELLED) and name != PROGRESS
    }
