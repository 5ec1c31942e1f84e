"""A train step that moves the rows it reads, against one that moves the whole table.

    python -m experiments.benchmarks.row_updates [--ids 1000000] [--rows 512] \
        [--turns 5] [--steps 90] [--out FOLDER]

Two models: what `labelgraph train` trains without options (a bag of 30,000 x 256
embeddings over the embedded corpus, batches of 32 documents), and a table with a column
of `--ids` ids beside two of 100, batches of `--rows` rows, eight features an id, a
mixture of experts and one binary task. Both forms take the same batches, built
beforehand, an epoch's first `--steps`, in turns; compilation is not timed. Besides the
clock the seconds of all cores are counted: they tell where others use the machine too.

Time: five minutes on two CPU cores.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks import measure
from experiments.benchmarks.measure import Spread, Timing
from experiments.study import markdown_table
from labelgraph_jax.config import Config, TextConfig
from labelgraph_jax.data.batches.batches import (
    Batches,
    BatchPlan,
    RowIds,
    TouchedRows,
)
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import MultiTaskNetwork
from labelgraph_jax.modules.tables import TableEncoder, TableNetwork
from labelgraph_jax.predictors.tables.network import TableClassifier
from labelgraph_jax.runs.labels import LabelProblem
from labelgraph_jax.runs.steps import optimizer_and_step, row_step
from labelgraph_jax.training.compiled_rows import compile_row_step
from labelgraph_jax.training.compiled_step import CompiledStep, compile_train_step
from labelgraph_jax.training.objectives import LossFn, multi_task_objective
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.row_step import LookedUp
from labelgraph_jax.training.step import init_train_state

TARGETS = {"texts": 4.0, "table": 5.0}
TOTAL_STEPS = 1800
DIM = 8


def texts(options: argparse.Namespace) -> dict[str, Callable[[], Timing]]:
    """The default model; with `--dim` below its own a smaller one."""
    config = Config(text=TextConfig(dim=options.dim)).resolved()
    problem = LabelProblem(config)
    prepared = problem.prepare(problem.read(), lambda line: None)
    return both(
        config,
        problem.objective(prepared),
        problem.init(prepared, jax.random.key(0)),
        prepared.train,
        prepared.batch_size,
        LookedUp(("text_encoder/embedding/embedding",), ("text_encoder/token_weight",)),
        RowIds(
            prepared.tokenizer.vocabulary_size,
            counted=True,
            hidden=config.text.token_dropout or 0.0,
        ),
        options.steps,
    )


def table(options: argparse.Namespace) -> dict[str, Callable[[], Timing]]:
    """A column of many ids, drawn so that some are frequent."""
    random, sizes = np.random.default_rng(0), (options.ids, 100, 100)
    count = options.rows * options.steps
    columns = [np.minimum(random.zipf(1.2, count), size) - 1 for size in sizes]
    # What is frequent is not what stands first.
    columns[0] = random.permutation(options.ids)[columns[0]]
    examples = TableExamples(
        np.stack(columns, axis=1).astype(np.int32),
        random.normal(size=(count, 4)).astype(np.float32),
        (random.random((count, 1)) < 0.3).astype(np.float32),
    )
    tasks = (Task("click", "binary", 1),)
    network = MultiTaskNetwork(tasks=tasks, kind="mmoe", experts=4, hidden=(64,))
    encoder = TableEncoder(sizes, DIM, small_start=True)
    classifier = TableClassifier(TableNetwork(encoder, network), (), (3, 4))
    config = Config(text=TextConfig(trainable=True)).resolved()
    return both(
        config,
        multi_task_objective(classifier.apply, tasks),
        classifier.init(jax.random.key(0)),
        examples,
        options.rows,
        LookedUp(("encoder/embedding",)),
        RowIds(sum(sizes), encoder.row_offsets),
        options.steps,
    )


def both(
    config: Config,
    objective: LossFn,
    params: Any,
    examples: Any,
    batch_size: int,
    looked_up: LookedUp,
    ids: RowIds,
    steps: int,
) -> dict[str, Callable[[], Timing]]:
    """A timed run of some steps in each form, compiled and once gone through."""
    key, params = jax.random.key(1), jax.device_get(params)
    plan = BatchPlan(examples, batch_size=batch_size, seed=0)
    touched = TouchedRows(examples, plan, ids)
    steps = min(steps, len(plan))
    mesh = make_mesh(jax.devices()[:1])
    optimizer, step = optimizer_and_step(
        config, objective, key, total_steps=TOTAL_STEPS
    )
    rows = row_step(config, objective, key, looked_up, total_steps=TOTAL_STEPS)
    forms: dict[str, tuple[CompiledStep, Any, Batches]] = {
        "dense": (
            compile_train_step(step, mesh),
            init_train_state(params, optimizer),
            Batches(examples, plan),
        ),
        "rows": (
            compile_row_step(rows, mesh),
            rows.init(params),
            Batches(examples, plan, touched=touched),
        ),
    }
    runs = {
        name: timed(compiled, state, [batches[i] for i in range(steps)])
        for name, (compiled, state, batches) in forms.items()
    }
    for run in runs.values():
        run()
    return runs


def timed(
    compiled: CompiledStep, state: Any, batches: list[Any]
) -> Callable[[], Timing]:
    """Return a function that times the step on all batches, for one of them."""
    held = [compiled.place_state(state)]

    def run() -> Timing:
        start, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            held[0], _ = compiled(held[0], compiled.place_batch(batch))
        jax.block_until_ready(held[0])
        count = len(batches)
        return Timing(
            (time.perf_counter() - start) / count, (time.process_time() - cpu) / count
        )

    return run


def measured(runs: dict[str, Callable[[], Timing]], turns: int) -> dict[str, Any]:
    """Milliseconds a step of both forms, and their ratio turn by turn."""
    timings = measure.alternate(runs, turns)
    pairs = list(zip(timings["dense"], timings["rows"], strict=True))
    return {
        "milliseconds": {n: measure.median_ms(t) for n, t in timings.items()},
        "cpu_milliseconds": {
            name: 1000 * float(np.median([timing.cpu_seconds for timing in taken]))
            for name, taken in timings.items()
        },
        "ratio": measure.ratio_of_turns(timings["dense"], timings["rows"])._asdict(),
        "cpu_ratio": Spread.of(
            [dense.cpu_seconds / rows.cpu_seconds for dense, rows in pairs]
        )._asdict(),
    }


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    rows = [
        [
            name,
            *(f"{found['milliseconds'][form]:.1f}" for form in ("dense", "rows")),
            "{median:.1f}x ({low:.1f} to {high:.1f})".format(**found["ratio"]),
            *(f"{found['cpu_milliseconds'][form]:.1f}" for form in ("dense", "rows")),
            "{median:.1f}x ({low:.1f} to {high:.1f})".format(**found["cpu_ratio"]),
        ]
        for name, found in result["models"].items()
    ]
    header = ["model", "dense, ms", "rows, ms", "ratio"]
    header += ["dense, CPU ms", "rows, CPU ms", "ratio"]
    return (
        f"A train step, all rows of a table against those that it reads; "
        f"{result['ids']:,} ids; medians of {result['turns']} turns, middle half; jax "
        f"{jax.__version__}; {measure.machine_line(result['machine'])}.\n\n"
        f"{markdown_table(header, rows)}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Race steps that move touched rows against dense ones, and keep the report."""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.benchmarks.{Path(__file__).stem}",
        description=__doc__.split("\n")[0],
    )
    parser.add_argument("--ids", type=int, default=1_000_000, help="of the column")
    parser.add_argument("--rows", type=int, default=512, help="of a table's batch")
    parser.add_argument("--dim", type=int, default=256, help="of the text model")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=90, help="in a turn")
    parser.add_argument("--only", default="", help="texts or table")
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    if min(options.ids, options.rows, options.dim, options.turns, options.steps) < 1:
        parser.error("--ids, --rows, --dim, --turns and --steps must be at least 1")
    if options.only not in ("", *TARGETS):
        parser.error(f"--only must be one of {', '.join(TARGETS)}, got {options.only}")
    models = {"texts": texts, "table": table}
    result = {
        "machine": measure.machine_facts(),
        "ids": options.ids,
        "turns": options.turns,
        "targets": TARGETS,
        "models": {
            name: measured(build(options), options.turns)
            for name, build in models.items()
            if options.only in ("", name)
        },
    }
    text = report(result)
    print(text)
    measure.save(options.out, Path(__file__).stem, result, text)


if __name__ == "__main__":
    main()
