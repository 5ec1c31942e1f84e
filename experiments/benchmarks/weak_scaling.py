"""Weak scaling: two processes that train together, against one that trains alone.

    python -m experiments.benchmarks.weak_scaling [--turns 6] [--steps 2] [--out FOLDER]

A fine-tuning step of MiniLM's shape (forward, gradient, AdamW), the same rows in every
process. Each process is pinned to a core of its own and computes in one thread:

  alone      one process; the other cores idle
  apart      as many processes as are measured, at the same time, unconnected: what
             sharing the memory alone costs
  together   the same joined by `jax.distributed` into one run, gradients summed over
             gloo at every step

Blocks of steps alternate, the other processes asleep. Efficiency is the time of `alone`
over that of `together`; the target is 85 %. That of `apart` over `together` is the
communication's own share. Compilation is not timed. Processes that train together must
report the same loss, or the benchmark stops. Pinned processes cannot give way to other
work: the report says where the one alone did not have its core for itself.

The report ends with an estimate for 8, 64 and 256 chips (`scaling_estimate.py`).
Time: six minutes on two CPU cores.
"""

import argparse
import json
import os
import socket
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.benchmarks import measure, scaling_estimate
from experiments.benchmarks.finetuning import Sizes, add_sizes, sizes_of
from experiments.benchmarks.measure import (
    Peer,
    PeerUnavailableError,
    Spread,
    Timing,
)
from experiments.study import markdown_table

TARGET = 0.85
UNDISTURBED = 0.95
ONE_DEVICE = (
    "--xla_force_host_platform_device_count=1 --xla_cpu_multi_thread_eigen=false"
)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Team:
    """Processes, one a core, that wait for steps to take and take them at once.

    Attributes:
        facts: what each told about itself.
    """

    def __init__(self, sizes: Sizes, cores: Sequence[int], connected: bool) -> None:
        coordinator = f"127.0.0.1:{free_port()}" if connected else ""
        self.connected = connected
        self._pool = ThreadPoolExecutor(len(cores))

        def start(number: int) -> Peer:
            settings = {
                "sizes": asdict(sizes),
                "core": cores[number],
                "coordinator": coordinator,
                "processes": len(cores),
                "process_id": number,
            }
            return Peer(
                sys.executable,
                Path(__file__).with_name("weak_scaling_worker.py"),
                json.dumps(settings),
                environment={
                    **os.environ,
                    "JAX_PLATFORMS": "cpu",
                    "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {ONE_DEVICE}",
                    "OMP_NUM_THREADS": "1",
                },
            )

        started = [self._pool.submit(start, n) for n in range(len(cores))]
        self.peers: list[Peer] = []
        failures = []
        for future in started:
            try:
                self.peers.append(future.result())
            except PeerUnavailableError as error:
                failures.append(str(error))
        if failures:
            self.close()
            raise RuntimeError(f"a process did not start: {failures[0]}")
        self.facts = [peer.facts for peer in self.peers]
        self.losses: list[list[float]] = []

    def runner(self, steps: int, members: Sequence[int]) -> Callable[[], Timing]:
        """A run of some steps by some members; its time is that of the slowest."""

        def run() -> Timing:
            chosen = [self.peers[member] for member in members]
            answers = list(self._pool.map(lambda p: p.ask({"steps": steps}), chosen))
            self.losses = [answer["losses"] for answer in answers]
            if self.connected and any(o != self.losses[0] for o in self.losses):
                raise RuntimeError(
                    f"processes of one run have different losses: {self.losses}"
                )
            return Timing(
                max(answer["seconds"] for answer in answers),
                sum(answer["cpu_seconds"] for answer in answers),
            )

        return run

    def close(self) -> None:
        """End the processes, all at once: joined ones wait for each other."""
        list(self._pool.map(lambda peer: peer.close(), self.peers))
        self._pool.shutdown()


def efficiency(fast: Sequence[Timing], slow: Sequence[Timing]) -> Spread:
    """`fast` over `slow`, turn by turn."""
    return measure.ratio_of_turns(fast, slow)


