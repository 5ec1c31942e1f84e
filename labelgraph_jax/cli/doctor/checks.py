"""What is wrong with a set of processes, decided from plain facts."""

import statistics
from collections.abc import Mapping, Sequence

from labelgraph_jax.cli.doctor.facts import GIB, Finding, ProcessFacts, spans
from labelgraph_jax.cli.doctor.workers import announced_workers

LEAST_DISK = 2 * GIB
"""Less free disk than this is worth a note."""


LEAST_MEMORY_SHARE = 0.05


SLOW_SHARE = 0.6
"""A process slower than this share of the median multiplies matrices slowly."""


GPU_EXTRAS = (
    '`pip install -U "jax[cuda13]"` (NVIDIA driver 580 or newer), or '
    '`pip install -U "jax[cuda12]"` for an older driver'
)


TPU_EXTRA = '`pip install -U "jax[tpu]"`'


def collective_failure(reason: str) -> Finding:
    """That the devices of all processes do not compute together."""
    return Finding(
        f"the devices do not compute together: {' '.join(reason.split())[:400]}",
        "does each machine pass alone? Then look at the network between them, and at "
        "what the other processes say",
    )


def backend_failure(reason: str, facts: ProcessFacts) -> Finding:
    """That JAX found no devices at all; `reason` is what it says."""
    said = " ".join(reason.split())[:400]
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
        hint = f"does `nvidia-smi` work here? If it does: {GPU_EXTRAS}"
    else:
        hint = "JAX_PLATFORMS=cpu runs without an accelerator"
    return Finding(f"JAX finds no devices: {said}", hint)


