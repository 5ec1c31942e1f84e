"""Facts about this machine and its processes, and a check that a run will work on them.

It measures: who is here, which devices, how fast they add up numbers together, which
folders can be written. `checks.py` decides what that means.
"""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from labelgraph_jax.cli.doctor.checks import (
    backend_failure,
    differing_devices,
    notes_of,
    problems_of,
)
from labelgraph_jax.cli.doctor.facts import Finding, Folder, ProcessFacts
from labelgraph_jax.cli.doctor.folder import examine_workdir, gather_json
from labelgraph_jax.cli.doctor.machine import device_facts, machine_facts
from labelgraph_jax.cli.doctor.timing import (
    AllReduce,
    expected_sum,
    sum_over_devices,
    time_all_reduce,
    wrong_sum,
)
from labelgraph_jax.cli.doctor.workers import (
    ON_EVERY_WORKER,
    how_to_start,
    started_alone,
)
from labelgraph_jax.cli.output import say
from labelgraph_jax.training.hosts import Hosts, HostsError, initialise, scheduler

EXCHANGE_SECONDS = 180.0
"""Limit in seconds of one step that all processes take together."""


SPARE_SECONDS = 30


@dataclass(frozen=True)
class Examination:
    """Findings about this machine and its processes.

    Attributes:
        process: the one that says so, from 0.
        joined: how many processes are one run.
        found_by: flags, environment, a scheduler's name, or alone.
        devices: of all processes together.
        processes: what each sees, in order; of this one alone where `shared` is false.
        all_reduce: None with one device, or where it was not reached.
        workdir: as given; `holder` says who trains in it.
        problems: what keeps a run from working.
        notes: what is worth knowing.
        shared: whether every process came to this end, with a problem or with none.
    """

    process: int
    joined: int
    found_by: str
    devices: int
    processes: tuple[ProcessFacts, ...]
    all_reduce: AllReduce | None
    workdir: str
    holder: str
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    shared: bool = True

    @property
    def exit_code(self) -> int:
        """2 with a problem, else 0."""
        return 2 if self.problems else 0

    def to_json(self) -> dict[str, object]:
        """The same as plain values, with the exit code."""
        return {**dataclasses.asdict(self), "exit_code": self.exit_code}


def examine(
    hosts: Hosts,
    *,
    workdir: str = "",
    megabytes: int = 16,
    environment: Mapping[str, str] | None = None,
) -> Examination:
    """Look at this process, the others and what connects them; all must call it.

    Where the others do not come, or a device hangs, for longer than `hosts.timeout` (or
    an exchange for `EXCHANGE_SECONDS`), the process says so on standard error and ends
    with code 2: nothing else ends a wait inside of JAX.

    Args:
        hosts: who takes part.
        workdir: a folder to try: can it be written, and is it everyone's same?
        megabytes: MiB per device of the timed all-reduce.
        environment: to read instead of the process's own.

    Returns:
        What was found; the same on every process that knows of all.

    Raises:
        ValueError: `megabytes` is not positive.
    """
    if megabytes < 1:
        raise ValueError(f"--megabytes must be at least 1, got {megabytes}")
    # Which process this is, by what it was told.
    environment = os.environ if environment is None else environment
    try:
        process = hosts.filled(environment).process_id or 0
    except HostsError as error:
        problem = Finding(str(error), how_to_start(environment, ""))
        return _alone(hosts, environment, workdir, hosts.process_id or 0, problem)
    # Join the others, start the devices, and let them compute together.
    alone = partial(_alone, hosts, environment, workdir, process)
    limit = partial(_within, hosts.timeout, environment)
    try:
        with limit("the processes of this run did not all join"):
            # JAX aborts the process when its own time is up; be first.
            patient = dataclasses.replace(hosts, timeout=hosts.timeout + SPARE_SECONDS)
            joined = initialise(patient, environment)
    except HostsError as error:
        waited = f"{hosts.timeout + SPARE_SECONDS} s"
        said = str(error).replace(waited, f"{hosts.timeout} s")
        return alone(Finding(said, how_to_start(environment, ON_EVERY_WORKER)))
    try:
        with limit("the devices did not start"):
            devices = jax.devices()
    except RuntimeError as error:
        return alone(backend_failure(str(error), machine_facts(environment)))
    found_by = how_found(hosts, environment, joined)
    try:
        return _examine_devices(devices, environment, workdir, megabytes, found_by)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        problem = Finding(
            f"the devices do not compute together: {said}",
            "does each machine pass alone? Then look at the network between them, and "
            "at what the other processes say",
        )
        return alone(problem)


