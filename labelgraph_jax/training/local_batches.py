"""What this process evaluates, where several are one run."""

from collections.abc import Iterator
from typing import Any

import jax

from labelgraph_jax.data.batches.batches import Examples, evaluation_batches
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.training.progress import track


def own_batches(
    examples: Examples | TableExamples, *, batch_size: int
) -> Iterator[Any]:
    """The batches that hold every document once: this process's rows of them.

    Args:
        examples: the same on every process.
        batch_size: over all processes; raised to a multiple of their number.
    """
    count = jax.process_count()
    batches = evaluation_batches(
        examples,
        batch_size=-(-batch_size // count) * count,
        shard_index=jax.process_index(),
        shard_count=count,
    )
    own = -(-len(examples) // count)
    return track(batches, total=own, what="scoring")
