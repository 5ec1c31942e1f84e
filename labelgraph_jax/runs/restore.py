"""A work directory -> the trained model that it holds, of texts or of a table."""

import dataclasses
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labelgraph_jax.config import MemoryConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.modules.pretrained import read_shape
from labelgraph_jax.predictors.adapted import predicting
from labelgraph_jax.predictors.building import (
    build_classifier,
    first_trained_layer,
    own_pooling,
)
from labelgraph_jax.predictors.decision import at_half, read_decision
from labelgraph_jax.predictors.documents import load_tokenizer
from labelgraph_jax.predictors.ensemble import Ensemble, join
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.manifest import require_unchanged
from labelgraph_jax.predictors.memory.files import (
    encoder_folder,
    has_memory,
    load_memory,
    stored_settings,
)
from labelgraph_jax.predictors.memory.memory import Reader
from labelgraph_jax.predictors.memory.model import with_memory
from labelgraph_jax.predictors.memory.texts import frozen_reader
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.network import token_table
from labelgraph_jax.predictors.parameters import read_parameters
from labelgraph_jax.predictors.structure import (
    chosen_hierarchy,
    shield_of,
    with_hierarchy,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

if TYPE_CHECKING:
    # A model of texts is restored without what tables need, which takes as long.
    from labelgraph_jax.predictors.tables.model import TableModel


def load(
    workdir: str | Path, *, checkpoint: str | int = "best"
) -> "Model | TableModel":
    """Restore a trained model from its work directory alone.

    Args:
        workdir: what `labelgraph train` left.
        checkpoint: `best`, `last`, or a step. A finished run has kept the best alone,
            unless it was made with `--keep-optimizer`.

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


def require_model(model: object, what: str) -> None:
    """Refuse what is no model of texts.

    Args:
        model: what was given.
        what: whose argument it is.

    Raises:
        DataError: it says what it is.
    """
    if isinstance(model, Model):
        return
    from labelgraph_jax.predictors.tables.model import TableModel

    got = type(model).__name__
    raise DataError(
        f"{what} reads a model of texts, as lg.load(workdir) gives it; got "
        + (f"a {got}, which reads rows" if isinstance(model, TableModel) else got)
    )


def load_model(
    workdir: str | Path, *, checkpoint: str | int = "best", cache: Path | None = None
) -> Model:
    """Restore a model of texts from its work directory alone.

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
    if not place.has_thresholds:
        # A memory that stands there is of a network before this one.
        model = restore(place, checkpoint=checkpoint, cache=cache, beside=False)
        require_unchanged(place)
        warnings.warn(
            f"{workdir}: training has not finished, so every label is decided at 0.5",
            stacklevel=2,
        )
        return model
    model = restore(place, checkpoint=checkpoint, cache=cache, beside=False)
    decision = read_decision(place, place.labels().names, model.ancestors)
    model = _with_memory(place, model.with_decision(decision), cache)
    # At the end: of a file that makes no sense its own error says more.
    require_unchanged(place)
    return model


def restore(
    place: Workdir,
    *,
    checkpoint: str | int = "best",
    cache: Path | None = None,
    beside: bool = True,
) -> Model:
    """Restore a model of texts that decides at 0.5, without a warning.

    Args:
        place: the work directory.
        checkpoint: as of `load_model`.
        cache: as of `load_model`.
        beside: false leaves out the memory, and with it the added labels.

    Raises:
        WorkdirError, CheckpointError: as `load_model`.
    """
    if place.is_ensemble:
        return _restore_ensemble(place)
    model = restore_network(place, checkpoint=checkpoint, cache=cache)
    return _with_memory(place, model, cache) if beside else model


def _with_memory(place: Workdir, model: Model, cache: Path | None) -> Model:
    if not isinstance(model, LabelModel) or not has_memory(place):
        return model
    reader = reader_of(place, stored_settings(place), model, cache)
    return with_memory(model, load_memory(place, reader, model.label_space))


def restore_network(
    place: Workdir, *, checkpoint: str | int = "best", cache: Path | None = None
) -> LabelModel:
    """Restore the network of a run over texts, deciding at 0.5, without its memory.

    Args:
        place: the work directory.
        checkpoint: as of `load_model`.
        cache: as of `load_model`.

    Raises:
        WorkdirError, CheckpointError: as `load_model`.
    """
    if place.is_table:
        raise WorkdirError(
            f"{place.path}: a run over a table reads rows and not texts; "
            "labelgraph_jax.load gives its model"
        )
    # What the work directory holds beside the parameters.
    config = with_hierarchy(place.config(), chosen_hierarchy(place))
    labels = place.labels()
    graph = place.label_graph(len(labels))
    tokenizer = load_tokenizer(config.text, place.tokenizer)
    # Of an encoder what no training changed lies beside the checkpoint.
    encoder = shape = None
    if config.text.vectors == "pretrained":
        pooling = own_pooling(config, place.encoder)
        shape = dataclasses.replace(read_shape(place.encoder), pooling=pooling)
        if not config.text.trainable:
            encoder = FrozenEncoder.load(place.encoder, cache=cache)
        elif first_layer := first_trained_layer(config.text, shape):
            encoder = FrozenEncoder.load(place.encoder, layers=first_layer, cache=cache)
    # The parameters, and the network that reads them.
    params, step = read_parameters(place.checkpoints, checkpoint)
    params = predicting(place, params, labels.names)
    table = token_table(params)
    classifier = build_classifier(
        config,
        graph,
        vocabulary_size=tokenizer.vocabulary_size,
        transformer=shape,
        features=None if table is None else table.shape[1],
        tasks=labels.task_columns,
        parents=labels.parent_pairs(),
        shield=shield_of(place, labels.names),
    )
    return LabelModel(
        place,
        config,
        labels,
        tokenizer,
        classifier,
        params,
        at_half(len(labels)),
        encoder,
        step=step,
    )


def reader_of(
    place: Workdir, config: MemoryConfig, model: LabelModel, cache: Path | None
) -> Reader:
    """Documents -> vectors, for a memory that stands in `place`."""
    if config.kind == "pretrained":
        return frozen_reader(config, encoder_folder(place), cache)
    return model.read


def _restore_ensemble(place: Workdir) -> Ensemble:
    """Restore an ensemble.

    Raises:
        WorkdirError: its description is damaged.
    """
    path = place.ensemble_path
    try:
        about = parse_json(path.read_text(encoding="utf-8"))
        folders = [place.path / str(name) for name in about["members"]]
        weights = np.asarray([float(weight) for weight in about["weights"]])
        bias = float(about["bias"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WorkdirError(f"{path}: must name members, weights and a bias") from error
    if len(weights) != len(folders) or len(weights) < 2:
        raise WorkdirError(f"{path}: must hold one weight for each of its members")
    return join(place, [load_model(folder) for folder in folders], weights, bias)


def load_table(workdir: str | Path, *, checkpoint: str | int = "best") -> "TableModel":
    """Restore a model of a table's tasks from its work directory alone.

    Raises:
        WorkdirError: it is no such work directory, or a file of it is damaged.
        CheckpointError: no checkpoint can be read.
    """
    place = Workdir.existing(workdir)
    model = restore_table(place, checkpoint=checkpoint)
    require_unchanged(place)
    if not place.is_finished:
        warnings.warn(f"{workdir}: training has not finished", stacklevel=2)
    return model


def restore_table(place: Workdir, *, checkpoint: str | int = "best") -> "TableModel":
    """Restore a model of a table's tasks, without a warning about its training."""
    from labelgraph_jax.data.tables.schema import TableSchema
    from labelgraph_jax.data.tables.targets import Target
    from labelgraph_jax.predictors.tables.decision import read_rules
    from labelgraph_jax.predictors.tables.model import TableModel
    from labelgraph_jax.predictors.tables.network import build_table_classifier

    config = place.config()
    values = place.table()
    try:
        schema = TableSchema.from_json(json.dumps(values))
        targets = tuple(Target.from_json(fields) for fields in values["tasks"])
    except (DataError, KeyError, TypeError) as error:
        raise WorkdirError(f"{place.table_path}: {error}") from None
    if not schema.columns or not targets:
        raise WorkdirError(
            f"{place.table_path}: must hold a column that is read and a task at least"
        )
    classifier = build_table_classifier(config, schema, targets)
    params, step = read_parameters(place.checkpoints, checkpoint)
    rules = read_rules(place, targets)
    return TableModel(place, config, schema, targets, classifier, params, step, rules)
