"""Loss and gradient over very many labels: memory and time, in chunks and whole.

    python -m experiments.benchmarks.label_chunks [--labels 10000,100000,1000000] \
        [--batch 32] [--features 256] [--positives 8] [--chunk 4096] [--repeats 3] \
        [--limit-gib 16] [--seconds 300] [--out FOLDER]

The cross-entropy of documents against N labels and its gradient to documents, label
vectors and biases: by `chunked_loss`, and by `binary_cross_entropy` on the whole matrix
of logits and multi-hot targets. Every point is a process of its own, which may take
`--limit-gib` of address space and `--seconds`; after its first point that fails a form
is not tried with more labels.

"Working memory" is what the sweep needs beyond its arguments and results: the highest
resident memory of the process while it runs, less what was resident before it and the
bytes of the gradients; beside it what XLA says it allots for temporaries. Both should
be flat in N for chunks. Growth exponents are slopes of straight lines through the
logarithms of the points from 10 chunks of labels on.

Time: five minutes on two CPU cores at the default sizes.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import measure
from experiments.study import markdown_table

ROOT = Path(__file__).parents[2]
FORMS = ("chunks", "whole")
FLAT, LINEAR = 0.1, 1.15
MIB = 2**20


def status_bytes(name: str) -> int:
    """A line of /proc/self/status, such as VmRSS; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0


def measure_point(form: str, labels: int, options: argparse.Namespace) -> Any:
    """One form at one size, in this process."""
    import jax
    import jax.numpy as jnp

    from labelgraph_jax.functional import binary_cross_entropy, chunked_loss

    rows, width = options.batch, options.features

    def made(shape: tuple[int, ...]) -> jax.Array:
        # Without the temporaries of a random generator.
        cells = jax.lax.iota(jnp.float32, int(np.prod(shape)))
        return (jnp.sin(cells * 1e-2) / width**0.25).reshape(shape)

    def in_chunks(factors: Any, positives: jax.Array) -> jax.Array:
        documents, vectors, bias = factors
        return chunked_loss(documents, vectors, bias, positives, chunk=options.chunk)[0]

    def whole(factors: Any, positives: jax.Array) -> jax.Array:
        documents, vectors, bias = factors
        place = jnp.arange(rows)[:, None]
        targets = jnp.zeros((rows, labels)).at[place, positives].set(1.0)
        return binary_cross_entropy(documents @ vectors.T + bias, targets)[0]

    factors = jax.jit(
        lambda: (made((rows, width)), made((labels, width)), made((labels,)))
    )()
    rng = np.random.default_rng(0)
    positives = jnp.asarray(
        rng.integers(0, labels, (rows, options.positives)), jnp.int32
    )
    loss = in_chunks if form == "chunks" else whole
    jax.block_until_ready(factors)
    program = jax.jit(jax.value_and_grad(loss)).lower(factors, positives).compile()
    gradient_bytes = sum(4 * array.size for array in factors)
    seconds, processor, peaks, value = [], [], [], 0.0
    for _ in range(options.repeats):
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = status_bytes("VmRSS")
        start, busy = time.perf_counter(), time.process_time()
        found = jax.block_until_ready(program(factors, positives))
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
        peaks.append(status_bytes("VmHWM") - before - gradient_bytes)
        value = float(found[0])
        del found
    allotted = program.memory_analysis()
    return {
        "seconds": seconds,
        "processor_seconds": processor,
        # Of the first run: later ones find freed memory still resident.
        "working": max(peaks[0], 0),
        "peak": status_bytes("VmHWM"),
        "temporaries": allotted.temp_size_in_bytes if allotted else None,
        "vectors": gradient_bytes,
        "loss": value,
    }


def run_point(form: str, labels: int, options: argparse.Namespace) -> dict[str, Any]:
    """The same in a process of its own; `reason` in place of numbers if it fails."""
    sizes = ("batch", "features", "positives", "chunk", "repeats", "limit_gib")
    given = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in sizes]
    command = [sys.executable, "-m", "experiments.benchmarks.label_chunks", *given]
    command += [f"--labels={labels}", f"--point={form}"]
    record: dict[str, Any] = {"form": form, "labels": labels}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=options.seconds
        )
    except subprocess.TimeoutExpired:
        return record | {"reason": f"took longer than {options.seconds:g} s"}
    if done.returncode:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        why = last[-1] if last else f"ended with exit code {done.returncode}"
        return record | {"reason": why}
    return record | json.loads(done.stdout.splitlines()[-1])