def problems_of(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """What keeps a run of these processes from working, or from being one run."""
    return [
        *unused_accelerators(processes),
        *_broken_devices(processes),
        *differing_devices([facts.device_kinds for facts in processes]),
        *differing_versions(processes),
        *shared_gpus(processes),
        *unwritable_folders(
            processes, "cache folder", "name another with XDG_CACHE_HOME"
        ),
    ]


def unused_accelerators(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Machines with an accelerator that JAX does not see, though nobody said so."""
    found = []
    for kind in ("NVIDIA GPU", "TPU"):
        blind = [
            facts
            for facts in processes
            if facts.accelerator == kind
            and facts.platform == "cpu"
            and not _wants_cpu(facts)
        ]
        if not blind:
            continue
        extra = TPU_EXTRA if kind == "TPU" else GPU_EXTRAS
        hint = f"install JAX for it: {extra}"
        if all(facts.plugin for facts in blind):
            hidden = "does CUDA_VISIBLE_DEVICES hide it, or `nvidia-smi` fail? "
            hint = (
                "JAX's plugin for it is installed and did not load: "
                f"{hidden if kind != 'TPU' else ''}Else reinstall: {extra}"
            )
        found.append(
            Finding(f"{_whose(blind)}: {_article(kind)}, and JAX sees a CPU", hint)
        )
    return found


def _article(accelerator: str) -> str:
    return f"there is {'an' if accelerator[0] in 'AN' else 'a'} {accelerator}"


def _broken_devices(processes: Sequence[ProcessFacts]) -> list[Finding]:
    return [
        Finding(
            f"{facts.called}: the device does not compute: {facts.device_trouble}",
            "does another program use its memory? `nvidia-smi` shows GPUs' programs",
        )
        for facts in processes
        if facts.device_trouble
    ]


def _wants_cpu(facts: ProcessFacts) -> bool:
    return facts.platforms.split(",")[0].strip().lower() == "cpu"


def differing_devices(kinds: Sequence[Sequence[str]]) -> list[Finding]:
    """Processes with other devices, or more of them, than process 0 has.

    Args:
      kinds: the kind of each device, by process.
    """
    said = [_counted(own) for own in kinds]
    return _differing("devices", said, "every process needs the same devices")


def _counted(kinds: Sequence[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in sorted(set(kinds)))


def differing_versions(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Packages, Python or our own code that are not the same on every process."""
    found = []
    for name in sorted({name for facts in processes for name in facts.versions}):
        said = [facts.versions.get(name, "absent") for facts in processes]
        code = name == "code"
        found += _differing(
            "the code of labelgraph_jax" if code else name,
            said,
            "bring the same code to every machine"
            if code
            else "install the same versions everywhere, with constraints.txt",
        )
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


def shared_gpus(processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Processes of one machine that use the same GPU."""
    users: dict[tuple[str, str], list[int]] = {}
    for facts in processes:
        for gpu in facts.gpus:
            users.setdefault((facts.host, gpu), []).append(facts.process)
    groups: dict[tuple[str, str], int] = {}
    for (host, _), several in users.items():
        if len(several) > 1:
            group = (host, spans(several))
            groups[group] = groups.get(group, 0) + 1
    return [
        Finding(
            f"processes {who} on {host} use the same GPU{'s' if count > 1 else ''} "
            f"({count})",
            "start one process per machine, or give each its own: "
            "`srun --gpus-per-task=1`, or CUDA_VISIBLE_DEVICES",
        )
        for (host, who), count in groups.items()
    ]


def unwritable_folders(
    processes: Sequence[ProcessFacts], role: str, hint: str
) -> list[Finding]:
    """Processes that cannot write to the folder of that role."""
    bad = [f for f in processes if role in f.folders and f.folders[role].trouble]
    if not bad:
        return []
    folder = bad[0].folders[role]
    return [
        Finding(
            f"{_whose(bad)}: the {role} {folder.path} cannot be written: "
            f"{folder.trouble}",
            hint,
        )
    ]


def notes_of(
    processes: Sequence[ProcessFacts], environment: Mapping[str, str]
) -> list[Finding]:
    """What is worth knowing and stops nobody."""
    found = [
        *_scarce(processes),
        *_slow(processes),
        *unwritable_folders(
            processes,
            "compilation cache",
            "every start compiles anew; name another with JAX_COMPILATION_CACHE_DIR",
        ),
    ]
    forced = [facts for facts in processes if facts.host_devices]
    if forced:
        found.append(
            Finding(
                f"{_whose(forced)}: XLA_FLAGS makes one CPU look like "
                f"{forced[0].host_devices} devices: good for tests, not for speed"
            )
        )
    idle = [f for f in processes if f.accelerator and _wants_cpu(f)]
    if idle:
        found.append(
            Finding(
                f"{_whose(idle)}: {_article(idle[0].accelerator)}, and JAX_PLATFORMS "
                "asks for the CPU",
                "unset JAX_PLATFORMS to use it",
            )
        )
    if (
        len(processes) == 1
        and environment.get("JOB_COMPLETION_INDEX")
        and announced_workers(environment) is None
    ):
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
    found = []
    for role in dict.fromkeys(role for f in processes for role in f.folders):
        full = [
            facts
            for facts in processes
            if role in facts.folders
            and (free := facts.folders[role].free) is not None
            and free < LEAST_DISK
        ]
        if full:
            free = min(facts.folders[role].free or 0 for facts in full)
            found.append(
                Finding(
                    f"{_whose(full)}: {free / GIB:.1f} GiB free on the disk of the "
                    f"{role} ({full[0].folders[role].path})",
                    "checkpoints and prepared corpora need a few GiB",
                )
            )
    tight = [
        facts
        for facts in processes
        if facts.memory_total
        and facts.memory_free is not None
        and facts.memory_free < LEAST_MEMORY_SHARE * facts.memory_total
    ]
    if tight:
        free = min(facts.memory_free or 0 for facts in tight)
        found.append(Finding(f"{_whose(tight)}: {free / GIB:.1f} GiB of RAM left"))
    return found


def _slow(processes: Sequence[ProcessFacts]) -> list[Finding]:
    speeds = [f.teraflops for f in processes if f.teraflops is not None]
    if len(speeds) < 2:
        return []
    median = statistics.median(speeds)
    slow = [
        facts
        for facts in processes
        if facts.teraflops is not None and facts.teraflops < SLOW_SHARE * median
    ]
    return [
        Finding(
            f"{facts.called} is slow: {facts.teraflops:.3g} TFLOP/s, the median is "
            f"{median:.3g}",
            "every step waits for the slowest process",
        )
        for facts in slow
    ]


def _whose(processes: Sequence[ProcessFacts]) -> str:
    """`process 3 (host)`, or several."""
    if len(processes) == 1:
        return processes[0].called
    return f"processes {spans([facts.process for facts in processes])}"
