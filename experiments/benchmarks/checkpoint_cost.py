"""What a checkpoint costs training: how long a save blocks it, and slows it after that.

    python -m experiments.benchmarks.checkpoint_cost [--large] [--saves 5] \
        [--folder FOLDER] [--out FOLDER]

Fine-tuning steps of an encoder of MiniLM's shape, 22.6 M parameters, with AdamW's two
moments: what `CheckpointStore.save` writes is three times the parameters. Turns of
undisturbed steps alternate with turns that begin with a save and go on until it is on
disk. One save then costs

    blocked + (time of the steps beside it - their number x an undisturbed step)

where the undisturbed step is that of the turns before and after. The target is a stall
below 5 % of the time at one save a minute. `--large` adds an encoder of BERT-base's
shape. The steps keep every core busy, and writing takes a share of the same cores: with
an accelerator the second term is the smaller one.

Time: two minutes on two CPU cores; with `--large` ten.
"""

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import measure
from experiments.benchmarks.finetuning import (
    Finetuning,
    Sizes,
    Turn,
    add_sizes,
    make_batch,
    sizes_of,
)
from experiments.benchmarks.measure import Spread
from experiments.study import markdown_table
from labelgraph_jax.training.checkpoint import CheckpointStore

TARGET = 0.05
MINUTE = 60.0
LARGE_ROWS = 4


@dataclass(frozen=True)
class Save:
    """One save and the steps beside it.

    Attributes:
        blocked: seconds until `save` gave the loop back.
        written: seconds until the checkpoint was whole on disk.
        steps: steps taken from the save until then, and to the end of the turn.
        seconds: what they took.
        undisturbed: seconds of one step in the turns beside.
    """

    blocked: float
    written: float
    steps: int
    seconds: float
    undisturbed: float

    @property
    def slowed(self) -> float:
        """Seconds that the steps lost to the writing behind them."""
        return self.seconds - self.steps * self.undisturbed

    @property
    def cost(self) -> float:
        """Seconds of training that the save took away."""
        return self.blocked + self.slowed


