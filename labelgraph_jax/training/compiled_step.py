"""One pure train step compiled for one device, for a mesh, or by pmap."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import jax
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike
from jaxtyping import PyTree

from labelgraph_jax.functional.trees import Batch, Leaf, Params, Tree
from labelgraph_jax.training.optimizer import at_step
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

Placed: TypeAlias = PyTree[jax.Array]
"""A state or a batch as a step has it on its devices."""
Earlier = tuple[
    Callable[[TrainState], optax.OptState],
    Callable[[Mapping[str, Leaf], optax.OptState, int], optax.OptState],
]
"""Another form of the optimizer's state in a checkpoint, see `CompiledStep`."""


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
        settle: a placed state with all its parameters brought to the present.
        whole: a placed state as a `TrainState`, to be collected.
        anew: `anew(opt_state, step)`, a fresh optimizer state after so many steps.
        earlier: what else a checkpoint's `opt_state` may be: a template of it, and
            `convert(leaves by path, opt_state, step)` into this step's own.
    """

    run: Callable[[Placed, Placed], tuple[Placed, Metrics]]
    place_state: Callable[[TrainState], Placed]
    place_batch: Callable[[Batch], Placed]
    collect: Callable[[Placed], Params]
    device_count: int
    flops: Callable[[Placed], float] = lambda batch: 0.0
    knows: Callable[[Placed], bool] = lambda batch: True
    settle: Callable[[Placed], Placed] = lambda state: state
    whole: Callable[[Placed], TrainState] = lambda state: state
    anew: Callable[[optax.OptState, int], optax.OptState] = at_step
    earlier: Earlier | None = None

    def __call__(self, state: Placed, batch: Placed) -> tuple[Placed, Metrics]:
        """Take one step, see `run`."""
        return self.run(state, batch)


class Programs:
    """A jitted (or pmapped) step, compiled ahead for each shape of batch it meets.

    The batch is its last argument.
    """

    def __init__(self, step: jax.stages.Wrapped, devices: int) -> None:
        self._step, self._devices = step, devices
        self._compiled: dict[Hashable, tuple[Any, float]] = {}

    def __call__(self, *arguments: Placed) -> Placed:
        """Run the program for the batch's shapes, compiled when they are new."""
        shapes = _shapes(arguments[-1])
        if shapes not in self._compiled:
            program = self._step.lower(*arguments).compile()
            flops = program_flops(program.cost_analysis())
            self._compiled[shapes] = program, flops * self._devices
        return self._compiled[shapes][0](*arguments)

    def knows(self, batch: Placed) -> bool:
        """Return True if a program of this batch's shapes is compiled."""
        return _shapes(batch) in self._compiled

    def flops(self, batch: Placed) -> float:
        """Return the operations of a step on all devices; 0 where unknown."""
        return self._compiled.get(_shapes(batch), (None, 0.0))[1]


def _shapes(batch: Placed) -> Hashable:
    leaves = jax.tree_util.tree_leaves_with_path(batch)
    return tuple((path, np.shape(leaf), str(leaf.dtype)) for path, leaf in leaves)


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

    runs: Callable[..., tuple[TrainState, Metrics]] = step
    if MODEL_AXIS not in mesh.shape and spans_cpus(mesh):
        runs = per_device(step, mesh, 1)
    jitted = jax.jit(
        runs,
        in_shardings=(layout, batch_sharding(mesh)),
        out_shardings=(layout, replicated),
        donate_argnums=0,
    )
    run = Programs(jitted, mesh.size)
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


def spans_cpus(mesh: Mesh) -> bool:
    """Return True if the devices are CPUs of several processes."""
    devices = mesh.devices.flat
    return devices[0].platform == "cpu" and len({d.process_index for d in devices}) > 1


def per_device(
    step: Callable[..., Tree], mesh: Mesh, whole: int
) -> Callable[..., Tree]:
    """The step written out per device, with one sum of all gradients at the end.

    Left to itself XLA sums each gradient as it comes, which is right on GPU and TPU and
    costs a message each between CPUs.

    Args:
        step: pure, with `axis_name`.
        mesh: without a `model` axis.
        whole: arguments before the batch, of which every device has all.
    """
    return jax.shard_map(
        partial(step, axis_name=DATA_AXIS),
        mesh=mesh,
        in_specs=(*[PartitionSpec()] * whole, PartitionSpec(DATA_AXIS)),
        out_specs=PartitionSpec(),
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
    copies = Copies(devices)
    parallel_step = copies.pmap(
        partial(step, axis_name=DATA_AXIS), axis_name=DATA_AXIS, donate_argnums=0
    )
    programs = Programs(parallel_step, copies.total)
    # Compiled ahead, a pmap of several processes takes the arrays of all of them.
    call = programs if jax.process_count() == 1 else parallel_step

    def run(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        state, metrics = call(state, batch)
        return state, first_copy(metrics)

    measures: dict[str, Any] = {}
    if call is programs:
        measures = {"flops": programs.flops, "knows": programs.knows}
    return CompiledStep(
        run, copies.place, copies.split, collect_copies, copies.total, **measures
    )


class Copies:
    """The devices of this process, each with a copy of what they share, for pmap."""

    def __init__(self, devices: Sequence[jax.Device] | None) -> None:
        self._local = list(jax.local_devices() if devices is None else devices)
        self._sharding = batch_sharding(make_mesh(self._local))
        self.total = jax.device_count() if devices is None else len(self._local)
        self.pmap = partial(jax.pmap, devices=None if devices is None else self._local)

    def place(self, tree: Params) -> Placed:
        """The host's copy of each leaf, once for every device."""

        def copy(leaf: ArrayLike) -> jax.Array:
            leaf = np.asarray(leaf)
            stacked = np.broadcast_to(leaf, (len(self._local), *leaf.shape))
            return jax.device_put(stacked, self._sharding, may_alias=False)

        return jax.tree.map(copy, tree)

    def split(self, batch: Batch) -> dict[str, jax.Array]:
        """The rows of a batch, shared between the devices."""
        count = len(self._local)
        check_divides(batch, count)
        split = {
            name: np.reshape(value, (count, -1, *np.shape(value)[1:]))
            for name, value in batch.items()
        }
        return jax.device_put(split, self._sharding)


def first_copy(tree: Tree) -> Tree:
    """Return the first device's copy of a tree that every device holds."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)


def collect_copies(tree: Tree) -> Tree:
    """The same as one logical copy; of several processes on the host."""
    one = first_copy(tree)
    # An array of one device of one process is no array of the whole run.
    return jax.device_get(one) if jax.process_count() > 1 else one
