"""Devices: meshes, and where batches, parameters and states lie on them."""

import statistics
import time
from collections.abc import Sequence
from fnmatch import fnmatch

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.tree_util import KeyPath
from jaxtyping import PyTree

from labelgraph_jax.functional.trees import Batch, Leaf, Tree

DATA_AXIS = "data"
MODEL_AXIS = "model"
# What a mesh splits over its model axis: the end of a parameter's path (the optimizer's
# copies end the same) and the axis; the first that fits. A product over a split axis is
# summed by XLA. Of a label graph, what makes messages is split by their features, so
# that sorts and sums over labels stay on a device, and label vectors by labels. Label
# features stay whole: split by labels, they would draw the messages along.
_SPLIT = (
    ("mixture/experts*/kernel_*", 1),
    ("mixture/experts*/bias_*", 0),
    ("mixture/experts*/scale_*", 0),
    ("feed_forward_input/kernel", 1),
    ("feed_forward_input/bias", 0),
    ("feed_forward_output/kernel", 0),
    ("text_encoder/embedding/embedding", 0),
    ("transformer/token/embedding", 0),
    ("free_vectors", 0),
    ("label_bias", 0),
    ("label_graph*/*_factors", 0),
    ("label_graph*/kernel_*", -1),
    ("label_graph*/receiver_*", -1),
    ("label_graph*/sender_*", -1),
    ("label_graph*/attention_*", -1),
)


def parse_mesh(text: str) -> tuple[int | None, int]:
    """The devices along `data` (None: what is left over) and along `model`.

    Args:
        text: `data=4,model=2`, either part alone, or nothing.

    Raises:
        ValueError: it is not of that form.
    """
    axes: dict[str, int] = {}
    for part in text.split(",") if text.strip() else []:
        name, _, count = (piece.strip() for piece in part.partition("="))
        if name not in (DATA_AXIS, MODEL_AXIS) or name in axes:
            raise ValueError(
                f"a mesh is written data=4,model=2 (either part may be left out); got "
                f"{text!r}"
            )
        if not count.isdecimal() or int(count) < 1:
            raise ValueError(
                f"the devices along {name} must be a whole number >= 1; got {text!r}"
            )
        axes[name] = int(count)
    return axes.get(DATA_AXIS), axes.get(MODEL_AXIS, 1)


def make_mesh(
    devices: Sequence[jax.Device] | None = None,
    *,
    data: int | None = None,
    model: int = 1,
) -> Mesh:
    """A mesh of the devices (all by default) along `data` and, if asked, `model`.

    Args:
        devices: which.
        data: how many share the rows of a batch; all that are left by default.
        model: over so many neighbouring devices the experts of a mixture, the wide
            layers of a transformer and large tables are split; more than 1 gives the
            mesh its second axis.

    Raises:
        ValueError: there is no device, or the axes do not multiply to their number.
    """
    devices = list(jax.devices() if devices is None else devices)
    if not devices:
        raise ValueError("a mesh needs at least one device; got none")
    if model < 1 or len(devices) % model:
        raise ValueError(
            f"{len(devices)} devices do not divide into groups of {model} that share "
            "a model"
        )
    local = sum(device.process_index == devices[0].process_index for device in devices)
    if local % model:
        raise ValueError(
            f"the model must be split within a process: its {local} devices do not "
            f"divide into groups of {model}"
        )
    data = len(devices) // model if data is None else data
    if data * model != len(devices):
        raise ValueError(
            f"a mesh of data={data},model={model} needs {data * model} devices; there "
            f"are {len(devices)} ({devices[0].platform})"
        )
    shape: tuple[int, ...] = (data,)
    names: tuple[str, ...] = (DATA_AXIS,)
    if model > 1:
        shape, names = (data, model), (DATA_AXIS, MODEL_AXIS)
    axis_types = (AxisType.Auto,) * len(shape)
    return jax.make_mesh(shape, names, axis_types=axis_types, devices=devices)


def process_rows(batch_size: int, mesh: Mesh) -> int:
    """Return the number of rows of each batch that belong to this process.

    Raises:
        ValueError: the batch does not divide over the devices that share it.
    """
    devices = batch_divisor(mesh)
    if batch_size % devices:
        processes = jax.process_count()
        over = f" of {processes} processes" * (processes > 1)
        raise ValueError(
            f"a batch of {batch_size} rows does not divide over the {devices} devices"
            f"{over} that share it; use a batch size that is a multiple of {devices}"
        )
    return batch_size // jax.process_count()


def batch_divisor(mesh: Mesh) -> int:
    """Return the devices along the `data` axis, of which a batch size is a multiple."""
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


