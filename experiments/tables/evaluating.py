"""A cell of a table: its runs, found or trained, and what they decide."""

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments.tables.baselines import baseline_run
from experiments.tables.cells import Cell, TableSpec
from experiments.tables.corpus import TableCorpus
from experiments.tables.running import Laboratory, train_runs, with_seed
from experiments.tables.settings import command, configuration
from experiments.tables.statistics import CellResult, Outcome
from experiments.tables.store import RunStore, SeedRun
from labelgraph_jax.config import Config, ThresholdConfig
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.measure import KS
from labelgraph_jax.predictors.predictions import Predictions


def evaluate_cell(
    laboratory: Laboratory,
    spec: TableSpec,
    cell: Cell,
    settings: dict[str, Any],
    seeds: Iterable[int],
) -> CellResult:
    """The runs of a cell, those that are missing trained, by every decision rule."""
    started = time.perf_counter()
    config, runs = cell_runs(laboratory, spec, cell, settings, seeds)
    corpus = laboratory.corpus(config)
    named = settings.get("data.corpus", settings.get("data.data"))
    if cell.runner == "train":
        line = command(with_seed(config, runs[0].seed))
    elif cell.runner == "svm":
        line = command(configuration(settings), "--baseline")
    else:
        line = (
            f"python -m experiments.magnet_tables --table {spec.name} "
            f"--cells {cell.name} --corpus {named}"
        )
    at_half = [decide(corpus, ThresholdConfig(kind="half"), run) for run in runs]
    fitted = [
        decide(corpus, config.threshold, run, other)
        for run, other in zip(runs, at_half, strict=True)
    ]
    outcomes = {"fitted": tuple(fitted)}
    if spec.at_half:
        outcomes["at 0.5"] = tuple(at_half)
    laboratory.say(
        f"{spec.name}: {cell.name}: "
        + ", ".join(
            f"{m} {np.mean([o.metrics[m] for o in outcomes['fitted']]):.4f}"
            for m in ("micro_f1", "macro_f1")
        )
        + f" ({time.perf_counter() - started:.0f} s)"
    )
    return CellResult(cell.name, cell.title, line, tuple(runs), outcomes)


def cell_configuration(spec: TableSpec, cell: Cell, settings: dict[str, Any]) -> Config:
    """The settings of a cell's runs, but for their seeds."""
    return configuration(spec.base, cell.settings, settings).resolved()


def chosen_configuration(
    laboratory: Laboratory, spec: TableSpec, cell: Cell, settings: dict[str, Any]
) -> Config:
    """The settings of a cell's runs, its learning rate chosen where the table has some.

    The runs with seed 0 that choose are trained where they are missing.
    """
    config = cell_configuration(spec, cell, settings)
    if cell.runner != "train" or not spec.rates:
        return config
    corpus, tried = laboratory.corpus(config), {}
    for rate in spec.rates:
        own = dataclasses.replace(config.training, learning_rate=rate)
        own_config = dataclasses.replace(config, training=own)
        (run,) = find_or_train(laboratory, corpus, own_config, [0])
        tried[own_config] = run.best_validation
        laboratory.say(f"{cell.name}: rate {rate:g}: {run.best_validation:.4f}")
    return max(tried, key=lambda each: tried[each])


def cell_runs(
    laboratory: Laboratory,
    spec: TableSpec,
    cell: Cell,
    settings: dict[str, Any],
    seeds: Iterable[int],
) -> tuple[Config, list[SeedRun]]:
    """The settings and runs of a cell, kept ones read and the others trained."""
    config = chosen_configuration(laboratory, spec, cell, settings)
    corpus = laboratory.corpus(config)
    if cell.runner == "train":
        return config, find_or_train(laboratory, corpus, config, list(seeds))
    return config, [find_or_fit(laboratory, corpus, cell.runner)]


def find_or_train(
    laboratory: Laboratory, corpus: TableCorpus, config: Config, seeds: Sequence[int]
) -> list[SeedRun]:
    """One run per seed: kept ones are read, the others are trained and kept."""
    store = RunStore(laboratory.folder / "finished")
    data = corpus.fingerprints
    found = {seed: store.find(with_seed(config, seed), data) for seed in seeds}
    missing = [seed for seed, run in found.items() if run is None]
    for run in train_runs(laboratory, config, missing) if missing else []:
        store.save(run, with_seed(config, run.seed), data)
        found[run.seed] = run
    return [run for run in found.values() if run is not None]


def find_or_fit(laboratory: Laboratory, corpus: TableCorpus, runner: str) -> SeedRun:
    """The one run of a cell in which nothing is random."""
    store = RunStore(laboratory.folder / "finished")
    data = {"runner": runner, **corpus.fingerprints}
    found = store.find(Config(), data)
    if found is None:
        found = baseline_run(corpus, runner)
        store.save(found, Config(), data)
    return found


def decide(
    corpus: TableCorpus,
    rule: ThresholdConfig,
    run: SeedRun,
    other: Outcome | None = None,
) -> Outcome:
    """What a run predicts for the test documents, the rule fitted on validation.

    `other` is the same run by another rule: equal decisions are not measured twice.
    """
    truth = corpus.arrays["test"]["targets"]
    counts = corpus.prepared.graph.counts
    decision = choose_decision(
        rule,
        Predictions.of_all(run.validation, corpus.arrays["validation"]["targets"]),
        counts,
    )
    decisions = decision.decide(run.test)
    if other is not None and np.array_equal(decisions, other.decisions):
        return Outcome(other.metrics, decisions, decision.kind)
    metrics = evaluate_scores(
        run.test,
        truth,
        predictions=decisions,
        train_label_counts=counts,
        train_documents=len(corpus.prepared.train),
        ks=KS,
    )
    return Outcome(metrics, decisions, decision.kind)
