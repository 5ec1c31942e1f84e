"""Speed of the devices, alone and together."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from labelgraph_jax.cli.doctor.facts import Finding
from labelgraph_jax.training.parallel import DATA_AXIS, make_mesh

REPEATS = 5


@dataclass(frozen=True)
class AllReduce:
    """A sum over all devices, timed.

    Attributes:
        devices: how many took part.
        megabytes: MiB of float32 that each contributed, and got back.
        seconds: median of `REPEATS`.
        gigabytes_per_second: 2 (n - 1) / n * bytes / seconds / 1e9, for n devices: what
            a ring sends from each device.
    """

    devices: int
    megabytes: int
    seconds: float
    gigabytes_per_second: float


def time_matrix_product(device: jax.Device) -> float:
    """TFLOP/s of a square matrix product on one device, the median of `REPEATS`.

    It is float32 on a CPU, else bfloat16.
    """
    on_cpu = device.platform == "cpu"
    size, products = (512, 4) if on_cpu else (4096, 16)
    dtype = jnp.float32 if on_cpu else jnp.bfloat16
    drawn = np.random.default_rng(0).standard_normal((size, size), np.float32)
    matrix = jax.device_put((drawn / size**0.5).astype(dtype), device)

    @jax.jit
    def multiply(left: jax.Array, right: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, products, lambda _, held: held @ right, left)

    seconds = median_seconds(lambda: multiply(matrix, matrix))
    return 2.0 * size**3 * products / seconds / 1e12


def median_seconds(compute: Callable[[], jax.Array]) -> float:
    """The median time of `REPEATS`, after one that compiles."""
    compute().block_until_ready()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        compute().block_until_ready()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def sum_over_devices() -> int:
    """The sum over all devices of what each contributes: its process, plus one."""
    mesh = make_mesh()
    number = np.full((1,), jax.process_index() + 1, np.int32)
    spread = jax.make_array_from_callback(
        (mesh.size,), NamedSharding(mesh, PartitionSpec(DATA_AXIS)), lambda _: number
    )
    everywhere = NamedSharding(mesh, PartitionSpec())
    total = jax.jit(jnp.sum, out_shardings=everywhere)(spread)
    return int(total.addressable_data(0))


def expected_sum(kinds: Sequence[Sequence[str]]) -> int:
    """Return the right result of `sum_over_devices` for the devices of each process."""
    return sum((process + 1) * len(own) for process, own in enumerate(kinds))


def wrong_sum(got: int, expected: int) -> list[Finding]:
    """Return a finding if the devices add up wrongly."""
    what = f"the sum over all devices is {got} and must be {expected}"
    hint = "the network or a device loses data: start each machine alone to find it"
    return [] if got == expected else [Finding(what, hint)]


def time_all_reduce(megabytes: int) -> AllReduce:
    """Time the sum of one array per device over all devices, given back to each."""
    mesh = make_mesh()
    elements = megabytes * 2**20 // 4
    split = NamedSharding(mesh, PartitionSpec(DATA_AXIS))
    everywhere = NamedSharding(mesh, PartitionSpec())
    make = partial(jnp.ones, (mesh.size, elements), jnp.float32)
    arrays = jax.jit(make, out_shardings=split)()
    reduce = jax.jit(lambda held: held.sum(0), out_shardings=everywhere)
    seconds = median_seconds(lambda: reduce(arrays))
    sent = 2 * (mesh.size - 1) / mesh.size * elements * 4
    return AllReduce(mesh.size, megabytes, seconds, sent / seconds / 1e9)
