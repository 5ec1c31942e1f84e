"""The train step of a run: of all parameters, or of the rows that a batch reads."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from labelgraph_jax.config import Config
from labelgraph_jax.data.batches.batches import BatchPlan, Examples, RowIds, TouchedRows
from labelgraph_jax.predictors.network import is_body, is_frozen
from labelgraph_jax.runs.execution import Execution
from labelgraph_jax.runs.problem import Prepared, Problem
from labelgraph_jax.training.averaging import publishing_average, with_average
from labelgraph_jax.training.compiled_rows import (
    compile_row_step,
    compile_row_step_pmap,
)
from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.objectives import Batch, LossFn, Params
from labelgraph_jax.training.optimizer import (
    PathPredicate,
    make_optimizer,
    make_schedule,
)
from labelgraph_jax.training.parallel import MODEL_AXIS
from labelgraph_jax.training.partners import with_queue
from labelgraph_jax.training.row_optimizer import LARGEST_DECAY, RowAdamW
from labelgraph_jax.training.row_step import LookedUp, RowStep
from labelgraph_jax.training.step import (
    TrainState,
    TrainStep,
    init_train_state,
    make_gradient,
    make_train_step,
    path_string,
)

SMALLEST_TABLE = 1_000_000
"""Numbers in a table: of a smaller one all rows are moved in no time."""
READ_SHARE = 0.25
"""Largest share of the rows of a table that a batch may read on average."""
TABLES = ("text_encoder/embedding/embedding", "encoder/embedding", "wide_categories")
FIXED = ("text_encoder/token_weight",)
"""Paths of what has a row per token, or per category of a table."""


class Stepping(NamedTuple):
    """State and compiled step of a run.

    Attributes:
        state: before the first one.
        compiled: the step, for the run's devices.
        row_ids: what batches read, where rows alone are moved.
    """

    state: TrainState
    compiled: CompiledStep
    row_ids: RowIds | None


def stepping(
    problem: Problem,
    prepared: Prepared,
    params: Params,
    key: jax.Array,
    execution: Execution,
    mesh: Mesh,
    *,
    total_steps: int,
) -> Stepping:
    """Choose the form of the step, and compile it.

    Args:
        problem: what is learned.
        prepared: what it is learned from.
        params: the first parameters.
        key: the run's dropout key.
        execution: settings and signals of the run.
        mesh: its devices.
        total_steps: where the decay of the learning rate ends.
    """
    config, objective = problem.config, problem.objective(prepared)
    optimizer, step = optimizer_and_step(
        config, objective, key, total_steps=total_steps, teacher=prepared.teacher
    )
    found = _looked_up(problem, prepared, params, mesh)
    if found is None:
        state = init_train_state(params, optimizer)
        compiled = execution.compile(step, mesh, state)
        if config.training.average != "none":
            compiled = publishing_average(compiled)
        return Stepping(state, compiled, None)
    looked_up, ids = found
    rows = row_step(config, objective, key, looked_up, total_steps=total_steps)
    compiled = (
        compile_row_step_pmap(rows, dense=optimizer)
        if execution.settings.parallel == "pmap"
        else compile_row_step(rows, mesh, dense=optimizer)
    )
    return Stepping(rows.init(params), compiled, ids)


def _looked_up(
    problem: Problem,
    prepared: Prepared,
    params: Params,
    mesh: Mesh,
) -> tuple[LookedUp, RowIds] | None:
    """The tables of which a batch reads few rows, where they are worth it."""
    config, train = problem.config, prepared.train
    settings = config.training
    assert settings.learning_rate is not None
    # Settings that rule it out, as where rows move that no batch reads.
    if (
        not settings.row_updates
        or settings.average != "none"  # of every row at every step
        or prepared.unlabelled is not None  # they read other rows
        or MODEL_AXIS in mesh.shape
        or settings.learning_rate * settings.weight_decay > LARGEST_DECAY
    ):
        return None
    # Tables that are trained, and large enough to be worth it.
    leaves = jax.tree_util.tree_leaves_with_path(params)
    shapes = {path_string(path): np.shape(leaf) for path, leaf in leaves}
    frozen = _frozen(config)
    trained = tuple(
        path
        for path in TABLES
        if path in shapes and not (frozen is not None and frozen(path))
    )
    size = sum(int(np.prod(shapes[path])) for path in trained)
    if size < SMALLEST_TABLE:
        return None
    # Rows that a batch reads, if they are few of the table.
    network = problem.network(prepared)
    counted = (
        network.hidden_tokens is not None
        and isinstance(train, Examples)
        and not train.windowed
        and train.token_values is None
    )
    ids = RowIds(
        shapes[trained[0]][0],
        network.row_offsets,
        counted=counted,
        hidden=network.hidden_tokens or 0.0 if counted else 0.0,
        seed=settings.seed,
    )
    plan = BatchPlan(train, batch_size=prepared.batch_size, seed=settings.seed)
    if TouchedRows(train, plan, ids).mean > READ_SHARE * ids.count:
        return None
    return LookedUp(trained, tuple(path for path in FIXED if path in shapes)), ids


def optimizer_and_step(
    config: Config,
    objective: LossFn,
    key: jax.Array,
    *,
    total_steps: int,
    teacher: Callable[[Params, Batch], Batch] | None = None,
) -> tuple[optax.GradientTransformation, TrainStep]:
    """The optimizer and the train step of a run, from its settings.

    Args:
        config: resolved settings.
        objective: `loss(params, batch, key)` -> `(loss_sum, weight_sum)`.
        key: the run's dropout key; may be traced.
        total_steps: where the decay of the learning rate ends.
        teacher: see `make_train_step`.
    """
    optimizer = with_queue(_optimizer(config, total_steps), objective)
    settings = config.training
    if settings.average == "epochs":
        steps, first = total_steps // settings.epochs, settings.epochs // 2 + 1
        optimizer = with_average(optimizer, every=steps, first=first)
    elif teacher is not None or settings.average == "ema":
        optimizer = with_average(optimizer)
    options = _step_options(config, total_steps)
    step = make_train_step(objective, optimizer, key, teacher=teacher, **options)
    return optimizer, step


def row_step(
    config: Config,
    objective: LossFn,
    key: jax.Array,
    looked_up: LookedUp,
    *,
    total_steps: int,
) -> RowStep:
    """The same step, of the rows that a batch reads.

    Args:
        config: as of `optimizer_and_step`.
        objective: as of `optimizer_and_step`.
        key: as of `optimizer_and_step`.
        looked_up: of which tables.
        total_steps: as of `optimizer_and_step`.
    """
    options = _step_options(config, total_steps)
    return RowStep(
        make_gradient(objective, key, **options),
        with_queue(
            _optimizer(config, total_steps, lambda path: path in looked_up.trained),
            objective,
        ),
        RowAdamW(options["learning_rate"], total_steps, config.training.weight_decay),
        looked_up,
        options["is_frozen"],
    )


def _optimizer(
    config: Config, total_steps: int, is_table: PathPredicate | None = None
) -> optax.GradientTransformation:
    settings = config.training
    assert settings.learning_rate is not None
    pretrained = config.text.vectors == "pretrained"
    return make_optimizer(
        learning_rate=settings.learning_rate,
        body_learning_rate=settings.body_learning_rate,
        is_body=is_body if pretrained else None,
        is_frozen=_frozen(config),
        is_table=is_table,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        **_schedule(config, total_steps),
    )


def _step_options(config: Config, total_steps: int) -> dict[str, Any]:
    settings = config.training
    assert settings.learning_rate is not None
    return {
        "is_frozen": _frozen(config),
        "micro_batches": settings.micro_batches,
        "learning_rate": make_schedule(
            settings.learning_rate, **_schedule(config, total_steps)
        ),
    }


def _schedule(config: Config, total_steps: int) -> dict[str, Any]:
    return {
        "warmup_steps": int(config.training.warmup_fraction * total_steps),
        "total_steps": total_steps,
        "schedule": config.training.schedule,
    }


def _frozen(config: Config) -> PathPredicate | None:
    return None if config.table.tasks else is_frozen(config.text)