def exponent(
    points: Sequence[Mapping[str, Any]], what: str, least: int
) -> float | None:
    """Slope of log(what) over log(labels), from `least` labels on."""
    pairs = [
        (point["labels"], np.min(point[what]))
        for point in points
        if "reason" not in point and point["labels"] >= least and np.min(point[what])
    ]
    if len(pairs) < 2:
        return None
    labels, values = np.log(np.asarray(pairs, float)).T
    return float(np.polyfit(labels, values, 1)[0])


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    """All points, one after the other."""
    facts = measure.machine_facts()
    points: list[dict[str, Any]] = []
    for form in FORMS:
        for labels in sorted(options.counts):
            points.append(run_point(form, labels, options))
            found = points[-1].get("reason") or f"{min(points[-1]['seconds']):.2f} s"
            print(f"{form}, {labels:,} labels: {found}", file=sys.stderr, flush=True)
            if "reason" in points[-1]:
                break
    least = 10 * options.chunk
    exponents = {
        form: {
            what: exponent([p for p in points if p["form"] == form], what, least)
            for what in ("processor_seconds", "temporaries")
        }
        for form in FORMS
    }
    names = ("batch", "features", "positives", "chunk", "repeats")
    return {
        "machine": facts,
        "sizes": {name: getattr(options, name) for name in names},
        "points": points,
        "exponents": exponents,
        "targets": {"temporaries": FLAT, "processor_seconds": LINEAR},
    }


def report(result: Mapping[str, Any]) -> str:
    """The result in Markdown."""
    sizes = result["sizes"]
    lines = [
        "# Loss and gradient over many labels",
        "",
        f"{measure.machine_line(result['machine'])}; {sizes['batch']} documents, "
        f"{sizes['features']} features, {sizes['positives']} labels of each, chunks of "
        f"{sizes['chunk']:,} labels, float32; best of {sizes['repeats']}, every point "
        "in a process of its own.",
        "",
        markdown_table(
            [
                "labels",
                "form",
                "seconds",
                "processor seconds",
                "working memory, MiB",
                "temporaries by XLA, MiB",
                "label vectors and gradient, MiB",
            ],
            [_row(point) for point in result["points"]],
        ),
    ]
    for form, found in result["exponents"].items():
        time_, memory = found["processor_seconds"], found["temporaries"]
        if time_ is not None and memory is not None:
            lines.append(
                f"{form}: processor time grows as N^{time_:.2f}, temporaries as "
                f"N^{memory:.2f}."
            )
    return "\n".join(lines) + "\n"


def _row(point: Mapping[str, Any]) -> list[str]:
    start = [f"{point['labels']:,}", point["form"]]
    if "reason" in point:
        return [*start, f"failed: {point['reason'][:120]}", *"----"]
    temporaries = point["temporaries"]
    return [
        *start,
        f"{min(point['seconds']):.3f}",
        f"{min(point['processor_seconds']):.3f}",
        f"{point['working'] / MIB:,.0f}",
        "-" if temporaries is None else f"{temporaries / MIB:,.1f}",
        f"{2 * point['vectors'] / MIB:,.0f}",
    ]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--labels", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--positives", type=int, default=8, help="labels per document")
    parser.add_argument("--chunk", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit-gib", type=float, default=16.0)
    parser.add_argument("--seconds", type=float, default=300.0, help="for each point")
    parser.add_argument("--point", choices=FORMS, help=argparse.SUPPRESS)
    parser.add_argument("--out", default="", help="folder for the .md and .json")
    options = parser.parse_args(arguments)
    try:
        options.counts = [int(count) for count in options.labels.split(",")]
    except ValueError:
        parser.error(f"--labels must be numbers with commas, got {options.labels!r}")
    for name in ("batch", "features", "positives", "chunk", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if min(options.counts) < 1:
        parser.error(f"--labels must be at least 1 each, got {options.labels}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all sizes, each in a process of its own, or the one that is asked for."""
    options = parse(arguments)
    if options.point:
        limit = int(options.limit_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(json.dumps(measure_point(options.point, options.counts[0], options)))
        return
    result = measure_all(options)
    measure.save(options.out, "label_chunks", result, report(result))
    print(report(result))


if __name__ == "__main__":
    main()
