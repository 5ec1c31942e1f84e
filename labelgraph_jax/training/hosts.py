"""Many processes that are one run: how they find each other, agree, and fail together.

The engine is JAX's own: `jax.distributed` for who is there, XLA's collectives for the
rest. With one process everything here is free.
"""

import hashlib
import importlib.util
import ipaddress
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np

Value = TypeVar("Value")

HEARTBEAT_SECONDS = 30
"""After so long without a sign of life a process counts as dead; the others stop."""
SHUTDOWN_SECONDS = 60
_MESSAGE_BYTES = 2048
ON_TPU = (
    "start it on every worker: `gcloud compute tpus tpu-vm ssh NAME --worker=all "
    "--command='labelgraph ...'`; on GKE in every pod of the job"
)
SRUN = "start it inside the job with `srun labelgraph ...`: once for every task"
STARTS = {
    "SLURM_STEP_NUM_TASKS": SRUN,
    "SLURM_NTASKS": SRUN,
    "SLURM_JOB_NUM_NODES": SRUN,
    "SLURM_NNODES": SRUN,
    "TPU_PROCESS_ADDRESSES": ON_TPU,
    "TPU_WORKER_HOSTNAMES": ON_TPU,
    "MEGASCALE_NUM_SLICES": f"{ON_TPU}, of every slice",
    "OMPI_COMM_WORLD_SIZE": "start it with `mpirun -n N labelgraph ...`",
    "LABELGRAPH_PROCESSES": "start it on every machine with --coordinator HOST:PORT "
    "--processes N --process-id 0 .. N - 1, or the variables LABELGRAPH_COORDINATOR, "
    "LABELGRAPH_PROCESSES and LABELGRAPH_PROCESS_ID (in a pod $JOB_COMPLETION_INDEX)",
}
"""Variables that announce several processes, and how to start all of them."""


class HostsError(ValueError):
    """Processes that cannot become, or stay, one run."""


@dataclass(frozen=True)
class Hosts:
    """Participants of a run.

    Empty fields are found by JAX or in the environment (LABELGRAPH_COORDINATOR,
    LABELGRAPH_PROCESSES, LABELGRAPH_PROCESS_ID).

    Attributes:
        coordinator: `host:port` of process 0.
        processes: how many there are.
        process_id: which one this is, from 0.
        timeout: seconds to wait for the others.
    """

    coordinator: str = ""
    processes: int | None = None
    process_id: int | None = None
    timeout: int = 300

    def filled(self, environment: Mapping[str, str]) -> "Hosts":
        """The same, empty fields taken from the environment.

        Raises:
            HostsError: some of the three are given and others not; or one is out of
                range.
        """
        coordinator = self.coordinator or environment.get("LABELGRAPH_COORDINATOR", "")
        given = {"processes": self.processes, "process_id": self.process_id}
        for name in ("processes", "process_id"):
            text = environment.get(f"LABELGRAPH_{name.upper()}", "")
            if given[name] is None and text:
                if not text.isdecimal():
                    raise HostsError(
                        f"LABELGRAPH_{name.upper()} must be a whole number, got "
                        f"{text!r}"
                    )
                given[name] = int(text)
        hosts = Hosts(coordinator, **given, timeout=self.timeout)
        hosts._check()
        return hosts

    @property
    def is_given(self) -> bool:
        """True if a coordinator was named."""
        return bool(self.coordinator)

    def _check(self) -> None:
        flags = {
            "--coordinator": self.coordinator or None,
            "--processes": self.processes,
            "--process-id": self.process_id,
        }
        lacking = [name for name, value in flags.items() if value is None]
        if lacking and len(lacking) < len(flags):
            raise HostsError(
                f"{', '.join(flags)} go together; {' and '.join(lacking)} not given"
            )
        if self.timeout < 1:
            raise HostsError(f"--timeout must be at least 1 s, got {self.timeout}")
        if lacking:
            return
        assert self.processes is not None and self.process_id is not None
        if self.processes < 1 or not 0 <= self.process_id < self.processes:
            raise HostsError(
                "--process-id must lie in 0 .. --processes - 1, got process id "
                f"{self.process_id} of {self.processes} processes"
            )
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise HostsError(
                f"--coordinator must be HOST:PORT, got {self.coordinator!r}"
            )


