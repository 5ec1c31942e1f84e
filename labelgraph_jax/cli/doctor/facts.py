"""Facts about a process and its machine, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """Something worth knowing, and what to do about it."""

    what: str
    hint: str = ""


@dataclass(frozen=True)
class Folder:
    """A folder as one process sees it.

    Attributes:
        path: as given, or found.
        free: bytes free on its disk; None where that is unknown.
        trouble: why it cannot be written; empty if it can, or was not tried.
    """

    path: str
    free: int | None = None
    trouble: str = ""


@dataclass(frozen=True)
class ProcessFacts:
    """Facts about one process and its machine; every value travels as JSON.

    Attributes:
        process: its index, from 0.
        host: name of the machine.
        cores: that it may use.
        memory_total, memory_free: bytes of RAM; None where unknown.
        folders: by role: "current folder", "cache folder", "compilation cache".
        versions: of Python and the packages; `code` is a digest of our own files.
        platform: of JAX's devices: cpu, gpu or tpu.
        device_kinds: kind of each device of this process.
        device_memory: bytes of one device; None where the backend does not say.
        gpus: which GPUs this process uses, as names that mean one GPU of the host.
        accelerator: what the machine holds, whatever JAX sees: "NVIDIA GPU", "TPU", "".
        plugin: whether a JAX plugin for that accelerator is installed.
        platforms: JAX_PLATFORMS.
        host_devices: CPU devices forced by XLA_FLAGS; 0 without.
        teraflops: of a matrix product on its first device; None where that failed.
        device_trouble: why it failed.
    """

    process: int
    host: str = ""
    cores: int | None = None
    memory_total: int | None = None
    memory_free: int | None = None
    folders: Mapping[str, Folder] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    platform: str = "cpu"
    device_kinds: tuple[str, ...] = ()
    device_memory: int | None = None
    gpus: tuple[str, ...] = ()
    accelerator: str = ""
    plugin: bool = False
    platforms: str = ""
    host_devices: int = 0
    teraflops: float | None = None
    device_trouble: str = ""

    @property
    def called(self) -> str:
        """Name of the process in a sentence: its index and its machine."""
        return f"process {self.process} ({self.host})"


def spans(numbers: Sequence[int]) -> str:
    """Rising numbers in short: `0-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)


def counted(kinds: Sequence[str]) -> str:
    """Return the number of each kind in words: `2 x H100, 1 x A100`."""
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
