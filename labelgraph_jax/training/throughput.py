"""Speed of a run and the time it waits for input: step times, FLOPs, MFU."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

PERCENTILES = (50, 90, 99)


@dataclass
class StepClock:
    """Times of the steps since the log's last line.

    Attributes:
        seconds: of each step, from one to the next, saves and validations left out.
        input_seconds: in which a batch was built and placed.
        input_bound_seconds: the part of it in which the devices had nothing to do: the
            step before was finished when the next batch was there. An upper bound.
        flops: of each step's program, over all devices.
        compiling_seconds: of the steps that met a new shape of batch; no part of the
            others.
    """

    seconds: list[float] = field(default_factory=list)
    input_seconds: float = 0.0
    input_bound_seconds: float = 0.0
    flops: float = 0.0
    compiling_seconds: float = 0.0

    def step(self, seconds: float, waited: float, idle: bool, flops: float) -> None:
        """Take one step."""
        self.seconds.append(seconds)
        self.input_seconds += waited
        self.input_bound_seconds += waited if idle else 0.0
        self.flops += flops

    def summary(self) -> dict[str, float]:
        """Return the speed metrics of these steps for the log; empty without steps."""
        total = sum(self.seconds)
        compiling = {"speed/compiling_seconds": self.compiling_seconds}
        if not total:
            return compiling if self.compiling_seconds else {}
        values = compiling if self.compiling_seconds else {}
        values |= {
            f"speed/step_seconds_p{share}": float(np.percentile(self.seconds, share))
            for share in PERCENTILES
        }
        values["speed/input_share"] = self.input_seconds / total
        values["speed/input_bound_share"] = self.input_bound_seconds / total
        if self.flops:
            values["speed/flops_per_step"] = self.flops / len(self.seconds)
            values["speed/mfu"] = (
                self.flops / total / (matrix_peak() * jax.device_count())
            )
        return values


_peaks: dict[str, float] = {}
_PEAK_SIZES = {"cpu": (1024, jnp.float32), "": (8192, jnp.bfloat16)}


def matrix_peak() -> float:
    """FLOPs per second of a large matrix product on one device, measured once.

    float32 on a CPU, bfloat16 elsewhere. Where several "devices" are one CPU, each
    counts as its share.
    """
    device = jax.local_devices()[0]
    if device.device_kind not in _peaks:
        size, dtype = _PEAK_SIZES.get(device.platform, _PEAK_SIZES[""])
        left = jax.device_put(jnp.ones((size, size), dtype), device)
        product = jax.jit(lambda a, b: a @ b)
        product(left, left).block_until_ready()
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            product(left, left).block_until_ready()
            seconds.append(time.perf_counter() - start)
        sharers = len(jax.local_devices()) if device.platform == "cpu" else 1
        _peaks[device.device_kind] = 2.0 * size**3 / min(seconds) / sharers
    return _peaks[device.device_kind]


def program_flops(analysis: object) -> float:
    """FLOPs that XLA counts in a program; 0 where it does not say."""
    if isinstance(analysis, Sequence) and analysis:
        analysis = analysis[0]
    if not isinstance(analysis, Mapping):
        return 0.0
    return max(float(analysis.get("flops", 0.0)), 0.0)


@dataclass(frozen=True)
class ProfileSteps:
    """First and last step to trace."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> "ProfileSteps | None":
        """`10:20`, or nothing.

        Raises:
            ValueError: it is not of that form, or empty.
        """
        if not text:
            return None
        first, _, last = text.partition(":")
        if not (
            first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)
        ):
            raise ValueError(
                f"the steps to profile are written FIRST:LAST, as 10:20; got {text!r}"
            )
        return cls(int(first), int(last))
