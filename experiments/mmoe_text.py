"""MMoE over text: label sets that share an encoder, each with its own label graph.

    python -m experiments.mmoe_text --study sets
    python -m experiments.mmoe_text --study corpora

`sets`: the five category sets of Reuters-21578 (ModApte) as five tasks. `corpora`:
Reuters topics and GoEmotions, disjoint label sets, every document annotated for one.
Four ways: one label graph over all labels; a layer per set; a shared bottom; MMoE of as
many parameters. Not in a paper: nobody has put MMoE over a text encoder with missing
labels. Writes OUT/mmoe-text-STUDY.json, .md and .png. About 10 minutes (2 cores) a
study of 3 seeds, which train together, and 5 to encode the documents once. Expected:
the ways lie within 2 points of each other.

Runs are kept in the work folder: a call that was stopped goes on where it was.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.pod import ALONE, Pod, end
from experiments.study import (
    Options,
    commit,
    keep_compilations,
    progress,
    require_at_least_one,
    run_command,
    write_record,
)
from labelgraph_jax.config import ConfigError

PLAIN_WAYS = ("joint", "single_task", "shared_bottom", "mmoe")
ALL_WAYS = (*PLAIN_WAYS, "cgc", "ple", "uncertainty", "gradnorm", "project")
REFERENCE = "shared_bottom"
ENCODER_TITLES = {
    "minilm": "a frozen, mean-pooled MiniLM, 128 tokens",
    "bag": "a bag of words, word pairs and parts of words, learned by all",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Compare ways to share a text encoder between label sets."""

    study: Literal["sets", "corpora"] = "sets"
    ways: tuple[str, ...] = PLAIN_WAYS
    """Which ways; shared_bottom is always there. After MMoE came, with as many
    parameters, cgc and ple, and losses balanced by uncertainty, gradnorm, project."""
    encoder: Literal["minilm", "bag"] = "minilm"
    """Frozen MiniLM vectors (cached; the package that README names), or a bag of
    n-grams that the sets learn together."""
    seeds: int = 3
    """Seeds 0, 1, ... of every way."""
    resamples: int = 1000
    """Bootstrap draws."""
    quick: bool = False
    """See that everything works: 1 epoch; file names end in -quick."""
    data: str = ""
    """An own file with several tasks in place of the study's corpus."""
    work: str = "workdirs/mmoe_text"
    """Where runs are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("mmoe_text", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Trains what is missing and writes the study down.

    Raises:
        ConfigError: an option that does not fit.
        DataError: the corpus cannot be read.
    """
    require_at_least_one(chosen, "seeds", "resamples")
    for way in chosen.ways:
        if way not in ALL_WAYS:
            raise ConfigError(f"--ways must be of {', '.join(ALL_WAYS)}; got {way!r}")
    record = measured(chosen, pod)
    if record is None:
        return
    record["command"] = command
    write(record, Path(chosen.out), quick=chosen.quick)


