"""Problems of a set of processes, decided from plain facts."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from labelgraph_jax.cli.doctor.facts import (
    GIB,
    Finding,
    Folder,
    ProcessFacts,
    counted,
    spans,
)
from labelgraph_jax.cli.doctor.workers import announced_workers

LEAST_DISK = 2 * GIB
"""Less free disk than this is worth a note."""


LEAST_MEMORY_SHARE = 0.05


SLOW_SHARE = 0.6
"""A process slower than this share of the median multiplies matrices slowly."""


EXTRAS = {
    "NVIDIA GPU": '`pip install -U "jax[cuda13]"` (NVIDIA driver 580 or newer), or '
    '`pip install -U "jax[cuda12]"` for an older driver',
    "TPU": '`pip install -U "jax[tpu]"`',
}
"""Commands that install JAX for each accelerator."""


def backend_failure(reason: str, facts: ProcessFacts) -> Finding:
    """Return the finding that JAX has no devices; `reason` is its message."""
    if facts.platforms:
        hint = (
            f"JAX_PLATFORMS is {facts.platforms!r}: unset it, or install what it names"
        )
    elif facts.accelerator == "TPU":
        hint = (
            "is another process using the TPU? One at a time can; "
            "`sudo lsof -w /dev/accel* /dev/vfio/*` shows which"
        )
    elif facts.accelerator:
        hint = f"does `nvidia-smi` work here? If it does: {EXTRAS['NVIDIA GPU']}"
    else:
        hint = "JAX_PLATFORMS=cpu runs without an accelerator"
    return Finding(f"JAX finds no devices: {' '.join(reason.split())[:400]}", hint)


def problems_of(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Return findings that keep these processes from working, or from being one run."""
    broken = [
        Finding(
            f"{facts.called}: the device does not compute: {facts.device_trouble}",
            "does another program use its memory? `nvidia-smi` shows GPUs' programs",
        )
        for facts in processes
        if facts.device_trouble
    ]
    return [
        *_unused_accelerators(processes),
        *broken,
        *differing_devices([facts.device_kinds for facts in processes]),
        *_differing_versions(processes),
        *_shared_gpus(processes),
        *_unwritable(processes, "cache folder", "name another with XDG_CACHE_HOME"),
    ]


