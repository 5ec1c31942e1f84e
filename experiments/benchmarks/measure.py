"""What the benchmarks share: processes with limits, a rival, runs in turns, spreads."""

import contextlib
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import labelgraph_jax

ROOT = Path(__file__).parents[2]
PACKAGES = (*("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy"),)


class Timing(NamedTuple):
    """Wall and processor seconds of one run."""

    seconds: float
    cpu_seconds: float


class Spread(NamedTuple):
    """The median of some measurements, and the range of their middle half."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the quartiles of some measurements."""
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
        return cls(float(median), float(low), float(high))


class PeerUnavailableError(RuntimeError):
    """The rival cannot run here; the message says why."""


class Peer:
    """A script in another interpreter that waits for requests and answers them.

    One JSON object a line in each direction; the first line is what the script tells
    about itself, or `{"error": why}`. It waits without spinning, so that it does not
    disturb what is measured meanwhile.

    Attributes:
        facts: what the script told about itself.
    """

    def __init__(
        self,
        python: str,
        script: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        try:
            self._process = subprocess.Popen(
                [python, str(script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise PeerUnavailableError(f"no interpreter at {python}: {error}") from None
        try:
            self.facts = self._answer()
        except PeerUnavailableError:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            PeerUnavailableError: the script ended, or answered with an error.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the script and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise PeerUnavailableError(answer["error"])
        return dict(answer)


def alternate(
    runs: Mapping[str, Callable[[], Timing]], turns: int
) -> dict[str, list[Timing]]:
    """Timings of every run, in turns, every other turn backwards; nothing is warmed."""
    timings: dict[str, list[Timing]] = {name: [] for name in runs}
    for turn in range(turns):
        for name in list(runs)[:: 1 if turn % 2 == 0 else -1]:
            timings[name].append(runs[name]())
            took = timings[name][-1].seconds
            print(f"turn {turn + 1}: {name} {took:.3f} s", file=sys.stderr, flush=True)
    return timings


def ratio_of_turns(slow: Sequence[Timing], fast: Sequence[Timing]) -> Spread:
    """How many times as long `slow` took, turn by turn: what disturbs both cancels."""
    pairs = zip(slow, fast, strict=True)
    return Spread.of([first.seconds / second.seconds for first, second in pairs])


def run_limited(
    command: Sequence[str],
    limit: float,
    *,
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
    patience: float = 0.0,
) -> str:
    """Run a command; end it, and what it started, where it takes too long.

    Args:
        command: with its arguments.
        limit: seconds.
        output: file for what it prints, as far as it comes.
        environment: in place of this process's.
        patience: seconds that it is left after it was asked to end, before it is ended.

    Returns:
        Why it failed; empty if it did not.
    """
    # A session of its own, so that its peers end with it.
    with contextlib.ExitStack() as files:
        said = files.enter_context(tempfile.TemporaryFile("w+"))
        printed: Any = subprocess.DEVNULL
        if output is not None:
            printed = files.enter_context(output.open("w"))
        process = subprocess.Popen(
            command,
            stdout=printed,
            stderr=said,
            text=True,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            if patience:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
            return f"did not end within {limit:g} s"
        finally:
            _end(process)
        if code == 0:
            return ""
        said.seek(0)
        lines = [line.strip() for line in said if line.strip()]
    return lines[-1] if lines else f"ended with exit code {code} and said nothing"


def _end(process: "subprocess.Popen[str]") -> None:
    """End what is left of the process and of what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def versions() -> dict[str, str]:
    """Of what the numbers come from."""
    # An editable installation may have been made from an older version.
    found = {"labelgraph_jax": labelgraph_jax.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def device_facts() -> dict[str, Any]:
    """The devices that JAX finds, asked in a process that then lets go of them."""
    code = (
        "import jax; d = jax.devices(); "
        "print(d[0].platform, len(d), d[0].device_kind, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"platform": "unknown", "count": 0, "kind": "unknown"}
    name, count, kind = lines[-1].split("|", 2)
    return {"platform": name, "count": int(count), "kind": kind}


def machine_facts() -> dict[str, Any]:
    """What a number depends on: processor, cores, system, versions, load, settings."""
    tuned = ("GLIBC_TUNABLES", "MALLOC_", "OMP_", "KMP_", "MKL_", "XLA_FLAGS", "JAX_")
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
        "settings": {
            k: v for k, v in sorted(os.environ.items()) if k.startswith(tuned)
        },
    }


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def machine_line(facts: Mapping[str, Any]) -> str:
    """`machine_facts` as one line of text."""
    settings = "".join(f", {k}={v}" for k, v in facts["settings"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, "
        f"Python {facts['python']}, load average {facts['load_average']} at the start"
        f"{settings}"
    )


def save(out: str, name: str, result: Mapping[str, Any], markdown: str) -> None:
    """Write `NAME.json` and `NAME.md` into the folder `out`; nothing if it is empty."""
    if not out:
        return
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown)


def median_ms(timings: Sequence[Timing], parts: int = 1) -> float:
    """Median wall milliseconds of one part of a run."""
    return 1000 * statistics.median(t.seconds for t in timings) / parts


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
