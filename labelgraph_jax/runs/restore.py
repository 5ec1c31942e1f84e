"""A work directory -> the trained model that it holds."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.modules.pretrained import read_shape
from labelgraph_jax.predictors.decision import at_half, read_decision
from labelgraph_jax.predictors.documents import load_tokenizer
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.memory.build import restore_memory
from labelgraph_jax.predictors.memory.files import has_memory
from labelgraph_jax.predictors.network import (
    build_classifier,
    first_trained_layer,
    token_table,
)
from labelgraph_jax.predictors.table_network import (
    build_table_classifier,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.training.checkpoint import CheckpointStore

if TYPE_CHECKING:
    pass


def load(
    workdir: str | Path, *, checkpoint: str | int = "best", cache: Path | None = None
) -> Model:
    """Restores a trained model from its work directory alone.

    A run that is still going on, or broke off, has no thresholds yet: its model decides
    at 0.5, and a warning says so.

    Args:
        workdir: what `labelgraph train` left.
        checkpoint: `best`, `last`, or a step.
        cache: folder that keeps what a frozen encoder makes of documents, or None.

    Raises:
        WorkdirError: it is no work directory, or a file of it is damaged.
        CheckpointError: no checkpoint can be read.
    """
    place = Workdir.existing(workdir)
    model = restore(place, checkpoint=checkpoint, cache=cache)
    if not place.has_thresholds:
        warnings.warn(
            f"{workdir}: training has not finished, so every label is decided at 0.5",
            stacklevel=2,
        )
        return model
    decision = read_decision(place, place.labels().names, model.ancestors)
    if model.memory is None:
        return model.with_decision(decision)
    return model.with_decision(decision).with_memory(model.memory)


def restore(
    place: Workdir,
    *,
    checkpoint: str | int = "best",
    cache: Path | None = None,
    with_memory: bool = True,
) -> Model:
    """As `load`, deciding at 0.5 and without a word about it.

    Args:
        place, checkpoint, cache: as `load`.
        with_memory: false leaves out the memory, and with it the added labels.
    """
    if place.is_ensemble:
        from labelgraph_jax.runs.ensemble import load_ensemble

        return load_ensemble(place)
    if place.is_table:
        raise WorkdirError(
            f"{place.path}: a run over a table reads rows and not texts; "
            "labelgraph_jax.load gives its model"
        )
    config = place.config()
    labels, graph = place.labels(), place.label_graph()
    tokenizer = load_tokenizer(config.text, place.tokenizer)
    encoder = shape = None
    if config.text.vectors == "pretrained":
        shape = read_shape(place.encoder)
        if not config.text.trainable:
            encoder = FrozenEncoder.load(place.encoder, cache=cache)
        elif first_layer := first_trained_layer(config.text, shape):
            encoder = FrozenEncoder.load(place.encoder, layers=first_layer, cache=cache)
    with CheckpointStore(place.checkpoints) as store:
        params, step = store.restore_params(checkpoint), store.step_of(checkpoint)
    table = token_table(params)
    classifier = build_classifier(
        config,
        graph,
        vocabulary_size=tokenizer.vocabulary_size,
        transformer=shape,
        features=None if table is None else table.shape[1],
        tasks=labels.task_columns,
    )
    half = at_half(len(labels))
    model = Model(
        place, config, labels, tokenizer, classifier, params, half, encoder, step=step
    )
    if not (with_memory and has_memory(place)):
        return model
    return model.with_memory(restore_memory(place, model, cache))


def save_table_files(
    place: Workdir, schema: TableSchema, targets: Sequence[Target]
) -> None:
    """Writes table.json: what every task predicts, and how every column is read."""
    values = {"tasks": [target.to_json() for target in targets]}
    place.save_table(values | json.loads(schema.to_json()))


def load_table(workdir: str | Path, *, checkpoint: str | int = "best") -> TableModel:
    """Restores a model of a table's tasks from its work directory alone.

    Raises:
        WorkdirError: it is no such work directory, or a file of it is damaged.
        CheckpointError: no checkpoint can be read.
    """
    place = Workdir.existing(workdir)
    model = restore_table(place, checkpoint=checkpoint)
    if not place.is_finished:
        warnings.warn(f"{workdir}: training has not finished", stacklevel=2)
    return model


def restore_table(place: Workdir, *, checkpoint: str | int = "best") -> TableModel:
    """As `load_table`, without a word about unfinished training."""
    config = place.config()
    values = place.table()
    try:
        schema = TableSchema.from_json(json.dumps(values))
        targets = tuple(Target.from_json(fields) for fields in values["tasks"])
    except (DataError, KeyError, TypeError) as error:
        raise WorkdirError(f"{place.table_path}: {error}") from None
    classifier = build_table_classifier(config, schema, targets)
    with CheckpointStore(place.checkpoints) as store:
        params, step = store.restore_params(checkpoint), store.step_of(checkpoint)
    return TableModel(place, config, schema, targets, classifier, params, step)