def scheduler(environment: Mapping[str, str]) -> str:
    """The scheduler that started several processes, or nothing.

    JAX reads the rest from the same environment.
    """
    several = {
        "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
        "Open MPI": ("OMPI_COMM_WORLD_SIZE",),
    }
    ranks = {"Slurm": "SLURM_PROCID", "Open MPI": "OMPI_COMM_WORLD_RANK"}
    for name, variables in several.items():
        counts = [environment[v] for v in variables if environment.get(v)]
        if counts and counts[0] != "1" and environment.get(ranks[name]):
            return name
    if "," in environment.get("TPU_WORKER_HOSTNAMES", ""):
        return "Cloud TPU"
    if importlib.util.find_spec("libtpu") is not None:
        return "Cloud TPU"
    return ""


def announced_workers(environment: Mapping[str, str]) -> tuple[int, str]:
    """Return how many processes an environment speaks of, and the variable that does.

    How all of them are started is in `STARTS`.
    """
    counts = {}
    for name in STARTS:
        text = environment.get(name, "")
        named = len([part for part in text.split(",") if part])
        counts[name] = int(text) if text.isdecimal() else named
    hosts = max(counts["TPU_PROCESS_ADDRESSES"], counts["TPU_WORKER_HOSTNAMES"], 1)
    counts["MEGASCALE_NUM_SLICES"] *= hosts
    variable = max(counts, key=counts.__getitem__)
    return counts[variable], variable


def initialise(
    hosts: Hosts | None = None, environment: Mapping[str, str] | None = None
) -> bool:
    """Join the other processes of this run, where there are any.

    Call it before the first array. What is not given is found out on Cloud TPU, GKE's
    TPU nodes, Slurm and Open MPI; a process that is alone stays alone.

    Args:
        hosts: who takes part; all found out by default.
        environment: to read instead of the process's own.

    Returns:
        Whether processes were joined, or had been before.

    Raises:
        HostsError: contradictory settings, or the others do not answer in time.
    """
    if jax.distributed.is_initialized():
        return True
    # The processes, as they are given or as a scheduler announces them.
    environment = os.environ if environment is None else environment
    found = (hosts or Hosts()).filled(environment)
    by = "" if found.is_given else scheduler(environment)
    if not found.is_given and not by:
        return False
    # Join them.
    if found.is_given and found.process_id:
        _await_coordinator(found.coordinator, found.timeout)
    where = f"at {found.coordinator}" if found.is_given else f"found by {by}"
    count = f" of {found.processes}" if found.processes else ""
    late = (
        f"labelgraph: error: not all{count} processes joined within {found.timeout} s "
        f"(coordinator {where}): start the same command on every worker, each with its "
        "own process id"
    )
    try:
        with ending_after(found.timeout, late):
            jax.distributed.initialize(
                found.coordinator or None,
                found.processes,
                found.process_id,
                coordinator_bind_address=(
                    None if found.process_id else _bind_address(found.coordinator)
                ),
                # JAX's own way to give up ends the process with a stack trace.
                initialization_timeout=found.timeout + 30,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            )
    except (RuntimeError, ValueError) as error:
        if by == "Cloud TPU" and "coordinator_address should be defined" in str(error):
            return False  # one TPU machine, outside of any cluster
        reason = " ".join(str(error).split())[:300]
        raise HostsError(
            f"the processes of this run did not all join within {found.timeout} s "
            f"(coordinator {where}): start the same command on every worker, with its "
            f"own process id. JAX says: {reason}"
        ) from error
    return True


def _bind_address(coordinator: str) -> str | None:
    """Return where process 0 listens: on this machine alone if the others are here.

    Otherwise everywhere, as JAX does: a name may stand for an address that is another
    one inside a container.
    """
    host, _, port = coordinator.rpartition(":")
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(address[0]) for *_, address in found]
    except (OSError, ValueError):
        return None
    if not addresses or not all(address.is_loopback for address in addresses):
        return None
    first = min(addresses, key=lambda address: address.version)
    return f"[{first}]:{port}" if first.version == 6 else f"{first}:{port}"


