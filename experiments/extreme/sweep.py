"""Points of every method and rival, until they die, and ratios in one run."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import measure
from experiments.benchmarks.label_chunks import exponent
from experiments.benchmarks.measure import Peer, PeerUnavailableError, Timing
from experiments.extreme.ours import make_run
from experiments.extreme.points import processor_seconds

ROOT = Path(__file__).parents[2]
PEER = Path(__file__).with_name("peer.py")
PEERS = ("pyg-dense", "pyg-edges")
LARGE = 10_000


def our_point(method: str, labels: int, sizes: dict[str, Any]) -> dict[str, Any]:
    """A point of ours in a process of its own; `reason` in place of numbers."""
    command = [sys.executable, "-m", "experiments.extreme.ours", method, str(labels)]
    return _child([*command, json.dumps(sizes)], sizes["point_seconds"])


def step_point(sizes: dict[str, Any]) -> dict[str, Any]:
    """A train step in a process of its own; see `experiments.extreme.step`."""
    command = [sys.executable, "-m", "experiments.extreme.step", json.dumps(sizes)]
    return _child(command, sizes["point_seconds"])


def _child(command: list[str], seconds: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"took longer than {seconds:g} s"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        why = last[-1][:160] if last else f"ended with exit code {done.returncode}"
        return {"reason": why}
    return dict(json.loads(lines[-1]))


def peer_point(
    python: str, form: str, labels: int, sizes: dict[str, Any]
) -> dict[str, Any]:
    """A point of the rival in a process of its own."""
    command = [python, str(PEER), json.dumps(sizes | {"threads": measure.cores()})]
    request: dict[str, Any] = {"form": form, "labels": labels}
    request |= {name: sizes[name] for name in ("repeats", "seconds")}
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request) + "\n",
            capture_output=True,
            text=True,
            timeout=sizes["point_seconds"],
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"took longer than {sizes['point_seconds']:g} s"}
    except OSError as error:
        return {"reason": f"no interpreter at {python}: {error}"}
    lines = done.stdout.splitlines()
    if len(lines) < 2 and not (lines and "error" in json.loads(lines[-1])):
        return {"reason": f"ended with exit code {done.returncode}"}
    answer = json.loads(lines[-1])
    return {"reason": answer["error"]} if "error" in answer else dict(answer)


def sweep(
    methods: Sequence[str],
    labels: Sequence[int],
    measure_one: Callable[[str, int], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Every method at every size, up to the first at which it fails."""
    points: list[dict[str, Any]] = []
    for method in methods:
        for count in sorted(labels):
            point: dict[str, Any] = {"method": method, "labels": count}
            point |= measure_one(method, count)
            points.append(point)
            found = point.get("reason") or f"{min(point['seconds']):.4f} s"
            print(f"{method}, {count:,} labels: {found}", file=sys.stderr, flush=True)
            if "reason" in point:
                break
    return points


def exponents(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the exponents of time and memory of every method.

    They are fitted from 10,000 labels on, or to the last three points where a method
    does not get that far.
    """
    found = {}
    for method in dict.fromkeys(point["method"] for point in points):
        own = [p for p in points if p["method"] == method and "reason" not in p]
        large = [p for p in own if p["labels"] >= LARGE]
        used = large if len(large) >= 2 else own[-3:]
        found[method] = {
            what: exponent(used, what, 0) for what in ("seconds", "working")
        } | {"from": used[0]["labels"] if used else None}
    return found


def ratios(
    python: str, labels: Sequence[int], sizes: dict[str, Any], turns: int
) -> dict[str, Any]:
    """Ours and the rival's dense layer in turns, in one run; equal losses first.

    Raises:
        RuntimeError: ours and the rival do not compute the same.
    """
    result: dict[str, Any] = {"sizes": {}, "turns": turns}
    peer = None
    try:
        peer = Peer(python, PEER, json.dumps(sizes | {"threads": measure.cores()}))
        result["peer"] = peer.facts
    except PeerUnavailableError as error:
        result["peer"] = {"error": str(error)}
    try:
        for count in labels:
            result["sizes"][str(count)] = _ratios_at(peer, count, sizes, turns)
    finally:
        if peer is not None:
            peer.close()
    return result


def _ratios_at(
    peer: Peer | None, count: int, sizes: dict[str, Any], turns: int
) -> dict[str, Any]:
    runs: dict[str, Callable[[], Timing]] = {}
    losses = {}
    for method in ("auto", "dense", "complete"):
        run = make_run(method, count, sizes)
        losses[method] = run()
        times = _times(run, sizes["turn_seconds"])
        runs[method] = partial(_several, run, times)
    if peer is not None:
        request = {"form": "pyg-dense", "labels": count, "seconds": 1e9}
        first = peer.ask(request | {"repeats": 2})
        losses["pyg-dense"] = first["loss"]
        times = max(1, round(sizes["turn_seconds"] / min(first["seconds"])))

        def rival(request: Any = request | {"repeats": times}) -> Timing:
            found = peer.ask(request)
            parts = (found["seconds"], found["processor_seconds"])
            return Timing(*(sum(part) / len(part) for part in parts))

        runs["pyg-dense"] = rival
    if not np.allclose(list(losses.values()), losses["dense"], rtol=1e-3):
        raise RuntimeError(f"not the same function at {count} labels: {losses}")
    timings = measure.alternate(runs, turns)
    return {
        "milliseconds": {n: measure.median_ms(t) for n, t in timings.items()},
        "over_auto": {
            name: measure.ratio_of_turns(taken, timings["auto"])._asdict()
            for name, taken in timings.items()
            if name != "auto"
        },
    }


def _times(run: Callable[[], float], seconds: float) -> int:
    return max(1, round(seconds / max(_several(run, 1).seconds, 1e-6)))


def _several(run: Callable[[], float], times: int) -> Timing:
    """The mean of some runs."""
    start = time.perf_counter(), processor_seconds()
    for _ in range(times):
        run()
    end = time.perf_counter(), processor_seconds()
    return Timing(*((b - a) / times for a, b in zip(start, end, strict=True)))
