"""Training on a table, whole: rows -> trained, evaluated work directory."""

import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from labelgraph_jax.config import Config, to_dict
from labelgraph_jax.config.table import task_weights
from labelgraph_jax.data.batches.batches import steps_per_epoch, train_batches
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.predictors.network import count_parameters
from labelgraph_jax.predictors.table_data import (
    EncodedRows,
    TableSplits,
    encode_rows,
    learn_schema,
    learn_targets,
    read_splits,
    table_fingerprint,
)
from labelgraph_jax.predictors.table_metrics import summarise
from labelgraph_jax.predictors.table_network import (
    TableClassifier,
    build_table_classifier,
    table_objective,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.execution import (
    Execution,
    require_free,
    require_one_run,
    require_same_data,
)
from labelgraph_jax.runs.fit import Say, with_absolute_paths
from labelgraph_jax.runs.restore import restore_table, save_table_files
from labelgraph_jax.runs.table_report import suspicions, table_lines
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.evaluate import (
    compile_probabilities,
    predict_probabilities,
)
from labelgraph_jax.training.gates import GateWatch
from labelgraph_jax.training.hosts import is_first, on_first, together
from labelgraph_jax.training.local_batches import own_batches
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.loop import TrainResult, train_loop
from labelgraph_jax.training.optimizer import make_optimizer, make_schedule
from labelgraph_jax.training.signals import StoppedError
from labelgraph_jax.training.step import init_train_state, make_train_step


@dataclass(frozen=True)
class PreparedTable:
    """Everything that training reads, and nothing it writes."""

    splits: TableSplits
    schema: TableSchema
    targets: tuple[Target, ...]
    train: EncodedRows
    validation: EncodedRows | None
    classifier: TableClassifier


def fit_table(
    config: Config,
    place: Workdir,
    execution: Execution,
    *,
    baseline: bool,
    progress: bool,
) -> dict[str, Any]:
    """Trains on a table, or resumes, and evaluates the best checkpoint once.

    The contract is that of `fit.fit`, which calls it.

    Args:
        config: resolved settings, with tasks of a table.
        place: the work directory.
        execution: devices and processes, and who is told what goes on.
        baseline: also train a linear model and gradient boosting.
        progress: show it.

    Raises:
        ConfigError, DataError, WorkdirError, HostsError: see those.
        NonFiniteLossError: training diverged; the last good checkpoint is kept.
        StoppedError: stopped by a signal; the same call goes on.
    """
    say, stored = execution.say, with_absolute_paths(config)
    require_one_run(stored, execution.settings)

    def check() -> None:
        place.check(stored)
        require_free(place)
        execution.mesh()

    together(check)
    if place.is_finished:
        say(f"{place.path}: training has finished; these are its results")
        results = place.results()
        if baseline and results.get("baseline") is None:
            prepared = prepare_table(config)
            _check_test(place, prepared.splits, results)
            results["baseline"] = _baseline(prepared, config, say)
            on_first(lambda: place.save_results(results))
        return results
    with execution.stop.during(leaving=True):
        prepared = execution.first_then_others(lambda: prepare_table(config, say))
    tables = prepared.splits.tables
    data = {n: table_fingerprint(t) if t is not None else "" for n, t in tables.items()}
    require_same_data(data)

    first = jax.random.key(config.training.seed)
    together(lambda: execution.check_model(lambda: prepared.classifier.init(first)))

    def claim() -> None:
        place.claim(stored, data)
        save_table_files(place, prepared.schema, prepared.targets)

    with execution.holding(place):
        on_first(claim)
        result = _train(place, prepared, config, progress, execution)
        if result.interrupted:
            raise StoppedError(
                execution.stop.by, f"at step {result.step}, which is saved"
            )
        execution.stop.where = "after training, which is saved, while testing"
        with execution.stop.during(leaving=True):
            return _finish(place, prepared, config, result, baseline, say)


def _check_test(place: Workdir, splits: TableSplits, results: dict[str, Any]) -> None:
    test = splits.tables["test"]
    found = "" if test is None else table_fingerprint(test)
    if results["test"] is not None and found != results["test"]["fingerprint"]:
        raise WorkdirError(
            f"{place.path}: the test rows have changed since training, so a baseline "
            "on them would not stand beside its numbers"
        )


def prepare_table(config: Config, say: Say = lambda line: None) -> PreparedTable:
    """Reads the table and builds everything training needs, in memory.

    Args:
        config: resolved settings.
        say: takes the tasks, the columns and what is suspicious about them.
    """
    splits = read_splits(config)
    table = splits.tables["train"]
    assert table is not None
    for note in splits.notes:
        say(f"{splits.name}: {note}")
    targets = learn_targets(config, table)
    schema = learn_schema(config, table)
    train = encode_rows(table, schema, targets, labelled=True)
    weights = task_weights(config)
    for line in table_lines(splits.name, len(table), schema, targets, weights):
        say(line)
    for line in suspicions(schema, targets, train.examples):
        say(line)
    held = splits.tables["validation"]
    validation = None
    if held is not None:
        validation = encode_rows(held, schema, targets, labelled=True)
        for name, counts in validation.unseen_targets.items():
            say(
                f"task {name}: {counts.total():,} validation targets that training "
                f"lacks are left out: {', '.join(list(counts)[:3])}"
            )
    classifier = build_table_classifier(config, schema, targets)
    return PreparedTable(splits, schema, targets, train, validation, classifier)


def _train(
    place: Workdir,
    prepared: PreparedTable,
    config: Config,
    progress: bool,
    execution: Execution,
) -> TrainResult:
    settings, examples = config.training, prepared.train.examples
    assert settings.learning_rate is not None
    classifier = prepared.classifier
    size = min(settings.batch_size, _at_most(len(examples)))
    size = max(size - size % settings.micro_batches, settings.micro_batches)
    if size < settings.batch_size:
        execution.say(
            f"few rows: batches of {size} and not of {settings.batch_size}, so that an "
            "epoch has several steps"
        )
    # Never another size for other devices: the run would be another.
    together(lambda: execution.check(size, settings.micro_batches))
    mesh = execution.mesh()
    epoch_steps = steps_per_epoch(len(examples), size)
    total_steps = epoch_steps * settings.epochs
    key = jax.random.key(settings.seed)
    schedule: dict[str, Any] = {
        "warmup_steps": int(settings.warmup_fraction * total_steps),
        "total_steps": total_steps,
        "schedule": settings.schedule,
    }
    optimizer = make_optimizer(
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        **schedule,
    )
    step = make_train_step(
        table_objective(config, classifier),
        optimizer,
        jax.random.fold_in(key, 1),
        micro_batches=settings.micro_batches,
        learning_rate=make_schedule(settings.learning_rate, **schedule),
    )
    state = init_train_state(classifier.init(key), optimizer)
    evaluate = None
    if prepared.validation is not None:
        evaluate = _validation(prepared, config, mesh, execution)
    with CheckpointStore(place.checkpoints, metric=settings.selection_metric) as store:
        return train_loop(
            state,
            execution.compile(step, mesh, state),
            train_batches(
                examples,
                batch_size=size,
                epochs=settings.epochs,
                seed=settings.seed,
                shard_index=jax.process_index(),
                shard_count=jax.process_count(),
                prefetch_threads=1,
            ),
            total_steps=total_steps,
            steps_per_epoch=epoch_steps,
            evaluate_fn=evaluate,
            metric=None if evaluate is None else settings.selection_metric,
            patience=settings.patience or None,
            store=store,
            log=MetricsLog(place.path) if is_first() else None,
            config=to_dict(config),
            checkpoint_every=execution.settings.checkpoint_every or None,
            progress=progress,
            stop=execution.stop,
            profile=execution.profile,
        )


def _at_most(rows: int) -> int:
    """Batches of a small table are small, so that an epoch has a few steps."""
    return max(16, 2 ** int(np.log2(max(rows / 8, 16))))


def _validation(
    prepared: PreparedTable, config: Config, mesh: Any, execution: Execution
) -> Any:
    """`evaluate(params)` -> the metrics of the validation rows, flat."""
    assert prepared.validation is not None
    classifier, examples = prepared.classifier, prepared.validation.examples
    run = compile_probabilities(classifier.apply, mesh, link=lambda outputs: outputs)
    size = min(config.training.evaluation_batch_size, len(examples))
    names = [target.name for target in prepared.targets]
    watch = None
    if classifier.has_gates:
        watch = GateWatch(classifier.gate_weights, names, execution.say, mesh)

    def evaluate(params: Any) -> dict[str, float]:
        outputs = predict_probabilities(
            run, params, execution.evaluation_batches(examples, batch_size=size)
        )
        found = summarise(
            outputs,
            examples.targets,
            examples.target_mask,
            prepared.targets,
            task_weights(config),
        )
        metrics = {"skill": found["skill"]}
        for name, task in found["tasks"].items():
            for metric, value in task["metrics"].items():
                if value is not None and metric not in ("rows", "labels", "positives"):
                    metrics[f"{name}/{metric}"] = value
        if watch is not None:
            metrics |= watch(params, own_batches(examples, batch_size=size))
        return metrics

    return evaluate


def _finish(
    place: Workdir,
    prepared: PreparedTable,
    config: Config,
    result: TrainResult,
    baseline: bool,
    say: Say,
) -> dict[str, Any]:
    """The test split once, results.json."""
    started = time.perf_counter()
    model = restore_table(place)
    tables = prepared.splits.tables
    test = tables["test"]
    results: dict[str, Any] = {
        "data": prepared.splits.name,
        "workdir": str(place.path),
        "split": "test",
        "mixture": config.mixture.kind,
        "notes": list(prepared.splits.notes),
        "rows": {n: 0 if t is None else len(t) for n, t in tables.items()},
        "columns": {
            "categorical": [c.name for c in prepared.schema.categorical],
            "numeric": [c.name for c in prepared.schema.numeric],
            "left_out": dict(prepared.schema.dropped),
        },
        "parameters": count_parameters(model.params),
        "seed": config.training.seed,
        "devices": [f"{d.platform}:{d.device_kind}" for d in jax.devices()],
        "training": {
            "steps": result.step,
            "best_step": result.best_step,
            "best_validation": result.best_metric,
            "selection_metric": config.training.selection_metric,
            "stopped_early": result.stopped_early,
            "seconds": round(result.seconds, 1),
            "rows_per_second": round(result.documents_per_second, 1),
        },
        "learned_weights": model.learned_weights,
        "test": None if test is None else model.evaluate(test),
        "test_seconds": round(time.perf_counter() - started, 1),
        "baseline": None,
    }
    if baseline:
        results["baseline"] = _baseline(prepared, config, say)
    on_first(lambda: place.save_results(results))
    return results


def _baseline(prepared: PreparedTable, config: Config, say: Say) -> dict[str, Any]:
    """Linear models and gradient boosting, one per target, on the same splits."""
    from labelgraph_jax.runs.table_baseline import table_baselines

    test = prepared.splits.tables["test"]
    if test is None:
        raise WorkdirError("a baseline needs test rows to stand beside; there are none")
    say("training the baselines: a linear model and gradient boosting per target")
    examples: TableExamples = encode_rows(
        test, prepared.schema, prepared.targets, labelled=True
    ).examples
    return table_baselines(
        prepared.train.examples,
        examples,
        prepared.targets,
        prepared.schema.cardinalities,
        task_weights(config),
        seed=config.training.seed,
    )
