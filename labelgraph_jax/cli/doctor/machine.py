"""Facts about a process's machine and its devices."""

import contextlib
import dataclasses
import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import psutil

import labelgraph_jax
from labelgraph_jax.cli.doctor.facts import Folder, ProcessFacts
from labelgraph_jax.cli.doctor.timing import time_matrix_product
from labelgraph_jax.data.files import cache_folder, code_fingerprint

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "transformers",
    "tensorflow-datasets",
)

PLUGINS = {
    "TPU": ("libtpu",),
    "NVIDIA GPU": ("jax_cuda13_plugin", "jax_cuda12_plugin"),
    "": (),
}


def machine_facts(
    environment: Mapping[str, str], process: int = 0, workdir: str = ""
) -> ProcessFacts:
    """Return the facts about a process's machine, without JAX's devices."""
    memory_total, memory_free = read_memory()
    forced = re.search(
        r"--xla_force_host_platform_device_count=(\d+)",
        environment.get("XLA_FLAGS", ""),
    )
    kind = machine_accelerator(environment)
    return ProcessFacts(
        process=process,
        host=socket.gethostname(),
        cores=usable_cores(),
        memory_total=memory_total,
        memory_free=memory_free,
        folders=read_folders(environment, workdir),
        versions=read_versions(),
        accelerator=kind,
        plugin=any(importlib.util.find_spec(name) for name in PLUGINS[kind]),
        platforms=environment.get("JAX_PLATFORMS", ""),
        host_devices=int(forced.group(1)) if forced else 0,
    )


def device_facts(facts: ProcessFacts, environment: Mapping[str, str]) -> ProcessFacts:
    """The same, with JAX's devices of this process."""
    local = jax.local_devices()
    stats: Mapping[str, Any] = {}
    with contextlib.suppress(jax.errors.JaxRuntimeError, NotImplementedError):
        stats = local[0].memory_stats() or {}
    gpus: tuple[str, ...] = ()
    if local[0].platform == "gpu" and facts.accelerator == "NVIDIA GPU":
        numbers = [getattr(d, "local_hardware_id", None) or 0 for d in local]
        visible = environment.get("CUDA_VISIBLE_DEVICES", "")
        gpus = gpu_names(numbers, visible, listed_gpus())
    teraflops, trouble = None, ""
    try:
        teraflops = time_matrix_product(local[0])
    except RuntimeError as error:
        trouble = " ".join(str(error).split())[:300]
    return dataclasses.replace(
        facts,
        platform=local[0].platform,
        device_kinds=tuple(device.device_kind for device in local),
        device_memory=stats.get("bytes_limit"),
        gpus=gpus,
        teraflops=teraflops,
        device_trouble=trouble,
    )


def usable_cores() -> int | None:
    """Cores that this process may use, a container's share counted."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if cores is not None and quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def read_memory(cgroup: str = "/sys/fs/cgroup") -> tuple[int | None, int | None]:
    """Bytes of RAM, and how many are free; a container's limit counted."""
    try:
        memory = psutil.virtual_memory()
    except OSError:
        return None, None
    total, free = int(memory.total), int(memory.available)
    with contextlib.suppress(OSError, ValueError):
        most = int(Path(cgroup, "memory.max").read_text())
        used = int(Path(cgroup, "memory.current").read_text())
        total, free = min(total, most), min(free, max(most - used, 0))
    return total, free


def read_versions() -> dict[str, str]:
    """Python, the packages that a run uses, ourselves and a digest of our code."""
    found = {"python": platform.python_version()}
    found |= {name: package_version(name) for name in PACKAGES}
    found["labelgraph_jax"] = labelgraph_jax.__version__
    return {**found, "code": code_fingerprint()[:12]}


def package_version(name: str) -> str:
    """The version of an installed package, or `absent`."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def read_folders(environment: Mapping[str, str], workdir: str) -> dict[str, Folder]:
    """The folders that a run uses; the caches are created where absent."""
    cache = cache_folder(environment=environment)
    tried = {"cache folder": str(cache)}
    compiled = getattr(jax.config, "jax_compilation_cache_dir", None)
    if compiled and "://" not in compiled:
        tried["compilation cache"] = compiled
    found = {"current folder": Folder(str(Path.cwd()), free_disk(Path.cwd()))}
    for role, path in tried.items():
        trouble = writing_trouble(Path(path))
        found[role] = Folder(path, free_disk(Path(path)), trouble)
    if workdir and "://" not in workdir:
        found["work directory"] = Folder(workdir, free_disk(Path(workdir)))
    return found


def free_disk(path: Path) -> int | None:
    """Bytes free where the path is, or would be."""
    for there in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(there).free
    return None


def writing_trouble(folder: Path) -> str:
    """Return why no file can be written to the folder; empty if one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"labelgraph doctor")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def machine_accelerator(environment: Mapping[str, str], devices: str = "/dev") -> str:
    """Return the accelerator, whatever JAX sees: `NVIDIA GPU`, `TPU` or nothing."""
    folder = Path(devices)
    if any(folder.glob("nvidia[0-9]*")) or listed_gpus():
        return "NVIDIA GPU"
    is_tpu = any(name.startswith("TPU_") for name in environment)
    chips = [*folder.glob("accel[0-9]*"), *folder.glob("vfio/[0-9]*")]
    return "TPU" if is_tpu and chips else ""


def listed_gpus() -> list[str]:
    """The GPUs that `nvidia-smi` lists, by their unique names."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU \d+:.*UUID: ([\w-]+)", listed.stdout, re.MULTILINE)


def gpu_names(
    numbers: Sequence[int], visible: str, unique: Sequence[str]
) -> tuple[str, ...]:
    """Names of a process's GPUs that mean the same GPU in every process of a host.

    Args:
        numbers: among those that CUDA shows to the process.
        visible: CUDA_VISIBLE_DEVICES.
        unique: the unique names of the GPUs of the host, or of the process's share of
            it.
    """
    shown = [part.strip() for part in visible.split(",") if part.strip()]
    names = []
    for number in numbers:
        name = shown[number] if number < len(shown) else str(number)
        known = name.isdecimal() and int(name) < len(unique)
        names.append(unique[int(name)] if known else name)
    return tuple(names)
