"""What this process evaluates, where several are one run."""

import jax

from labelgraph_jax.data.batches import Batches, Examples, evaluation_batches
from labelgraph_jax.data.table_examples import TableExamples


def own_batches(examples: Examples | TableExamples, *, batch_size: int) -> Batches:
    """The batches that hold every document once: this process's rows of them.

    Args:
        examples: the same on every process.
        batch_size: over all processes; raised to a multiple of their number.
    """
    count = jax.process_count()
    return evaluation_batches(
        examples,
        batch_size=-(-batch_size // count) * count,
        shard_index=jax.process_index(),
        shard_count=count,
    )
