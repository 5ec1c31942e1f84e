"""One pure train step compiled for one device, for a mesh, or by pmap."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from labelgraph_jax.training.objectives import Batch
from labelgraph_jax.training.parallel import (
    DATA_AXIS,
    MODEL_AXIS,
    batch_divisor,
    batch_sharding,
    check_divides,
    make_mesh,
    replicated_sharding,
    shard_batch,
    state_sharding,
)
from labelgraph_jax.training.step import Metrics, TrainState, TrainStep
from labelgraph_jax.training.throughput import program_flops


@dataclass(frozen=True)
class CompiledStep:
    """A train step for certain devices, and how data gets to them and back.

    Attributes:
      run: `run(state, batch)` -> `(state, metrics)`; the state given is used up.
      place_state: a copy of a state (host or device) on the step's devices.
      place_batch: a host batch, split over the devices.
      collect: a placed tree as the one logical copy that checkpoints and evaluation
        see.
      device_count: how many devices share the rows of a global batch.
      flops: of the program that runs a placed batch, over all devices, as XLA counts
        them: the body of a loop (an LSTM's scan, micro-batches) once. 0 before the
        first run of its shape, and where XLA does not say.
      knows: whether the program for a placed batch is compiled.
    """

    run: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
    place_state: Callable[[TrainState], TrainState]
    place_batch: Callable[[Batch], Any]
    collect: Callable[[Any], Any]
    device_count: int
    flops: Callable[[Any], float] = lambda batch: 0.0
    knows: Callable[[Any], bool] = lambda batch: True

    def __call__(self, state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        return self.run(state, batch)


class _Programs:
    """A jitted (or pmapped) step, compiled ahead for each shape of batch it meets."""

    def __init__(self, step: Any, devices: int) -> None:
        self._step, self._devices = step, devices
        self._compiled: dict[Any, tuple[Any, float]] = {}

    def __call__(self, state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        shapes = _shapes(batch)
        if shapes not in self._compiled:
            program = self._step.lower(state, batch).compile()
            flops = program_flops(program.cost_analysis())
            self._compiled[shapes] = program, flops * self._devices
        return self._compiled[shapes][0](state, batch)

    def knows(self, batch: Any) -> bool:
        return _shapes(batch) in self._compiled

    def flops(self, batch: Any) -> float:
        return self._compiled.get(_shapes(batch), (None, 0.0))[1]


def _shapes(batch: Batch) -> Any:
    leaves = sorted(batch.items())
    return tuple((name, np.shape(leaf), str(leaf.dtype)) for name, leaf in leaves)


def compile_train_step(
    step: TrainStep, mesh: Mesh | None = None, *, like: TrainState | None = None
) -> CompiledStep:
    """Compile a pure train step with jit: the batch split, the state on every device.

    The state given to a step is donated: its memory holds the next one.

    Args:
      step: from `make_train_step`.
      mesh: from `make_mesh`; all devices by default.
      like: a state, or its shapes: needed where the mesh has a `model` axis.

    Raises:
      ValueError: as `state_sharding`; or such a mesh without `like`.
    """
    mesh = make_mesh() if mesh is None else mesh
    replicated = replicated_sharding(mesh)
    layout: Any = replicated
    if MODEL_AXIS in mesh.shape:
        if like is None:
            raise ValueError("a mesh that splits the model needs `like`: a state")
        layout = state_sharding(like, mesh)

    def place_state(state: TrainState) -> TrainState:
        # A copy, because the first step donates it and the caller keeps the original.
        # An array on a device is shared despite may_alias; one on the host is not.
        return jax.device_put(jax.device_get(state), layout, may_alias=False)

    runs: Callable[..., Any] = step
    if MODEL_AXIS not in mesh.shape and _spans_cpus(mesh):
        runs = _per_device(step, mesh)
    jitted = jax.jit(
        runs,
        in_shardings=(layout, batch_sharding(mesh)),
        out_shardings=(layout, replicated),
        donate_argnums=0,
    )
    run = _Programs(jitted, mesh.size)
    place_batch = partial(shard_batch, mesh=mesh)
    return CompiledStep(
        run,
        place_state,
        place_batch,
        lambda tree: tree,
        batch_divisor(mesh),
        run.flops,
        run.knows,
    )


def _spans_cpus(mesh: Mesh) -> bool:
    """Whether the devices are CPUs of several processes."""
    devices = mesh.devices.flat
    return devices[0].platform == "cpu" and len({d.process_index for d in devices}) > 1


def _per_device(step: TrainStep, mesh: Mesh) -> Callable[..., Any]:
    """The step written out per device, with one sum of all gradients at the end.

    Left to itself XLA sums each gradient as it comes, which is right on GPU and TPU and
    costs a message each between CPUs.
    """
    return jax.shard_map(
        partial(step, axis_name=DATA_AXIS),
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(DATA_AXIS)),
        out_specs=(PartitionSpec(), PartitionSpec()),
        check_vma=False,
    )


def compile_train_step_pmap(
    step: TrainStep, devices: Sequence[jax.Device] | None = None
) -> CompiledStep:
    """Compile the same pure train step with pmap: the state gets a device axis.

    Sums run over the devices by `psum`, so the gradient is that of the global batch,
    and every device draws its own rows of that batch's dropout
    (`functional.slice_keys`): the steps are those of the jit form.

    Args:
      step: from `make_train_step`.
      devices: of this process; all devices of all processes by default.
    """
    local = list(jax.local_devices() if devices is None else devices)
    count = len(local)
    total = jax.device_count() if devices is None else count
    over_devices = batch_sharding(make_mesh(local))

    def place_state(state: TrainState) -> TrainState:
        # The host's copy of each leaf, once for every device of this process.
        def copy(leaf: Any) -> jax.Array:
            leaf = np.asarray(leaf)
            stacked = np.broadcast_to(leaf, (count, *leaf.shape))
            return jax.device_put(stacked, over_devices, may_alias=False)

        return jax.tree.map(copy, state)

    def place_batch(batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        check_divides(batch, count)
        split = {
            name: np.reshape(value, (count, -1, *np.shape(value)[1:]))
            for name, value in batch.items()
        }
        return jax.device_put(split, over_devices)

    def collect(tree: Any) -> Any:
        one = jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)
        # An array of one device of one process is no array of the whole run.
        return jax.device_get(one) if jax.process_count() > 1 else one

    parallel_step = jax.pmap(
        partial(step, axis_name=DATA_AXIS),
        axis_name=DATA_AXIS,
        devices=None if devices is None else local,
        donate_argnums=0,
    )

    programs = _Programs(parallel_step, total)
    # Compiled ahead, a pmap of several processes takes the arrays of all of them.
    call = programs if jax.process_count() == 1 else parallel_step

    def run(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        state, metrics = call(state, batch)
        return state, jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], metrics)

    measures: dict[str, Any] = {}
    if call is programs:
        measures = {"flops": programs.flops, "knows": programs.knows}
    return CompiledStep(run, place_state, place_batch, collect, total, **measures)
