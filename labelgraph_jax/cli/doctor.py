"""`labelgraph doctor`: will a run on this machine, or on these processes, work?"""

import os
import platform
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil

import labelgraph_jax
from labelgraph_jax.cli.terminal import plain_console
from labelgraph_jax.config.wording import counted, spans
from labelgraph_jax.data import files
from labelgraph_jax.runs.lock import holder
from labelgraph_jax.training import hosts as network
from labelgraph_jax.training.hosts import Hosts
from labelgraph_jax.training.parallel import time_all_reduce

GIB = 2**30
EXCHANGE_SECONDS = 180.0
"""Limit of one step that all processes take together."""
SHARED_SECONDS = 10.0
"""Limit until a file of process 0 is visible to the others."""
NEEDS = "jax jaxlib flax optax orbax-checkpoint grain transformers tensorflow-datasets"
EXTRAS = {
    "NVIDIA GPU": '`pip install -U "jax[cuda13]"` (NVIDIA driver 580 or newer), or '
    '`pip install -U "jax[cuda12]"` for an older driver',
    "TPU": '`pip install -U "jax[tpu]"`',
}
WITHOUT_DEVICES = {
    "NVIDIA GPU": f"does `nvidia-smi` work here? If it does: {EXTRAS['NVIDIA GPU']}",
    "TPU": "is another process using the TPU? One at a time can; "
    "`sudo lsof -w /dev/accel* /dev/vfio/*` shows which",
    "": "JAX_PLATFORMS=cpu runs without an accelerator",
}
Facts = dict[str, Any]
Findings = list[tuple[str, str]]
"""Facts about a process, and what is wrong there, each with a hint: JSON values."""


@dataclass(frozen=True)
class Finding:
    """Something worth knowing, and what to do about it."""

    what: str
    hint: str = ""


@dataclass(frozen=True)
class Examination:
    """Findings about this machine and its processes.

    Without `shared` not all processes came to this end, and `processes` has the facts
    of this one alone. Problems keep a run from working, notes do not.
    """

    process: int
    joined: int
    found_by: str
    devices: int
    processes: list[Facts]
    all_reduce: dict[str, float] | None
    workdir: str
    holder: str
    problems: list[Finding]
    notes: list[Finding]
    shared: bool
    exit_code: int


def examine(hosts: Hosts, *, workdir: str = "", megabytes: int = 16) -> Examination:
    """Look at this process, the others and what connects them; all must call it.

    Where the others do not come, or a device hangs, for longer than `hosts.timeout` (or
    an exchange for `EXCHANGE_SECONDS`), the process says so on standard error and ends
    with code 2: nothing else ends a wait inside of JAX.
    """
    if megabytes < 1:
        raise ValueError(f"--megabytes must be at least 1, got {megabytes}")
    workers, variable = network.announced_workers(os.environ)
    hint = network.STARTS[variable] if workers > 1 else ""
    process, by, devices = hosts.process_id or 0, "alone", list[jax.Device]()
    by = "environment" if os.environ.get("LABELGRAPH_COORDINATOR") else by
    by = "flags" if hosts.is_given else by
    # Join the others, start the devices, and let them compute together.
    try:
        process = hosts.filled(os.environ).process_id or 0
        hint = hint or "start the same command on every worker"
        if network.initialise(hosts) and by == "alone":
            by = network.scheduler(os.environ) or "the program"
        with _limit(hint, hosts.timeout, "the devices did not start"):
            devices = jax.devices()
        return _examine_together(devices, by, hint, workdir, megabytes)
    except network.HostsError as error:
        problem = Finding(str(error), hint)
    except (RuntimeError, AssertionError) as error:  # JAX asserts a plugin
        said = " ".join(str(error).split())[:400] or "it does not say why"
        problem = Finding(
            f"the devices do not compute together: {said}",
            "does each machine pass alone? Then look at the network between them, and "
            "at what the other processes say",
        )
        if not devices:
            given = os.environ.get("JAX_PLATFORMS")
            named = f"JAX_PLATFORMS is {given!r}: unset it, or install what it names"
            hint = named if given else WITHOUT_DEVICES[machine_accelerator()]
            problem = Finding(f"JAX finds no devices: {said}", hint)
    # This process says what it knows alone; JAX is not asked again.
    facts, _, own_notes = process_facts(process, workdir, [])
    here, notes = (process, 1, by, 0, [facts]), grouped([facts], [own_notes])
    return Examination(*here, None, workdir, "", [problem], notes, False, 2)


