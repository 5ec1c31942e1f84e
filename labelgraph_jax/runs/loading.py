"""A work directory -> the model that it holds, of texts or of a table."""

from pathlib import Path

from labelgraph_jax.predictors.label_model import Model
from labelgraph_jax.predictors.table_model import TableModel
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.restore import load as load_model
from labelgraph_jax.runs.restore import load_table


def load(workdir: str | Path, *, checkpoint: str | int = "best") -> Model | TableModel:
    """Restores a trained model from its work directory alone.

    Args:
        workdir: what `labelgraph train` left.
        checkpoint: `best`, `last`, or a step.

    Returns:
        A `Model`, which reads texts, or of a run over a table a `TableModel`, which
        reads rows. A run that has not finished gives its best so far, with a warning.

    Raises:
        WorkdirError: it is no work directory, or a file of it is damaged.
        CheckpointError: no checkpoint can be read.
    """
    if Workdir.existing(workdir).is_table:
        return load_table(workdir, checkpoint=checkpoint)
    return load_model(workdir, checkpoint=checkpoint)