def saving_turn(
    store: CheckpointStore,
    training: Finetuning,
    batches: Iterator[dict[str, Any]],
    number: int,
    least: int,
) -> tuple[float, float, Turn]:
    """A save, and steps until it is on disk (and at least so many).

    Returns:
        Seconds blocked, seconds until it was written, and the turn of the steps.
    """
    written: list[float] = []
    start = time.perf_counter()
    store.save(number, training.state.params, training.state.opt_state)
    blocked = time.perf_counter() - start

    def watch() -> None:
        store.wait()
        written.append(time.perf_counter() - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    turn = Turn.begin()
    while watcher.is_alive() or len(turn.losses) + len(turn.unread) < least:
        training.send(next(batches), turn)
    training.read_all(turn)
    watcher.join()
    if not written:
        raise RuntimeError("the checkpoint was not written; the reason stands above")
    return blocked, written[0], turn


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure_saves(sizes: Sizes, saves: int, steps: int, folder: Path) -> dict[str, Any]:
    """The saves of one encoder, with an undisturbed turn before and after each."""
    load = measure.machine_facts()["load_average"]
    training = Finetuning(sizes, jax.local_devices()[:1])
    batches = itertools.cycle([make_batch(sizes, seed) for seed in range(4)])
    training.run(batches, 2)  # compiles
    with CheckpointStore(folder) as store:
        saving_turn(store, training, batches, 1, 1)  # opens what the first one opens
        quiet = [training.run(batches, steps)]
        taken = []
        for number in range(2, saves + 2):
            taken.append(saving_turn(store, training, batches, number, steps))
            quiet.append(training.run(batches, steps))
        written = folder_bytes(store.folder / str(number))
    each = [turn.timing.seconds / steps for turn in quiet]
    results = [
        Save(
            blocked,
            until,
            len(turn.losses),
            turn.timing.seconds,
            (each[place] + each[place + 1]) / 2,
        )
        for place, (blocked, until, turn) in enumerate(taken)
    ]
    return {
        "sizes": asdict(sizes),
        "load_average": load,
        "parameters": training.parameters,
        "bytes": written,
        "steps": steps,
        "saves": [asdict(save) for save in results],
        "undisturbed": Spread.of(each)._asdict(),
        "blocked": Spread.of([save.blocked for save in results])._asdict(),
        "slowed": Spread.of([save.slowed for save in results])._asdict(),
        "cost": Spread.of([save.cost for save in results])._asdict(),
        "written_seconds": Spread.of([save.written for save in results])._asdict(),
        "share_of_a_minute": statistics.median(s.cost for s in results) / MINUTE,
    }


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the encoder asked for and, with `--large`, one of BERT-base's shape."""
    result: dict[str, Any] = {
        "machine": measure.machine_facts(),
        "versions": {"jax": jax.__version__},
        "device": jax.devices()[0].device_kind,
        "target": TARGET,
        "encoders": [],
    }
    sizes = [sizes_of(options)]
    if options.large:
        changed = {"shape": "bert-base", "rows": min(LARGE_ROWS, options.rows)}
        sizes.append(Sizes(**(asdict(sizes[0]) | changed)))
    for one in sizes:
        with tempfile.TemporaryDirectory(dir=options.folder or None) as scratch:
            found = measure_saves(
                one, options.saves, options.steps, Path(scratch) / "checkpoints"
            )
        result["encoders"].append(found)
    result["share_of_a_minute"] = result["encoders"][0]["share_of_a_minute"]
    result["met"] = all(e["share_of_a_minute"] < TARGET for e in result["encoders"])
    return result


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""

    def shown(spread: dict[str, float]) -> str:
        low, high = spread["low"], spread["high"]
        return f"{spread['median']:.2f} ({low:.2f} to {high:.2f})"

    rows = []
    for found in result["encoders"]:
        sizes, share = found["sizes"], found["share_of_a_minute"]
        rows.append(
            [
                f"{sizes['shape']}, {found['parameters'] / 1e6:.1f} M",
                f"{sizes['rows']} x {sizes['tokens']}",
                shown(found["undisturbed"]),
                shown(found["blocked"]),
                shown(found["slowed"]),
                shown(found["written_seconds"]),
                f"{found['bytes'] / 1e6:,.0f}",
                f"**{share:.1%}**: {'met' if share < result['target'] else 'missed'}",
            ]
        )
    header = [
        "encoder",
        "documents x tokens",
        "s a step, undisturbed",
        "s blocked",
        "s lost to writing behind",
        "s until on disk",
        "MB written",
        f"of a minute (target: below {result['target']:.0%})",
    ]
    count = len(result["encoders"][0]["saves"])
    beside = ", ".join(
        f"{found['sizes']['shape']} {statistics.median(s['steps'] for s in saves):g}"
        for found in result["encoders"]
        for saves in [found["saves"]]
    )
    return "\n".join(
        [
            f"What a checkpoint costs: {count} saves an encoder, median and middle "
            f"half; steps beside a save: {beside}; {result['device']}; jax "
            f"{result['versions']['jax']}; {measure.machine_line(result['machine'])}.",
            "",
            markdown_table(header, rows),
            "The last column is (blocked + lost) / 60 s: the cost at one save a "
            "minute. What is lost is the time of the steps beside the writing less the "
            "same number of undisturbed steps of the turns around; below zero is "
            "noise.",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Time saves beside training, print the report and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_sizes(parser, Sizes())
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="in a turn, at least")
    parser.add_argument("--large", action="store_true", help="BERT-base's shape too")
    parser.add_argument(
        "--folder", default="", help="on the disk to write to (default: temporary)"
    )
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    for name in ("saves", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    try:
        sizes_of(options)
    except ValueError as error:
        parser.error(str(error))
    result = benchmark(options)
    print(report(result))
    measure.save(options.out, "checkpoint_cost", result, report(result))


if __name__ == "__main__":
    main()
