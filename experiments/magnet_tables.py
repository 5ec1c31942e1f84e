"""MAGNET's tables, by one command each: models, adjacency, embeddings, graph, ...

    python -m experiments.magnet_tables --corpus reuters21578 --table graph --seeds 5

Writes OUT/TABLE-CORPUS.md, .json and .png: mean and spread over the seeds, differences
to the table's reference cell with intervals, and for every cell the `labelgraph train`
command that runs it alone. Runs are kept in the work folder: a table that was stopped
goes on where it was, and a cell that was computed already is only read.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pod import ALONE, Pod, end
from experiments.study import (
    commit,
    keep_compilations,
    progress,
    require_at_least_one,
    run_command,
)
from experiments.tables.cells import TABLES, Cell, TableSpec, corpus_settings, table
from labelgraph_jax.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compute a table of MAGNET's paper, or one of our own, and write it down."""

    table: str
    """models, words, adjacency, embeddings, graph, losses or thresholds."""
    corpus: str = "reuters21578"
    """A named corpus, or a file of labelled texts of your own."""
    seeds: int = 5
    """Seeds 0, 1, ... of every cell."""
    cells: str = ""
    """Some cells only, separated by commas; the reference cell is always there."""
    full: bool = False
    """graph: also the product of role, start, attention and features."""
    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA, else the public home."""
    protocol: str = ""
    """Split protocol of the corpus."""
    epochs: int = 0
    """Epochs of every cell; the table's own when 0."""
    vectors_file: str = ""
    """embeddings: word vectors (GloVe, word2vec); without one they are made from the
    training text (PPMI and SVD)."""
    reuse: str = ""
    """Folder of finished work directories: one with a cell's settings is taken as it
    is."""
    resamples: int = 1000
    """Bootstrap draws."""
    out: str = "experiments/results"
    work: str = "workdirs/tables"
    """Where runs are kept."""
    quiet: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""

    def table_written(chosen: Arguments, command: str, pod: Pod) -> None:
        record = compute(chosen, command, pod)
        if record:
            write(record, Path(chosen.out), chosen.table)

    return run_command("magnet_tables", Arguments, table_written, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> dict[str, Any] | None:
    """Trains what is missing of a table and returns all its numbers.

    None but on process 0.

    Raises:
        TableError: an unknown table, corpus or cell.
        ConfigError: an option that does not fit the table.
        DataError: the corpus cannot be read.
    """
    spec, settings = _check(chosen)
    from experiments.collect import hardware
    from experiments.tables.evaluating import evaluate_cell
    from experiments.tables.running import Laboratory
    from experiments.tables.settings import configuration
    from experiments.tables.statistics import differences, metric_rows

    started = time.perf_counter()
    say = progress(pod, quiet=chosen.quiet)
    keep_compilations(Path(chosen.work) / "compiled")
    laboratory = Laboratory(Path(chosen.work), say, chosen.reuse)
    if chosen.table == "embeddings" and not chosen.vectors_file:
        plain = spec
        spec = pod.first_then_others(
            "vectors", lambda: _with_made_vectors(laboratory, plain, settings)
        )
    cells = spec.choose([name for name in chosen.cells.split(",") if name])
    names = laboratory.corpus(configuration(spec.base, settings).resolved())
    if not names.prepared.labels.parents:
        without = [cell.name for cell in cells if cell.taxonomy]
        cells = tuple(cell for cell in cells if not cell.taxonomy)
        if without:
            say(f"no taxonomy of the labels: {', '.join(without)} are left out")
    if pod.several:
        _fill(pod, laboratory, spec, cells, settings, range(chosen.seeds))
    if not pod.writes:
        return None
    results = [
        evaluate_cell(laboratory, spec, cell, settings, range(chosen.seeds))
        for cell in cells
    ]
    corpus = laboratory.corpus(configuration(spec.base, settings).resolved())
    splits = corpus.prepared.corpus.splits
    counts = {name: len(documents) for name, documents in splits.items()}
    head = {
        "corpus": corpus.prepared.corpus.name,
        "split": "test",
        "test_documents": counts["test"],
        "hardware": pod.on(hardware()),
    }
    reference = next(r for r in results if r.name == spec.reference)
    targets = np.asarray(corpus.arrays["test"]["targets"])
    return {
        "table": spec.name,
        "caption": spec.caption,
        "corpus": head["corpus"],
        "command": command,
        "commit": commit(),
        "hardware": head["hardware"],
        "seconds": round(time.perf_counter() - started, 1),
        "reference": spec.reference,
        "resamples": chosen.resamples,
        "split_note": f"{counts['train']:,} documents to train on, "
        f"{counts['validation']:,} for validation, {counts['test']:,} for the test, "
        f"{len(corpus.prepared.labels):,} labels.",
        "rows": [row for result in results for row in metric_rows(result, head)],
        "differences": differences(
            results, reference, targets, resamples=chosen.resamples
        ),
    }


def _check(chosen: Arguments) -> tuple[TableSpec, dict[str, Any]]:
    """The table and the settings that the options add, before anything is read."""
    require_at_least_one(chosen, "seeds", "resamples")
    if chosen.epochs < 0:
        raise ConfigError(f"--epochs must not be negative, got {chosen.epochs}")
    for option, owner in (("full", "graph"), ("vectors_file", "embeddings")):
        if getattr(chosen, option) and chosen.table != owner:
            flag = option.replace("_", "-")
            raise ConfigError(f"--{flag} is read only with --table {owner}")
    if chosen.table in TABLES:
        settings = dict(corpus_settings(chosen.corpus))
    spec = table(chosen.table, full=chosen.full, vectors_file=chosen.vectors_file)
    spec.choose([name for name in chosen.cells.split(",") if name])
    if chosen.data_dir:
        settings["data.data_dir"] = chosen.data_dir
    if chosen.protocol:
        settings["data.protocol"] = chosen.protocol
    if chosen.epochs:
        settings["training.epochs"] = chosen.epochs
    return spec, settings


def _fill(
    pod: Pod,
    laboratory: Any,
    spec: TableSpec,
    cells: Sequence[Cell],
    settings: dict[str, Any],
    seeds: range,
) -> None:
    """Every run once, over all processes.

    Runs that `labelgraph train` would do one by one are trained by all processes as one
    run, as it does on several hosts; the other cells are divided.
    """
    from experiments.tables.corpus import can_train_together
    from experiments.tables.evaluating import cell_configuration, cell_runs
    from experiments.tables.store import run_key

    whole: dict[str, Cell] = {}
    divided: dict[str, Cell] = {}
    for cell in cells:
        config = cell_configuration(spec, cell, settings)
        # Cells that differ in their thresholds alone share their runs.
        key = run_key(config, {"runner": cell.runner})
        if cell.runner != "train":
            divided[cell.runner] = cell
        elif can_train_together(config):
            divided[key] = cell
        else:
            whole[key] = cell
    pod.first_then_others(
        "corpora",
        lambda: [
            laboratory.corpus(cell_configuration(spec, cell, settings))
            for cell in (*whole.values(), *divided.values())
        ],
    )
    for cell in whole.values():
        cell_runs(laboratory, spec, cell, settings, seeds)
    pod.fill(
        "cells",
        list(divided.values()),
        lambda cell: cell_runs(laboratory, spec, cell, settings, seeds),
    )


def _with_made_vectors(
    laboratory: Any, spec: TableSpec, settings: dict[str, Any]
) -> TableSpec:
    """The embeddings table with word vectors made from the training text."""
    from experiments.tables.settings import configuration
    from experiments.tables.word_vectors import made_vectors

    corpus = laboratory.corpus(configuration(spec.base, settings).resolved())
    path = made_vectors(
        [document.text for document in corpus.prepared.corpus.train],
        laboratory.folder / "word_vectors",
    )
    return table(spec.name, vectors_file=str(path), made=True)


def write(record: dict[str, Any], out: Path, name: str) -> None:
    """Writes the Markdown, the JSON and the plot of a table."""
    from experiments.tables.rendering import markdown, plot

    out.mkdir(parents=True, exist_ok=True)
    corpus = "-".join(str(record["corpus"]).split("/"))
    stem = f"{name}-{corpus}"
    numbers = json.dumps(record, indent=1) + "\n"
    (out / f"{stem}.json").write_text(numbers, encoding="utf-8")
    text = markdown(record)
    (out / f"{stem}.md").write_text(text, encoding="utf-8")
    plot(record, out / f"{stem}.png")
    print(text)


if __name__ == "__main__":
    end(main)