def _examine_devices(
    devices: Sequence[jax.Device],
    environment: Mapping[str, str],
    workdir: str,
    megabytes: int,
    found_by: str,
) -> Examination:
    """Examine the processes together, as far as all can take part."""
    limit = partial(_within, EXCHANGE_SECONDS, environment)
    facts = machine_facts(environment, jax.process_index(), workdir)
    facts = device_facts(facts, environment)
    kinds = _kinds_by_process(devices)
    problems = started_alone(environment, len(kinds), len(devices), facts.platform)
    everyone, reduction, held = [facts], None, ""
    if unequal := differing_devices(kinds):
        # JAX exchanges nothing among such processes: each speaks for itself.
        problems += [*unequal, *problems_of([facts])]
    else:
        with limit("the processes joined, but did not exchange what they know"):
            everyone = [_facts_from_json(said) for said in gather_json(facts)]
        with limit("the processes joined, but a sum over all devices did not end"):
            problems += wrong_sum(sum_over_devices(), expected_sum(kinds))
            reduction = time_all_reduce(megabytes) if len(devices) > 1 else None
        problems += problems_of(everyone)
        with limit(f"the work directory {workdir} did not answer"):
            found, held = examine_workdir(workdir) if workdir else ([], "")
        problems += found
    return Examination(
        process=jax.process_index(),
        joined=len(kinds),
        found_by=found_by,
        devices=len(devices),
        processes=tuple(everyone),
        all_reduce=reduction,
        workdir=workdir,
        holder=held,
        problems=tuple(problems),
        notes=tuple(notes_of(everyone, environment)),
    )


def _alone(
    hosts: Hosts,
    environment: Mapping[str, str],
    workdir: str,
    process: int,
    problem: Finding,
) -> Examination:
    """Return the facts known without devices; JAX is not asked again."""
    facts = machine_facts(environment, process, workdir)
    return Examination(
        process=process,
        joined=1,
        found_by=how_found(hosts, environment, False),
        devices=0,
        processes=(facts,),
        all_reduce=None,
        workdir=workdir,
        holder="",
        problems=(problem,),
        notes=tuple(notes_of([facts], environment)),
        shared=False,
    )


def how_found(hosts: Hosts, environment: Mapping[str, str], joined: bool) -> str:
    """Return how the processes were found: flags, environment, scheduler, or alone."""
    if hosts.is_given:
        return "flags"
    if environment.get("LABELGRAPH_COORDINATOR"):
        return "environment"
    return (scheduler(environment) or "the program") if joined else "alone"


@contextlib.contextmanager
def _within(
    seconds: float, environment: Mapping[str, str], what: str
) -> Iterator[None]:
    """End the process with code 2 where the inside takes longer."""

    def give_up() -> None:
        say(
            f"labelgraph doctor: problem: {what} within {seconds:g} s\n"
            f"  {how_to_start(environment, ON_EVERY_WORKER)}; what do the other "
            "processes say, and are the ports between the machines open?"
        )
        os._exit(2)

    timer = threading.Timer(max(seconds, 0.0), give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kinds_by_process(devices: Sequence[jax.Device]) -> list[list[str]]:
    kinds: list[list[str]] = [[] for _ in range(jax.process_count())]
    for device in devices:
        kinds[device.process_index].append(device.device_kind)
    return kinds


def _facts_from_json(said: dict[str, Any]) -> ProcessFacts:
    folders = {role: Folder(**folder) for role, folder in said["folders"].items()}
    lists = {name: tuple(said[name]) for name in ("device_kinds", "gpus")}
    return ProcessFacts(**{**said, **lists, "folders": folders})


def end_together(examination: Examination) -> int:
    """Part from the other processes, where all came to the end; gives the exit code.

    Process 0 must not go first: the others would be aborted before they can say 2.
    """
    if examination.shared and jax.distributed.is_initialized():
        jax.distributed.shutdown()
    return examination.exit_code
