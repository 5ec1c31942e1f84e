"""A train step with unlabelled documents beside the labelled ones, against one without.

    python -m experiments.benchmarks.unlabelled_step [--encoder minilm] [--ratio 4] \
        [--documents 400] [--turns 5] [--steps 20] [--out FOLDER]

Documents of the embedded corpus, of which four in five lose their labels, read by a
frozen encoder whose vectors are cached. Each form takes the same labelled batches of
32, built beforehand, in turns; compilation is not timed.
`--encoder bag` is the default model, whose steps then move its whole table.

Time: two minutes on two CPU cores, and once half a minute more for the vectors.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import measure
from experiments.benchmarks.measure import Timing
from experiments.benchmarks.row_updates import timed
from experiments.study import markdown_table
from labelgraph_jax.config import Config, DataConfig, SemiConfig, TextConfig
from labelgraph_jax.data.batches.batches import Batches, BatchPlan, Unlabelled
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.labels import LabelProblem
from labelgraph_jax.runs.steps import optimizer_and_step
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state

TARGET = 3.0
KINDS = ("none", "cap", "teacher", "graph", "vat")
TOTAL_STEPS = 1800


def files(folder: Path, count: int, every: int) -> DataConfig:
    """Write training documents of which some keep labels, and others to measure on.

    All are of the embedded corpus; to validate and test there are a tenth as many.
    """
    corpus, paths = read_corpus(DataConfig()), {}
    for name, documents in corpus.splits.items():
        lines = [
            {
                "id": document.id,
                "text": document.text,
                "labels": None
                if name == "train" and number % every
                else list(document.labels),
            }
            for number, document in enumerate(
                documents[: count if name == "train" else count // 10]
            )
        ]
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        paths["data" if name == "train" else name] = str(path)
    return DataConfig(**paths)  # type: ignore[arg-type]


def forms(data: DataConfig, options: argparse.Namespace) -> dict[str, Any]:
    """A timed run of some steps of each kind."""
    text = TextConfig()
    if options.encoder != "bag":
        text = TextConfig(
            encoder="transformer",
            vectors="pretrained",
            pretrained=options.encoder,
            trainable=False,
            max_length=options.tokens,
        )
    runs: dict[str, Callable[[], Timing]] = {}
    mesh = make_mesh(jax.devices()[:1])
    for kind in options.kinds:
        semi = SemiConfig(kind=kind, ratio=options.ratio)
        config = Config(data=data, text=text, semi=semi).resolved()
        problem = LabelProblem(config)
        prepared = problem.prepare(problem.read(), lambda line: None)
        size, steps = prepared.batch_size, options.steps
        optimizer, step = optimizer_and_step(
            config,
            problem.objective(prepared),
            jax.random.key(1),
            total_steps=TOTAL_STEPS,
            teacher=prepared.teacher,
        )
        beside = None
        if prepared.unlabelled is not None:
            beside = Unlabelled(
                prepared.unlabelled, options.ratio, batch_size=size, seed=0
            )
        plan = BatchPlan(prepared.train, batch_size=size, seed=0)
        # The last batch of an epoch is a shorter one.
        epochs = -(-steps // max(1, len(plan) - 1))
        batches = Batches(prepared.train, plan, epochs=epochs, unlabelled=beside)
        params = jax.device_get(problem.init(prepared, jax.random.key(0)))
        whole = [
            i for i in range(len(batches)) if (i + 1) % len(plan) or len(plan) == 1
        ]
        runs[kind] = timed(
            compile_train_step(step, mesh),
            init_train_state(params, optimizer),
            [batches[i] for i in whole[:steps]],
        )
        runs[kind]()
    return runs


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    rows = [
        [
            kind,
            f"{result['milliseconds'][kind]:.1f}",
            ""
            if kind == "none"
            else "{median:.2f}x ({low:.2f} to {high:.2f})".format(
                **result["ratios"][kind]
            ),
        ]
        for kind in result["milliseconds"]
    ]
    return (
        f"A train step with {result['ratio']} unlabelled documents beside each "
        f"labelled one, {result['encoder']}; medians of {result['turns']} turns, "
        f"middle half; jax {jax.__version__}; "
        f"{measure.machine_line(result['machine'])}.\n\n"
        f"{markdown_table(['semi.kind', 'ms a step', 'against none'], rows)}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Race steps with unlabelled documents against one without, and keep the report."""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.benchmarks.{Path(__file__).stem}",
        description=__doc__.split("\n")[0],
    )
    parser.add_argument("--encoder", default="minilm", help="frozen, or bag")
    parser.add_argument("--tokens", type=int, default=128, help="of a document")
    parser.add_argument("--ratio", type=int, default=4)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--every", type=int, default=5, help="keeps its labels")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="in a turn")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    numbers = options.tokens, options.ratio, options.every, options.turns, options.steps
    if min(numbers) < 1:
        parser.error("numbers must be at least 1")
    if "none" not in options.kinds:
        parser.error("--kinds must have none, what the others are measured against")
    with tempfile.TemporaryDirectory() as folder:
        data = files(Path(folder), options.documents, options.every)
        timings = measure.alternate(forms(data, options), options.turns)
    result = {
        "machine": measure.machine_facts(),
        "target": TARGET,
        "encoder": options.encoder,
        "ratio": options.ratio,
        "turns": options.turns,
        "milliseconds": {n: measure.median_ms(t) for n, t in timings.items()},
        "ratios": {
            kind: measure.ratio_of_turns(timings[kind], timings["none"])._asdict()
            for kind in timings
            if kind != "none"
        },
    }
    text = report(result)
    print(text)
    measure.save(options.out, Path(__file__).stem, result, text)


if __name__ == "__main__":
    main()