@contextmanager
def ending_after(seconds: float, message: str) -> Iterator[None]:
    """End the process with a message and code 2 where the inside takes longer.

    Nothing else ends a wait inside of JAX.
    """

    def give_up() -> None:
        print(message, file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _await_coordinator(address: str, timeout: float) -> None:
    """Wait until process 0 listens; what JAX does on a time-out kills the process."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), 5).close()
            return
        except OSError as error:
            if time.monotonic() >= end:
                raise HostsError(
                    f"no coordinator answers at {address} after {timeout:g} s "
                    f"({error}): is process 0 started, and its port open to this "
                    "machine?"
                ) from error
        time.sleep(min(1.0, timeout / 10))


def is_first() -> bool:
    """Return True on process 0, which alone writes shared files."""
    return jax.process_index() == 0


def gather_text(text: str) -> list[str]:
    """Return the texts of all processes, in process order; all of them must call it.

    Longer texts are cut at 2,048 bytes.
    """
    if jax.process_count() == 1:
        return [text]
    from jax.experimental import multihost_utils

    said = np.zeros(_MESSAGE_BYTES, np.uint8)
    held = np.frombuffer(text.encode()[:_MESSAGE_BYTES], np.uint8)
    said[: len(held)] = held
    rows = np.asarray(multihost_utils.process_allgather(said))
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]


def gather_json(value: object) -> list[Any]:
    """Return the JSON values of all processes, of any length; all must call it."""
    text, part = json.dumps(value), _MESSAGE_BYTES
    longest = max(int(said) for said in gather_text(str(len(text))))
    starts = range(0, longest, part)
    parts = [gather_text(text[start : start + part]) for start in starts]
    return [json.loads("".join(own)) for own in zip(*parts, strict=True)]


def together(task: Callable[[], Value]) -> Value:
    """Run a task on every process; if it fails on one, it fails on all.

    Returns:
        What the task gave on this process.

    Raises:
        HostsError: it failed elsewhere alone; says where and why. The task's own error
            where it failed here.
    """
    if jax.process_count() == 1:
        return task()
    failure: Exception | None = None
    value: Any = None
    try:
        value = task()
    except (ValueError, OSError) as error:
        failure = error
    said = gather_text("" if failure is None else f"{failure} ")
    if failure is not None:
        raise failure
    for process, reason in enumerate(said):
        if reason:
            raise HostsError(f"process {process} failed: {reason.strip()}")
    return value


def on_first(task: Callable[[], None]) -> None:
    """Run a task on process 0 while the others wait; its failure is everyone's."""
    together(lambda: task() if is_first() else None)


def require_same(facts: Mapping[str, str]) -> None:
    """Compare what every process believes with what process 0 does.

    Args:
        facts: by name; hashed here, so of any length.

    Raises:
        HostsError: on every process, where one differs; names the facts and processes.
    """
    if jax.process_count() == 1:
        return
    names = list(facts)
    digests = [hashlib.sha256(facts[n].encode()).hexdigest()[:16] for n in names]
    said = [row.split() for row in gather_text(" ".join(digests))]
    wrong = []
    for place, name in enumerate(names):
        odd = [
            process
            for process, row in enumerate(said)
            if len(row) != len(names) or row[place] != said[0][place]
        ]
        if odd:
            shown = ", ".join(map(str, odd[:8])) + (", ..." if len(odd) > 8 else "")
            wrong.append(f"{name} of process {shown} differs from process 0's")
    if wrong:
        raise HostsError(
            f"the {jax.process_count()} processes are not one run: {'; '.join(wrong)}; "
            "start the same command, with the same code and files, on every worker"
        )


def leave(code: int) -> None:
    """End a process of several at once, after an error.

    A plain exit would first wait for the others at JAX's shutdown barrier, and they
    for this one in a collective. Gone, it is missed within `HEARTBEAT_SECONDS`.
    """
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
