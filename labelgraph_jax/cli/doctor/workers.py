"""Check that all workers were started, with hints on how to start them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from labelgraph_jax.cli.doctor.facts import Finding

ON_EVERY_WORKER = "start the same command on every worker"
ON_EVERY_TPU_WORKER = (
    "start it on every worker: `gcloud compute tpus tpu-vm ssh NAME --worker=all "
    "--command='labelgraph ...'`; on GKE in every pod of the job"
)


OF_SLURM = (
    "SLURM_STEP_NUM_TASKS",
    "SLURM_NTASKS",
    "SLURM_JOB_NUM_NODES",
    "SLURM_NNODES",
)
ASKS_FOR_PART = (
    "TPU_VISIBLE_CHIPS",
    "TPU_VISIBLE_DEVICES",
    "TPU_PROCESS_BOUNDS",
    "TPU_HOST_BOUNDS",
)
"""Variables that give a process a part of a TPU."""


@dataclass(frozen=True)
class Announced:
    """Number of processes an environment announces, and a hint to start them all."""

    workers: int
    by: str
    hint: str


def announced_workers(environment: Mapping[str, str]) -> Announced | None:
    """The most processes that an environment speaks of, or None if of no more than one.

    Args:
        environment: of Cloud TPU, GKE, Slurm, Open MPI, or our own variables.
    """
    found = [a for a in _announcements(environment) if a.workers > 1]
    return max(found, key=lambda announced: announced.workers, default=None)


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdecimal() else 0


def _announcements(environment: Mapping[str, str]) -> list[Announced]:
    number = partial(_number, environment)

    def named(name: str) -> int:
        return len([part for part in environment.get(name, "").split(",") if part])

    # How runs are started on Slurm, in pods, and by hand.
    srun = "start it inside the job with `srun labelgraph ...`: once for every task"
    pods = (
        "in every pod set LABELGRAPH_COORDINATOR to HOST:PORT of pod 0, "
        "LABELGRAPH_PROCESSES to the number of pods and LABELGRAPH_PROCESS_ID to "
        "$JOB_COMPLETION_INDEX"
    )
    flags = (
        "start it on every machine with --coordinator HOST:PORT --processes N "
        "--process-id 0 .. N - 1, or the variables LABELGRAPH_COORDINATOR, "
        "LABELGRAPH_PROCESSES and LABELGRAPH_PROCESS_ID"
    )
    # How many processes each variable announces.
    slices = number("MEGASCALE_NUM_SLICES")
    addresses, names = named("TPU_PROCESS_ADDRESSES"), named("TPU_WORKER_HOSTNAMES")
    ours = pods if environment.get("JOB_COMPLETION_INDEX") else flags
    return [
        *(Announced(number(name), name, srun) for name in OF_SLURM),
        Announced(addresses, "TPU_PROCESS_ADDRESSES", ON_EVERY_TPU_WORKER),
        Announced(names, "TPU_WORKER_HOSTNAMES", ON_EVERY_TPU_WORKER),
        Announced(
            slices * max(addresses, names, 1),
            "MEGASCALE_NUM_SLICES",
            ON_EVERY_TPU_WORKER + ", of every slice",
        ),
        Announced(
            number("OMPI_COMM_WORLD_SIZE"),
            "OMPI_COMM_WORLD_SIZE",
            "start it with `mpirun -n N labelgraph ...`",
        ),
        Announced(number("LABELGRAPH_PROCESSES"), "LABELGRAPH_PROCESSES", ours),
    ]


def tpu_devices(accelerator_type: str) -> int | None:
    """Return the number of JAX devices of a TPU type, or None for one not known here.

    The number in a name counts TensorCores up to v5p but for v5e, and chips in v5e and
    v6e; a JAX device is a TensorCore of v2 and v3 and a chip from v4 on.
    """
    named = re.fullmatch(r"(v\d+\w*?)-(\d+)", accelerator_type.strip().lower())
    if named is None:
        return None
    kind, number = named.group(1), int(named.group(2))
    if kind in ("v2", "v3", "v5litepod", "v5e", "v6e"):
        return number
    return number // 2 if kind in ("v4", "v5p") else None


def started_alone(
    environment: Mapping[str, str], processes: int, devices: int, platform: str
) -> list[Finding]:
    """Return a finding if this is one of several workers and others were not started.

    Args:
        environment: of this process.
        processes: how many are joined.
        devices: how many JAX sees, over all of them.
        platform: of these devices.
    """
    announced = announced_workers(environment)
    if processes == 1 and announced:
        what = (
            f"started on one worker only: {announced.by} speaks of "
            f"{announced.workers} workers, and this process is alone"
        )
        return [Finding(what, announced.hint)]
    kind = environment.get("TPU_ACCELERATOR_TYPE", "")
    slices = max(_number(environment, "MEGASCALE_NUM_SLICES"), 1)
    expected = (tpu_devices(kind) or 0) * slices
    asked_for_part = any(map(environment.get, ASKS_FOR_PART))
    if platform != "tpu" or devices >= expected or asked_for_part:
        return []
    where = "on one worker only" if processes == 1 else "on some workers only"
    what = f"started {where}: {kind} has {expected} devices, and {devices} are here"
    return [Finding(what, ON_EVERY_TPU_WORKER)]


def how_to_start(environment: Mapping[str, str], otherwise: str) -> str:
    """Return how the environment's scheduler starts every worker."""
    announced = announced_workers(environment)
    return announced.hint if announced else otherwise
