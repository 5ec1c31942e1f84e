"""Training, whole: records -> trained, calibrated, evaluated work directory.

The one driver of the package. What differs between labels of texts and tasks of a table
is a `Problem`; how a run is spread over devices and processes is `execution`.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax

from labelgraph_jax.config import Config, to_dict
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.config.schema import with_absolute_paths
from labelgraph_jax.data.batches.batches import steps_per_epoch, train_batches
from labelgraph_jax.data.documents import Corpus, DataError
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.predictors.adapted import read_chosen
from labelgraph_jax.predictors.manifest import require_unchanged, seal
from labelgraph_jax.predictors.structure import chosen_hierarchy
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.calibrate import run_facts
from labelgraph_jax.runs.execution import (
    Execution,
    executing,
    require_free,
    require_one_run,
    require_same_data,
)
from labelgraph_jax.runs.graph_worth import with_kept_graph
from labelgraph_jax.runs.labels import LabelProblem
from labelgraph_jax.runs.problem import Inputs, Prepared, Problem, Records, Say, Trained
from labelgraph_jax.runs.start import keep_start, started_from, warm_start
from labelgraph_jax.runs.steps import stepping
from labelgraph_jax.runs.tables.problem import TableProblem
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.gates import GateWatch
from labelgraph_jax.training.hosts import is_first, on_first, together
from labelgraph_jax.training.local_batches import own_batches
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.loop import TrainResult, train_loop
from labelgraph_jax.training.signals import StoppedError

BESIDE = {
    "without_graph": "without its label graph",
    "without_unlabelled": "without the unlabelled documents",
}
"""Folders of runs beside a run, and how these differ from it."""
SECONDS_BETWEEN_SAVES = 60.0
"""A run that is killed loses no more than this, and writes no more than it must."""


def fit(
    config: Config,
    workdir: str | Path,
    *,
    baseline: bool = False,
    progress: bool = True,
    say: Say = lambda line: None,
    run: RunConfig | None = None,
    corpus: Corpus | None = None,
    start: str | Path | None = None,
) -> dict[str, Any]:
    """Train, or resume training, and evaluate the best checkpoint once.

    Thresholds come from the validation split, and the test split is read once, at the
    end. A finished work directory is not trained again, and refused where its data have
    changed. Where several processes are one run, each makes this call.

    Args:
        config: the run's settings; with tasks of a table (`config.table.tasks`) the
            records are its rows.
        workdir: where everything goes; nothing is written there before the data and
            the settings were found to be in order.
        baseline: also train the rivals on the same splits: TF-IDF with a linear SVM per
            label, or of a table a linear model and gradient boosting.
        progress: show a progress bar, or a line per epoch where there is no terminal.
        say: takes one line about what is going on.
        run: devices and processes; all devices of this process by default.
        corpus: documents in memory, in place of those that `config.data` names; with
            a validation split, and without a test split if nothing is to be measured.
        start: work directory of a run whose parameters this one begins with, as far as
            they fit: labels by name, and its tokenizer, or its way to read columns.

    Returns:
        What `results.json` holds.

    Raises:
        ConfigError, DataError, WorkdirError, HostsError: see those.
        RunDataChangedError: the data are not those that the run was begun with.
        NonFiniteLossError: training diverged; the last good checkpoint is kept.
        StoppedError: a KeyboardInterrupt; a signal came, and the same call goes on.
    """
    with executing(run or RunConfig(), say) as execution:
        place = Workdir(Path(workdir))
        config = with_kept_graph(config.resolved(), place)
        begun = together(lambda: started_from(place, config, start))
        problem, say = problem_of(config, place, begun), execution.say

        # Settings, directory and devices, before any work is done.
        stored = with_absolute_paths(config)
        require_one_run(stored, execution.settings)
        together(lambda: _check(place, stored, problem, execution))
        if place.is_finished and not place.adds_epochs(stored):
            return _finished(
                place, problem, corpus, baseline, execution, begun, progress
            )

        # The records: process 0 reads them first, the others find its caches.
        def prepare() -> tuple[Any, Problem, Any]:
            records = problem.read(corpus)
            settled = problem.settled(records, say)
            return records, settled, settled.prepare(records, say)

        with execution.stop.during(leaving=True):
            records, problem, prepared = execution.first_then_others(prepare)
        config, stored = problem.config, with_absolute_paths(problem.config)
        require_same_data(prepared.fingerprints)
        key = jax.random.key(config.training.seed)
        together(lambda: execution.check_model(lambda: problem.init(prepared, key)))

        def claim() -> None:
            place.claim(stored, prepared.fingerprints, problem.what)
            if begun is not None:
                keep_start(place, begun)
            problem.save(place, prepared)

        with execution.holding(place):
            on_first(claim)
            result = train(
                place, problem, prepared, execution, begun=begun, progress=progress
            )
            if result.interrupted:
                raise StoppedError(
                    execution.stop.by, f"at step {result.step}, which is saved"
                )
            # Thresholds from validation, the test split once, results.json.
            execution.stop.where = "after training, which is saved, while testing"
            with execution.stop.during(leaving=True):
                started = time.perf_counter()
                model = problem.calibrate(place, prepared, say)
                results = {
                    **problem.results(place, prepared, model),
                    **run_facts(place, config, model.params, result),
                    "test_seconds": round(time.perf_counter() - started, 1),
                    "baseline": None,
                }
            other = problem.supervised(prepared)
            if other is not None and results["test"]:
                where = "without_unlabelled"
                plain = _beside(
                    place, where, other, records, execution, begun, progress
                )
                results["semi"]["supervised"] = problem.compared(place, plain, records)
                on_first(lambda: shutil.rmtree(plain.path))
            if baseline:
                rivals = _rivals(place, problem, records, execution, begun, progress)
                results["baseline"] = rivals
            on_first(lambda: seal(place))
            on_first(lambda: place.save_results(results))
            if not execution.settings.keep_optimizer:
                with CheckpointStore(place.checkpoints) as store:
                    store.keep_parameters()
            return results


def problem_of(config: Config, place: Workdir, begun: Workdir | None) -> Problem:
    """The problem of resolved settings, as begun in a directory or another run."""
    known = place.has_checkpoints
    origin = place if known and begun is not None else begun
    if config.table.tasks:
        return TableProblem(config, origin)
    layout = place.layout() if known else None
    chosen = read_chosen(place), None, chosen_hierarchy(place)
    return LabelProblem(config, layout, origin, *chosen)


def _check(
    place: Workdir, stored: Config, problem: Problem, execution: Execution
) -> None:
    """Refuse what cannot be trained here, before any work is done."""
    place.check(stored)
    if place.adds_epochs(stored):
        require_unchanged(place)
    require_free(place)
    if problem.what == "rows":
        execution.mesh()  # a table's batches depend on how many rows there are
        return
    training = stored.training
    execution.check(training.batch_size, training.micro_batches)


def _finished(
    place: Workdir,
    problem: Problem[Records, Inputs, Trained],
    corpus: Corpus | None,
    baseline: bool,
    execution: Execution,
    begun: Workdir | None,
    progress: bool,
) -> dict[str, Any]:
    """The results that stand there, of the same data, and the baseline if it is new."""
    say, results = execution.say, place.results()
    measure = baseline and results.get("baseline") is None
    try:
        records = execution.first_then_others(lambda: problem.read(corpus))
    except DataError as error:
        if measure:
            raise
        say(f"these may not be the data of the run any longer: {error}")
    else:
        if place.has_data:
            place.require_data(problem.fingerprints(records), problem.what)
    say(f"{place.path}: training has finished; these are its results")
    if measure:
        with execution.holding(place):
            rivals = _rivals(place, problem, records, execution, begun, progress)
            results["baseline"] = rivals
            on_first(lambda: place.save_results(results))
    return results


def _rivals(
    place: Workdir,
    problem: Problem[Records, Inputs, Trained],
    records: Records,
    execution: Execution,
    begun: Workdir | None,
    progress: bool,
) -> dict[str, Any]:
    """The baselines, and the same model trained without its label graph."""
    say, stop = execution.say, execution.stop
    plain, beside = problem.without_graph(), None
    if plain is not None:
        beside = _beside(
            place, "without_graph", plain, records, execution, begun, progress
        )
    stop.where = "while measuring the baselines; training is saved"
    with stop.during(leaving=True):
        found = problem.baseline(place, records, say, beside)
        if beside is not None:
            on_first(lambda: shutil.rmtree(beside.path))
        return found


def _beside(
    place: Workdir,
    name: str,
    problem: Problem[Records, Inputs, Trained],
    records: Records,
    execution: Execution,
    begun: Workdir | None,
    progress: bool,
) -> Workdir:
    """The run of another problem over the same records, trained and measured.

    It lies in the work directory for as long as it takes, so that it too goes on where
    it was stopped.
    """
    say, stop = execution.say, execution.stop
    beside, words = Workdir(place.path / name), BESIDE[name]
    say(f"training the same model {words}")
    with stop.during(leaving=True):
        prepared = execution.first_then_others(
            lambda: problem.prepare(records, lambda line: None)
        )

    def claim() -> None:
        beside.claim(with_absolute_paths(problem.config), prepared.fingerprints)
        problem.save(beside, prepared)

    on_first(claim)
    result = train(beside, problem, prepared, execution, begun=begun, progress=progress)
    if result.interrupted:
        raise StoppedError(stop.by, f"at step {result.step} {words}")
    stop.where = f"while measuring the model {words}; training is saved"
    with stop.during(leaving=True):
        model = problem.calibrate(beside, prepared, say)
        measured = problem.results(beside, prepared, model)
        on_first(lambda: beside.save_results(measured))
    return beside


def train(
    place: Workdir,
    problem: Problem,
    prepared: Prepared,
    execution: Execution,
    *,
    begun: Workdir | None = None,
    progress: bool,
) -> TrainResult:
    """Train to the end, or go on from the newest checkpoint.

    Args:
        place: where checkpoints and logs go.
        problem: what is learned.
        prepared: what it is learned from.
        execution: on which devices.
        begun: the run whose parameters it begins with, where it begins.
        progress: show it.
    """
    config, settings = problem.config, problem.config.training
    size = prepared.batch_size
    if size != settings.batch_size:
        execution.say(
            f"few rows: batches of {size} and not of {settings.batch_size}, so that an "
            "epoch has several steps"
        )
        # Never another size for other devices: the run would be another.
        together(lambda: execution.check(size, settings.micro_batches))
    mesh = execution.mesh()
    epoch_steps = steps_per_epoch(len(prepared.train), size)
    total_steps = epoch_steps * settings.epochs

    # Parameters, and the step that moves them.
    key = jax.random.key(settings.seed)
    params = problem.init(prepared, key)
    if begun is not None and not place.has_checkpoints:
        names = problem.names(prepared), problem.names_of(begun)
        params, taken = warm_start(begun, params, *names)
        execution.say(taken)
    state, compiled, row_ids = stepping(
        problem,
        prepared,
        params,
        jax.random.fold_in(key, 1),
        execution,
        mesh,
        total_steps=total_steps,
    )

    # What is measured after every epoch, and selects a checkpoint.
    evaluate = None
    if prepared.validation is not None and len(prepared.validation):
        evaluate = _evaluate(problem, prepared, execution, mesh)

    every = execution.settings.checkpoint_every
    with (
        CheckpointStore(
            place.checkpoints,
            metric=settings.selection_metric,
            seconds_between=0.0 if every else SECONDS_BETWEEN_SAVES,
        ) as store,
        MetricsLog(place.path) if is_first() else nullcontext() as log,
    ):
        return train_loop(
            state,
            compiled,
            train_batches(
                prepared.train,
                batch_size=size,
                epochs=settings.epochs,
                seed=settings.seed,
                shard_index=jax.process_index(),
                shard_count=jax.process_count(),
                prefetch_threads=1,
                row_ids=row_ids,
                unlabelled=prepared.unlabelled,
                ratio=prepared.unlabelled_ratio,
            ),
            total_steps=total_steps,
            steps_per_epoch=epoch_steps,
            evaluate_fn=evaluate,
            metric=None if evaluate is None else settings.selection_metric,
            patience=settings.patience or None,
            store=store,
            log=log,
            config=to_dict(config),
            checkpoint_every=every or None,
            progress=progress and is_first(),
            stop=execution.stop,
            profile=execution.profile,
        )


def _evaluate(
    problem: Problem, prepared: Prepared, execution: Execution, mesh: jax.sharding.Mesh
) -> Callable[[Params], dict[str, float]]:
    """`evaluate(params)` -> the metrics of the validation records."""
    network, examples = problem.network(prepared), prepared.validation
    assert examples is not None
    size = min(problem.config.training.evaluation_batch_size, len(examples))
    validate = problem.validate(prepared, mesh)
    watch = None
    if network.has_gates:
        watch = GateWatch(network.gate_weights, prepared.tasks, execution.say, mesh)

    def evaluate(params: Params) -> dict[str, float]:
        batches = execution.evaluation_batches(examples, batch_size=size)
        metrics = validate(params, batches)
        if watch is not None:
            metrics |= watch(params, own_batches(examples, batch_size=size))
        return metrics

    return evaluate