def _limit(hint: str, seconds: float, what: str) -> AbstractContextManager[None]:
    return network.ending_after(
        seconds,
        f"labelgraph doctor: problem: {what} within {seconds:g} s\n  {hint}; what do "
        "the other processes say, and are the ports between the machines open?",
    )


def _examine_together(
    devices: Sequence[jax.Device], by: str, hint: str, workdir: str, megabytes: int
) -> Examination:
    """Examine the processes together, as far as all can take part."""
    limit = partial(_limit, hint, EXCHANGE_SECONDS)
    process, count = jax.process_index(), jax.process_count()
    said = [process_facts(process, workdir, jax.local_devices())]
    kinds = [
        [d.device_kind for d in devices if d.process_index == n] for n in range(count)
    ]
    problems = started_alone(os.environ, count)
    reduction, held, troubles = None, "", list[Finding]()
    unequal = differences("devices", [_kinds(sorted(own)) for own in kinds])
    if not unequal:  # JAX exchanges nothing among processes that differ
        with limit("the processes joined, but did not exchange what they know"):
            said = network.gather_json(said[0])
        if len(devices) > 1:
            with limit("the processes joined, but a sum over all devices did not end"):
                expected = sum((n + 1) * len(own) for n, own in enumerate(kinds))
                reduction, troubles = add_up(megabytes, expected)
        if workdir:
            with limit(f"the work directory {workdir} did not answer"):
                found, held = examine_workdir(workdir)
            troubles += found
    everyone, own_problems, own_notes = zip(*said, strict=True)
    problems += [*unequal, *grouped(everyone, own_problems), *troubles]
    for name in everyone[0]["versions"]:
        values = [facts["versions"].get(name, "absent") for facts in everyone]
        problems += differences(name, values)
    notes, code = grouped(everyone, own_notes), 2 if problems else 0
    if jax.distributed.is_initialized():
        # Process 0 must not go first: others would be aborted before they can say 2.
        jax.distributed.shutdown()
    here = (process, count, by, len(devices), list(everyone))
    return Examination(*here, reduction, workdir, held, problems, notes, True, code)


def started_alone(environment: Mapping[str, str], joined: int) -> list[Finding]:
    """Return a problem if this is one of several workers and no other was started."""
    workers, variable = network.announced_workers(environment)
    what = (
        f"started on one worker only: {variable} speaks of {workers} workers, and this "
        "process is alone"
    )
    return [Finding(what, network.STARTS[variable])] if joined == 1 < workers else []


