"""Attention over 100 to 1,000,000 labels: memory and time of every way to compute it.

    python -m experiments.extreme_labels --peer-python TORCH_PYTHON

Writes OUT/extreme-labels.{md,json,png}: seconds and memory of forward and gradient over
the number of labels for every method and for PyTorch Geometric's DenseGATConv and
GATConv over the complete graph, each until it dies, with fitted exponents; ours against
DenseGATConv in turns in one run; and with `--step` one whole train step (text encoder,
complete label graph, loss in label chunks, Adam) over a million labels. The loss in
chunks alone, over the number of labels, is `experiments.benchmarks.label_chunks`.

2 CPU cores, 24 GB: about 40 minutes, of which 4 are the train step. A busy machine
changes seconds much and ratios little.

Expected: `complete` and `sparse` reach a million labels with time growing as N^1.0 to
N^1.15, `blocked` is stopped by its time, dense matrices by their memory between 10,000
and 30,000 labels; at 1,000 labels ours is 15 times, at 4,000 40 times as fast as
DenseGATConv. The results beside this script say what came out.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments.benchmarks import measure
from experiments.extreme import rendering
from experiments.extreme.ours import METHODS
from experiments.extreme.sweep import (
    PEERS,
    exponents,
    our_point,
    peer_point,
    ratios,
    step_point,
    sweep,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure attention over very many labels."""

    labels: tuple[int, ...] = (
        *(100, 316, 1_000, 3_162, 10_000, 31_623),
        *(131_072, 316_228, 1_000_000),
    )
    """Sizes of the label graph."""
    methods: tuple[str, ...] = (*METHODS, *PEERS)
    """What is measured: dense, complete, blocked, sparse, low-rank, relu, pyg-dense,
    pyg-edges."""
    ratio_labels: tuple[int, ...] = (90, 256, 512, 1_000, 4_000)
    """Sizes at which ours and DenseGATConv take turns."""
    turns: int = 9
    """Of each, there."""
    turn_seconds: float = 0.3
    """Of runs that one turn holds, there."""
    features: int = 64
    """Of a label, before attention."""
    heads: int = 4
    width: int = 64
    """Features per head."""
    repeats: int = 5
    """Runs of a point at most, of which the fastest counts."""
    seconds: float = 30.0
    """After which a point starts no other run."""
    limit_gib: float = 16.0
    """Memory of a point."""
    point_seconds: float = 300.0
    """Time of a point, compilation included."""
    peer_python: str = sys.executable
    """Interpreter with torch_geometric."""
    step: bool = False
    """Measure the train step too."""
    step_only: bool = False
    """Measure the train step alone."""
    step_labels: int = 1_000_000
    step_batch: int = 32
    step_width: int = 256
    """Features of document and label vectors in the train step."""
    step_heads: int = 1
    step_features: int = 64
    """Label features in the train step."""
    step_chunk: int = 4096
    step_tokens: int = 128
    step_vocabulary: int = 30_000
    step_positives: int = 8
    step_limit_gib: float = 64.0
    """Address space, of which a step takes more than it uses."""
    out: str = "experiments/results"

    def sizes(self) -> dict[str, Any]:
        """Of the points."""
        names = "features heads width repeats seconds limit_gib point_seconds"
        return {name: getattr(self, name) for name in [*names.split(), "turn_seconds"]}

    def step_sizes(self) -> dict[str, Any]:
        """Of the train step."""
        names = "labels batch width heads features chunk tokens vocabulary positives"
        names += " limit_gib"
        sizes = {name: getattr(self, f"step_{name}") for name in names.split()}
        return sizes | {"repeats": 2, "seconds": 120.0, "point_seconds": 1800.0}


def check(arguments: Arguments) -> None:
    """Refuses settings that measure nothing.

    Raises:
        SystemExit: a size below 1, or a method that is unknown.
    """
    unknown = set(arguments.methods) - {*METHODS, *PEERS}
    if unknown:
        known = ", ".join((*METHODS, *PEERS))
        raise SystemExit(f"--methods must be of {known}, got {sorted(unknown)[0]!r}")
    counts = {
        "labels": min(arguments.labels, default=1),
        "ratio-labels": min(arguments.ratio_labels, default=1),
        "turns": arguments.turns,
        "repeats": arguments.repeats,
        "features": arguments.features,
        "heads": arguments.heads,
        "width": arguments.width,
    }
    for name, least in counts.items():
        if least < 1:
            raise SystemExit(f"--{name} must be at least 1, got {least}")


def run(arguments: Arguments) -> dict[str, Any]:
    """Everything that is asked for, as one record."""
    sizes = arguments.sizes()

    def point(method: str, labels: int) -> dict[str, Any]:
        if method in PEERS:
            return peer_point(arguments.peer_python, method, labels, sizes)
        return our_point(method, labels, sizes)

    given = ["TORCH_PYTHON" if x == arguments.peer_python else x for x in sys.argv[1:]]
    record: dict[str, Any] = {
        "machine": measure.machine_facts(),
        "jax": jax.__version__,
        "command": shlex.join(["python", "-m", "experiments.extreme_labels", *given]),
        "sizes": sizes,
        "points": [],
    }
    if not arguments.step_only:
        record["points"] = sweep(arguments.methods, arguments.labels, point)
        record["ratios"] = ratios(
            arguments.peer_python, arguments.ratio_labels, sizes, arguments.turns
        )
    record["exponents"] = exponents(record["points"])
    if arguments.step or arguments.step_only:
        record["step_sizes"] = arguments.step_sizes()
        record["step"] = step_point(record["step_sizes"])
    return record


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all methods and sizes, and keep record, figure and page."""
    chosen = tyro.cli(Arguments, args=arguments, description=__doc__)
    check(chosen)
    record = run(chosen)
    name = "extreme-labels-step" if chosen.step_only else "extreme-labels"
    folder = Path(chosen.out)
    folder.mkdir(parents=True, exist_ok=True)
    if record["points"]:
        record["figure"] = f"{name}.png"
        rendering.plot(record, folder / record["figure"])
    page = rendering.page(record)
    measure.save(chosen.out, name, record, page)
    print(page)


if __name__ == "__main__":
    main()
