"""Cells trained: same-shape seeds together, anything else seed after seed."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.tables.corpus import (
    Arrays,
    Say,
    TableCorpus,
    can_train_together,
    corpus_of,
)
from experiments.tables.store import SeedRun, identity, run_key
from labelgraph_jax.config import Config
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.batches.plan import BatchPlan
from labelgraph_jax.predictors.building import build_classifier
from labelgraph_jax.predictors.measure import validation_metrics
from labelgraph_jax.predictors.network import Classifier, count_parameters
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.labels import label_objective
from labelgraph_jax.runs.restore import restore_network
from labelgraph_jax.runs.steps import optimizer_and_step
from labelgraph_jax.training.seeds import (
    Trial,
    compile_epoch,
    fit_seeds,
    stack_trees,
    stack_trials,
)
from labelgraph_jax.training.step import TrainStep, init_train_state


@dataclass
class Laboratory:
    """Corpora that were read already, and where the work of tables is kept.

    Attributes:
        folder: runs and pooled vectors are kept here.
        say: takes one line about what is going on.
        reuse: folder of finished work directories to take runs from, or empty.
    """

    folder: Path
    say: Say
    reuse: str = ""
    _corpora: dict[Config, TableCorpus] = field(default_factory=dict, init=False)

    def corpus(self, config: Config) -> TableCorpus:
        """The corpus of a cell, read once for all cells that read the same."""
        wanted = corpus_of(config)
        if wanted not in self._corpora:
            self._corpora[wanted] = TableCorpus.read(
                wanted, self.folder / "pooled", self.say
            )
        return self._corpora[wanted]


TRUTH = ("targets", "target_mask")
"""Arrays of a split that no model is shown."""


def with_seed(config: Config, seed: int) -> Config:
    """The same run with another seed."""
    training = dataclasses.replace(config.training, seed=seed)
    return dataclasses.replace(config, training=training)


def train_runs(
    laboratory: Laboratory, config: Config, seeds: Sequence[int]
) -> list[SeedRun]:
    """Trains a configuration with several seeds; as `labelgraph train` would."""
    if can_train_together(config):
        return train_together(laboratory.corpus(config), config, seeds)
    return [train_alone(laboratory, with_seed(config, seed)) for seed in seeds]


def train_together(
    corpus: TableCorpus,
    config: Config,
    seeds: Sequence[int],
    *,
    look: Callable[[Classifier, Any], None] = lambda classifier, params: None,
) -> list[SeedRun]:
    """Seeds of one configuration under one vmap, over data that lies in memory.

    Each run has the parameters, dropout keys, batch order and label graph that
    `labelgraph train` gives its seed. `look` is shown the first run's classifier and
    all runs' best parameters, stacked.
    """
    started = time.perf_counter()
    examples = corpus.prepared.train_documents.examples
    arrays, settings = corpus.arrays, config.training
    rate = settings.learning_rate
    assert rate is not None
    steps = -(-len(examples) // settings.batch_size)
    total = steps * settings.epochs
    classifiers = [_classifier(corpus, with_seed(config, seed)) for seed in seeds]
    first = classifiers[0]
    batch = {name: array[:1] for name, array in arrays["train"].items()}
    optimizer, _ = optimizer_and_step(
        config, label_objective(config, first), jax.random.key(0), total_steps=total
    )
    values = corpus.prepared.initial_values
    if config.text.encoder != "bag":  # whose words alone have weights
        values = {n: value for n, value in values.items() if n != "token_weight"}
    states, trials = [], []
    for classifier, seed in zip(classifiers, seeds, strict=True):
        key = jax.random.key(seed)
        params = classifier.init(key, batch, **values)
        states.append(init_train_state(params, optimizer))
        graph = classifier.graph
        constants = {"features": graph.features, "adjacency": graph.adjacency}
        trials.append(Trial(seed, rate, constants=constants))
    parameters = count_parameters(states[0].params)

    def with_constants(constants: Any) -> Classifier:
        return dataclasses.replace(
            first, graph=dataclasses.replace(first.graph, **constants)
        )

    def make_step(trial: Trial) -> TrainStep:
        objective = label_objective(config, with_constants(trial.constants))
        key = jax.random.fold_in(jax.random.key(trial.seed), 1)
        return optimizer_and_step(config, objective, key, total_steps=total)[1]

    varying = stack_trials(trials).constants
    scores = {
        name: _compile_scores(with_constants, varying, arrays[name])
        for name in ("validation", "test")
    }
    truth = arrays["validation"]["targets"]
    known = arrays["validation"].get("target_mask")

    def evaluate(params: Any) -> list[float]:
        return [
            validation_metrics(Predictions.of_all(probabilities, truth, known))[
                settings.selection_metric
            ]
            for probabilities in scores["validation"](params)
        ]

    result = fit_seeds(
        compile_epoch(make_step, arrays["train"]),
        stack_trees(states),
        trials,
        batch_orders(examples, settings.batch_size, settings.epochs, seeds),
        evaluate=evaluate if len(truth) else None,
    )
    look(first, result.params)
    validation = (
        scores["validation"](result.params)
        if len(truth)
        else np.zeros((len(seeds), *truth.shape), np.float32)
    )
    test = scores["test"](result.params)
    seconds = time.perf_counter() - started
    return [
        SeedRun(
            seed=seed,
            validation=validation[i],
            test=test[i],
            parameters=parameters,
            best_epoch=int(result.best_epoch[i]),
            best_validation=float(result.best_value[i]),
            seconds=seconds / len(seeds),
            trained_together=len(seeds),
            history=[float(value) for value in result.values[:, i]],
        )
        for i, seed in enumerate(seeds)
    ]


def _classifier(corpus: TableCorpus, config: Config) -> Classifier:
    values = corpus.prepared.initial_values
    return build_classifier(
        config,
        corpus.label_graph(config),
        vocabulary_size=corpus.prepared.tokenizer.vocabulary_size,
        transformer=corpus.encoder.shape if corpus.encoder else None,
        features=values["embedding"].shape[1] if "embedding" in values else None,
        tasks=corpus.prepared.labels.task_columns,
    )


def _compile_scores(
    with_constants: Callable[[Any], Classifier], constants: Any, data: Arrays
) -> Callable[[Any], np.ndarray]:
    """Stacked parameters -> probabilities `[S, M, N]` of a split."""
    inputs = {
        name: jnp.asarray(array) for name, array in data.items() if name not in TRUTH
    }

    @functools.partial(jax.vmap, in_axes=(0, 0, None))
    def one_run(params: Any, constants: Any, batch: Any) -> jax.Array:
        return jax.nn.sigmoid(with_constants(constants).apply(params, batch))

    compiled = jax.jit(one_run)
    return lambda params: np.asarray(compiled(params, constants, inputs), np.float32)


def batch_orders(
    examples: Examples, batch_size: int, epochs: int, seeds: Sequence[int]
) -> Any:
    """For every epoch the documents of each run's batches, int32 `[S, K, B]`.

    The order is that of `data.batches.train_batches`; -1 fills the last batch.
    """
    plans = [BatchPlan(examples, batch_size=batch_size, seed=seed) for seed in seeds]
    for epoch in range(epochs):
        order = np.full((len(seeds), len(plans[0]), batch_size), -1, np.int32)
        for run, plan in enumerate(plans):
            for step, rows in enumerate(plan.epoch(epoch)):
                order[run, step, : len(rows)] = rows
        yield order


def train_alone(laboratory: Laboratory, config: Config) -> SeedRun:
    """One run through `labelgraph_jax.runs.fit.fit`, in a work directory of its own."""
    place = finished_workdir(laboratory.reuse, config)
    if place is None:
        place = laboratory.folder / "runs" / run_key(config, {})
        fit(config, place, progress=False, say=laboratory.say)
    return read_workdir(laboratory, config, place)


def finished_workdir(folder: str, config: Config) -> Path | None:
    """A finished work directory in `folder` with the very settings of a run, or None.

    Raises:
        WorkdirError: there is no such folder.
    """
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise WorkdirError(f"--reuse: there is no folder {folder}")
    for path in sorted(Path(folder).iterdir()):
        place = Workdir(path)
        if not (path / "config.json").is_file() or not place.is_finished:
            continue
        if place.is_ensemble:
            continue
        if identity(place.config(), {}) == identity(config, {}):
            return path
    return None


def read_workdir(laboratory: Laboratory, config: Config, place: Path) -> SeedRun:
    """A finished work directory as a run of a table: its probabilities, once more.

    Of the labels that the table asks for, where the run learned others too.
    """
    results = Workdir.existing(place).results()
    model = restore_network(Workdir.existing(place))
    corpus = laboratory.corpus(config)
    splits = corpus.prepared.corpus
    validation, test = (
        model.score_documents(documents)[1]
        if documents
        else np.zeros((0, len(model.labels)), np.float32)
        for documents in (splits.validation, splits.test)
    )
    columns = [model.labels.index(n) for n in corpus.prepared.labels.names]
    training = results["training"]
    steps = -(-len(splits.train) // config.training.batch_size)
    return SeedRun(
        seed=config.training.seed,
        validation=validation[:, columns],
        test=test[:, columns],
        parameters=results["parameters"],
        best_epoch=-(-(training["best_step"] or training["steps"]) // steps),
        best_validation=float(training["best_validation"] or np.nan),
        seconds=training["seconds"],
        trained_together=1,
        history=[],
    )