def measured(chosen: Arguments, pod: Pod = ALONE) -> dict[str, Any] | None:
    """All numbers of a study; None but on process 0."""
    from experiments.collect import hardware
    from experiments.store import Store
    from experiments.tables.corpus import TableCorpus
    from experiments.tables.settings import command as train_command
    from experiments.text.runs import RATES, configuration, find_or_train
    from experiments.text.statistics import differences, f1_rows, gate_rows, verdict
    from labelgraph_jax.config import MixtureConfig

    say = progress(pod, quiet=chosen.quiet)
    store = Store(Path(chosen.work), say)
    keep_compilations(Path(chosen.work) / "compiled")
    ways = [way for way in ALL_WAYS if way in (*chosen.ways, REFERENCE)]

    def settings(way: str, rate: float) -> Any:
        config = configuration(
            chosen.study,
            way,
            learning_rate=rate,
            encoder=chosen.encoder,
            quick=chosen.quick,
        )
        return _located(config, chosen)

    base = dataclasses.replace(settings("joint", RATES[0]), mixture=MixtureConfig())
    corpus = pod.first_then_others(
        "corpus", lambda: TableCorpus.read(base, Path(chosen.work) / "vectors", say)
    )
    columns = corpus.prepared.labels.task_columns
    cells, configs = {}, {}
    tried: dict[str, dict[float, float]] = {}

    def train(way: str) -> None:
        tried[way] = {}
        for rate in RATES[:1] if chosen.quick else RATES:
            title = f"{way}, rate {rate:g}"
            (found,) = find_or_train(store, corpus, settings(way, rate), [0], title)
            tried[way][rate] = found.results["best_validation"]
        best = max(tried[way], key=lambda rate: tried[way][rate])
        configs[way] = settings(way, best)
        title = f"{way}, {chosen.seeds} seeds"
        seeds = range(chosen.seeds)
        cells[way] = find_or_train(store, corpus, configs[way], seeds, title)

    pod.fill("ways", ways, train)
    if not pod.writes:
        return None
    store = Store(Path(chosen.work), say)
    for way in ways:
        train(way)
    cells = {way: cells[way] for way in ways}
    splits = corpus.prepared.corpus.splits
    sizes = {name: len(documents) for name, documents in splits.items()}
    record: dict[str, Any] = {
        "experiment": "mmoe_text",
        "study": chosen.study,
        "encoder": chosen.encoder,
        "title": f"Label sets that share a text encoder: {corpus.prepared.corpus.name}",
        "documents": f"{sizes['train']:,} documents to train on, "
        f"{sizes['validation']:,} for validation, {sizes['test']:,} for the test; "
        + ", ".join(f"{task} {len(part)} labels" for task, part in columns.items())
        + f". The encoder is {ENCODER_TITLES[chosen.encoder]}.",
        "tasks": list(columns),
        "commit": commit(),
        "hardware": pod.on(hardware()),
        "seeds": chosen.seeds,
        "resamples": chosen.resamples,
        "seconds": round(store.seconds, 1),
        "ways": [
            {
                "way": way,
                "parameters": runs[0].results["parameters"],
                "seconds": [run.results["seconds"] for run in runs],
                "learning_rate": configs[way].training.learning_rate,
                "tried": {f"{rate:g}": value for rate, value in tried[way].items()},
                "best_epochs": [run.results["best_epoch"] for run in runs],
                "decided_by": [run.results["decision"] for run in runs],
                "f1": f1_rows(runs, columns),
                "command": train_command(configs[way]),
            }
            for way, runs in cells.items()
        ],
        "differences": differences(
            cells, REFERENCE, columns, resamples=chosen.resamples
        ),
        "gates": gate_rows(cells["mmoe"]) if "mmoe" in cells else None,
    }
    return record | {"verdict": verdict(record)}


def _located(config: Any, chosen: Arguments) -> Any:
    """The configuration with the data where the options say."""
    data = dataclasses.replace(config.data, data_dir=chosen.data_dir)
    if chosen.data:
        data = dataclasses.replace(data, data=chosen.data, task="all")
    return dataclasses.replace(config, data=data)


def write(record: dict[str, Any], out: Path, *, quick: bool) -> None:
    """Writes the record, the page and, where there are gates, their figure."""
    from experiments.text.rendering import markdown

    name = f"mmoe-text-{record['study']}"
    if record["encoder"] != "minilm":
        name += f"-{record['encoder']}"
    name += "-quick" if quick else ""
    write_record(str(out), name, record, markdown(record))
    if record["gates"]:
        draw(record, out / f"{name}.png")


def draw(record: dict[str, Any], path: Path) -> None:
    """Experts x tasks: the mean gate weights of one seed."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from labelgraph_jax.inspection.figures.matrices import gate_weights

    mean = np.asarray(record["gates"]["mean_weights"])
    figure = Figure(
        figsize=(2.5 + 0.6 * mean.shape[1], 1.6 + 0.45 * len(mean)), dpi=150
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    title = f"mean gate weight on test documents, seed 0: {record['study']}"
    gate_weights(mean, record["tasks"], title=title, ax=axes)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    end(main)
