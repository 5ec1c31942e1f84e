"""One race: our compiled steps against the variants of a rival, in blocks, in turns.

The rival is a script for another interpreter (`measure.Peer`). It gets our first
parameters and our batches, and its first losses must be ours, or the race stops: so
both sides do the same work. Its variants are raced first, and the fastest is taken.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks import measure
from experiments.benchmarks.measure import Peer, PeerUnavailableError, Timing
from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.step import path_string

Runs = dict[str, Callable[[], Timing]]


class Steps:
    """A compiled train step over some batches, round and round.

    Args:
        step: compiled.
        state: what it starts from.
        batches: NumPy arrays by name.
    """

    def __init__(
        self, step: CompiledStep, state: Any, batches: Sequence[Mapping[str, Any]]
    ) -> None:
        self._step, self._batches = step, batches
        self._state = step.place_state(state)
        self._done = 0

    def run(self, steps: int) -> tuple[Timing, list[float]]:
        """Take some steps; return their time and the loss of each."""
        start, cpu = time.perf_counter(), time.process_time()
        losses = []
        for _ in range(steps):
            batch = self._batches[self._done % len(self._batches)]
            self._done += 1
            placed = self._step.place_batch(batch)
            self._state, metrics = self._step(self._state, placed)
            losses.append(metrics["loss"])
        values = [float(loss) for loss in losses]
        seconds = time.perf_counter() - start
        return Timing(seconds, time.process_time() - cpu), values


def flat(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a tree by their paths, as a rival reads them."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_string(path): np.asarray(leaf) for path, leaf in leaves}


def numbered(batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of several batches by `number/name`."""
    return {
        f"{number}/{name}": value
        for number, batch in enumerate(batches)
        for name, value in batch.items()
    }


def start_rival(
    benchmark: str,
    python: str,
    settings: Mapping[str, Any],
    params: Mapping[str, np.ndarray],
    batches: Mapping[str, np.ndarray],
) -> Peer:
    """Start the rival of a benchmark, which reads what both sides share.

    Raises:
        PeerUnavailableError: it cannot run here.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "sizes.json").write_text(json.dumps(settings))
        np.savez(str(folder / "params.npz"), allow_pickle=False, **params)
        np.savez(str(folder / "batches.npz"), allow_pickle=False, **batches)
        script = Path(__file__).with_name(f"{benchmark}_peer.py")
        # It answers once it has read everything, so the folder may go.
        return Peer(python, script, scratch, str(measure.cores()))


def peer_run(peer: Peer, variant: str, steps: int) -> Callable[[], Timing]:
    """Return a run of some steps of a variant."""

    def run() -> Timing:
        answer = peer.ask({"variant": variant, "steps": steps})
        return Timing(answer["seconds"], answer["cpu_seconds"])

    return run


def check_same(
    peer: Peer,
    variant: str,
    parameters: int,
    losses: Sequence[float],
    *,
    steps: int | None = None,
    tolerance: float | None = 1e-3,
) -> None:
    """Take the first steps of a variant; it must count and learn as ours does.

    Args:
        peer: the rival.
        variant: of it.
        parameters: how many ours has.
        losses: ours, of the first steps.
        steps: that are asked for; as many as there are losses by default.
        tolerance: of the losses, relative; none are compared where it is None.

    Raises:
        RuntimeError: another number of parameters, or other losses.
    """
    count = len(losses) if steps is None else steps
    answer = peer.ask({"variant": variant, "steps": count})
    if answer["parameters"] != parameters:
        raise RuntimeError(
            f"{variant} has {answer['parameters']} parameters, ours {parameters}"
        )
    if tolerance and not np.allclose(answer["losses"], losses, rtol=tolerance):
        raise RuntimeError(
            f"{variant} has losses {answer['losses']}, ours {list(losses)}"
        )


def fastest(
    peer: Peer,
    variants: Sequence[str],
    first_steps: Callable[[str], Any],
    steps: int,
    turns: int,
) -> dict[str, Any]:
    """Race the variants of a rival.

    Args:
        peer: the rival.
        variants: of it.
        first_steps: warms a variant up and checks it.
        steps: of a turn.
        turns: of every variant.

    Returns:
        `variant`, the fastest; `race_ms`, milliseconds a step of each; `refused`, why
        others do not run.

    Raises:
        PeerUnavailableError: none runs.
    """
    runs: Runs = {}
    refused = {}
    for variant in variants:
        try:
            first_steps(variant)
        except PeerUnavailableError as error:
            refused[variant] = str(error)
        else:
            runs[variant] = peer_run(peer, variant, steps)
    timings = measure.alternate(runs, turns)
    race = {name: measure.median_ms(taken, steps) for name, taken in timings.items()}
    if not race:
        raise PeerUnavailableError("; ".join(refused.values()))
    variant = min(race, key=lambda name: race[name])
    return {"variant": variant, "race_ms": race, "refused": refused}


def raced(found: Mapping[str, Any], digits: int = 0) -> list[str]:
    """Return lines on a race: who ran, how fast, and who did not and why."""
    times = ", ".join(f"{n} {ms:.{digits}f} ms" for n, ms in found["race_ms"].items())
    return [times, *(f"Not run: {why}." for why in found["refused"].values())]


def times_of(
    timings: Mapping[str, Sequence[Timing]], parts: int
) -> dict[str, dict[str, float]]:
    """Return median milliseconds of a part of each run, by the clock and processor."""
    return {
        "milliseconds": {n: measure.median_ms(t, parts) for n, t in timings.items()},
        "cpu_milliseconds": {
            name: 1000 * statistics.median(t.cpu_seconds for t in taken) / parts
            for name, taken in timings.items()
        },
    }


def parser_of(
    about: str, sizes: Mapping[str, Any], **choices: Sequence[str]
) -> argparse.ArgumentParser:
    """Return the options that every race has, and one for each size.

    Args:
        about: the docstring of the benchmark.
        sizes: the default of each, whose type it keeps.
        choices: of some of them.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    python = "interpreter that has the rival"
    parser.add_argument("--peer-python", default=sys.executable, help=python)
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    for name, default in sizes.items():
        flag = f"--{name.replace('_', '-')}"
        kind = type(default)
        parser.add_argument(flag, type=kind, default=default, choices=choices.get(name))
    return parser
