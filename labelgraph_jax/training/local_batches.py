"""Rows that this process evaluates in a run of several processes."""

from collections.abc import Iterator

import jax

from labelgraph_jax.data.batches.batches import Batch, Examples, evaluation_batches
from labelgraph_jax.data.batches.shapes import LENGTHS, lengths, rows_for
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.training.progress import track


def own_batches(
    examples: Examples | TableExamples, *, batch_size: int, longest: int = 0
) -> Iterator[Batch]:
    """The batches that hold every document once: this process's rows of them.

    Fewer documents than fill a batch are padded to one of a few numbers of rows, so
    that another number of them is not another compilation.

    Args:
        examples: the same on every process; at least one.
        batch_size: over all processes; raised to a multiple of their number.
        longest: tokens of a row, at most, where that is known: so few documents are
            then padded to one of a few lengths too, and not to those that suit them.
    """
    count = jax.process_count()
    few = longest > 0 and len(examples) < batch_size
    batches = evaluation_batches(
        examples,
        batch_size=-(-rows_for(len(examples), batch_size) // count) * count,
        length_buckets=lengths(longest, LENGTHS) if few else None,
        shard_index=jax.process_index(),
        shard_count=count,
    )
    own = -(-len(examples) // count)
    return track(batches, total=own, what="scoring")