def benchmark(sizes: Sizes, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the three, in turns; see the module."""
    machine = measure.machine_facts()
    cores = sorted(os.sched_getaffinity(0))[: options.processes]
    apart = Team(sizes, cores, connected=False)
    together = Team(sizes, cores, connected=True)
    everyone = range(options.processes)
    steps = options.steps
    # Cores differ a little: each takes its turn alone.
    alone = [apart.runner(steps, [member]) for member in everyone]
    turn = -1

    def run_alone() -> Timing:
        nonlocal turn
        turn += 1
        return alone[turn % len(alone)]()

    timings = measure.alternate(
        {
            "alone": run_alone,
            "apart": apart.runner(steps, everyone),
            "together": together.runner(steps, everyone),
        },
        options.turns,
    )
    apart.close()
    together.close()
    shares = {
        "apart": efficiency(timings["alone"], timings["apart"]),
        "together": efficiency(timings["alone"], timings["together"]),
        "communication": efficiency(timings["apart"], timings["together"]),
    }
    return {
        "machine": machine,
        "versions": {"jax": apart.facts[0]["jax"]},
        "sizes": asdict(sizes),
        "parameters": apart.facts[0]["parameters"],
        "processes": options.processes,
        "first_losses": {
            name: [facts["first_losses"] for facts in team.facts]
            for name, team in (("apart", apart), ("together", together))
        },
        "turns": options.turns,
        "steps": steps,
        "seconds": {
            name: Spread.of([t.seconds / steps for t in taken])._asdict()
            for name, taken in timings.items()
        },
        "cpu_seconds": {
            name: Spread.of([t.cpu_seconds / steps for t in taken])._asdict()
            for name, taken in timings.items()
        },
        "efficiency": {name: share._asdict() for name, share in shares.items()},
        "communication_seconds": statistics.median(
            slow.seconds - fast.seconds
            for slow, fast in zip(timings["together"], timings["apart"], strict=True)
        )
        / steps,
        "busy": statistics.median(t.cpu_seconds / t.seconds for t in timings["alone"]),
        "target": TARGET,
        "met": shares["together"].median >= TARGET,
        "estimate": scaling_estimate.estimates(),
    }


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    sizes, count = result["sizes"], result["processes"]
    share = result["efficiency"]

    def shown(spread: dict[str, float]) -> str:
        return f"{spread['median']:.1%} ({spread['low']:.1%} to {spread['high']:.1%})"

    names = {
        "alone": "one process, alone",
        "apart": f"{count} processes, unconnected, at the same time",
        "together": f"{count} processes, one run",
    }
    rows = [
        [
            names[name],
            f"{seconds['median']:.3f} ({seconds['low']:.3f} to {seconds['high']:.3f})",
            f"{result['cpu_seconds'][name]['median']:.3f}",
            shown(share[name]) if name in share else "1",
        ]
        for name, seconds in result["seconds"].items()
    ]
    header = ["", "s a step (middle half)", "CPU s a step, all", "efficiency"]
    disturbed = []
    if result["busy"] < UNDISTURBED:
        disturbed = [
            "**Not a fair comparison**: the process alone had its core for only "
            f"{result['busy']:.0%} of its time; other work took the rest. Repeat on an "
            "idle machine.",
            "",
        ]
    return "\n".join(
        [
            f"Weak scaling: {sizes['shape']}, {result['parameters'] / 1e6:.1f} M "
            f"parameters, {sizes['rows']} documents of {sizes['tokens']} tokens in "
            f"every process, {sizes['dtype']}; {result['turns']} turns of "
            f"{result['steps']} steps; each process on one core of its own, one "
            f"thread; jax {result['versions']['jax']}; "
            f"{measure.machine_line(result['machine'])}.",
            "",
            markdown_table(header, rows),
            *disturbed,
            f"Target {result['target']:.0%}: **{'met' if result['met'] else 'missed'}**"
            f", {share['together']['median']:.1%}. Unconnected processes share the "
            "memory and keep "
            f"{share['apart']['median']:.1%}; of what they keep, those joined keep "
            f"{shown(share['communication'])}: the rest is the sum of "
            f"{4e-6 * result['parameters']:.0f} MB of gradients over gloo, "
            f"{result['communication_seconds']:.2f} s a step, which on one machine "
            "computes on the same cores. It is the same for any number of rows.",
            "",
            scaling_estimate.markdown(result["estimate"]),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure processes alone and together, print the report and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_sizes(parser, Sizes(rows=8))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2, help="in a turn")
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    for name in ("turns", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if not 2 <= options.processes <= measure.cores():
        parser.error(
            "--processes must be at least 2 and at most the cores, each having one of "
            f"its own: got {options.processes}, there are {measure.cores()} cores"
        )
    try:
        sizes = sizes_of(options)
    except ValueError as error:
        parser.error(str(error))
    result = benchmark(sizes, options)
    print(report(result))
    measure.save(options.out, "weak_scaling", result, report(result))


if __name__ == "__main__":
    main()
