"""A row step compiled for one device, for a mesh or by pmap."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from labelgraph_jax.data.batches.touched import TABLE_ROWS
from labelgraph_jax.functional.trees import Batch, Leaf
from labelgraph_jax.training.compiled_step import (
    CompiledStep,
    Copies,
    Earlier,
    Programs,
    collect_copies,
    first_copy,
    per_device,
    spans_cpus,
)
from labelgraph_jax.training.parallel import (
    DATA_AXIS,
    batch_divisor,
    batch_sharding,
    make_mesh,
    replicated_sharding,
    shard_batch,
)
from labelgraph_jax.training.row_optimizer import TableRows
from labelgraph_jax.training.row_step import Advanced, RowState, RowStep
from labelgraph_jax.training.step import Metrics, TrainState

RowBatch = tuple[jax.Array, Batch]
"""On the devices: the rows that a batch reads, and the rest of it."""


def compile_row_step(
    step: RowStep,
    mesh: Mesh | None = None,
    *,
    dense: optax.GradientTransformation | None = None,
) -> CompiledStep:
    """Compile a row step with jit, as `compile_train_step` does.

    Host batches hold the rows that they read as `TABLE_ROWS`, the same ones on every
    process.

    Args:
        step: its pure parts.
        mesh: from `make_mesh`, without a `model` axis; all devices by default.
        dense: the optimizer of all parameters, whose checkpoints can be gone on from.
    """
    mesh = make_mesh() if mesh is None else mesh
    whole, split = replicated_sharding(mesh), batch_sharding(mesh)

    # Ids of rows go to every device, documents are split over them.
    def place_batch(batch: Batch) -> RowBatch:
        rows, batch = _parted(batch)
        if jax.process_count() > 1:
            rows = jax.make_array_from_process_local_data(whole, rows)
        else:
            rows = jax.device_put(rows, whole)
        return rows, shard_batch(batch, mesh)

    # The step as one program that uses up the state it is given.
    advance: Callable[..., Advanced] = step.advance
    if spans_cpus(mesh):
        advance = per_device(advance, mesh, 5)
    compiled = Programs(
        jax.jit(
            _pair(advance),
            in_shardings=(whole, whole, whole, whole, (whole, split)),
            out_shardings=whole,
            donate_argnums=(0, 1, 2),
        ),
        mesh.size,
    )
    # What happens beside the step: write rows, settle them, join the table.
    jit = partial(jax.jit, out_shardings=whole)
    return CompiledStep(
        _runner(compiled, jit(step.write, donate_argnums=0), lambda tree: tree),
        lambda state: jax.device_put(
            step.split(jax.device_get(state)), whole, may_alias=False
        ),
        place_batch,
        lambda tree: tree,
        batch_divisor(mesh),
        compiled.flops,
        compiled.knows,
        jit(step.settle, donate_argnums=0),
        jit(step.join),
        step.anew,
        _earlier(step, dense),
    )


def compile_row_step_pmap(
    step: RowStep,
    devices: Sequence[jax.Device] | None = None,
    *,
    dense: optax.GradientTransformation | None = None,
) -> CompiledStep:
    """Compile a row step with pmap, as `compile_train_step_pmap` does.

    Args:
        step: its pure parts.
        devices: of this process; all devices of all processes by default.
        dense: as of `compile_row_step`.
    """
    copies = Copies(devices)

    def place_batch(batch: Batch) -> RowBatch:
        rows, batch = _parted(batch)
        return copies.place(rows), copies.split(batch)

    parallel = copies.pmap(
        _pair(partial(step.advance, axis_name=DATA_AXIS)),
        axis_name=DATA_AXIS,
        donate_argnums=(0, 1, 2),
    )
    programs = Programs(parallel, copies.total)
    alone = jax.process_count() == 1
    measures: dict[str, Any] = (
        {"flops": programs.flops, "knows": programs.knows} if alone else {}
    )
    return CompiledStep(
        _runner(
            programs if alone else parallel,
            copies.pmap(step.write, donate_argnums=0),
            first_copy,
        ),
        lambda state: copies.place(step.split(jax.device_get(state))),
        place_batch,
        collect_copies,
        copies.total,
        settle=copies.pmap(step.settle, donate_argnums=0),
        whole=copies.pmap(step.join),
        anew=step.anew,
        earlier=_earlier(step, dense),
        **measures,
    )


def _parted(batch: Batch) -> tuple[np.ndarray, dict[str, Leaf]]:
    """The rows that a host batch reads, and the rest of it."""
    rest = dict(batch)
    return np.asarray(rest.pop(TABLE_ROWS)), rest


def _pair(advance: Callable[..., Advanced]) -> Callable[..., Advanced]:
    """The same function of rows and batch as one argument."""
    return lambda *state_and_batch: advance(*state_and_batch[:-1], *state_and_batch[-1])


def _runner(
    advance: Callable[..., Advanced],
    write: Callable[..., dict[str, TableRows]],
    read: Callable[[Metrics], Metrics],
) -> Callable[[RowState, RowBatch], tuple[RowState, Metrics]]:
    def run(state: RowState, batch: RowBatch) -> tuple[RowState, Metrics]:
        others = state._replace(step=None, params=None, rest=None)  # type: ignore[arg-type]
        moved, touched, metrics = advance(*state[:3], others, batch)
        tables = write(state.tables, batch[0], touched)
        step, params, rest = moved
        state = RowState(step, params, rest, tables, state.fixed, state.skipped)
        return state, read(metrics)

    return run


def _earlier(
    step: RowStep, dense: optax.GradientTransformation | None
) -> Earlier | None:
    if dense is None:
        return None

    def template(state: TrainState) -> optax.OptState:
        return jax.eval_shape(dense.init, state.params)

    return template, step.from_dense
