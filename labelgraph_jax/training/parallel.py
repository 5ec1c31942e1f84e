"""Devices: one pure step compiled for one device, for a mesh, or by pmap."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from labelgraph_jax.training.objectives import Batch
from labelgraph_jax.training.step import Metrics, TrainState, TrainStep

DATA_AXIS = "data"
EXPERT_AXIS = "experts"
# Where a mixture's experts lie along an axis: modules.mixture.Stack, under this path.
_EXPERTS = "mixture/experts/"


@dataclass(frozen=True)
class CompiledStep:
    """A train step for certain devices, and how data gets to them and back.

    Attributes:
      run: `run(state, batch)` -> `(state, metrics)`; the state given is used up.
      place_state: a copy of a state (host or device) on the step's devices.
      place_batch: a host batch, split over the devices.
      collect: a placed tree as the one logical copy that checkpoints and evaluation
        see.
      device_count: a batch must divide by it.
    """

    run: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
    place_state: Callable[[TrainState], TrainState]
    place_batch: Callable[[Batch], Any]
    collect: Callable[[Any], Any]
    device_count: int

    def __call__(self, state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        return self.run(state, batch)


def make_mesh(
    devices: Sequence[jax.Device] | None = None, *, expert_devices: int = 1
) -> Mesh:
    """A mesh of the devices (all of them by default) along one axis, `data`.

    Args:
      devices: which.
      expert_devices: over so many neighbouring devices the experts of a mixture are
        split: more than 1 gives the mesh a second axis, `experts`.

    Raises:
      ValueError: there is no device, or they do not divide by `expert_devices`.
    """
    devices = list(jax.devices() if devices is None else devices)
    if not devices:
        raise ValueError("a mesh needs at least one device; got none")
    if expert_devices < 1 or len(devices) % expert_devices:
        raise ValueError(
            f"{len(devices)} devices do not divide into groups of {expert_devices} "
            "that share the experts"
        )
    shape: tuple[int, ...] = (len(devices),)
    names: tuple[str, ...] = (DATA_AXIS,)
    if expert_devices > 1:
        shape = (len(devices) // expert_devices, expert_devices)
        names = (DATA_AXIS, EXPERT_AXIS)
    axis_types = (AxisType.Auto,) * len(shape)
    return jax.make_mesh(shape, names, axis_types=axis_types, devices=devices)


def batch_divisor(mesh: Mesh) -> int:
    """What the rows of a batch must divide by: the devices along the `data` axis."""
    return mesh.shape[DATA_AXIS]


def batch_rows(batch: Batch) -> int:
    """The number of rows that every array of a batch shares.

    Raises:
      ValueError: the batch is empty, or its arrays differ in their rows.
    """
    rows = {name: np.shape(value)[:1] for name, value in batch.items()}
    if not rows or len(set(rows.values())) != 1 or () in rows.values():
        shapes = {name: np.shape(value) for name, value in batch.items()}
        raise ValueError(
            f"all arrays of a batch must share their first dimension; got {shapes}"
        )
    return next(iter(rows.values()))[0]


def _check_divides(batch: Batch, device_count: int) -> None:
    rows = batch_rows(batch)
    if rows % device_count:
        raise ValueError(
            f"a batch of {rows} rows does not divide over {device_count} devices; "
            f"use a batch size that is a multiple of {device_count}"
        )


def pad_batch(batch: Batch, multiple: int) -> dict[str, np.ndarray]:
    """Add rows of zeros until the rows divide by `multiple`; the mask leaves them out.

    A batch without `example_mask` gets one.
    """
    rows = batch_rows(batch)
    padding = -rows % multiple
    padded = {name: np.asarray(value) for name, value in batch.items()}
    padded.setdefault("example_mask", np.ones(rows, bool))
    if not padding:
        return padded
    return {
        name: np.pad(value, [(0, padding)] + [(0, 0)] * (value.ndim - 1))
        for name, value in padded.items()
    }


def shard_batch(batch: Batch, mesh: Mesh) -> dict[str, jax.Array]:
    """Put a host batch on the mesh, its rows split over the `data` axis.

    With several processes each one passes its own rows.

    Raises:
      ValueError: the rows do not divide by the (local) devices.
    """
    experts = mesh.shape.get(EXPERT_AXIS, 1)
    _check_divides(batch, max(1, len(mesh.local_devices) // experts))
    sharding = batch_sharding(mesh)
    if jax.process_count() > 1:
        return {
            name: jax.make_array_from_process_local_data(sharding, np.asarray(value))
            for name, value in batch.items()
        }
    return jax.device_put(dict(batch), sharding)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows split over the `data` axis."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(state: Any, mesh: Mesh) -> Any:
    """Where each array of a state (or of parameters) lies on a mesh.

    The experts of a mixture, and what the optimizer keeps of them, are split over the
    mesh's `experts` axis, where it has one; all else is whole on every device.

    Args:
      state: a pytree of arrays or of their shapes.
      mesh: from `make_mesh`.

    Raises:
      ValueError: the experts do not divide by the devices of that axis, or there are
        none to split.
    """
    whole = replicated_sharding(mesh)
    devices = mesh.shape.get(EXPERT_AXIS, 1)
    found = False

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        nonlocal found
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        _, inside, array = f"/{name}".rpartition(f"/{_EXPERTS}")
        if devices == 1 or not inside or not array.startswith(("kernel_", "bias_")):
            return whole
        found = True
        axis = 1 if array.startswith("kernel_") else 0
        if np.shape(leaf)[axis] % devices:
            raise ValueError(
                f"{np.shape(leaf)[axis]} experts do not divide over {devices} devices"
            )
        parts: list[str | None] = [None] * axis + [EXPERT_AXIS]
        return NamedSharding(mesh, PartitionSpec(*parts))

    shardings = jax.tree_util.tree_map_with_path(place, state)
    if devices > 1 and not found:
        raise ValueError(
            f"the mesh splits experts over {devices} devices, but the model has none"
        )
    return shardings


def compile_train_step(
    step: TrainStep, mesh: Mesh | None = None, *, like: TrainState | None = None
) -> CompiledStep:
    """Compile a pure train step with jit: the batch split, the state on every device.

    The state given to a step is donated: its memory holds the next one.

    Args:
      step: from `make_train_step`.
      mesh: from `make_mesh`; all devices by default.
      like: a state, or its shapes: needed where the mesh splits experts over devices.

    Raises:
      ValueError: as `state_sharding`; or such a mesh without `like`.
    """
    mesh = make_mesh() if mesh is None else mesh
    replicated = replicated_sharding(mesh)
    layout: Any = replicated
    if EXPERT_AXIS in mesh.shape:
        if like is None:
            raise ValueError("a mesh that splits experts needs `like`: a state")
        layout = state_sharding(like, mesh)

    def place_state(state: TrainState) -> TrainState:
        # A copy, because the first step donates it and the caller keeps the original.
        # An array on a device is shared despite may_alias; one on the host is not.
        return jax.device_put(jax.device_get(state), layout, may_alias=False)

    run = jax.jit(
        step,
        in_shardings=(layout, batch_sharding(mesh)),
        out_shardings=(layout, replicated),
        donate_argnums=0,
    )
    place_batch = partial(shard_batch, mesh=mesh)
    return CompiledStep(
        run, place_state, place_batch, lambda tree: tree, batch_divisor(mesh)
    )


def compile_train_step_pmap(
    step: TrainStep, devices: Sequence[jax.Device] | None = None
) -> CompiledStep:
    """Compile the same pure train step with pmap: the state gets a device axis.

    Sums run over the devices by `psum`, so the gradient is that of the global batch.
    Dropout differs from device to device, and so from the jit form.

    Args:
      step: from `make_train_step`.
      devices: all local devices by default.
    """
    devices = list(jax.local_devices() if devices is None else devices)
    count = len(devices)
    over_devices = batch_sharding(make_mesh(devices))

    def place_state(state: TrainState) -> TrainState:
        def copy(leaf: Any) -> jax.Array:
            leaf = np.asarray(leaf)
            stacked = np.broadcast_to(leaf, (count, *leaf.shape))
            return jax.device_put(stacked, over_devices, may_alias=False)

        return jax.tree.map(copy, state)

    def place_batch(batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        _check_divides(batch, count)
        split = {
            name: np.reshape(value, (count, -1, *np.shape(value)[1:]))
            for name, value in batch.items()
        }
        return jax.device_put(split, over_devices)

    def collect(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)

    parallel_step = jax.pmap(
        partial(step, axis_name=DATA_AXIS),
        axis_name=DATA_AXIS,
        devices=devices,
        donate_argnums=0,
    )

    def run(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        state, metrics = parallel_step(state, batch)
        return state, collect(metrics)

    return CompiledStep(run, place_state, place_batch, collect, count)