def process_facts(
    process: int, workdir: str, devices: Sequence[jax.Device]
) -> tuple[Facts, Findings, Findings]:
    """Return facts about a process, its problems and its notes; caches are created."""
    problems, notes, folders = Findings(), Findings(), {}
    # The folders that a run uses.
    roles = {
        "current folder": str(Path.cwd()),
        "cache folder": str(files.cache_folder()),
        "compilation cache": jax.config.values["jax_compilation_cache_dir"] or "",
        "work directory": workdir,
    }
    for role, path in roles.items():
        if not path or "://" in path:
            continue
        free = files.free_disk(Path(path))
        trouble = files.writing_trouble(Path(path)) if "cache" in role else ""
        folders[role] = {"path": path, "free": free, "trouble": trouble}
        said = f"the {role} {path} {trouble}"
        if trouble and role == "cache folder":
            problems.append((said, "name another with XDG_CACHE_HOME"))
        elif trouble:
            hint = "every start compiles anew; name another with "
            notes.append((said, f"{hint}JAX_COMPILATION_CACHE_DIR"))
        if free is not None and free < 2 * GIB:
            said = f"{free / GIB:.1f} GiB free on the disk of the {role} ({path})"
            notes.append((said, "checkpoints and prepared corpora need a few GiB"))
    # An accelerator that JAX does not see, and devices that do not compute.
    shown, kind = {d.platform for d in devices}, machine_accelerator()
    if kind and shown == {"cpu"} and os.environ.get("JAX_PLATFORMS", "")[:3] != "cpu":
        said = f"there is {'an' if kind != 'TPU' else 'a'} {kind}, and JAX sees a CPU"
        problems.append((said, f"install JAX for it: {EXTRAS[kind]}"))
    memory_stats: Mapping[str, int] = {}
    try:
        for device in devices:
            ones = jax.device_put(np.ones((8, 8), np.float32), device)
            (ones @ ones).block_until_ready()
            with suppress(RuntimeError):  # NotImplementedError is one
                memory_stats = device.memory_stats() or {}
    except RuntimeError as error:
        said = f"the device does not compute: {' '.join(str(error).split())[:300]}"
        hint = "does another program use its memory? `nvidia-smi` shows GPUs' programs"
        problems.append((said, hint))
    # The machine.
    affinity, total, free = getattr(os, "sched_getaffinity", None), None, None
    with suppress(OSError):
        memory = psutil.virtual_memory()
        total, free = memory.total, memory.available
    versions = {"python": platform.python_version()}
    versions |= dict.fromkeys(NEEDS.split(), "absent")
    for name in NEEDS.split():
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    versions["labelgraph_jax"] = labelgraph_jax.__version__
    versions["code"] = files.code_fingerprint()[:12]
    facts = {
        "process": process,
        "host": socket.gethostname(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_total": total,
        "memory_free": free,
        "folders": folders,
        "versions": versions,
        "platform": "".join(sorted(shown)),
        "device_kinds": [device.device_kind for device in devices],
        "device_memory": memory_stats.get("bytes_limit"),
    }
    return facts, problems, notes


def machine_accelerator(devices: str = "/dev") -> str:
    """Return the accelerator, whatever JAX sees: `NVIDIA GPU`, `TPU` or nothing."""
    folder, out = Path(devices), b""
    with suppress(OSError, subprocess.SubprocessError):
        out = subprocess.check_output(["nvidia-smi", "-L"], timeout=20)
    if any(folder.glob("nvidia[0-9]*")) or out.startswith(b"GPU "):
        return "NVIDIA GPU"
    is_tpu = any(name.startswith("TPU_") for name in os.environ)
    chips = [*folder.glob("accel[0-9]*"), *folder.glob("vfio/[0-9]*")]
    return "TPU" if is_tpu and chips else ""


def differences(name: str, values: Sequence[str]) -> list[Finding]:
    """Return a finding if the processes' values are not the same."""
    groups = [
        f"{value or 'none'} on process "
        + spans([process for process, own in enumerate(values) if own == value])
        for value in dict.fromkeys(values)
    ]
    called = "the code of labelgraph_jax" if name == "code" else name
    hint = "install the same versions everywhere, with constraints.txt"
    hint = "every process needs the same devices" if name == "devices" else hint
    hint = "bring the same code to every machine" if name == "code" else hint
    found = Finding(f"{called} differ: {'; '.join(groups)}", hint)
    return [found] if len(groups) > 1 else []


def grouped(everyone: Sequence[Facts], findings: Sequence[Findings]) -> list[Finding]:
    """Findings of all processes, each once: `process 3 (host): ...`."""
    whose: dict[tuple[str, str], list[Facts]] = {}
    for facts, own in zip(everyone, findings, strict=True):
        for what, hint in own:
            whose.setdefault((what, hint), []).append(facts)
    found = []
    for (what, hint), those in whose.items():
        who = f"processes {spans([facts['process'] for facts in those])}"
        if len(those) == 1:
            who = f"process {those[0]['process']} ({those[0]['host']})"
        found.append(Finding(f"{who}: {what}", hint))
    return found


def _kinds(kinds: Sequence[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))


def add_up(megabytes: int, expected: int) -> tuple[dict[str, float], list[Finding]]:
    """Time a sum over all devices, every number of which must be right.

    A ring sends 2 (n - 1) / n * bytes from each of n devices: so many a second.
    """
    total, seconds = time_all_reduce(megabytes)
    n, sent = jax.device_count(), megabytes * 2**20
    reduction = {"devices": n, "megabytes": megabytes, "seconds": seconds}
    reduction["gigabytes_per_second"] = 2 * (n - 1) / n * sent / seconds / 1e9
    hint = "the network or a device loses data: start each machine alone to find it"
    what = "the sum over all devices is {:.0f} and must be {}"
    wrong = [what.format(number, expected) for number in total[total != expected]]
    return reduction, [Finding(said, hint) for said in wrong[:1]]


def examine_workdir(workdir: str) -> tuple[list[Finding], str]:
    """Return problems of a work directory, which all must write to, and its holder."""
    if "://" in workdir:
        what = f"--workdir {workdir}: must be a folder of a file system"
        return [Finding(what, "mount the bucket, with Cloud Storage FUSE for one")], ""
    # Process 0 leaves a mark there, which all others must see.
    path, absent, trouble = Path(workdir), list[Path](), ""
    mark = network.gather_json(f".doctor-{uuid.uuid4().hex}")[0]
    if first := network.is_first():
        with suppress(OSError):
            absent = [folder for folder in (path, *path.parents) if not folder.exists()]
        trouble = files.writing_trouble(path)
        with suppress(OSError):
            (path / mark).touch()
    if not network.gather_json(trouble)[0] and not first:
        trouble = _reading_trouble(path, mark) or files.writing_trouble(path)
    said = network.gather_json([trouble, holder(path) or ""])
    # Remove what the check has made.
    if first:
        with suppress(OSError):
            (path / mark).unlink(missing_ok=True)
            for folder in absent:
                folder.rmdir()
    hint = "name a folder that can be written"
    if len(said) > 1:
        hint = (
            "it must be one folder for every process: on a shared file system, under "
            "the same path on every machine"
        )
    found, held = [], said[0][1]
    for what in dict.fromkeys(text for text, _ in said if text):
        numbers = spans([n for n, (text, _) in enumerate(said) if text == what])
        found.append(Finding(f"--workdir {workdir}, process {numbers}: {what}", hint))
    if held:
        what = f"--workdir {workdir} is in use: {held}"
        found.append(Finding(what, "wait for it to end, or name another folder"))
    return found, held


def _reading_trouble(folder: Path, mark: str) -> str:
    end = time.monotonic() + SHARED_SECONDS
    while time.monotonic() < end:
        with suppress(OSError):
            # Listing asks a network file system anew; a look for the file may not.
            if any(path.name == mark for path in folder.iterdir()):
                return ""
        time.sleep(0.2)
    return "not the folder that process 0 writes to"


def print_examination(found: Examination) -> None:
    """Print what was seen: process 0 everything, the others what they alone know."""
    if found.process and found.shared and len(found.processes) > 1:
        return
    console, everyone = plain_console(), found.processes
    of = f" of {found.joined}" if found.shared else ""
    title = f"process {found.process}{of} ({found.found_by}); "
    console.print(title + counted(found.devices, "device"), style="bold")
    for own in everyone:
        kinds = _kinds(own["device_kinds"]) or "no device"
        if own["device_memory"]:
            kinds += f" of {_gib(own['device_memory'])} GiB each"
        console.print(
            f"process {own['process']} ({own['host']}): {kinds}, {own['cores']} cores; "
            f"free: {_gib(own['memory_free'])} of {_gib(own['memory_total'])} GiB RAM, "
            f"{_gib(own['folders']['current folder']['free'])} GiB disk"
        )
    # Versions and folders are those of process 0; versions that differ are a problem.
    console.print(", ".join(f"{n} {v}" for n, v in everyone[0]["versions"].items()))
    for role, folder in everyone[0]["folders"].items():
        console.print(f"{role}: {folder['path']}, {_gib(folder['free'])} GiB free")
    if reduction := found.all_reduce:
        console.print(
            f"all-reduce of {reduction['megabytes']} MiB per device over "
            f"{reduction['devices']} devices: {reduction['seconds'] * 1e3:.2f} ms, "
            f"{reduction['gigabytes_per_second']:.2f} GB/s = 2 (n - 1) / n * bytes / s"
        )
    elif found.devices == 1:
        console.print("all-reduce: not timed with one device")
    for word, findings in (("problem", found.problems), ("note", found.notes)):
        for finding in findings:
            console.print(f"{word}: {finding.what}")
            if finding.hint:
                console.print(f"  {finding.hint}")
    if not found.problems:
        console.print("no problem found")


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / GIB:.1f}"