def check_divides(batch: Batch, device_count: int) -> None:
    """Refuse a batch whose rows do not divide over the devices.

    Raises:
        ValueError: they do not.
    """
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
    model = mesh.shape.get(MODEL_AXIS, 1)
    check_divides(batch, max(1, len(mesh.local_devices) // model))
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


def time_all_reduce(megabytes: int, repeats: int = 5) -> tuple[np.ndarray, float]:
    """Time the sum of one float32 array per device over all devices, given to each.

    Each array is filled with the number of its process, counted from 1.

    Args:
        megabytes: MiB of each array.
        repeats: how often it is timed, after once.

    Returns:
        The sum and the median of the seconds.
    """
    mesh = make_mesh()
    shape = (mesh.size, megabytes * 2**20 // 4)
    split, number = batch_sharding(mesh), float(jax.process_index() + 1)
    numbers = jax.make_array_from_callback(
        (mesh.size, 1), split, lambda _: np.full((1, 1), number, np.float32)
    )
    # Every device makes its own row.
    rows = jax.jit(lambda n: jnp.broadcast_to(n, shape), out_shardings=split)(numbers)
    add = jax.jit(lambda n: n.sum(0), out_shardings=replicated_sharding(mesh))
    total, taken = jax.block_until_ready(add(rows)), []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(add(rows))
        taken.append(time.perf_counter() - start)
    return np.asarray(total.addressable_data(0)), statistics.median(taken)


def place_whole(tree: Tree, mesh: Mesh) -> Tree:
    """A tree on the mesh, whole on every device, wherever it was."""
    if jax.process_count() > 1:
        tree = jax.tree.map(_on_host, tree)
    return jax.device_put(tree, replicated_sharding(mesh))


def _on_host(leaf: Leaf) -> Leaf:
    # An array of one process's device cannot move to a mesh of all processes.
    local = isinstance(leaf, jax.Array) and leaf.is_fully_addressable
    return np.asarray(leaf) if local else leaf


def place_split(tree: Tree, mesh: Mesh) -> Tree:
    """Parameters on the mesh as training has them: see `state_sharding`."""
    if MODEL_AXIS not in mesh.shape:
        return place_whole(tree, mesh)
    if jax.process_count() > 1:
        tree = jax.tree.map(_on_host, tree)
    return jax.device_put(tree, state_sharding(tree, mesh))


def label_sharding(labels: int, mesh: Mesh) -> NamedSharding:
    """Labels, the first axis, split over the `model` axis, where they divide."""
    devices = mesh.shape.get(MODEL_AXIS, 1)
    if devices == 1 or labels % devices:
        return replicated_sharding(mesh)
    return NamedSharding(mesh, PartitionSpec(MODEL_AXIS))


def state_sharding(state: PyTree, mesh: Mesh) -> PyTree[NamedSharding]:
    """Return the sharding of each array of a state (or of parameters) on a mesh.

    Over the mesh's `model` axis, where it has one, are split: the experts of a mixture,
    the inner layer of a transformer's feed-forward parts and tables of token vectors;
    by labels the labels' free vectors, biases and low-rank edge weights, and by
    features what makes the messages of a label graph; with what the optimizer keeps of
    them. An array that does not divide, and all else, is whole on every device: 4,271
    labels are no reason to refuse eight devices, of which each then has them all.

    Args:
        state: a pytree of arrays or of their shapes.
        mesh: from `make_mesh`.

    Raises:
        ValueError: the mesh has a model axis and nothing can be split over it.
    """
    whole = replicated_sharding(mesh)
    devices = mesh.shape.get(MODEL_AXIS, 1)
    indivisible: list[str] = []
    found = False

    def place(path: KeyPath, leaf: Leaf) -> NamedSharding:
        nonlocal found
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        axis = _split_axis(name)
        if devices == 1 or axis is None:
            return whole
        size = np.shape(leaf)[axis]
        if size % devices:
            indivisible.append(f"{name}: {size}")
            return whole
        found = True
        parts: list[str | None] = [None] * (axis % np.ndim(leaf)) + [MODEL_AXIS]
        return NamedSharding(mesh, PartitionSpec(*parts))

    shardings = jax.tree_util.tree_map_with_path(place, state)
    if devices > 1 and not found:
        why = "it has neither experts, nor a transformer, nor a table, nor labels"
        if indivisible:
            why = f"{'; '.join(indivisible[:3])} rows do not divide by {devices}"
        raise ValueError(
            f"the mesh splits the model over {devices} devices, but nothing of this "
            f"model can be split: {why}"
        )
    return shardings


def _split_axis(name: str) -> int | None:
    for pattern, axis in _SPLIT:
        if fnmatch(f"/{name}", f"*/{pattern}"):
            return axis
    return None
