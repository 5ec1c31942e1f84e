"""One point: its inputs, its times and its memory. Needs NumPy alone.

Imported by our own worker and, from its own folder, by the rival's script, whose
interpreter need not have JAX.
"""

import contextlib
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MIB = 2**20


def make_inputs(
    labels: int, features: int, heads: int, width: int
) -> dict[str, np.ndarray]:
    """The same nodes and attention parameters in every process."""
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    return {
        "nodes": normal(labels, features),
        "kernel": normal(features, heads, width, scale=features**-0.5),
        "receiver": normal(heads, width, scale=width**-0.5),
        "sender": normal(heads, width, scale=width**-0.5),
    }


def status_bytes(name: str) -> int:
    """A line of /proc/self/status, such as VmRSS; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0


def limit_memory(gib: float) -> None:
    """Lets this process have so much more address space than it has now."""
    most = status_bytes("VmSize") + int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def processor_seconds() -> float:
    """Of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(
    run: Callable[[], Any], *, warm: bool, repeats: int, seconds: float
) -> dict[str, Any]:
    """Seconds, processor seconds and memory of some runs.

    Args:
        run: computes everything before it returns.
        warm: run once unmeasured, where a compiler works at the first time.
        repeats: runs at most.
        seconds: after which no other run starts.

    Returns:
        `seconds`, `processor_seconds`: of every run; `working`: bytes resident at the
        peak beyond those before the first run; `peak`: bytes of the whole process.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status_bytes("VmRSS")
    if warm:
        run()
    taken: list[float] = []
    busy: list[float] = []
    while not taken or (len(taken) < repeats and sum(taken) < seconds):
        start, used = time.perf_counter(), processor_seconds()
        run()
        taken.append(time.perf_counter() - start)
        busy.append(processor_seconds() - used)
    peak = status_bytes("VmHWM")
    return {
        "seconds": taken,
        "processor_seconds": busy,
        "working": max(peak - before, 0),
        "peak": peak,
    }
