"""How much of the accelerator a fine-tuning step uses: MFU, step times, input share.

    python -m experiments.benchmarks.mfu [--shapes minilm,bert-base] [--rows N,N] \
        [--steps 30] [--out FOLDER]

First the peak of this device is measured: the fastest of some square products, in
bfloat16 and in float32. Then fine-tuning steps (random weights and tokens, S 256,
products in bfloat16, parameters and AdamW in float32), fed by the library's own batches
through Grain. Reported for each encoder:

  FLOPs       6 N tokens + attention (`finetuning.analytic_flops`), which MFU uses: the
              operations the model asks for, whatever the compiler does. Beside it what
              XLA counts in the compiled step, norms, softmax and optimizer included
  step time   percentiles, from one loss read to the next, as the training loop reads
  MFU         FLOPs / median step time / measured peak in the dtype of the products
  input       share of the time that the loop spent on its next batch and its placing

With several `--rows` every encoder is measured with each of them, its best counts, and
a batch that does not fit is written down with the reason. What is measured is written
at once, so that a run that is ended leaves what it had.

On a CPU the sizes are reduced by default, and the report says so: there the number says
that the measurement works, not how an accelerator is used. Target on an accelerator: an
MFU of 40 %.

Time: on an accelerator two minutes, most of it compilation; on two CPU cores three.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import measure
from experiments.benchmarks.finetuning import (
    SHAPES,
    Finetuning,
    Sizes,
    analytic_flops,
    make_batch,
)
from experiments.study import markdown_table
from labelgraph_jax.data.batches.batches import Examples, train_batches

TARGET = 0.4
ACCELERATOR_ROWS = {"minilm": 256, "bert-base": 64, "toy": 8}
CPU_ROWS = {"minilm": 2, "bert-base": 1, "toy": 2}
ACCELERATOR_PRODUCTS = (4096, 8192, 16384)
CPU_PRODUCTS = (512, 1024, 2048)
DTYPES = ("bfloat16", "float32")
PERCENTILES = (10, 50, 90, 99)


def product_flops(size: int, dtype: str, repeats: int = 5) -> float:
    """Operations a second of one square product, the best of some runs."""
    keys = jax.random.split(jax.random.key(0))
    left, right = (jax.random.normal(key, (size, size), dtype) for key in keys)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(left, right))
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        # Several in a row, so that sending one off is not timed.
        jax.block_until_ready([product(left, right) for _ in range(4)])
        best = min(best, (time.perf_counter() - start) / 4)
    return 2 * size**3 / best


def measured_peaks(sizes: Sequence[int]) -> dict[str, dict[str, float]]:
    """Of each dtype the operations a second of every size, and the best."""
    peaks = {}
    for dtype in DTYPES:
        found = {str(size): product_flops(size, dtype) for size in sizes}
        peaks[dtype] = found | {"best": max(found.values())}
    return peaks


def make_input(sizes: Sizes, steps: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of random documents, as training reads them."""
    documents = [make_batch(sizes, seed) for seed in range(4)]
    tokens = np.concatenate([batch["token_ids"] for batch in documents])
    targets = np.concatenate([batch["targets"] for batch in documents])
    examples = Examples([[row] for row in tokens], targets)
    return train_batches(
        examples,
        batch_size=sizes.rows,
        epochs=-(-steps // len(documents)),
        seed=0,
        length_buckets=(sizes.tokens,),
        prefetch_threads=1,
    )


class TimedInput:
    """An iterator that notes how long each next item took."""

    def __init__(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
        self._batches = batches
        self.seconds = 0.0

    def __iter__(self) -> "TimedInput":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        batch = next(self._batches)
        self.seconds += time.perf_counter() - start
        return {
            name: value
            for name, value in batch.items()
            if name in ("token_ids", "token_mask", "targets")
        }


def measure_shape(sizes: Sizes, steps: int, peak: float) -> dict[str, Any]:
    """Steps of one encoder on the first device."""
    training = Finetuning(sizes, jax.local_devices()[:1])
    warm_up = 3
    batches = TimedInput(make_input(sizes, warm_up + steps))
    training.run(batches, warm_up)  # compiles
    counted = training.step.flops(training.step.place_batch(make_batch(sizes)))
    batches.seconds = 0.0
    placing = timed_placing(training, steps)
    turn = training.run(batches, steps)
    flops = analytic_flops(sizes)
    found = {f"p{q}": float(np.percentile(turn.seconds, q)) for q in PERCENTILES}
    total = turn.timing.seconds
    return {
        "sizes": asdict(sizes),
        "parameters": training.parameters,
        "flops": flops,
        "compiler_flops": counted or None,
        "step_seconds": found,
        "documents_per_second": sizes.rows * steps / total,
        "achieved": flops / found["p50"],
        "mfu": flops / found["p50"] / peak,
        "input_share": (batches.seconds + placing) / total,
        "finite": bool(np.isfinite(turn.losses).all()),
    }


def timed_placing(training: Finetuning, steps: int) -> float:
    """Seconds that so many placings of a batch take the loop."""
    batch = make_batch(training.sizes)
    jax.block_until_ready(training.step.place_batch(batch))
    start = time.perf_counter()
    for _ in range(steps):
        training.step.place_batch(batch)
    return time.perf_counter() - start


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """The peak, then every encoder asked for."""
    device = jax.local_devices()[0]
    reduced = device.platform == "cpu"
    machine = measure.machine_facts()
    peaks = measured_peaks(
        options.products or (CPU_PRODUCTS if reduced else ACCELERATOR_PRODUCTS)
    )
    usual = CPU_ROWS if reduced else ACCELERATOR_ROWS
    result: dict[str, Any] = {
        "machine": machine,
        "versions": {"jax": jax.__version__},
        "device": device.device_kind,
        "platform": device.platform,
        "reduced": reduced,
        "peaks": peaks,
        "dtype": options.dtype,
        "steps": options.steps,
        "target": TARGET,
        "encoders": {},
        "not_run": {},
        "met": None,
    }
    peak = peaks[options.dtype]["best"]
    for name in options.shapes:
        for rows in options.rows or [usual[name]]:
            sizes = Sizes(name, rows, options.tokens, dtype=options.dtype)
            key = f"{name}, {rows} rows" if len(options.rows) > 1 else name
            try:
                found = measure_shape(sizes, options.steps, peak)
            except jax.errors.JaxRuntimeError as error:  # it does not fit
                if len(options.rows) < 2:
                    raise
                result["not_run"][key] = " ".join(str(error).split())[:160]
                continue
            result["encoders"][key] = found
            # Of a CPU nothing is asked.
            result["met"] = None if reduced else best_of_all(result) >= TARGET
            print(f"{key}: MFU {found['mfu']:.1%}", flush=True)
            measure.save(options.out, "mfu", result, report(result))
    return result


def best_of_all(result: dict[str, Any]) -> float:
    """The least, over the encoders, of the best MFU that each was found to have."""
    best: dict[str, float] = {}
    for found in result["encoders"].values():
        name = found["sizes"]["shape"]
        best[name] = max(best.get(name, 0.0), found["mfu"])
    return min(best.values())


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    peaks = result["peaks"]
    products = [
        [
            dtype,
            *(f"{v / 1e12:.2f}" for n, v in found.items() if n != "best"),
            f"**{found['best'] / 1e12:.2f}**",
        ]
        for dtype, found in peaks.items()
    ]
    product_sizes = [n for n in peaks[result["dtype"]] if n != "best"]
    rows = []
    for name, found in result["encoders"].items():
        times, counted = found["step_seconds"], found["compiler_flops"]
        rows.append(
            [
                f"{name}, {found['parameters'] / 1e6:.1f} M",
                f"{found['sizes']['rows']} x {found['sizes']['tokens']}",
                f"{found['flops'] / 1e12:.3f}",
                "-" if counted is None else f"{counted / 1e12:.3f}",
                " / ".join(f"{1e3 * times[f'p{q}']:.1f}" for q in PERCENTILES),
                f"{found['documents_per_second']:,.0f}",
                f"{found['achieved'] / 1e12:.2f}",
                f"**{found['mfu']:.1%}**",
                f"{found['input_share']:.2%}",
            ]
        )
    header = [
        "encoder",
        "documents x tokens",
        "TFLOP a step (6 N tokens + attention)",
        "TFLOP, XLA's count",
        f"ms a step, {' / '.join(f'p{q}' for q in PERCENTILES)}",
        "documents/s",
        "TFLOP/s",
        "MFU",
        "input",
    ]
    lines = [
        f"Fine-tuning steps on {result['device']} ({result['platform']}), one device: "
        f"products in {result['dtype']}, parameters in float32; {result['steps']} "
        f"steps each; jax {result['versions']['jax']}; "
        f"{measure.machine_line(result['machine'])}.",
        "",
    ]
    if result["reduced"]:
        lines += [
            "**Reduced sizes**: this is a CPU. The numbers show that the measurement "
            "works, and say nothing of an accelerator.",
            "",
        ]
    verdict = {None: "not judged on a CPU", True: "met", False: "missed"}
    lines += [
        "Measured peak, TFLOP/s, of square products by their size:",
        "",
        markdown_table(["dtype", *product_sizes, "peak"], products),
        markdown_table(header, rows),
        *(f"{name} was not run: {why}." for name, why in result["not_run"].items()),
        "MFU is the first count of operations, a median step and the measured peak in "
        f"{result['dtype']}. “Input” is the loop's waiting for its next batch and the "
        f"placing of it. Target, of every encoder: {result['target']:.0%}, "
        f"**{verdict[result['met']]}**.",
        "",
    ]
    return "\n".join(lines)


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in SHAPES:
            raise argparse.ArgumentTypeError(
                f"must be some of {', '.join(SHAPES)}, got {name!r}"
            )
    return names


def _numbers(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure steps of the encoders against the device's peak."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--shapes",
        type=_names,
        default=["minilm", "bert-base"],
        help="some of " + ", ".join(SHAPES),
    )
    parser.add_argument(
        "--rows",
        type=_numbers,
        default=[],
        help="documents in a batch, several with commas between (by the device)",
    )
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument(
        "--products", type=_numbers, default=[], help="sizes for the peak, 1024,2048"
    )
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error(f"--steps must be at least 1, got {options.steps}")
    for name in options.shapes:
        try:
            for rows in options.rows or [1]:
                Sizes(name, rows, options.tokens)
        except ValueError as error:
            parser.error(str(error))
    result = benchmark(options)
    print(report(result))


if __name__ == "__main__":
    main()