def _unused_accelerators(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Machines with an accelerator that JAX does not see, though nobody said so."""
    found = []
    for kind, extra in EXTRAS.items():
        blind = [
            facts
            for facts in processes
            if facts.accelerator == kind
            and facts.platform == "cpu"
            and not _wants_cpu(facts)
        ]
        hint = f"install JAX for it: {extra}"
        if all(facts.plugin for facts in blind):
            hidden = "does CUDA_VISIBLE_DEVICES hide it, or `nvidia-smi` fail? "
            hint = (
                "JAX's plugin for it is installed and did not load: "
                f"{hidden if kind != 'TPU' else ''}Else reinstall: {extra}"
            )
        found += _on(blind, f"{_article(kind)}, and JAX sees a CPU", hint)
    return found


def _article(accelerator: str) -> str:
    return f"there is {'an' if accelerator[0] in 'AN' else 'a'} {accelerator}"


def _wants_cpu(facts: ProcessFacts) -> bool:
    return facts.platforms.split(",")[0].strip().lower() == "cpu"


def differing_devices(kinds: Sequence[Sequence[str]]) -> list[Finding]:
    """Processes with other devices, or more of them, than process 0 has.

    Args:
        kinds: the kind of each device, by process.
    """
    said = [counted(sorted(own)) for own in kinds]
    return _differing("devices", said, "every process needs the same devices")


def _differing_versions(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Packages, Python or our own code that are not the same on every process."""
    found = []
    for name in sorted({name for facts in processes for name in facts.versions}):
        called, hint = (
            ("the code of labelgraph_jax", "bring the same code to every machine")
            if name == "code"
            else (name, "install the same versions everywhere, with constraints.txt")
        )
        said = [facts.versions.get(name, "absent") for facts in processes]
        found += _differing(called, said, hint)
    return found


def _differing(name: str, said: Sequence[str], hint: str) -> list[Finding]:
    if len(set(said)) < 2:
        return []
    groups = [
        f"{value or 'none'} on process "
        + spans([process for process, own in enumerate(said) if own == value])
        for value in dict.fromkeys(said)
    ]
    return [Finding(f"{name} differ: {'; '.join(groups)}", hint)]


def _shared_gpus(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Processes of one machine that use the same GPU."""
    users: dict[tuple[str, str], list[int]] = {}
    for facts in processes:
        for gpu in facts.gpus:
            users.setdefault((facts.host, gpu), []).append(facts.process)
    groups = Counter(
        (host, spans(several))
        for (host, _), several in users.items()
        if len(several) > 1
    )
    return [
        Finding(
            f"processes {who} on {host} use the same GPU{'s' if count > 1 else ''} "
            f"({count})",
            "start one process per machine, or give each its own: "
            "`srun --gpus-per-task=1`, or CUDA_VISIBLE_DEVICES",
        )
        for (host, who), count in groups.items()
    ]


def _unwritable(
    processes: Sequence[ProcessFacts], role: str, hint: str
) -> list[Finding]:
    """Processes that cannot write to the folder of that role."""
    bad = [f for f in processes if role in f.folders and f.folders[role].trouble]
    folder = bad[0].folders[role] if bad else Folder("")
    said = f"the {role} {folder.path} cannot be written: {folder.trouble}"
    return _on(bad, said, hint)


def notes_of(
    processes: Sequence[ProcessFacts], environment: Mapping[str, str]
) -> list[Finding]:
    """Return the findings that are worth knowing but stop no run."""
    # Processes whose devices are simulated, or whose accelerator is idle.
    forced = [facts for facts in processes if facts.host_devices]
    count = forced[0].host_devices if forced else 0
    idle = [f for f in processes if f.accelerator and _wants_cpu(f)]
    there = _article(idle[0].accelerator) if idle else ""
    # What is scarce, slow or unused.
    found = [
        *_scarce(processes),
        *_slow(processes),
        *_unwritable(
            processes,
            "compilation cache",
            "every start compiles anew; name another with JAX_COMPILATION_CACHE_DIR",
        ),
        *_on(
            forced,
            f"XLA_FLAGS makes one CPU look like {count} devices: good for tests, not "
            "for speed",
        ),
        *_on(
            idle,
            f"{there}, and JAX_PLATFORMS asks for the CPU",
            "unset JAX_PLATFORMS to use it",
        ),
    ]
    # A pod of an indexed job that runs alone may be meant to be one of many.
    in_indexed_job = bool(environment.get("JOB_COMPLETION_INDEX"))
    if len(processes) == 1 and in_indexed_job and not announced_workers(environment):
        found.append(
            Finding(
                "JOB_COMPLETION_INDEX is set: this pod is one of an indexed job, and "
                "the process is alone",
                "if the pods are to be one run, set LABELGRAPH_COORDINATOR, "
                "LABELGRAPH_PROCESSES and LABELGRAPH_PROCESS_ID in each",
            )
        )
    return found


def _scarce(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Little room on a disk, little memory."""
    found = []
    for role in dict.fromkeys(role for f in processes for role in f.folders):
        sizes = [(f, f.folders[role].free) for f in processes if role in f.folders]
        full = [(f, size) for f, size in sizes if size is not None]
        full = [(f, size) for f, size in full if size < LEAST_DISK]
        if full:
            least = min(size for _, size in full) / GIB
            path = full[0][0].folders[role].path
            found += _on(
                [facts for facts, _ in full],
                f"{least:.1f} GiB free on the disk of the {role} ({path})",
                "checkpoints and prepared corpora need a few GiB",
            )
    tight = [
        facts
        for facts in processes
        if facts.memory_total
        and facts.memory_free is not None
        and facts.memory_free < LEAST_MEMORY_SHARE * facts.memory_total
    ]
    least = min((facts.memory_free or 0 for facts in tight), default=0) / GIB
    return found + _on(tight, f"{least:.1f} GiB of RAM left")


def _slow(processes: Sequence[ProcessFacts]) -> list[Finding]:
    speeds = {f.called: f.teraflops for f in processes if f.teraflops is not None}
    median = statistics.median(speeds.values()) if speeds else 0.0
    return [
        Finding(
            f"{called} is slow: {speed:.3g} TFLOP/s, the median is {median:.3g}",
            "every step waits for the slowest process",
        )
        for called, speed in speeds.items()
        if speed < SLOW_SHARE * median
    ]


def _on(those: Sequence[ProcessFacts], what: str, hint: str = "") -> list[Finding]:
    """A finding on some processes, `process 3 (host): ...`; none without a process."""
    if not those:
        return []
    numbers = spans([facts.process for facts in those])
    whose = those[0].called if len(those) == 1 else f"processes {numbers}"
    return [Finding(f"{whose}: {what}", hint)]
